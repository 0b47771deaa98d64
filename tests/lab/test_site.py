import json
import re
import subprocess
from html.parser import HTMLParser
from io import BytesIO

import pytest

from shaper.lab.knobs import Knobs
from shaper.lab.site import ASSETS, TYPES, assets, find

TEXTS = [path for path in assets() if path.endswith((".html", ".css", ".js", ".json", ".m3u8", ".svg"))]


def test_the_files_are_small_enough_to_be_kept_in_a_repository():
    sizes = [path.stat().st_size for path in ASSETS.rglob("*") if path.is_file()]
    assert max(sizes) < 150_000
    assert sum(sizes) < 700_000


def test_every_kind_of_file_that_the_demo_needs_is_there():
    assert {path[path.rindex(".") :] for path in assets()} == set(TYPES)


def test_the_root_is_the_page():
    assert find("/", Knobs()) == find("/index.html", Knobs())


@pytest.mark.parametrize("path", [path for path in assets() if path.endswith((".jpg", ".png", ".webp"))])
def test_pictures_can_be_decoded(path):
    image = pytest.importorskip("PIL.Image", reason="pip install pillow").open(BytesIO(assets()[path].data))
    image.load()
    assert image.width >= 800


@pytest.mark.parametrize("path", ["video/train.mp4", "video/high/stream.m3u8", "video/low/stream.m3u8"])
def test_videos_are_eight_seconds_of_h264(path, needs):
    probe = [needs("ffprobe", "apt-get install ffmpeg"), "-v", "error", "-of", "json", "-show_format", "-show_streams"]
    told = json.loads(subprocess.run([*probe, ASSETS / path], check=True, capture_output=True).stdout)
    assert [stream["codec_name"] for stream in told["streams"]] == ["h264"]
    assert float(told["format"]["duration"]) == pytest.approx(8, abs=0.1)


@pytest.mark.parametrize("path", TEXTS)
def test_nothing_refers_to_another_host(path):
    text = assets()[path].data.decode()
    text = text.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert not re.search(r"(https?:)?//[a-z0-9-]+\.[a-z]", text)


def test_the_page_refers_only_to_files_that_are_there():
    found = []

    class Links(HTMLParser):
        def handle_starttag(self, tag, attrs):
            found.extend(value for name, value in attrs if name in ("src", "href", "data-playlist"))

    Links().feed(assets()["/index.html"].data.decode())
    assert len(found) > 9
    assert {f"/{link}" for link in found if link != "data:,"} <= set(assets())


def test_the_playlists_refer_only_to_files_that_are_there():
    for path in (path for path in assets() if path.endswith(".m3u8")):
        lines = assets()[path].data.decode().splitlines()
        named = [line for line in lines if line and not line.startswith("#")] + re.findall('URI="(.+)"', "".join(lines))
        assert named
        assert {f"{path.rpartition('/')[0]}/{name}" for name in named} <= set(assets())
