from __future__ import annotations

import stat
from pathlib import Path

import pytest

from relay.store.secret import SecretError, read, read_or_make


def test_a_secret_is_made_once_and_for_us_alone(tmp_path: Path) -> None:
    path = tmp_path / "memory.secret"
    made = read_or_make(str(path))
    assert read_or_make(str(path)) == made
    assert len(made) == 64
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_secret_that_could_be_guessed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "short"
    path.write_text("password\n")
    with pytest.raises(SecretError, match="16 bytes or more"):
        read(str(path))


def test_a_secret_that_cannot_be_read_or_made_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(SecretError, match="missing: No such file"):
        read(str(tmp_path / "missing"))
    with pytest.raises(SecretError, match=r"memory\.secret: No such file"):
        read_or_make(str(tmp_path / "missing" / "memory.secret"))
