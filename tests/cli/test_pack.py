from click.testing import CliRunner
from synthetic_run import make_run

from shaper.cli.main import main


def test_it_packs_runs_and_says_so(tmp_path):
    runs = [make_run(tmp_path / name, blocks=1, pages=False) for name in ("one", "two")]
    said = CliRunner().invoke(main, ["pack", *map(str, runs)])
    assert said.exit_code == 0, said.output
    assert said.output.count("samples.parquet: 9 records") == 2
    assert not list(tmp_path.glob("*/*.jsonl"))


def test_a_broken_line_is_named_and_stays(tmp_path):
    run = make_run(tmp_path / "run", blocks=1, pages=False)
    with (run / "journal-control.jsonl").open("a") as file:
        file.write("not json\n")
    said = CliRunner().invoke(main, ["pack", str(run)])
    assert said.exit_code == 2
    assert "journal-control.jsonl:4: not a transfer record" in said.output
    assert (run / "journal-control.jsonl").exists()
