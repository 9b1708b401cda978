"""Of which media of a bundle a packet is: the slow twin of ext/bundle.pxi (RFC 9143, section 9.2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from relay.forward.rule import Marks

MAX_LEARNT = 32
"""SSRCs of a bundle of which the media is known; the oldest make room."""

SENDER_REPORT, RECEIVER_REPORT, TRANSPORT_FEEDBACK, PAYLOAD_FEEDBACK = 200, 201, 205, 206


@dataclass(slots=True)
class Sorter:
    """What a bundle's leader has learnt."""

    learnt: dict[int, int | None] = field(default_factory=dict)
    """SSRC to rule; None: the rule is another media's meanwhile."""

    def forget(self, rule: int) -> None:
        """It is another media's from now on."""
        self.learnt.update({ssrc: None for ssrc, its in self.learnt.items() if its == rule})

    def media_of(self, rtp: bytes, leader: int, marks: Mapping[int, Marks]) -> int | None:
        """The rule, among ``marks``, of an RTP packet."""
        ssrc = int.from_bytes(rtp[8:12], "big")
        mid = extension(rtp, marks[leader].mid_id) if marks[leader].mid_id else None
        if mid is not None:
            found = next((id for id, mark in marks.items() if mark.mid == mid), None)
        else:
            found = self.media_of_ssrc(ssrc, marks)
            if found is not None:
                return found
            found = next((id for id, mark in marks.items() if rtp[1] & 127 in mark.payload_types), None)
        if found is not None:
            if ssrc not in self.learnt and len(self.learnt) == MAX_LEARNT:
                del self.learnt[next(iter(self.learnt))]
            self.learnt[ssrc] = found
        return found

    def media_of_ssrc(self, ssrc: int, marks: Mapping[int, Marks]) -> int | None:
        """Learnt, else announced."""
        learnt = self.learnt.get(ssrc)
        if learnt is not None and learnt in marks:
            return learnt
        return next((id for id, mark in marks.items() if ssrc in mark.ssrcs), None)

    def media_of_reports(
        self, rtcp: bytes, leader: int, marks: Mapping[int, Marks], that_gets: Callable[[int], int | None]
    ) -> int:
        """The rule of the media whose sender writes, or else of which it writes first; else the leader."""
        found = self.media_of_ssrc(int.from_bytes(rtcp[4:8], "big"), marks)
        at = 0
        while found is None and at + 8 <= len(rtcp):
            size = 4 * (int.from_bytes(rtcp[at + 2 : at + 4], "big") + 1)
            if at + size > len(rtcp):
                break
            about = _reported(rtcp[at : at + size])
            found = that_gets(about) if about else None
            at += size
        return leader if found is None else found


def _reported(packet: bytes) -> int | None:
    """The first SSRC that an RTCP packet tells something about."""
    place = None
    if packet[1] in (TRANSPORT_FEEDBACK, PAYLOAD_FEEDBACK) or (
        packet[1] == RECEIVER_REPORT and packet[0] & 31
    ):
        place = 8
    elif packet[1] == SENDER_REPORT and packet[0] & 31:
        place = 28
    if place is None or len(packet) < place + 4:
        return None
    return int.from_bytes(packet[place : place + 4], "big")


def extension(rtp: bytes, id: int) -> bytes | None:
    """A header extension of an RTP packet (RFC 8285, sections 4.2 and 4.3)."""
    at = 12 + 4 * (rtp[0] & 15)
    if not rtp[0] & 0x10 or at + 4 > len(rtp):
        return None
    profile, words = int.from_bytes(rtp[at : at + 2], "big"), int.from_bytes(rtp[at + 2 : at + 4], "big")
    at, end = at + 4, at + 4 + 4 * words
    if end > len(rtp) or (profile != 0xBEDE and profile & 0xFFF0 != 0x1000):
        return None
    head = 1 if profile == 0xBEDE else 2
    while at + head <= end:
        if rtp[at] == 0:
            at += 1
            continue
        if head == 1 and rtp[at] >> 4 in (0, 15):
            return None
        found, size = (rtp[at] >> 4, (rtp[at] & 15) + 1) if head == 1 else (rtp[at], rtp[at + 1])
        if at + head + size > end:
            return None
        if found == id:
            return rtp[at + head : at + head + size]
        at += head + size
    return None
