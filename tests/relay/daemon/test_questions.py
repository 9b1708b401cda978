"""The same question by ng and by HTTP."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.calls.report import Reply
from relay.config import Interface, Settings
from relay.daemon.remembering import Remembering
from relay.ice.policy import Place, family_of
from relay.memory.advice import AdviceError
from relay.memory.arms import Arm
from relay.memory.knowledge import Network, Way
from relay.ng.request import parse
from relay.ng.words import SIP_TRANSPORT

TURN = "turn:turn.example.org:443?transport=tcp"
CAFE = {"received-from": "198.51.100.7", "user-agent": "App/1.0"}


def known(_: Network | None, now: Network) -> Network:
    return now


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remembering]:
    """Knows that UDP works in the café for who signals by UDP, and for nobody who signals by TLS."""
    file = tmp_path_factory.mktemp("memory") / "memory.db"
    memory = Remembering(
        Settings((Interface("default", "192.0.2.1", "192.0.2.1"),), memory=str(file), advice_turn=(TURN,))
    )
    assert memory.keeper is not None
    now = time.time()
    works = Network(rows=20, at=now, ways={Arm.U: Way(alpha=20.0, rows=20, at=now)})
    fails = Network(rows=20, at=now, ways={Arm.U: Way(beta=20.0, rows=20, at=now)})
    for transport, network in (("udp", works), ("tls", fails)):
        place = Place(CAFE["received-from"], None, family_of(CAFE["user-agent"]), transport)
        key = memory.identity(place).network
        assert key is not None
        memory.keeper.change(key, functools.partial(known, now=network))
    memory.keeper.settle()
    yield memory
    memory.stop()


def by_ng(memory: Remembering, **keys: str) -> Reply:
    reply = memory.execute(parse({"command": "advice", **keys}), lambda call_id: None)
    assert reply.pop("result") == "ok"
    return reply


@pytest.mark.parametrize("transport", [*SIP_TRANSPORT, "TLS", "Udp", ""])
def test_http_and_ng_advise_the_same(memory: Remembering, transport: str) -> None:
    asked = {**CAFE, "sip-transport": transport}
    assert memory.advise(asked) == by_ng(memory, **asked)


def test_phones_that_signal_in_another_way_are_advised_otherwise(memory: Remembering) -> None:
    told = {word: memory.advise({**CAFE, "sip-transport": word})["transports"] for word in SIP_TRANSPORT}
    assert told["tls"] == ["tcp", "udp"]
    assert [told[word] for word in ("tcp", "sctp", "ws", "wss")] == [["udp", "tcp"]] * 4


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "network": st.sampled_from(["cafe", "x" * 64, ""]),
            "user-agent": st.sampled_from(["App/1.0", "App/2.0 (x)", "Other", ""]),
            "received-from": st.sampled_from(
                ["198.51.100.7", "198.51.100.200", "[2001:db8::7]", "192.0.2.9"]
            ),
            "sip-transport": st.sampled_from([*SIP_TRANSPORT, "WSS"]),
        },
    )
)
def test_whatever_is_asked_http_and_ng_advise_the_same(memory: Remembering, asked: dict[str, str]) -> None:
    assert memory.advise(asked) == by_ng(memory, **asked)


@pytest.mark.parametrize("word", ["quic", "udp ", 5060, ["udp"]])
def test_a_transport_that_is_none_is_refused(memory: Remembering, word: object) -> None:
    before = memory.counts.advice_refused["400"]
    with pytest.raises(AdviceError, match="sip-transport is one of udp, tcp, tls, sctp, ws, wss") as caught:
        memory.advise({**CAFE, "sip-transport": word})
    assert caught.value.status == 400
    assert memory.counts.advice_refused["400"] == before + 1
