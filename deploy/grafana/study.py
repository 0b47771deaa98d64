"""The Study dashboard: whether it is slowed as configured, what people wait for, and what else is harmed."""

from board import INSTANCE, SELECTED, board
from grafana_foundation_sdk.builders import dashboard
from panels import Bound, heat, number, query, rows, series

RATE = "[$__rate_interval]"
OTHER = f'{INSTANCE},media="other",arm=~"$arm"'
TOLERANCE: Bound = [(0.98, "green"), (1.02, "red")]
SLOW: Bound = [(1, "yellow"), (10, "red")]


def mean(metric: str, labels: str, by: str, window: str = RATE) -> str:
    """The mean of what a histogram observed, by labels."""
    return (
        f"sum by ({by}) (rate({metric}_sum{{{labels}}}{window}))"
        f" / sum by ({by}) (rate({metric}_count{{{labels}}}{window}))"
    )


def quantile(q: float, metric: str, labels: str, by: str) -> str:
    return f"histogram_quantile({q}, sum by ({by}, le) (rate({metric}_bucket{{{labels}}}{RATE})))"


def buckets(metric: str, labels: str) -> str:
    return f"sum by (le) (increase({metric}_bucket{{{labels}}}{RATE}))"


def within(low: str, high: str, window: str) -> str:
    """The share of paced transfers between two bounds of the rate ratio."""

    def upto(bound: str) -> str:
        return f'sum(rate(shaper_rate_ratio_bucket{{{SELECTED},le="{bound}"}}{window}))'

    return f"({upto(high)} - {upto(low)}) / sum(rate(shaper_rate_ratio_count{{{SELECTED}}}{window}))"


