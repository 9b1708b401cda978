"""Parties that contradict themselves: whatever they describe, the plane takes our rules and nothing leaks."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest

from relay.calls.resources import KeysRefused, LocalAddress, LocalPort, OutOfPorts
from relay.calls.state import Media
from relay.forward.fake import check
from relay.forward.rule import MAX_OUTPUTS, Change, Drop
from relay.ng.errors import NgError
from relay.srtp.profiles import MasterKey
from sdp.protocol import Profile
from tests.relay.calls.desk import ALICE, BOB, CAROL, Box, Desk, remembered
from tests.seeds import seeds

HOSTS = {"A": ALICE, "B": BOB, "C": CAROL}
FORMATS = {"a": "audio {} 0 111", "v": "video {} 96 97", "s": "video {} 96 98", "d": "application {} x"}
PROTOCOLS = {"web": "UDP/TLS/RTP/SAVPF", "plain": "RTP/AVP", "sdes": "RTP/SAVP"}
CRYPTO = f"crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{'A' * 40}"


class StrictBox(Box):
    """Refuses the rules that a plane refuses."""

    def apply(self, changes: Sequence[Change]) -> None:
        company = defaultdict(set)
        for rule in self.rules.values():
            company[rule.port].add(rule.id)
        for change in changes:
            if isinstance(change, Drop):
                continue
            check(change)
            company[change.port].add(change.id)
            assert change.port in self.ports, "a rule at a closed port"
            assert change.keys is None or change.keys in self.keys, "a rule with closed keys"
            assert {*change.rtp, *change.rtcp} <= self.allocated, "an output that is no rule"
        assert max(map(len, company.values()), default=0) <= MAX_OUTPUTS
        super().apply(changes)


class FailingBox(StrictBox):
    """Refuses now and then, in the middle of an exchange."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self.rng, self.fails = rng, False

    def open(self, at: LocalAddress, count: int, tos: int, worker: int) -> list[LocalPort]:
        self._may_fail(OutOfPorts("the range is empty", exhausted=True))
        return super().open(at, count, tos, worker)

    def allocate_rule(self) -> int:
        self._may_fail(OutOfPorts("the plane is full", exhausted=False))
        return super().allocate_rule()

    def open_keys(self, profile: Any, receive: MasterKey, send: MasterKey, after: int | None = None) -> int:
        self._may_fail(KeysRefused("no memory"))
        return super().open_keys(profile, receive, send, after)

    def _may_fail(self, error: Exception) -> None:
        if self.fails and self.rng.random() < 0.2:
            raise error


class Party:
    """Speaks one dialect, mostly."""

    def __init__(self, rng: random.Random, tag: str, mids: Sequence[str]) -> None:
        self.rng, self.tag, self.mids = rng, tag, mids
        self.dialect = rng.choice(["web", "web", "web", "plain", "sdes"])
        self.ufrag, self.digit = 0, 0

    def describes(self, setup: str) -> str:
        rng, host = self.rng, HOSTS[self.tag]
        self.ufrag = max(0, self.ufrag + rng.choice([0] * 10 + [1, 1, -1]))
        self.digit += rng.random() < 0.1
        group = rng.sample(self.mids, rng.randint(0, len(self.mids))) if rng.random() < 0.3 else self.mids
        lines = ["v=0", f"o=- 1 1 IN IP4 {host}", "s=-", f"c=IN IP4 {host}", "t=0 0"]
        lines += [f"a=group:BUNDLE {' '.join(group)}"] if group and self.dialect == "web" else []
        said = self.mids if rng.random() < 0.9 else self.mids[: rng.randint(1, len(self.mids))]
        for place, mid in enumerate(said):
            port = rng.choice([10000 + 2 * place] * 6 + [0])
            kind, *formats = FORMATS[mid].format(port).split()
            protocol = PROTOCOLS[self.dialect] if mid != "d" else "UDP/DTLS/SCTP"
            if mid == "a" and rng.random() < 0.15:
                kind, protocol, formats = "image", "udptl", [formats[0], "t38"]
            lines.append(f"m={kind} {formats[0]} {protocol} {' '.join(formats[1:])}")
            lines += [f"a={line}" for line in self._says_of(mid, setup, bundle_only=port == 0)]
        return "\r\n".join([*lines, ""])

    def _says_of(self, mid: str, setup: str, bundle_only: bool) -> list[str]:
        lines = ["rtcp-mux"] if self.rng.random() < 0.7 else []
        if self.dialect == "sdes":
            lines.append(CRYPTO)
        if self.dialect == "web":
            lines += [f"mid:{mid}", f"setup:{setup}", f"ice-ufrag:{self.tag}{self.ufrag:03}"]
            lines += ["ice-pwd:0123456789abcdefghijkl"]
            lines += [f"candidate:1 1 udp {self.rng.randint(1, 99)} {HOSTS[self.tag]} 40000 typ host"]
            lines += [f"fingerprint:sha-256 {':'.join([f'{self.digit:02X}'] * 32)}"]
            lines += ["bundle-only"] if bundle_only and self.rng.random() < 0.5 else []
        return lines


