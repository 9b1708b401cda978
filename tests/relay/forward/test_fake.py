"""The fake plane, as the floors above use it in their tests."""

import select
import socket
from collections.abc import Callable

import pytest

from relay.forward._fastpath import NativePlane
from relay.forward.fake import FakePlane
from relay.forward.fake_kind import Kind, kind_of
from relay.forward.plane import Latched, Plane, PlaneFull
from relay.forward.rule import Drop, Learn, Rule

CALLER = ("192.0.2.7", 4000)
CALLEE = ("198.51.100.7", 4000)
VOICE = bytes([0x80, 8, 0, 1]) + bytes(20)


def local() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    return sock


def call(plane: FakePlane) -> tuple[Rule, Rule]:
    first, second = plane.allocate(), plane.allocate()
    rules = (
        Rule(first, plane.open(local(), 0), CALLER, Learn.WINDOW, rtp=(second,)),
        Rule(second, plane.open(local(), 0), CALLEE, Learn.WINDOW, rtp=(first,)),
    )
    plane.apply(rules)
    return rules


@pytest.mark.parametrize("build", [FakePlane, NativePlane])
def test_both_planes_are_planes(build: Callable[[], Plane]) -> None:
    plane = build()
    assert plane.workers == 1
    plane.stop()


def test_delivered_packet_shows_where_it_goes() -> None:
    plane = FakePlane()
    caller, callee = call(plane)
    assert plane.deliver(caller.port, CALLER, VOICE, now=1.0) == [(callee.port, CALLEE, VOICE)]
    assert select.select([plane.fileno()], [], [], 0)[0]
    assert plane.events() == [Latched(caller.id, CALLER)]
    assert not select.select([plane.fileno()], [], [], 0)[0]
    assert int(plane.counters()["last_packet"][caller.id]) == 1_000_000_000
    plane.stop()


def test_what_we_send_is_kept() -> None:
    plane = FakePlane()
    caller, _ = call(plane)
    plane.send(caller.port, CALLER, b"stun")
    plane.send(caller.port, ("2001:db8::1", 4000), b"stun")
    assert plane.sent == [(caller.port, CALLER, b"stun")]
    assert (plane.totals()["own_sent"], plane.totals()["own_send_error"]) == (1, 1)
    plane.stop()


def test_closing_tells_the_pool() -> None:
    closed: list[int] = []
    plane = FakePlane(on_close=lambda _, port: closed.append(port))
    sock = local()
    number = sock.getsockname()[1]
    plane.close(plane.open(sock, 0))
    assert closed == [number]
    plane.stop()


def test_wrong_rules_are_refused_as_by_the_native_plane() -> None:
    plane = FakePlane(rules=3)
    caller, _ = call(plane)
    spare = plane.allocate()
    with pytest.raises(PlaneFull, match="all 3 rules"):
        plane.allocate()
    for wrong in (
        Rule(spare, 99, None, Learn.WINDOW),
        Rule(99, caller.port, None, Learn.WINDOW),
        Rule(spare, caller.port, ("phone.local", 9), Learn.WINDOW),
        Drop(99),
    ):
        with pytest.raises(ValueError, match=r"rule|address"):
            plane.apply([wrong])
    plane.stop()


@pytest.mark.parametrize(
    ("datagram", "kind"),
    [
        (b"", Kind.UNKNOWN),
        (bytes.fromhex("000100002112a442") + bytes(12), Kind.STUN),
        (bytes.fromhex("000100042112a442") + bytes(12), Kind.UNKNOWN),
        (bytes([22]) + bytes(12), Kind.DTLS),
        (bytes([64]) + bytes(20), Kind.UNKNOWN),
        (VOICE, Kind.RTP),
        (bytes([0x80, 200]) + bytes(6), Kind.RTCP),
        (bytes([0x80, 191]) + bytes(10), Kind.RTP),
        (bytes([0x80, 224]) + bytes(9), Kind.UNKNOWN),
    ],
)
def test_first_octets_tell_the_protocol(datagram: bytes, kind: Kind) -> None:
    assert kind_of(datagram) is kind
