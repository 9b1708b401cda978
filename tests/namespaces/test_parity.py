"""The same packets through each plane: the same arrives, the same is counted."""

from __future__ import annotations

import random
import socket
from dataclasses import dataclass, field

import pytest

from relay.forward._fastpath import NativePlane
from relay.forward.offload.kernel import Kind
from relay.forward.plane import SUMS, Plane
from relay.forward.rule import Address, Learn, Rule
from tests.namespaces.calls import (
    BINDING,
    DTLS,
    PCMA,
    RTCP,
    Setting,
    local_port,
    name,
    nothing_for,
    rtp,
    until,
)
from tests.namespaces.lab import lab

ROUNDS = 300

STATES = ("ssrc", "seq", "payload_type", "state", "clock")


@dataclass
class Seen:
    """What one run came to: datagrams and where from, by phone; rows of both rules; totals."""

    arrived: dict[str, list[tuple[bytes, str]]] = field(default_factory=lambda: {"caller": [], "callee": []})
    rows: list[dict[str, int]] = field(default_factory=list)
    totals: dict[str, int] = field(default_factory=dict)


def datagrams(seed: int) -> list[tuple[str, bytes]]:
    """Who sends, and what: mostly a conversation."""
    dice = random.Random(seed)
    made = [("caller", rtp(1)), ("callee", rtp(1))]
    for seq in range(ROUNDS):
        who = dice.choice(("caller", "callee", "caller", "callee", "stranger"))
        noise = (
            RTCP,
            DTLS,
            BINDING,
            rtp(seq)[: dice.randrange(1, 12)],
            dice.randbytes(dice.randrange(1, 60)),
        )
        voice = rtp(
            65500 + seq & 0xFFFF, ssrc=dice.choice((1, 2)), payload=dice.randbytes(dice.randrange(200))
        )
        typed = voice[:1] + bytes([dice.randrange(256)]) + voice[2:]
        made.append((who, dice.choice((voice, voice, typed, dice.choice(noise)))))
    return made


def run(plane: Plane, setting: Setting, v6: bool, script: list[tuple[str, bytes]]) -> Seen:
    """Packet after packet: the next one is sent when the one before is accounted for."""
    a, b = setting.lab.a, setting.lab.b
    seen = Seen()
    with (
        a.socket(setting.lab.address(a, v6)) as caller,
        b.socket(setting.lab.address(b, v6)) as callee,
        a.socket(setting.lab.address(a, v6)) as stranger,
    ):
        port, caller_side = local_port(plane, setting.lab.relay, setting.lab.gateway(a, v6))
        other, callee_side = local_port(plane, setting.lab.relay, setting.lab.gateway(b, v6))
        one, two = plane.allocate(), plane.allocate()
        plane.apply(
            [
                Rule(one, port, name(caller), Learn.WINDOW, rtp=(two,), rtcp=(two,), clock=PCMA),
                Rule(two, other, name(callee), Learn.WINDOW, rtp=(one,), rtcp=(one,), clock=PCMA),
            ]
        )
        phones = {"caller": (caller, caller_side), "callee": (callee, callee_side)}
        senders: dict[str, tuple[socket.socket, Address]] = {**phones, "stranger": (stranger, caller_side)}
        for count, (who, datagram) in enumerate(script, 1):
            sock, to = senders[who]
            sock.sendto(datagram, to)
            until(lambda count=count: accounted(plane, one, two) == count)  # type: ignore[misc]
            for phone, (receiver, _) in phones.items():
                if not nothing_for(receiver):
                    seen.arrived[phone].append(arrival(receiver))
            refresh = getattr(plane, "refresh", None)
            if refresh is not None:
                refresh()
        for rule, (phone, (sock, _)) in zip((one, two), phones.items(), strict=True):
            row = plane.row(rule)
            seen.rows.append({field: int(row[field]) for field in (*SUMS, *STATES)})
            while len(seen.arrived[phone]) < seen.rows[-1]["sent_packets"]:
                seen.arrived[phone].append(arrival(sock))
            assert nothing_for(sock)
        seen.totals = plane.totals()
    return seen


def arrival(phone: socket.socket) -> tuple[bytes, str]:
    datagram, source = phone.recvfrom(2000)
    return datagram, source[0]


ACCEPTED = ("rtp_packets", "rtcp_packets")
REFUSED = ("stranger", "malformed", "stun")


def accounted(plane: Plane, *rules: int) -> int:
    """Packets that came to an end: refused, or accepted and, as each has one output, sent."""
    rows = [plane.row(rule) for rule in rules]
    accepted = sum(int(row[field]) for row in rows for field in ACCEPTED)
    sent = sum(int(row["sent_packets"]) for row in rows)
    return min(accepted, sent) + sum(int(row[field]) for row in rows for field in REFUSED)


@pytest.mark.parametrize("kind", [Kind.TCX, Kind.GENERIC], ids=lambda kind: kind.name)
@pytest.mark.parametrize("v6", [False, True], ids=["IPv4", "IPv6"])
def test_both_planes_do_the_same(kind: Kind, v6: bool) -> None:
    script = datagrams(seed=20 + v6)
    with lab(checksums=kind is Kind.GENERIC) as built:
        setting = Setting(built, kind)
        alone = NativePlane(rules=1024)
        expected = run(alone, setting, v6, script)
        alone.stop()
        with setting.planes() as (_, plane):
            assert run(plane, setting, v6, script) == expected
            assert plane.kernel_totals()["rtp_packets"] > ROUNDS / 3
    assert len(expected.arrived["callee"]) > ROUNDS / 4
    assert min(expected.rows[0]["rtp_skipped"], expected.rows[1]["rtp_skipped"]) > 10


@pytest.mark.parametrize("v6", [False, True], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("kind", [None, Kind.TCX], ids=["userspace", "TCX"])
def test_a_shared_queue_does_the_same(kind: Kind | None, v6: bool) -> None:
    script = datagrams(seed=30 + v6)
    with lab() as built:
        setting = Setting(built, kind or Kind.TCX)
        alone = NativePlane(rules=1024)
        expected = run(alone, setting, v6, script)
        alone.stop()
        with setting.planes(setting.shared()) as (below, plane):
            assert run(plane if kind else below, setting, v6, script) == expected
            assert below.by_shared() > (0 if kind else ROUNDS / 2)