def study() -> dashboard.Dashboard:
    client = f'{SELECTED},side="client"'
    duration, ttfb = "shaper_response_duration_seconds", "shaper_response_ttfb_seconds"
    bytes_passed = f"shaper_response_bytes_total{{{SELECTED}"
    result = (
        board("shaper-study", "shaper: Study", "What the study does to people's traffic, and whether it does it right.")
        .with_row(dashboard.Row("In five seconds"))
        .with_panel(
            number(
                "Policy in force",
                "The study whose policy each proxy runs, and its mode.",
                "string",
                f"shaper_policy_info{{{INSTANCE}}}",
                legend="{{study}} ({{mode}})",
                below="blue",
                name=True,
            )
        )
        .with_panel(
            number(
                "Achieved / configured rate",
                "Mean over the paced transfers that ended in the time range. 100 % is exact, less is too slow.",
                "percentunit",
                f"sum(rate(shaper_rate_ratio_sum{{{SELECTED}}}[$__range]))"
                f" / sum(rate(shaper_rate_ratio_count{{{SELECTED}}}[$__range]))",
                bound=TOLERANCE,
                below="red",
                decimals=2,
            )
        )
        .with_panel(
            number(
                "Transfers within 2 % of it",
                "Share of paced transfers whose own rate was within 2 % of the configured one.",
                "percentunit",
                within("0.98", "1.02", "[$__range]"),
                bound=[(0.9, "yellow"), (0.98, "green")],
                below="red",
                decimals=1,
            )
        )
        .with_panel(
            number(
                "Slowed responses",
                "Responses that a rule slowed and that ended in the time range.",
                "short",
                f'sum(increase(shaper_responses_total{{{SELECTED},reason="matched"}}[$__range]))',
                bound=[(1, "blue")],
                below="text",
                decimals=0,
            )
        )
        .with_panel(
            number(
                "Share of bytes slowed",
                "Body bytes of slowed responses over all body bytes of intercepted responses.",
                "percentunit",
                f'sum(rate({bytes_passed},shaped="true"}}[$__range])) / sum(rate({bytes_passed}}}[$__range]))',
                bound=[(0.000001, "blue")],
                below="text",
                decimals=1,
            )
        )
        .with_panel(
            number(
                "Delay added to everything else",
                "Collateral: mean first-byte time at the client less that from the origin, over text, scripts and all"
                " that is no image, video or audio.",
                "s",
                f'sum(rate({ttfb}_sum{{{OTHER},side="client"}}[$__range]))'
                f' / sum(rate({ttfb}_count{{{OTHER},side="client"}}[$__range]))'
                f' - sum(rate({ttfb}_sum{{{OTHER},side="origin"}}[$__range]))'
                f' / sum(rate({ttfb}_count{{{OTHER},side="origin"}}[$__range]))',
                bound=[(0.02, "yellow"), (0.05, "red")],
                decimals=1,
            )
        )
        .with_row(dashboard.Row("Is it slowed as configured?"))
        .with_panel(
            series(
                "Achieved over configured rate",
                "Mean of the paced transfers that ended, by rule, media and arm. The dashed lines are the tolerance of"
                " 2 %.",
                "percentunit",
                query(
                    mean("shaper_rate_ratio", SELECTED, "rule, media, arm"),
                    "{{rule}} · {{media}} · {{arm}}",
                    exemplars=True,
                ),
                bound=TOLERANCE,
                below="red",
                low=0.95,
                high=1.05,
            )
        )
        .with_panel(
            heat(
                "Achieved over configured rate, each transfer",
                "One transfer, one count. A second band away from 100 % is a rule that does not hold for some.",
                "percentunit",
                buckets("shaper_rate_ratio", SELECTED),
            )
        )
        .with_row(dashboard.Row("How long people wait"))
    )
    for q, share in ((0.5, "half"), (0.9, "nine of ten"), (0.99, "99 of 100")):
        result = result.with_panel(
            series(
                f"Completion p{q * 100:.0f}",
                f"Time from request to last byte at the client that {share} responses stay within, by media and arm."
                " Read within 10 %; logarithmic.",
                "s",
                query(quantile(q, duration, client, "media, arm"), "{{media}} · {{arm}}", exemplars=True),
                span=8,
                log=True,
                bound=SLOW,
            )
        )
    for q, share in ((0.5, "half"), (0.9, "nine of ten"), (0.99, "99 of 100")):
        result = result.with_panel(
            series(
                f"First byte p{q * 100:.0f}",
                f"Time from request to first body byte at the client that {share} responses stay within, by media and"
                " arm. Read within 10 %; logarithmic.",
                "s",
                query(quantile(q, ttfb, client, "media, arm"), "{{media}} · {{arm}}", exemplars=True),
                span=8,
                log=True,
                bound=SLOW,
            )
        )
    return (
        result.with_panel(
            heat(
                "Completion of images and video, arm $arm",
                "Time from request to last byte at the client. Slowing lifts the cloud; control stays where it was.",
                "s",
                buckets(duration, f'{INSTANCE},media=~"image|video",rule=~"$rule",arm=~"$arm",side="client"'),
                repeat="arm",
            )
        )
        .with_panel(
            heat(
                "First byte of everything, arm $arm",
                "Time from request to first body byte at the client.",
                "s",
                buckets(ttfb, client),
                repeat="arm",
            )
        )
        .with_row(dashboard.Row("Where the time goes"))
        .with_panel(
            series(
                "Client time by what is waited for",
                "The delay ledger: seconds of client time a second, by what it was spent on. shaper is the part of the"
                " study's own making.",
                "none",
                query(f"sum by (wait) (rate(shaper_transfer_wait_seconds_total{{{SELECTED}}}{RATE}))", "{{wait}}"),
                stacked=True,
                span=8,
            )
        )
        .with_panel(
            series(
                "Held by the shaper, mean a response",
                "Mean time for which a slowed response was held back, by rule, media and arm.",
                "s",
                query(
                    mean("shaper_held_seconds", SELECTED, "rule, media, arm"),
                    "{{rule}} · {{media}} · {{arm}}",
                    exemplars=True,
                ),
                span=8,
                bound=SLOW,
            )
        )
        .with_panel(
            heat(
                "Held by the shaper, each response",
                "Time for which each slowed response was held back.",
                "s",
                buckets("shaper_held_seconds", SELECTED),
                span=8,
            )
        )
        .with_row(dashboard.Row("How much"))
        .with_panel(
            series(
                "Slowed and unslowed bytes",
                "Body bytes a second, added when a response ends, by media and whether it was slowed.",
                "Bps",
                query(f'sum by (media) (rate({bytes_passed},shaped="true"}}{RATE}))', "{{media}} · slowed"),
                query(f'sum by (media) (rate({bytes_passed},shaped="false"}}{RATE}))', "{{media}} · unslowed"),
                stacked=True,
                span=8,
            )
        )
        .with_panel(
            series(
                "Responses by verdict",
                "Responses a second, by why they were slowed or passed.",
                "cps",
                query(f"sum by (reason) (rate(shaper_responses_total{{{SELECTED}}}{RATE}))", "{{reason}}"),
                stacked=True,
                span=8,
            )
        )
        .with_panel(
            series(
                "Abandoned or blocked",
                "Share of responses that did not complete, by arm and outcome. People give up more when it is slow.",
                "percentunit",
                query(
                    f'sum by (arm, outcome) (rate(shaper_responses_total{{{SELECTED},outcome!="complete"}}{RATE}))'
                    f" / on (arm) group_left sum by (arm) (rate(shaper_responses_total{{{SELECTED}}}{RATE}))",
                    "{{arm}} · {{outcome}}",
                ),
                span=8,
                bound=[(0.1, "yellow"), (0.25, "red")],
            )
        )
        .with_row(dashboard.Row("Collateral: what must not be slowed"))
        .with_panel(
            series(
                "Everything else: first byte p50 and p99",
                "Text, scripts and all else, arm beside arm. The arms should lie on one another.",
                "s",
                query(quantile(0.5, ttfb, f'{OTHER},side="client"', "arm"), "p50 · {{arm}}", exemplars=True),
                query(quantile(0.99, ttfb, f'{OTHER},side="client"', "arm"), "p99 · {{arm}}", exemplars=True),
                span=8,
                log=True,
                bound=[(0.5, "yellow"), (1, "red")],
            )
        )
        .with_panel(
            series(
                "Everything else: delay added by the proxy",
                "First byte at the client less first byte from the origin: the mean, and the difference of the p99s.",
                "s",
                query(f"shaper:added_ttfb_seconds:mean_5m{{{OTHER}}}", "mean · {{arm}} {{instance}}"),
                query(f"shaper:added_ttfb_seconds:p99_5m{{{OTHER}}}", "p99 · {{arm}} {{instance}}"),
                span=8,
                low=None,
                bound=[(0.02, "yellow"), (0.05, "red")],
            )
        )
        .with_panel(
            series(
                "Everything else: held by the shaper",
                "Seconds a second for which the shaper held back what no rule slows. Must be 0.",
                "none",
                query(
                    f'sum by (arm) (rate(shaper_transfer_wait_seconds_total{{{OTHER},wait="shaper"}}{RATE}))', "{{arm}}"
                ),
                span=8,
                bound=[(0.001, "red")],
                high=0.01,
            )
        )
        .with_panel(
            rows(
                "Completion over the last five minutes",
                "Quantiles at the client as recorded by Prometheus, within 10 %, one row a combination.",
                "s",
                {f"p{q}": f"shaper:response_duration_seconds:p{q}_5m{{{client}}} >= 0" for q in (50, 90, 99)},
                hide=["side"],
                bound=SLOW,
            )
        )
    )
