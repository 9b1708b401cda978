"""The memory in the daemon: what commands ask of it, also while the thread that keeps it has the lock."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from relay.config.settings import Interface, Settings
from relay.daemon.engine import Engine
from relay.ice.policy import Place, Policy
from relay.memory.arms import Arm
from relay.memory.knowledge import Network, Way
from relay.ng.request import parse
from relay.store.keeper import PATIENCE, Keeper
from tests.relay.calls.desk import BOB, ICE, sdp
from tests.relay.calls.test_ice import BOB_ICE

PLACES: dict[str, Any] = {
    "ICE": "optimize",
    "received-from": "198.51.100.7",
    "network-legs": {"from": "hq", "to": "branch"},
    "user-agent": "Phone/1",
}
VIDEO = "".join(f"{line}\r\n" for line in ("m=video 10002 RTP/AVP 96", *(f"a={one}" for one in ICE)))


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """It serves no sockets of its own, and waits for calls."""
    interfaces = (Interface("default", "127.0.0.1", "127.0.0.1"), Interface("default", "::1", "::1"))
    settings = Settings(
        interfaces,
        port_min=26000,
        port_max=26199,
        memory=str(tmp_path / "memory.db"),
        plane="userspace",
        range_socket="off",
        workers=1,
        delete_delay=0,
    )
    engine = Engine(settings)
    yield engine
    engine.stop()


def keeper_of(engine: Engine) -> Keeper:
    assert engine.memory.keeper is not None
    return engine.memory.keeper


def command(engine: Engine, name: str, **options: Any) -> Callable[[], object]:
    options = {key.replace("_", "-"): value for key, value in options.items()}
    return lambda: engine.execute(parse({"command": name, "call-id": "c", "from-tag": "A", **options}))


def carried_out(commands: list[Callable[[], object]]) -> bool:
    """In another thread: it may not have the lock that this one has."""

    def run() -> None:
        for one in commands:
            one()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(10.0)
    return not thread.is_alive()


@pytest.fixture
def waits(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """For how long each look-up was ready to wait for the lock."""
    lock = keeper_of(engine)._wake
    asked: list[float] = []
    acquire = lock.acquire

    def recorded(blocking: bool = True, timeout: float = -1) -> bool:
        asked.append(timeout if blocking else 0.0)
        return acquire(blocking, timeout)

    monkeypatch.setattr(lock, "acquire", recorded)
    return asked


def test_an_offer_waits_for_the_memory_once_whatever_it_asks(engine: Engine, waits: list[float]) -> None:
    offer = command(engine, "offer", sdp=sdp("198.51.100.7", 10000, *ICE) + VIDEO, ice_advice="yes", **PLACES)
    with keeper_of(engine)._wake:
        assert carried_out([offer])
    assert len(waits) == 2, "each place is looked up once"
    assert min(waits) >= 0.0
    assert sum(waits) < 1.5 * PATIENCE
    assert keeper_of(engine).lost == 2


def test_nothing_that_is_learnt_told_or_forgotten_waits_for_the_memory_or_is_lost(
    engine: Engine, waits: list[float]
) -> None:
    command(engine, "offer", sdp=sdp("198.51.100.7", 10000, *ICE), **PLACES)()
    command(engine, "answer", sdp=sdp(BOB, 20000, *BOB_ICE), to_tag="B")()
    waits.clear()
    keeper = keeper_of(engine)
    keeper.settle()
    with keeper._wake:
        assert carried_out(
            [
                command(engine, "feedback", tag="A", ok="no", kind="u"),
                command(engine, "delete"),
                command(engine, "forget", network="elsewhere"),
            ]
        )
        assert keeper.waiting == 4, "what was said, two records, and what is to be forgotten"
    assert set(waits) == {0.0}
    assert keeper.lost == 0
    keeper.settle()
    assert keeper.waiting == 0
    hq = engine.memory.identity(Place(network="hq")).network
    assert hq is not None
    assert keeper.recall(hq) is not None


def known_to_go_direct(network: Network | None) -> Network:
    now = time.time()
    return Network({Arm.DIRECT_HOST: Way(said_ok=20.0, at=now)}, rows=8, at=now)


@pytest.mark.parametrize(
    ("assist", "places", "decided"),
    [
        ("direct-works", ("hq", "branch"), ("assist", "direct-works")),
        ("direct-works", ("hq", "elsewhere"), ("relay", "default")),
        ("far-relay", ("hq", "branch"), ("relay", "default")),
    ],
)
def test_what_apps_said_of_direct_ways_is_asked_where_a_policy_has_the_word(
    engine: Engine, assist: str, places: tuple[str, str], decided: tuple[str, str]
) -> None:
    keeper, registry = keeper_of(engine), engine.registry
    for name in ("hq", "branch"):
        network = engine.memory.identity(Place(network=name)).network
        assert network is not None
        keeper.change(network, known_to_go_direct)
    keeper.settle()
    registry.optimizer = replace(registry.optimizer, policies=(Policy("p", assist=frozenset({assist})),))
    offer = sdp("198.51.100.7", 10000, "rtcp-mux", *ICE)
    legs = dict(zip(("from", "to"), places, strict=True))
    command(engine, "offer", sdp=offer, ICE="optimize", network_legs=legs)()
    (leg,) = [leg for leg in registry.calls["c"].legs.values() if leg.tag != "A"]
    decision = leg.medias[0].decision
    assert decision is not None
    assert (str(decision.result), decision.why) == decided
