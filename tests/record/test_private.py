"""A secret file is its owner's, or it is refused."""

import os

import pytest

from shaper.policy.refused import RefusedError
from shaper.record import private


def test_a_secret_is_made_once_and_read_again(tmp_path):
    path = tmp_path / "keys" / "secret"
    secret = private.ensure(path)
    assert private.ensure(path) == secret
    assert len(secret) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_lax_umask_does_not_open_the_file(tmp_path):
    before = os.umask(0)
    try:
        private.make(tmp_path / "secret", b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600


def test_an_existing_file_is_not_overwritten_nor_a_link_followed(tmp_path):
    (tmp_path / "there").write_text("kept")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("there", "link"):
        with pytest.raises(FileExistsError):
            private.make(tmp_path / name, b"x")
    assert (tmp_path / "there").read_text() == "kept"
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_a_secret_that_others_may_use_is_refused(tmp_path, mode):
    private.ensure(tmp_path / "secret")
    (tmp_path / "secret").chmod(mode)
    with pytest.raises(RefusedError, match=rf"mode {mode:04o}\); .*chmod 600"):
        private.ensure(tmp_path / "secret")


@pytest.mark.parametrize("text", ["", "abcd", "not hex at all", "é"])
def test_a_damaged_secret_is_refused(tmp_path, text):
    private.make(tmp_path / "secret", text.encode("latin-1"))
    with pytest.raises(RefusedError, match="not 32 bytes in hex; delete the file"):
        private.ensure(tmp_path / "secret")
