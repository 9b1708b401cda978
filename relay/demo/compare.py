"""Two descriptions side by side: which line became which, and why candidates came and went.

Only what the relay really sent is compared. Its reply does not carry reasons;
those of the candidates that are missing in it are asked of ``sdp.ice``, which is
where the relay has them from as well.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from sdp import Reason
from sdp.ice import useless

_CANDIDATE = "a=candidate:"


class Fate(enum.Enum):
    """What became of a line. The value is the mark that people see."""

    SAME = " "
    CHANGED = "~"
    REMOVED = "-"
    ADDED = "+"


@dataclass(frozen=True, slots=True)
class Row:
    """One line before and after; None where there is none. ``reason`` is given for candidates."""

    fate: Fate
    before: str | None
    after: str | None
    reason: str = ""

    @property
    def is_candidate(self) -> bool:
        return (self.before or self.after or "").startswith(_CANDIDATE)


def compare(before: str, after: str) -> list[Row]:
    """The rows of two descriptions, in the order of both."""
    old, new = before.splitlines(), after.splitlines()
    matcher = SequenceMatcher(None, _keys(old, new), _keys(new, old), autojunk=False)
    rows: list[Row] = []
    for operation, start, end, new_start, new_end in matcher.get_opcodes():
        if operation == "equal":
            rows += _matched(old[start:end], new[new_start:new_end])
        else:
            rows += [_removed(line) for line in old[start:end]]
            rows += [_added(line) for line in new[new_start:new_end]]
    return rows


def _keys(lines: Sequence[str], others: Sequence[str]) -> list[str]:
    """What makes a line the successor of another: it is the same, or about the same thing."""
    return [line if line in others or line.startswith(_CANDIDATE) else _subject(line) for line in lines]


def _subject(line: str) -> str:
    return line.partition(":")[0] if line.startswith("a=") else line[:2]


def _matched(old: Sequence[str], new: Sequence[str]) -> Iterator[Row]:
    for before, after in zip(old, new, strict=True):
        reason = Reason.DIRECT_KEPT.sentence if before.startswith(_CANDIDATE) else ""
        yield Row(Fate.SAME if before == after else Fate.CHANGED, before, after, reason)


def _removed(line: str) -> Row:
    reason = useless(line.removeprefix(_CANDIDATE)).sentence if line.startswith(_CANDIDATE) else ""
    return Row(Fate.REMOVED, line, None, reason)


def _added(line: str) -> Row:
    reason = Reason.RELAY_INSERTED.sentence if line.startswith(_CANDIDATE) else ""
    return Row(Fate.ADDED, None, line, reason)


def candidates(rows: Sequence[Row], fate: Fate) -> int:
    """How many candidates had this fate."""
    return sum(row.is_candidate and row.fate is fate for row in rows)
