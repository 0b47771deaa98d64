"""`python -m bench.mutation pacing` (or policy): mutate that floor, run its tests on every mutant, list who survives.

`python -m bench.mutation policy judge host` mutates these of its modules only.

mutmut (`pip install mutmut`; it is no dependency) makes the mutants and runs the tests that reach them. What survives
is then written into the source and all tests of the floor are run again, for mutmut's way of switching a mutant on
comes too late for tables that are made at import. `explained.tsv` says why a survivor does no harm; any other fails
the run.
"""

import argparse
import ast
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXPLAINED = Path(__file__).with_name("explained.tsv")
EXAMPLES = "max_examples=25"  # a law that a mutant breaks is nearly always broken by some of the first examples
SETTINGS = """
[tool.mutmut]
source_paths = ["shaper/{floor}"]
also_copy = ["shaper", "tests", "policies", "docs", "studies", "README.md", "pyproject.toml"]
pytest_add_cli_args_test_selection = ["tests/{floor}"]
pytest_add_cli_args = ["-n", "0", "-x", "-q"]
"""


@dataclass(frozen=True)
class Mutant:
    """`name` is mutmut's; `before` and `after` are the changed lines."""

    name: str
    before: str
    after: str

    @property
    def place(self) -> str:
        """Module and function, such as `pacing.pacer:Pacer._begin`."""
        module, _, function = self.name.removeprefix("shaper.").rpartition(".")
        return f"{module}:{re.sub(r'^x_?|__mutmut_[0-9]+$', '', function).replace('ǁ', '.').strip('.')}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.mutation", description=__doc__.partition("\n")[0])
    parser.add_argument("floor", choices=["pacing", "policy"])
    parser.add_argument("modules", nargs="*", help="of that floor, such as judge; all if none is named")
    parser.add_argument("--children", type=int, default=os.cpu_count(), help="mutants tried at a time; all cores")
    asked = parser.parse_args()
    floor, some = asked.floor, [f"shaper.{asked.floor}.{module}.*" for module in asked.modules]
    if not importlib.util.find_spec("mutmut"):
        print("mutmut is not installed: .venv/bin/pip install mutmut")
        return 2
    home = copy(floor)
    mutmut(home, "run", "--max-children", str(asked.children), *some, quiet=False)
    told = re.findall(r"^ +(\S+): (.+)$", mutmut(home, "results", "--all", "true"), re.MULTILINE)
    states = [(name, state) for name, state in told if state != "not checked"]
    noticed = {"killed", "timeout"}  # an endless loop is noticed, too
    unsure = [shown(home, name) for name, state in states if state not in noticed]
    print(f"{len(states)} mutants, {len(unsure)} to be looked at again")
    survivors = [mutant for mutant in unsure if survives(home, floor, mutant)]
    strange = 0
    for mutant in survivors:
        why = next((why for place, line, why in explanations() if fits(mutant, place, line)), "")
        strange += not why
        print(f"{mutant.place}\n  - {mutant.before}\n  + {mutant.after}\n  {why or 'NOT EXPLAINED'}")
    print(f"{floor}: {len(states)} mutants, {len(states) - len(survivors)} killed "
          f"({1 - len(survivors) / len(states):.1%}), {len(survivors) - strange} explained, {strange} not")  # fmt: skip
    return bool(strange)


def copy(floor: str) -> Path:
    """Copy what is under version control; mutants are made there."""
    home = ROOT / "build/mutation" / floor
    shutil.rmtree(home, ignore_errors=True)
    for name in subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).splitlines():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, home / name)
    with (home / "pyproject.toml").open("a") as settings:
        settings.write(SETTINGS.format(floor=floor))
    for path in (home / "shaper" / floor).glob("*.py"):
        path.write_text(undecorated(path.read_text()))
    for path in [home / "tests/conftest.py", *(home / "tests" / floor).glob("*.py")]:
        fewer = re.sub(r"max_examples=\d+", EXAMPLES, path.read_text())
        path.write_text(fewer.replace('"shaper", deadline', f'"shaper", {EXAMPLES}, deadline'))
    return home


def undecorated(source: str) -> str:
    """Return a module whose decorated functions are plain ones, decorated by a call: mutmut leaves the others alone.

    Those of a class stand before it, by the name of `Class_function`.
    """
    lines = source.splitlines()
    for outer in reversed(ast.parse(source).body):
        inner = outer.body if isinstance(outer, ast.ClassDef) else [outer]
        plain: list[str] = []
        for each in reversed(inner):
            if not (isinstance(each, ast.FunctionDef) and each.decorator_list):
                continue
            name = f"{outer.name}_{each.name}" if isinstance(outer, ast.ClassDef) else f"{each.name}_plainly"
            text = textwrap.dedent("\n".join(lines[each.lineno - 1 : each.end_lineno]))
            plain += [text.replace(f"def {each.name}(", f"def {name}(", 1), ""]
            for decorator in reversed(each.decorator_list):
                name = f"{ast.unparse(decorator)}({name})"
            lines[first(each) : each.end_lineno] = [f"{' ' * each.col_offset}{each.name} = {name}"]
        lines[first(outer) : first(outer)] = plain
    return "\n".join([*lines, ""])


def first(node: ast.stmt) -> int:
    """Return the index of a statement's first line, which may be a decorator's."""
    return min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", []))]) - 1


def mutmut(home: Path, *words: str, quiet: bool = True) -> str:
    """Run mutmut in the copy."""
    done = subprocess.run(
        [sys.executable, "-m", "mutmut", *words], cwd=home, env=environment(), text=True, check=True,
        stdout=subprocess.PIPE if quiet else None,
    )  # fmt: skip
    return done.stdout or ""


def environment() -> dict[str, str]:
    """Return an environment in which the copy is imported and hypothesis draws the same examples each time."""
    path = os.pathsep.join([".", os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    return os.environ | {"CI": "true", "PYTHONPATH": path}


def shown(home: Path, name: str) -> Mutant:
    """Return a mutant with what it changes."""
    lines = [line for line in mutmut(home, "show", name).splitlines() if re.match(r"[-+](?![-+])", line)]
    before, after = ("; ".join(line[1:].strip() for line in lines if line[0] == sign) for sign in "-+")
    return Mutant(name, before, after)


def survives(home: Path, floor: str, mutant: Mutant) -> bool:
    """Write a mutant into the copy's source and run all tests of the floor."""
    path = home / f"shaper/{mutant.place.partition(':')[0].replace('.', '/')}.py"
    original = path.read_text()
    try:
        mutmut(home, "apply", mutant.name)
        tests = [sys.executable, "-m", "pytest", "-n", "0", "-x", "-q", f"tests/{floor}"]
        return not subprocess.run(tests, cwd=home, env=environment(), capture_output=True, check=False).returncode
    finally:
        path.write_text(original)


def explanations() -> Iterator[tuple[str, str, str]]:
    """Yield place, line and reason; place and line are regular expressions."""
    for line in EXPLAINED.read_text().splitlines():
        if line and not line.startswith("#"):
            place, changed, why = line.split("\t")
            yield place, changed, why


def fits(mutant: Mutant, place: str, line: str) -> bool:
    return bool(re.fullmatch(place, mutant.place) and re.search(line, mutant.after))


if __name__ == "__main__":
    sys.exit(main())
