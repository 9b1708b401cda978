"""What was seen of the checks of one media, for the record of its leg. Times are monotonic seconds."""

from __future__ import annotations

from dataclasses import dataclass, field

from relay.ice.outputs import Path

MAX_PATHS = 32
"""Remembered; a peer that roams all day has a handful."""


@dataclass(slots=True)
class Sightings:
    """Kept over restarts of ICE: the network is the same one."""

    first_check: float | None = None
    """When the first authenticated check, or answer to one, came."""
    heard: dict[Path, float] = field(default_factory=dict)
    """When such a one first came by each path."""
    usable: dict[Path, float] = field(default_factory=dict)
    """When each path first could carry media: a check of ours, or of the other peer, was answered there, or
    one from there was answered by the other peer."""
    selected: Path | None = None
    checks_in: int = 0
    """Those that the plane answered by itself left aside."""
    checks_out: int = 0
    """Of ours, or of the other peer, repeats included."""
    answered: int = 0
    """Of those, by the peer."""
    refused: int = 0
    """STUN at the ports of this media that was not believed."""
    selected_at: float | None = None
    """When media was first sent to a path that the peers agreed on."""
    moves: int = 0
    consent_lost: int = 0

    def check_came(self, path: Path, now: float) -> None:
        """An authenticated check, or an authenticated answer to one."""
        if self.first_check is None:
            self.first_check = now
        _once(self.heard, path, now)

    def is_usable(self, path: Path, now: float) -> None:
        """Media can be sent there."""
        _once(self.usable, path, now)

    def is_selected(self, path: Path, now: float) -> None:
        """Media is sent there from now on."""
        self.is_usable(path, now)
        self.selected_at = now if self.selected_at is None else self.selected_at
        if self.selected is not None and self.selected.port == path.port and self.selected != path:
            self.moves += 1
        self.selected = path

    @property
    def moves_failed(self) -> int:
        """Places from which the peer checked later than it had a path, and that media was never sent to."""
        later = [path for path, at in self.heard.items() if at > (self.selected_at or at)]
        return sum(path not in self.usable for path in later)


def _once(times: dict[Path, float], path: Path, now: float) -> None:
    if len(times) < MAX_PATHS:
        times.setdefault(path, now)
