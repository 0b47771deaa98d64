"""What the dashboards have in common: variables, annotations, links, and the filter that the variables make."""

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import dashboard as d
from panels import SOURCE

INSTANCE = 'instance=~"$instance"'
SELECTED = f'{INSTANCE},media=~"$media",rule=~"$rule",arm=~"$arm"'


class PrometheusAnnotation(d.AnnotationQuery):
    """An annotation as Grafana's Prometheus data source reads it; the SDK knows only what all sources share."""

    def __init__(self, name: str, expr: str, text: str, color: str, *, value_is_time: bool = False) -> None:
        super().__init__(name=name, datasource=SOURCE, icon_color=color, expr=expr)
        self.text = text
        self.value_is_time = value_is_time

    def to_json(self) -> dict[str, object]:
        return super().to_json() | {
            "titleFormat": self.name,
            "textFormat": self.text,
            "useValueForTime": self.value_is_time,
            "step": "30s",
        }


class _Annotation:
    """The SDK takes builders; this one is built already."""

    def __init__(self, annotation: PrometheusAnnotation) -> None:
        self._annotation = annotation

    def build(self) -> PrometheusAnnotation:
        return self._annotation


# Where a value stays above 0, Grafana draws one region: it begins where the policy or the phase does.
ANNOTATIONS = [
    PrometheusAnnotation("Policy", f"shaper_policy_info{{{INSTANCE}}}", "{{study}} {{mode}} {{digest}}", "blue"),
    PrometheusAnnotation("Phase", f"shaper_phase_active{{{INSTANCE}}} == 1", "{{phase}}", "purple"),
    PrometheusAnnotation(
        "Reload", f"shaper_reload_timestamp_seconds{{{INSTANCE}}} * 1000", "{{instance}}", "orange", value_is_time=True
    ),
]


def variable(name: str, label: str, query: str, *, every: str | None = None) -> dashboard.QueryVariable:
    """A choice of label values, all by default. `every` also matches where the label is empty."""
    choice = (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query({"query": query, "refId": name})
        .refresh(d.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(d.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .current(d.VariableOption(selected=True, text="All", value="$__all"))
    )
    return choice.all_value(every) if every else choice


def board(uid: str, title: str, description: str) -> dashboard.Dashboard:
    """An empty dashboard."""
    result = (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags(["shaper"])
        .readonly()
        .time("now-3h", "now")
        .refresh("30s")
        .timezone("utc")
        .tooltip(d.DashboardCursorSync.CROSSHAIR)
        .link(
            dashboard.DashboardLink("shaper")
            .type(d.DashboardLinkType.DASHBOARDS)
            .tags(["shaper"])
            .keep_time(True)
            .include_vars(True)
        )
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .with_variable(variable("study", "Study", "label_values(shaper_policy_info, study)"))
        .with_variable(variable("instance", "Instance", 'label_values(shaper_policy_info{study=~"$study"}, instance)'))
    )
    for label in ("rule", "media", "arm"):
        query = f"label_values(shaper_transfer_wait_seconds_total{{{INSTANCE}}}, {label})"
        result = result.with_variable(variable(label, label.capitalize(), query, every=".*"))
    for annotation in ANNOTATIONS:
        result = result.annotation(_Annotation(annotation))
    return result
