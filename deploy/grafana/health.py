"""The Proxy health dashboard: whether the instrument can be trusted right now.

Past 150 lines because every panel stands here once, top to bottom, with its question, unit, bound and query.
"""

from board import INSTANCE, board
from grafana_foundation_sdk.builders import dashboard
from panels import heat, number, query, rows, series

RATE = "[$__rate_interval]"


def health() -> dashboard.Dashboard:
    lag = f"sum by (instance, le) (rate(shaper_loop_lag_seconds_bucket{{{INSTANCE}}}{RATE}))"
    return (
        board("shaper-health", "shaper: Proxy health", "Whether each proxy is fit to measure.")
        .with_row(dashboard.Row("In five seconds"))
        .with_panel(
            number(
                "Proxies up",
                "Proxies that Prometheus reaches, of those that it knows.",
                "short",
                'sum(up{job="shaper"})',
                bound=[(1, "green")],
                below="red",
            )
        )
        .with_panel(
            number(
                "Calibration still holds",
                "How long the certificate that ends first still holds; 0 when it has ended or there is none.",
                "suffix: days",
                f"min(clamp_min(shaper_calibration_expiry_timestamp_seconds{{{INSTANCE}}} - time(), 0)) / 86400",
                bound=[(0.00001, "yellow"), (1, "green")],
                below="red",
                decimals=1,
            )
        )
        .with_panel(
            number(
                "Last reload worked",
                "Whether the last load of a policy worked on every proxy. If not, an earlier policy runs on.",
                "bool_yes_no",
                f"min(shaper_reload_success{{{INSTANCE}}})",
                bound=[(1, "green")],
                below="red",
            )
        )
        .with_panel(
            number(
                "Fallbacks",
                "Times in the range that traffic passed unshaped because a part of the shaper failed.",
                "short",
                f"sum(increase(shaper_fallbacks_total{{{INSTANCE}}}[$__range]))",
                bound=[(0.5, "red")],
                decimals=0,
            )
        )
        .with_panel(
            number(
                "Loop lag p99",
                "How late the event loop wakes, on the worst proxy. Over the quantum it blurs the pacing.",
                "s",
                f"max(shaper:loop_lag_seconds:p99_5m{{{INSTANCE}}} >= 0)",
                bound=[(0.02, "yellow"), (0.05, "red")],
                decimals=1,
            )
        )
        .with_panel(
            number(
                "Journal lines lost",
                "Lines in the range that are in no journal. Any loss means that exact analysis misses transfers.",
                "short",
                f'sum(increase(shaper_journal_errors_total{{{INSTANCE},reason!="write"}}[$__range]))',
                bound=[(0.5, "red")],
                decimals=0,
            )
        )
        .with_row(dashboard.Row("Is it keeping time?"))
        .with_panel(
            series(
                "Loop lag",
                "How late the event loop wakes: p50 and p99 of each proxy.",
                "s",
                query(f"histogram_quantile(0.5, {lag})", "p50 · {{instance}}"),
                query(f"histogram_quantile(0.99, {lag})", "p99 · {{instance}}"),
                span=8,
                bound=[(0.02, "yellow"), (0.05, "red")],
            )
        )
        .with_panel(
            heat(
                "Loop lag, each wake-up",
                "How many wake-ups were how late, over all selected proxies.",
                "s",
                f"sum by (le) (increase(shaper_loop_lag_seconds_bucket{{{INSTANCE}}}{RATE}))",
                span=8,
            )
        )
        .with_panel(
            series(
                "Pacing quantum",
                "Time between two releases of one transfer. It grows with load: the line is coarser, not faster.",
                "s",
                query(f"shaper_pacing_quantum_seconds{{{INSTANCE}}}", "{{instance}}"),
                span=8,
                bound=[(0.06, "yellow"), (0.1, "red")],
            )
        )
        .with_row(dashboard.Row("What it holds"))
        .with_panel(
            series(
                "Backlog a slowed transfer",
                "Bytes held over slowed transfers under way. The bound is 512 KiB for each.",
                "bytes",
                query(
                    f"shaper_backlog_bytes{{{INSTANCE}}} / on (instance) clamp_min("
                    f'sum by (instance) (shaper_active_transfers{{{INSTANCE},shaped="true"}}), 1)',
                    "{{instance}}",
                ),
                span=8,
                bound=[(262_144, "yellow"), (524_288, "red")],
            )
        )
        .with_panel(
            series(
                "Transfers under way",
                "Slowed and unslowed transfers now.",
                "short",
                query(
                    f'sum by (instance) (shaper_active_transfers{{{INSTANCE},shaped="true"}})', "slowed · {{instance}}"
                ),
                query(
                    f'sum by (instance) (shaper_active_transfers{{{INSTANCE},shaped="false"}})',
                    "unslowed · {{instance}}",
                ),
                span=8,
                bound=[(1000, "yellow")],
                high=10,
                contrast=True,
            )
        )
        .with_panel(
            series(
                "Origin streams held back",
                "For the sake of slowed transfers: now, and on average (added when one flows again).",
                "short",
                query(f"shaper_gated_origins{{{INSTANCE}}}", "now · {{instance}}"),
                query(f"rate(shaper_gated_seconds_total{{{INSTANCE}}}{RATE})", "on average · {{instance}}"),
                span=8,
            )
        )
        .with_row(dashboard.Row("What it uses"))
        .with_panel(
            series(
                "Memory",
                "Resident memory of each proxy.",
                "bytes",
                query(f'process_resident_memory_bytes{{job="shaper",{INSTANCE}}}', "{{instance}}"),
                span=8,
                bound=[(1_073_741_824, "yellow"), (2_147_483_648, "red")],
            )
        )
        .with_panel(
            series(
                "CPU",
                "Cores in use. A proxy has one: near 1 it falls behind.",
                "none",
                query(f'rate(process_cpu_seconds_total{{job="shaper",{INSTANCE}}}{RATE})', "{{instance}}"),
                span=8,
                bound=[(0.7, "yellow"), (0.9, "red")],
            )
        )
        .with_panel(
            series(
                "Open files and sockets",
                "As a share of the most that the process may open. Beyond it, connections fail.",
                "percentunit",
                query(
                    f'process_open_fds{{job="shaper",{INSTANCE}}} / process_max_fds{{job="shaper",{INSTANCE}}}',
                    "{{instance}}",
                ),
                span=8,
                bound=[(0.7, "yellow"), (0.9, "red")],
            )
        )
        .with_row(dashboard.Row("What goes wrong"))
        .with_panel(
            series(
                "Aborted transfers",
                "Transfers cut short a second, by the side that left.",
                "cps",
                query(f"sum by (side) (rate(shaper_aborts_total{{{INSTANCE}}}{RATE}))", "{{side}}"),
                span=8,
                bound=[(1, "yellow")],
                high=0.1,
            )
        )
        .with_panel(
            series(
                "Fallbacks and journal errors",
                "Traffic passed unshaped, by fault or for a pinned certificate; journal lines lost and writes failed.",
                "cps",
                query(f'sum(rate(shaper_fallbacks_total{{{INSTANCE},reason!="tls"}}{RATE}))', "passed unshaped"),
                query(f'sum(rate(shaper_fallbacks_total{{{INSTANCE},reason="tls"}}{RATE}))', "pinned certificates"),
                query(f'sum(rate(shaper_journal_errors_total{{{INSTANCE},reason!="write"}}{RATE}))', "lines lost"),
                query(f'sum(rate(shaper_journal_errors_total{{{INSTANCE},reason="write"}}{RATE}))', "writes failed"),
                span=8,
                bound=[(0.001, "red")],
            )
        )
        .with_panel(
            series(
                "Policy loads",
                "Loads of a policy in the last five minutes, by result.",
                "short",
                query(f"sum by (result) (increase(shaper_reloads_total{{{INSTANCE}}}[5m]))", "{{result}}"),
                span=8,
                bound=[(10, "yellow")],
                high=2,
            )
        )
        .with_row(dashboard.Row("What it refuses"))
        .with_panel(
            series(
                "Bounds reached",
                "Times a second that a client or an origin was over a bound and was ended. Idle connections, which end"
                " so every day, are left out.",
                "cps",
                query(f'sum by (bound) (rate(shaper_bounds_total{{{INSTANCE},bound!="idle"}}{RATE}))', "{{bound}}"),
                span=8,
                bound=[(0.1, "yellow"), (1, "red")],
            )
        )
        .with_panel(
            series(
                "Refused destinations",
                "Connections a second that were not made because they led to this machine or into a private network."
                " A rise means that somebody reaches for what is not theirs.",
                "cps",
                query(f"sum by (reason) (rate(shaper_refused_destinations_total{{{INSTANCE}}}{RATE}))", "{{reason}}"),
                span=8,
                bound=[(0.1, "yellow"), (1, "red")],
            )
        )
        .with_panel(
            series(
                "Refused requests",
                "Requests a second that the proxy, the volunteers' site or the control API refused. A rise of 407 at"
                " the proxy or 401 at the control API means that somebody guesses.",
                "cps",
                query(
                    f"sum by (surface, status) (rate(shaper_refused_requests_total{{{INSTANCE}}}{RATE}))",
                    "{{surface}} {{status}}",
                ),
                span=8,
                bound=[(0.1, "yellow"), (1, "red")],
            )
        )
        .with_row(dashboard.Row("What passes"))
        .with_panel(
            series(
                "Connections by admission",
                "Connections a second: decrypted, shaped as a whole, relayed as they are, refused.",
                "cps",
                query(f"sum by (admission) (rate(shaper_connections_total{{{INSTANCE}}}{RATE}))", "{{admission}}"),
                stacked=True,
                span=5,
            )
        )
        .with_panel(
            series(
                "Tunnelled bytes",
                "Bytes a second of what is relayed without decryption, slowed or not, added when a tunnel ends.",
                "Bps",
                query(f"sum by (direction) (rate(shaper_tunnel_bytes_total{{{INSTANCE}}}{RATE}))", "{{direction}}"),
                stacked=True,
                span=6,
            )
        )
        .with_panel(
            rows(
                "Versions",
                "What runs, and for how long. Mixed versions in one study are a confounder.",
                "s",
                {
                    "up for": f'(time() - process_start_time_seconds{{job="shaper",{INSTANCE}}})'
                    " * on (instance) group_left (version, mitmproxy, python) shaper_build_info"
                },
                hide=[],
                span=13,
                height=8,
            )
        )
    )