def options(rng: random.Random) -> dict[str, Any]:
    found: dict[str, Any] = {"rtcp_mux": [rng.choice(["demux", "offer", "require", "accept", "reject"])]}
    found["ICE"] = rng.choice(["default", "remove", "force", "force", "optional", "optimize"])
    found["network_legs"] = rng.choice(["hq,hq", "hq,branch"])
    found["flags"] = [flag for flag in ("generate-mid", "reset", "ICE-reject") if rng.random() < 0.2]
    if rng.random() < 0.5:
        found["transport_protocol"] = rng.choice([*PROTOCOLS.values(), "RTP/AVPF"])
    return found


def give_keys(desk: Desk, rng: random.Random) -> None:
    """Some handshakes are complete."""
    for call_id, call in desk.registry.calls.items():
        holding = desk.registry._holdings[call_id]
        for media in (media for leg in call.legs.values() for media in leg.medias):
            if media.security is not None and media.security.identity is not None and rng.random() < 0.5:
                for stream in media.streams:
                    keys: Any = None
                    media.security.keys[stream.component] = holding.open_keys(keys, keys, keys)
        desk.registry._sync(call)


def exchange(desk: Desk, rng: random.Random, hand_in: Callable[[], object]) -> None:
    """An offer or an answer. One that fails leaves everything as it was."""
    box, call = desk.box, desk.registry.calls.get("call")
    assert isinstance(box, FailingBox)
    before = remembered(call), dict(box.rules), dict(box.ports), dict(box.keys)
    box.fails = rng.random() < 0.3
    try:
        hand_in()
    except (NgError, KeysRefused):
        call = desk.registry.calls.get("call")
        assert (remembered(call), box.rules, box.ports, box.keys) == before
    box.fails = False


def verify(desk: Desk) -> None:
    box = desk.box
    assert set(box.rules) == box.allocated
    assert {rule.keys for rule in box.rules.values()} - {None} == set(box.keys)
    for call in desk.registry.calls.values():
        assert set(box.ports) == {rule.port for rule in box.rules.values()} | call.reserved()
        for leg in call.legs.values():
            owners: dict[int, int] = {}
            for media in leg.medias:
                lead = leg.carrier(media)
                assert lead.bundle in (None, lead.index)
                assert lead.bundle == lead.index or not media.follows
                for rule in (box.rules[path.rule] for stream in media.streams for path in stream.paths):
                    assert owners.setdefault(rule.port, lead.index) == lead.index, "two medias at a port"
                    assert rule.dtls or rule.keys is not None or not wants_keys(media), "in the clear"


def wants_keys(media: Media) -> bool:
    profile = Profile.of(media.protocol)
    return profile is not None and profile.secure and not media.through


FAILED_ONCE = (1021, 1675, 3874, 10735)
"""Parties that described fewer medias than the others, or a fax that led a bundle."""


@pytest.mark.parametrize("seed", [*seeds(100), *FAILED_ONCE])
def test_no_sequence_of_descriptions_breaks_the_rules_leaks_or_lets_media_pass_in_the_clear(
    seed: int,
) -> None:
    rng = random.Random(seed)
    desk = Desk()
    desk.box = desk.registry.resources = FailingBox(rng)
    mids = rng.sample(sorted(FORMATS), rng.randint(1, 3))
    parties = {tag: Party(rng, tag, mids) for tag in HOSTS}
    offerer = "A"
    desk.offer(parties["A"].describes("actpass"), **options(rng))
    for _ in range(12):
        answerer = "A" if offerer == "B" else rng.choice("BBC")
        match rng.choice(["offer", "answer", "answer", "time"]):
            case "offer":
                offerer, other = rng.choice([("A", "B"), ("A", "B"), ("B", "A")])
                description = parties[offerer].describes("actpass")
                given = {"from_tag": offerer, "to_tag": other, **options(rng)}
                exchange(desk, rng, partial(desk.offer, description, **given))
            case "answer":
                description = parties[answerer].describes(rng.choice(["active", "passive"]))
                given = {"to_tag": answerer, "from_tag": offerer}
                exchange(desk, rng, partial(desk.answer, description, **given))
            case "time":
                desk.tick(rng.choice([1, 31]))
        give_keys(desk, rng)
        verify(desk)
    desk.registry.end_all()
    assert (desk.box.ports, desk.box.keys, desk.box.allocated) == ({}, {}, set())
