"""`python -m shaper` is `shaper`."""

from shaper.cli.main import main

main(prog_name="shaper")
