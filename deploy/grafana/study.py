"""The Study dashboard: whether it is slowed as configured, what people wait for, and what else is harmed.

Past 150 lines because every panel stands here once, top to bottom, with its question, unit, bound and query.
"""

from board import INSTANCE, SELECTED, board
from grafana_foundation_sdk.builders import dashboard, timeseries
from panels import Bound, heat, number, query, rows, series

RATE = "[$__rate_interval]"
OTHER = f'{INSTANCE},media="other",arm=~"$arm"'
TOLERANCE: Bound = [(0.98, "green"), (1.02, "red")]
SLOW: Bound = [(1, "yellow"), (10, "red")]
PROMPT: Bound = [(0.5, "yellow"), (1, "red")]
TTFB, DURATION = "shaper_response_ttfb_seconds", "shaper_response_duration_seconds"


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


def wait(title: str, metric: str, media: str, *, bound: Bound) -> timeseries.Panel:
    """How long half, nine of ten and 99 of 100 responses of a medium take at most, arm beside arm."""
    labels = f'{SELECTED},media="{media}",side="client"'
    to = "first body byte" if metric == TTFB else "last byte"
    return series(
        title,
        f"Time from request to {to} at the client: p50, p90 and p99 of each arm. Read within 10 %; logarithmic.",
        "s",
        *(
            query(quantile(q, metric, labels, "arm"), f"p{q * 100:.0f} {{{{arm}}}}", exemplars=True)
            for q in (0.5, 0.9, 0.99)
        ),
        span=6,
        log=True,
        bound=bound,
        contrast=True,
    )


def within(low: str, high: str, window: str) -> str:
    """The share of paced transfers between two bounds of the rate ratio."""

    def upto(bound: str) -> str:
        return f'sum(rate(shaper_rate_ratio_bucket{{{SELECTED},le="{bound}"}}{window}))'

    return f"({upto(high)} - {upto(low)}) / sum(rate(shaper_rate_ratio_count{{{SELECTED}}}{window}))"


def study() -> dashboard.Dashboard:
    client = f'{SELECTED},side="client"'
    bytes_passed = f"shaper_response_bytes_total{{{SELECTED}"
    return (
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
                "Delay added elsewhere",
                "Collateral: mean first-byte time at the client less that from the origin, over text, scripts and all"
                " that is no image, video or audio.",
                "s",
                f'sum(rate({TTFB}_sum{{{OTHER},side="client"}}[$__range]))'
                f' / sum(rate({TTFB}_count{{{OTHER},side="client"}}[$__range]))'
                f' - sum(rate({TTFB}_sum{{{OTHER},side="origin"}}[$__range]))'
                f' / sum(rate({TTFB}_count{{{OTHER},side="origin"}}[$__range]))',
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
        .with_row(dashboard.Row("How long people wait: images and video"))
        .with_panel(wait("Images: completion", DURATION, "image", bound=SLOW))
        .with_panel(wait("Images: first byte", TTFB, "image", bound=PROMPT))
        .with_panel(wait("Video: completion", DURATION, "video", bound=SLOW))
        .with_panel(wait("Video: first byte", TTFB, "video", bound=PROMPT))
        .with_row(dashboard.Row("Collateral: everything else, which must not be slowed"))
        .with_panel(wait("Everything else: completion", DURATION, "other", bound=PROMPT))
        .with_panel(wait("Everything else: first byte", TTFB, "other", bound=PROMPT))
        .with_panel(
            series(
                "Everything else: delay added",
                "First byte at the client less first byte from the origin: the mean of each arm, on the worst proxy.",
                "s",
                query(f"max by (arm) (shaper:added_ttfb_seconds:mean_5m{{{OTHER}}})", "mean {{arm}}"),
                span=6,
                bound=[(0.02, "yellow"), (0.05, "red")],
                contrast=True,
            )
        )
        .with_panel(
            series(
                "Everything else: held by the shaper",
                "Seconds a second for which the shaper held back what no rule slows. Must be 0.",
                "none",
                query(
                    f'sum by (arm) (rate(shaper_transfer_wait_seconds_total{{{OTHER},wait="shaper"}}{RATE}))',
                    "held {{arm}}",
                ),
                span=6,
                bound=[(0.001, "red")],
                contrast=True,
            )
        )
        .with_row(dashboard.Row("Every response"))
        .with_panel(
            heat(
                "Images and video: completion, $arm",
                "Time from request to last byte at the client. Slowing lifts the cloud; control stays where it was.",
                "s",
                buckets(DURATION, f'{INSTANCE},media=~"image|video",rule=~"$rule",arm=~"$arm",side="client"'),
                repeat="arm",
            )
        )
        .with_panel(
            heat(
                "Everything: first byte, $arm",
                "Time from request to first body byte at the client.",
                "s",
                buckets(TTFB, client),
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
                contrast=True,
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
                contrast=True,
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
                contrast=True,
            )
        )
        .with_row(dashboard.Row("In figures"))
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
