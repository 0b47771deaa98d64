"""The few kinds of panel that the dashboards are made of, each with unit, description and thresholds.

Units are Grafana's own names (s, bytes, Bps, percentunit, short, cps). A bound is a list of (from, colour); the part
below the first is green. Panels show zero or nothing, never an error, while a proxy has no traffic.

Where lines are compared, what the study does to people is in shades of orange and what it leaves alone in shades of
blue, so that the eye needs no legend.
"""

from grafana_foundation_sdk.builders import common, dashboard, heatmap, prometheus, stat, table, timeseries
from grafana_foundation_sdk.models import common as c
from grafana_foundation_sdk.models import dashboard as d
from grafana_foundation_sdk.models import heatmap as h
from grafana_foundation_sdk.models import prometheus as p

SOURCE = d.DataSourceRef(type_val="prometheus", uid="${datasource}")
GAP = 300_000  # ms: a line is drawn across shorter silences
UNTOUCHED = r"/\b(control|direct|baseline|unslowed)\b|^(origin|receiving|client)$/"  # drawn in blue
MINIMUM = "1m"  # four scrapes, so that a rate always has its two points

type Bound = list[tuple[float, str]]


def query(expr: str, legend: str = "", *, exemplars: bool = False) -> prometheus.Dataquery:
    """A query over time."""
    return prometheus.Dataquery().expr(expr).legend_format(legend).range().exemplar(exemplars)


def now(expr: str, legend: str = "") -> prometheus.Dataquery:
    """A query for one moment: the end of the time range."""
    return prometheus.Dataquery().expr(expr).legend_format(legend).instant()


def thresholds(bound: Bound, below: str) -> dashboard.ThresholdsConfig:
    steps = [d.Threshold(None, below), *(d.Threshold(value, color) for value, color in bound)]
    return dashboard.ThresholdsConfig().mode(d.ThresholdsMode.ABSOLUTE).steps(steps)


def series(
    title: str,
    description: str,
    unit: str,
    *queries: prometheus.Dataquery,
    span: int = 12,
    bound: Bound | None = None,
    below: str = "green",
    log: bool = False,
    stacked: bool = False,
    low: float | None = 0,
    high: float | None = None,
    contrast: bool = False,
) -> timeseries.Panel:
    """Lines over time, or filled and stacked; `contrast` sets orange against blue.

    A bound is drawn dashed. Without `high` the axis reaches the first, so that one sees how far away it is.
    """
    if high is None and bound:
        high = bound[0][0]
    color = dashboard.FieldColor().mode(d.FieldColorModeId.PALETTE_CLASSIC)
    if contrast:
        color = color.mode(d.FieldColorModeId.SHADES).fixed_color("orange")
    scale = common.ScaleDistributionConfig().type(c.ScaleDistribution.LOG if log else c.ScaleDistribution.LINEAR)
    style = c.GraphThresholdsStyleMode.DASHED if bound else c.GraphThresholdsStyleMode.OFF
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .span(span)
        .height(8)
        .interval(MINIMUM)
        .targets(list(queries))
        .thresholds(thresholds(bound or [], below))
        .thresholds_style(common.GraphThresholdsStyleConfig().mode(style))
        .color_scheme(color)
        .scale_distribution(scale.log(10) if log else scale)
        .line_width(2)
        .fill_opacity(60 if stacked else 0)
        .stacking(common.StackingConfig().mode(c.StackingMode.NORMAL if stacked else c.StackingMode.NONE).group("A"))
        .show_points(c.VisibilityMode.AUTO)
        .span_nulls(GAP)
        .legend(
            common.VizLegendOptions()
            .placement(c.LegendPlacement.BOTTOM)
            .display_mode(c.LegendDisplayMode.LIST)
            .show_legend(True)
        )
        .tooltip(common.VizTooltipOptions().mode(c.TooltipDisplayMode.MULTI).sort(c.SortOrder.DESCENDING))
    )
    if low is not None and not log:
        panel = panel.axis_soft_min(low)
    if high is not None:
        panel = panel.axis_soft_max(high)
    if contrast:
        blue = d.DynamicConfigValue(id_val="color", value={"mode": "shades", "fixedColor": "blue"})
        panel = panel.override_by_regexp(UNTOUCHED, [blue])
    return panel


def number(
    title: str,
    description: str,
    unit: str,
    expr: str,
    *,
    legend: str = "",
    span: int = 4,
    bound: Bound | None = None,
    below: str = "green",
    decimals: float | None = None,
    name: bool = False,
) -> stat.Panel:
    """One figure, or with `name` one label value, coloured by its bound."""
    panel = (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .span(span)
        .height(4)
        .with_target(now(expr, legend))
        .thresholds(thresholds(bound or [], below))
        .color_scheme(dashboard.FieldColor().mode(d.FieldColorModeId.THRESHOLDS))
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .color_mode(c.BigValueColorMode.VALUE)
        .graph_mode(c.BigValueGraphMode.NONE)
        .text_mode(c.BigValueTextMode.NAME if name else c.BigValueTextMode.AUTO)
        .no_value("no data")
    )
    return panel.decimals(decimals) if decimals is not None else panel


def heat(title: str, description: str, unit: str, expr: str, *, span: int = 12, repeat: str = "") -> heatmap.Panel:
    """How many transfers fell into each bucket of a histogram, over time."""
    target = prometheus.Dataquery().expr(expr).legend_format("{{le}}").range().exemplar(True)
    panel = (
        heatmap.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit("short")
        .span(span)
        .height(8)
        .interval(MINIMUM)
        .with_target(target.format(p.PromQueryFormat.HEATMAP))
        .thresholds(thresholds([], "green"))
        .calculate(False)
        .color(
            heatmap.HeatmapColorOptions()
            .mode(h.HeatmapColorMode.SCHEME)
            .scheme("Oranges")
            .scale(h.HeatmapColorScale.EXPONENTIAL)
            .exponent(0.5)
            .steps(64)
            .reverse(False)
        )
        .y_axis(heatmap.YAxisConfig().unit(unit).axis_placement(c.AxisPlacement.LEFT))
        .filter_values(heatmap.FilterValueRange().le(1e-9))
        .cell_gap(0)
        .show_legend()
        .mode(c.TooltipDisplayMode.SINGLE)
        .show_y_histogram()
        .exemplars_color("rgba(31,120,193,0.9)")
    )
    return panel.repeat(repeat).repeat_direction("h").max_per_row(3) if repeat else panel


def rows(
    title: str,
    description: str,
    unit: str,
    columns: dict[str, str],
    *,
    hide: list[str],
    span: int = 24,
    height: int = 11,
    bound: Bound | None = None,
) -> table.Panel:
    """A table: one column a query, one row a combination of labels; figures are coloured by their bound."""
    names = {f"Value #{chr(65 + n)}": name for n, name in enumerate(columns)}
    targets = [now(expr).format(p.PromQueryFormat.TABLE).ref_id(chr(65 + n)) for n, expr in enumerate(columns.values())]
    hidden = dict.fromkeys(["Time", "__name__", "job", *hide], True)
    return (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .span(span)
        .height(height)
        .targets(targets)
        .thresholds(thresholds(bound or [], "text"))
        .color_scheme(dashboard.FieldColor().mode(d.FieldColorModeId.THRESHOLDS))
        .cell_options(c.TableColorTextCellOptions())
        .transformations(
            [
                d.DataTransformerConfig(id_val="merge", options={}),
                d.DataTransformerConfig(
                    id_val="organize",
                    options={"excludeByName": hidden, "renameByName": names | {"Value": next(iter(columns))}},
                ),
            ]
        )
        .no_value("")
    )
