"""Editing the lines of one section, with a record of every change."""

from __future__ import annotations

from collections.abc import Sequence
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


@dataclass(slots=True)
class Edit:
    """A section being written: old lines go in one by one, new ones where they belong.

    ``changes`` is shared by the sections of one description. A new line that says what the old one said
    is the old one: it is no change.
    """

    media: int | None
    newline: str
    changes: list[Change]
    lines: list[str] = field(default_factory=list)

    def keep(self, line: str) -> None:
        self.lines.append(line)

    def keep_because(self, line: str, reason: Reason) -> None:
        self.lines.append(line)
        self.changes.append(Change("kept", self.media, body(line), reason))

    def remove(self, line: str, reason: Reason) -> None:
        self.changes.append(Change("removed", self.media, body(line), reason))

    def replace(self, line: str, new: str, reason: Reason) -> None:
        """Writes ``new`` (without ending) with the ending of ``line``."""
        old = body(line)
        self.lines.append(new + line[len(old) :])
        if new != old:
            self.changes.append(Change("replaced", self.media, new, reason, old))

    def insert(self, at: int, new: Sequence[tuple[str, Reason]]) -> None:
        """Writes lines (without endings) before position ``at`` of what was written so far."""
        if not new:
            return
        if at and not self.lines[at - 1].endswith("\n"):
            self.lines[at - 1] += self.newline
        self.lines[at:at] = [line + self.newline for line, _ in new]
        self.changes.extend([Change("added", self.media, line, reason) for line, reason in new])

    def append(self, new: Sequence[tuple[str, Reason]]) -> None:
        """Writes lines (without endings) after the last line that is not empty."""
        at = len(self.lines)
        while at and not body(self.lines[at - 1]):
            at -= 1
        self.insert(at, new)
