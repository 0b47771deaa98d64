import os
import subprocess
import sys

import pytest
from click.testing import CliRunner
from synthetic_run import make_run

from shaper.cli.main import main


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("cli") / "run", blocks=8, pages=False)


def test_it_writes_beside_the_run_and_says_what_it_found(run):
    said = CliRunner().invoke(main, ["report", str(run)])
    assert said.exit_code == 0, said.output
    assert "supported: Image by h1: time to complete is longer" in said.output
    assert said.output.splitlines()[-1] == str(run / "report" / "report.html")
    assert (run / "report" / "report.html").stat().st_size > 50_000


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (
            ["/nowhere"],
            "Error: /nowhere/run.json: No such file or directory; name a directory that `shaper measure` wrote",
        ),
        (["RUN", "--against", "nobody"], 'no arm "nobody"; there are control, announced, measured'),
        (["RUN", "-o", "RUN/run.json/report"], "Not a directory; check the path"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_line(run, arguments, error):
    said = CliRunner().invoke(main, ["report", *(argument.replace("RUN", str(run)) for argument in arguments)])
    assert said.exit_code == 2
    assert error in said.output
    assert len(said.output.strip().splitlines()) == 1


def test_without_the_extra_it_says_how_to_get_it(run, tmp_path):
    """A Python that finds no duckdb, as where only the proxy is installed."""
    (tmp_path / "duckdb.py").write_text("raise ModuleNotFoundError(\"No module named 'duckdb'\", name='duckdb')")
    for command in (["report", str(run)], ["pack", str(run)]):
        said = subprocess.run(
            [sys.executable, "-c", "from shaper.cli.main import main; main()", *command],
            env=os.environ | {"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert said.returncode == 2
        assert said.stderr == (
            f"Error: shaper {command[0]}: duckdb is not installed; run: pip install 'shaper[analysis]'\n"
        )


def test_the_command_line_starts_without_the_analysis_libraries():
    """They are imported only by the commands that need them."""
    names = "'numpy', 'scipy', 'matplotlib', 'duckdb'"
    probe = f"import sys; import shaper.cli.main; print([name for name in ({names}) if name in sys.modules])"
    said = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n"
