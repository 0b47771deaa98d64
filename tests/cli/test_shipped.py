"""The policies that come with shaper are found in a checkout and in an installed package."""

import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from shaper.cli.shipped import shipped
from shaper.policy.load import PolicyError, load

ROOT = Path(__file__).parents[2]


def test_a_checkout_has_them_beside_the_package():
    assert shipped("baseline") == ROOT / "policies" / "baseline.yaml"


def test_a_name_that_is_not_shipped_is_refused_like_any_missing_file():
    with pytest.raises(PolicyError, match="cannot be read"):
        load(shipped("no-such-study"))


def test_an_installed_package_has_them_inside_with_the_demo_page(tmp_path):
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    ZipFile(wheel).extractall(tmp_path / "site")
    ask = """if True:
        from shaper.cli.shipped import shipped
        from shaper.lab.site import assets
        print(shipped("baseline"), len(assets()))"""
    told = subprocess.run(
        [sys.executable, "-c", ask], env={"PYTHONPATH": str(tmp_path / "site")}, cwd=tmp_path, check=True,
        capture_output=True, text=True,
    ).stdout  # fmt: skip
    path, count = told.split()
    assert Path(path) == tmp_path / "site" / "shaper" / "policies" / "baseline.yaml"
    assert Path(path).read_bytes() == (ROOT / "policies" / "baseline.yaml").read_bytes()
    assert int(count) > 20
