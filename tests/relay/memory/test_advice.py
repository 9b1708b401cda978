from __future__ import annotations

from relay.memory.advice import TTL_KNOWN, TTL_UNKNOWN, advise
from relay.memory.arms import Arm
from relay.memory.decision import Snapshot
from relay.memory.knowledge import Network, Way
from tests.relay.memory.world import START, World

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


def test_where_udp_works_no_turn_server_is_asked() -> None:
    world = World({Arm.U: 100})
    world.calls(8)
    advice = advise(Snapshot(world.network), TURN, world.now)
    assert (advice.turn, advice.transports, advice.ttl) == ((), ("udp",), TTL_KNOWN)


def test_where_udp_is_dead_tcp_comes_first() -> None:
    dead = Network(ways={Arm.U: Way(beta=9.0, rows=9, at=START)}, rows=9)
    assert advise(Snapshot(dead), TURN, START).transports == ("tcp", "udp")
    assert advise(Snapshot(dead), (), START).transports == ("udp",)


def test_feedback_alone_advises_nothing() -> None:
    said = Network(ways={Arm.DIRECT_HOST: Way(said_ok=20.0, at=START)})
    assert advise(Snapshot(said), TURN, START) == advise(Snapshot(), TURN, START)
