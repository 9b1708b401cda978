"""What is measured: phones in networks, and what is between them in each."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from bench.ice_lab.networks import NETWORKS, Network

Event = Literal["", "moves", "stranger"]
SELDOM = 4
"""What waits for seconds by design, and varies little, is called once where the rest is called four times."""


@dataclass(frozen=True)
class Case:
    """What the phones are and offer, in one network.

    ``gathers``: both wait for their candidates before they offer or answer. ``talk``: seconds, from
    the caller's being given the answer, that a call goes on; its round trip is that of the end.
    """

    network: str
    phone: str
    dead: int = 0
    gathers: bool = True
    event: Event = ""
    talk: float = 0.0

    @property
    def name(self) -> str:
        words = [self.phone]
        if self.dead:
            words.append(f"{self.dead} dead")
        if not self.gathers:
            words.append(
                "told TURN only" if NETWORKS[self.network].blocked != "nothing" else "told not to gather"
            )
        if self.event:
            words.append({"moves": "caller moves", "stranger": "a stranger sends"}[self.event])
        return ", ".join(words)

    def __str__(self) -> str:
        return f"{self.network}: {self.name}"


@dataclass(frozen=True)
class Course:
    """A case and what it is measured with: values of ``ICE``, ``assist``, and ``none`` for no relay."""

    case: Case
    modes: tuple[str, ...]
    seldom: bool = False

    def calls(self, repetitions: int) -> int:
        """Of each treatment."""
        return math.ceil(repetitions / SELDOM) if self.seldom else repetitions


def _courses(*given: tuple[Case, str] | tuple[Case, str, bool]) -> tuple[Course, ...]:
    return tuple(Course(case, tuple(modes.split()), *seldom) for case, modes, *seldom in given)


FULL = _courses(
    (Case("open", "aioice"), "force optimize assist force-relay none"),
    (Case("open", "aioice", 8), "force optimize assist none"),
    (Case("open", "aioice", 16), "force none"),
    (Case("open", "aioice", 32), "force optimize assist none"),
    (Case("open", "aioice", gathers=False), "force optimize"),
    (Case("open", "aioice", event="moves"), "force optimize"),
    (Case("open", "aioice", event="stranger"), "force optimize"),
    (Case("nat", "aioice"), "force assist force-relay none"),
    (Case("symmetric", "aioice"), "force optimize assist force-relay none"),
    (Case("symmetric", "aioice", 32), "force assist none"),
    (Case("same-lan", "aioice", talk=1.0), "force optimize none"),
    (Case("many", "aioice", gathers=False), "force optimize assist none"),
    (Case("udp-443", "aioice"), "force", True),
    (Case("udp-443", "aioice", gathers=False), "force optimize assist none"),
    (Case("no-udp", "aioice"), "force", True),
    (Case("no-udp", "aioice", gathers=False), "force optimize assist none"),
    (Case("open", "chromium"), "force assist none"),
    (Case("open", "chromium", 32), "force optimize assist"),
    (Case("open", "chromium", gathers=False), "force optimize"),
    (Case("symmetric", "chromium"), "force assist none"),
    (Case("same-lan", "chromium", talk=1.0), "force optimize none"),
    (Case("far-relay", "chromium", talk=3.0), "force assist none"),
    (Case("many", "chromium", gathers=False), "force"),
    (Case("udp-443", "chromium", gathers=False), "force optimize"),
    (Case("no-udp", "chromium", gathers=False), "force optimize"),
)
"""Without what no goal needs and what takes long: see EXTRA."""

EXTRA = _courses(
    (Case("open", "aioice", 8), "force-relay"),
    (Case("open", "aioice", 16), "force-relay optimize assist"),
    (Case("open", "aioice", 32), "force-relay"),
    (Case("symmetric", "aioice", 8), "force assist force-relay none"),
    (Case("symmetric", "aioice", 32), "force-relay"),
    (Case("same-lan", "aioice", talk=1.0), "force-relay"),
    (Case("far-relay", "aioice", talk=3.0), "force assist none"),
    (Case("udp-443", "aioice"), "none", True),
    (Case("no-udp", "aioice"), "none", True),
    (Case("open", "chromium", 32), "none", True),
    (Case("udp-443", "chromium"), "force none", True),
    (Case("no-udp", "chromium"), "force none", True),
)
"""Only with ``--everything``."""

QUICK = _courses(
    (Case("open", "aioice"), "force optimize assist none"),
    (Case("open", "aioice", 32), "force optimize"),
    (Case("open", "aioice", gathers=False), "force optimize"),
    (Case("open", "aioice", event="moves"), "force"),
    (Case("open", "aioice", event="stranger"), "force"),
    (Case("symmetric", "aioice"), "force assist none"),
    (Case("same-lan", "aioice", talk=1.0), "force optimize none"),
    (Case("open", "chromium"), "force"),
    (Case("open", "chromium", gathers=False), "force"),
)


def everything() -> tuple[Course, ...]:
    """FULL and EXTRA, one course per case."""
    modes: dict[tuple[Case, bool], list[str]] = {}
    for course in (*FULL, *EXTRA):
        modes.setdefault((course.case, course.seldom), []).extend(course.modes)
    return tuple(Course(case, tuple(given), seldom) for (case, seldom), given in modes.items())


def by_network(courses: tuple[Course, ...], phone: str) -> Iterator[tuple[Network, list[Course]]]:
    for network in NETWORKS.values():
        those = [
            course for course in courses if (course.case.network, course.case.phone) == (network.name, phone)
        ]
        if those:
            yield network, those


PLACING = {"aioice": 1.1, "chromium": 2.2}
"""Seconds that a call takes beside what is waited for in it, as seen."""
SITE = {"aioice": 3.0, "chromium": 8.0}
"""Seconds until a network stands."""
UNREACHED = {"aioice": 5.0, "chromium": 40.0}
"""Seconds that a phone gathers where its STUN server does not answer."""


def seconds(case: Case, mode: str, limit: float) -> float:
    """About how long a call takes."""
    took = PLACING[case.phone] + max(case.talk, 1.5 if case.event else 0.0)
    if mode == "none" and case.dead > 16 and case.phone == "chromium":
        took += 8.0
    if case.gathers and NETWORKS[case.network].blocked != "nothing":
        took += min(limit, UNREACHED[case.phone])
    return took
