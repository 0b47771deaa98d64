"""`shaper run`: the proxy in the foreground, until it is told to stop."""

import asyncio
from pathlib import Path
from typing import Any

import click

from shaper.cli.address import Address, Route


@click.command()
@click.option("--policy", type=click.Path(path_type=Path), help="The policy file.")
@click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="'MEDIA HOST RATE'",
    help="A quick throttle instead of a file, such as 'image,video *.twimg.com 150 kbit/s'; may be given again.",
)
@click.option("--listen", type=Address(), default="127.0.0.1:8080", show_default=True, help="Where the proxy listens.")
@click.option(
    "--metrics", type=Address(), default="127.0.0.1:9464", show_default=True, help="Where metrics are served."
)
@click.option("--journal", type=click.Path(path_type=Path), help="Append one JSON line a response to this file.")
@click.option("--ca-dir", type=click.Path(path_type=Path), help="Where the CA is kept; by default ~/.shaper/STUDY.")
@click.option(
    "--ca-days", type=click.IntRange(1, 398), default=90, show_default=True, help="How long a new CA is good for."
)
@click.option(
    "--connect-to", type=Route(), multiple=True, help="Connect to ADDR:PORT for HOST:PORT; may be given again."
)
@click.option("--origin-ca", type=click.Path(path_type=Path), help="Trust this CA, and no other, for origins.")
@click.option(
    "--shadow",
    "shadows",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Compute, on the real traffic, what this policy would have cost; delays nothing; may be given again.",
)
@click.option("--at", metavar="TIME", help="Run as if it were this time, such as 2021-03-12T09:00Z.")
@click.option("--speed", type=click.FloatRange(min=0), default=0.0, help="How fast --at moves on; 0: it stays.")
@click.option("--access", type=click.Choice(["mobile", "fixed"]), help="The kind of line that clients are on.")
@click.option("--arm", help="Put every client into this arm.")
@click.option("--certificate", type=click.Path(path_type=Path), help="The calibration certificate that records name.")
@click.option("--require-calibration", is_flag=True, help="Refuse to start without a valid certificate.")
@click.option("--self-check", metavar="SHARE", help="Flag records whose rate is off its cap by more, such as '2 %'.")
@click.option("--congestion", metavar="NAME", help="TCP congestion control towards clients, such as cubic or bbr.")
@click.option(
    "--proxy-protocol-from",
    multiple=True,
    metavar="NETWORK",
    help="Believe the PROXY protocol from these load balancers, and take connections from nobody else.",
)
@click.option(
    "--volunteers", type=click.Path(path_type=Path), help="The study's database; who is in it and consents takes part."
)
@click.option("--require-auth", is_flag=True, help="Let nobody use the proxy without a volunteer's credentials.")
@click.option(
    "--site", type=Address(), default="127.0.0.1:8081", show_default=True, help="Where the volunteers' site is."
)
@click.option("--public", type=Address(), help="How browsers reach the proxy, if not where it listens.")
@click.option("--public-site", metavar="URL", help="How browsers reach the site, if not where it is.")
@click.option("--open", is_flag=True, help="Let whoever comes to the site join, without an invitation.")
@click.option("--organisation", help="Who runs the study, as the site says it.")
@click.option("--contact", help="How to reach them.")
@click.option("--approval", help="Which board looked at the study, and under which number.")
@click.option("--consent-for", default="30 d", show_default=True, help="How long a consent holds.")
@click.option("--keep-for", default="90 d", show_default=True, help="How long volunteers' own lists are kept.")
@click.option("--data-budget", default="2 GB", show_default=True, help="Each volunteer's share of the study a day.")
@click.option("--session", default="4 h", show_default=True, help="The longest stretch of taking part.")
@click.option("--rest", default="1 h", show_default=True, help="The pause after it.")
@click.option(
    "--allow-destination",
    multiple=True,
    metavar="HOST|NETWORK",
    help="Connect to this host or network although it is private; may be given again.",
)
@click.option("--control", type=Address(), help="Where the control API is, such as 127.0.0.1:9465.")
@click.option(
    "--control-token", type=click.Path(path_type=Path), help="Its token's file; by default ~/.shaper/control.token."
)
@click.option("--audit", type=click.Path(path_type=Path), help="Its audit log; by default audit.jsonl beside the CA.")
@click.option("--drain", default="10 s", show_default=True, help="How long transfers may go on after SIGTERM.")
def run(**options: Any) -> None:
    """Run the proxy. SIGHUP reloads the policy file; SIGTERM and Ctrl-C finish what is under way and stop."""
    from shaper.cli.running import Run  # noqa: PLC0415 - keeps `shaper --help` quick
    from shaper.policy.load import PolicyError  # noqa: PLC0415
    from shaper.policy.refused import RefusedError  # noqa: PLC0415

    try:
        running: Run = Run.prepare(**options)
        asyncio.run(running.serve())
    except (PolicyError, RefusedError) as error:
        raise click.ClickException(str(error)) from None
