from __future__ import annotations

import pytest

from relay.memory.advice import (
    BURST,
    RATE,
    TTL_UNKNOWN,
    AdviceError,
    Question,
    Throttle,
    advise,
    parse,
)
from relay.memory.arms import Arm
from relay.memory.decision import Snapshot
from relay.memory.knowledge import Network, Way
from tests.relay.memory.world import START

TURN = ("turn:turn.example.org:443?transport=tcp",)


def test_in_a_network_that_nobody_knows_turn_is_gathered_beside_and_nothing_is_waited_for() -> None:
    assert advise(Snapshot(), TURN, START).reply() == {
        "wait-gathering": "no",
        "stun": "no",
        "turn": list(TURN),
        "transports": ["udp", "tcp"],
        "policy": "relay",
        "ttl": TTL_UNKNOWN,
    }


def test_where_udp_is_dead_tcp_comes_first() -> None:
    dead = Network(ways={Arm.U: Way(beta=9.0, rows=9, at=START)}, rows=9)
    assert advise(Snapshot(dead), TURN, START).transports == ("tcp", "udp")
    assert advise(Snapshot(dead), (), START).transports == ("udp",)


def test_feedback_alone_advises_nothing() -> None:
    said = Network(ways={Arm.DIRECT_HOST: Way(said_ok=20.0, at=START)})
    assert advise(Snapshot(said), TURN, START) == advise(Snapshot(), TURN, START)


def test_a_question_of_a_proxy_is_understood() -> None:
    asked = {"network": "cafe", "user-agent": "App/1", "received-from": "[2001:db8::7]", "x": 1}
    assert parse(asked) == Question("cafe", "App/1", "2001:db8::7")
    assert parse({**asked, "sip-transport": "TLS"}) == Question("cafe", "App/1", "2001:db8::7", "tls")
    assert parse({"network": "", "user-agent": None}) == Question(None, None, None)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (["network"], "a dictionary"),
        ({"network": "x" * 65}, "network is a string of at most 64 bytes"),
        ({"network": "\u00e4" * 33}, "network is a string of at most 64 bytes"),
        ({"network": 7}, "network is a string"),
        ({"user-agent": "x" * 257}, "user-agent is a string of at most 256 bytes"),
        ({"received-from": "example.org"}, "received-from is an IP address"),
        ({"received-from": "fe80::1%eth0"}, "received-from is an IP address"),
        ({"sip-transport": "quic"}, "sip-transport is one of udp, tcp, tls, sctp, ws, wss"),
    ],
)
def test_what_is_wrong_with_a_question_is_named(body: object, reason: str) -> None:
    with pytest.raises(AdviceError, match=reason) as caught:
        parse(body)
    assert caught.value.status == 400


def test_a_flood_of_questions_is_refused_until_there_is_room_again() -> None:
    throttle = Throttle()
    for _ in range(int(BURST)):
        throttle.admit(5.0)
    with pytest.raises(AdviceError, match="too many questions") as caught:
        throttle.admit(5.0)
    assert caught.value.status == 429
    throttle.admit(5.0 + 1.5 / RATE)
    with pytest.raises(AdviceError):
        throttle.admit(5.0 + 1.5 / RATE)
