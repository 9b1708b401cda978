"""Editing the lines of one section, with a record of every change."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sdp.reason import Reason
from sdp.session import body


class Change(NamedTuple):
    """One line of a description, what became of it, and why."""

    action: str  # "kept" (candidates only), "removed", "added" or "replaced"
    media: int | None  # index of the media; None: session level
    line: str  # without ending; the new one where it was replaced
    reason: Reason
    was: str = ""  # the line that was replaced


Why = Reason | Callable[[str], Reason]
"""Why a line changes, or what finds that out from the line once somebody asks."""

Entry = tuple[str, int | None, str, Why, str]
"""A ``Change`` as it is noted down: its line may still have its ending, and mostly nobody asks for it."""


def changes(log: Iterable[Entry]) -> tuple[Change, ...]:
    """What was noted down."""
    return tuple(_change(*entry) for entry in log)


def _change(action: str, media: int | None, line: str, why: Why, was: str) -> Change:
    line = body(line)
    return Change(action, media, line, why if isinstance(why, Reason) else why(line), was)


@dataclass(slots=True)
class Edit:
    """A section being written: old lines go in one by one, new ones where they belong.

    ``log`` is shared by the sections of one description. A new line that says what the old one said
    is the old one: it is no change.
    """

    media: int | None
    newline: str
    log: list[Entry]
    lines: list[str] = field(default_factory=list)

    def keep(self, line: str) -> None:
        self.lines.append(line)

    def keep_because(self, line: str, reason: Reason) -> None:
        self.lines.append(line)
        self.log.append(("kept", self.media, line, reason, ""))

    def remove(self, line: str, why: Why) -> None:
        self.log.append(("removed", self.media, line, why, ""))

    def replace(self, line: str, new: str, reason: Reason) -> None:
        """Writes ``new`` (without ending) with the ending of ``line``."""
        old = body(line)
        self.lines.append(new + line[len(old) :])
        if new != old:
            self.log.append(("replaced", self.media, new, reason, old))

    def insert(self, at: int, new: Sequence[tuple[str, Reason]]) -> None:
        """Writes lines (without endings) before position ``at`` of what was written so far."""
        if not new:
            return
        if at and not self.lines[at - 1].endswith("\n"):
            self.lines[at - 1] += self.newline
        self.lines[at:at] = [line + self.newline for line, _ in new]
        self.log.extend([("added", self.media, line, reason, "") for line, reason in new])

    def append(self, new: Sequence[tuple[str, Reason]]) -> None:
        """Writes lines (without endings) after the last line that is not empty."""
        at = len(self.lines)
        while at and not body(self.lines[at - 1]):
            at -= 1
        self.insert(at, new)
