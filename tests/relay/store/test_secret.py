from __future__ import annotations

import stat
from pathlib import Path

import pytest

from relay.store.secret import SecretError, read, read_or_make, renew


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


def test_another_secret_takes_the_place_of_the_old_one_at_once(tmp_path: Path) -> None:
    path = tmp_path / "memory.secret"
    old = read_or_make(str(path))
    new = renew(str(path))
    assert (new != old, read(str(path)), len(new)) == (True, new, 64)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_secret_behind_a_link_is_renewed_where_it_is(tmp_path: Path) -> None:
    path, link = tmp_path / "memory.secret", tmp_path / "link"
    link.symlink_to(path)
    read_or_make(str(path))
    assert renew(str(link)) == read(str(path))
    assert link.is_symlink()


def test_where_no_other_secret_can_be_written_nothing_is_left(tmp_path: Path) -> None:
    taken = tmp_path / "a directory"
    taken.mkdir()
    with pytest.raises(SecretError, match="a directory: Is a directory"):
        renew(str(taken))
    assert list(tmp_path.iterdir()) == [taken]
    with pytest.raises(SecretError, match="missing/secret: No such file"):
        renew(str(tmp_path / "missing" / "secret"))
