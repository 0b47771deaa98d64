"""The Volunteers dashboard: how many people take part. Counts only; nobody can be picked out."""

from board import INSTANCE, board
from grafana_foundation_sdk.builders import dashboard
from panels import number, query, series

RATE = "[$__rate_interval]"


def volunteers() -> dashboard.Dashboard:
    def count(state: str) -> str:
        return f'sum(shaper_volunteers{{{INSTANCE},state="{state}"}})'

    untouched = f'{INSTANCE},reason=~"no-consent|paused|over-budget"'
    return (
        board("shaper-volunteers", "shaper: Volunteers", "How many people take part, in counts only.")
        .with_row(dashboard.Row("In five seconds"))
        .with_panel(
            number(
                "Joined",
                "People whose consent is in force.",
                "short",
                count("joined"),
                span=6,
                bound=[(1, "blue")],
                below="text",
            )
        )
        .with_panel(
            number(
                "Active",
                "People whose browser used the proxy lately.",
                "short",
                count("active"),
                span=6,
                bound=[(1, "green")],
                below="text",
            )
        )
        .with_panel(
            number(
                "Consent about to end",
                "People who will leave the study by themselves unless they are asked again.",
                "short",
                count("expiring"),
                span=6,
                bound=[(1, "yellow")],
            )
        )
        .with_panel(
            number(
                "Largest arm over smallest",
                "How even the arms are. Over 1.5 the assignment or the drop-out differs between them.",
                "none",
                f"max(sum by (arm) (shaper_volunteers_assigned{{{INSTANCE}}}))"
                f" / (min(sum by (arm) (shaper_volunteers_assigned{{{INSTANCE}}})) > 0)",
                span=6,
                bound=[(1.5, "yellow"), (2, "red")],
                decimals=2,
            )
        )
        .with_row(dashboard.Row("Over time"))
        .with_panel(
            series(
                "Taking part",
                "People joined, active and about to end.",
                "short",
                query(f"sum by (state) (shaper_volunteers{{{INSTANCE}}})", "{{state}}"),
            )
        )
        .with_panel(
            series(
                "Joined, by arm",
                "People joined, by the arm that they were assigned to.",
                "short",
                query(f"sum by (arm) (shaper_volunteers_assigned{{{INSTANCE}}})", "{{arm}}"),
                stacked=True,
                contrast=True,
            )
        )
        .with_row(dashboard.Row("Left alone"))
        .with_panel(
            series(
                "Connections left alone for a person's sake",
                "Connections to targets that were relayed as they are: no consent, paused, or the data budget is"
                " spent.",
                "cps",
                query(f"sum by (reason) (rate(shaper_connections_total{{{untouched}}}{RATE}))", "{{reason}}"),
                stacked=True,
            )
        )
        .with_panel(
            series(
                "Apps that refuse the lab's certificate",
                "Connections that were relayed because the app accepts only its own certificate. Many mean that people"
                " meet errors: look at the never-intercept list.",
                "cps",
                query(f'sum(rate(shaper_fallbacks_total{{{INSTANCE},reason="tls"}}{RATE}))', "tunnelled"),
                bound=[(0.1, "yellow"), (1, "red")],
            )
        )
    )
