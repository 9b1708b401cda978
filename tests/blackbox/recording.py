"""Recorded ng traffic: what Kamailio asked and what rtpengine 10.5 answered (``tests/data/ng``)."""

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.ng import Reply, split

DATA = Path(__file__).parent.parent / "data" / "ng"
SCENARIOS = sorted(path.stem for path in DATA.glob("*.jsonl"))


@dataclass(frozen=True)
class Exchange:
    """One request and the reply that was recorded for it."""

    line: int
    datagram: bytes
    request: Reply
    recorded: Reply

    @property
    def cookie(self) -> bytes:
        return self.datagram.partition(b" ")[0]


def exchanges(scenario: str) -> Iterator[Exchange]:
    """The requests of a scenario in the order they were sent, each with its own reply.

    A repeated request is there as often as it was sent. Where the recorder saw no reply to one of them,
    the reply to another copy counts: it has the same cookie.
    """
    lines = [json.loads(line) for line in (DATA / f"{scenario}.jsonl").read_text().splitlines()]
    replies: dict[bytes, list[bytes]] = defaultdict(list)
    for line in lines:
        if line["from"] == "relay":
            datagram = line["data"].encode("utf-8", "surrogateescape")
            replies[datagram.partition(b" ")[0]].append(datagram)
    for number, line in enumerate(lines, start=1):
        if line["from"] != "proxy":
            continue
        datagram = line["data"].encode("utf-8", "surrogateescape")
        cookie, request = split(datagram)
        found = replies[cookie]
        assert found, f"{scenario}:{number} has no recorded reply"
        recorded = found.pop(0) if len(found) > 1 else found[0]
        yield Exchange(number, datagram, request, split(recorded)[1])
