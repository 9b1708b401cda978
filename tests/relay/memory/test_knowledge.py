from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.memory import knowledge
from relay.memory.arms import Arm
from relay.memory.decision import Snapshot, decide
from relay.memory.knowledge import (
    Network,
    Report,
    Way,
    faded,
    learn,
    maps_anew,
    median_ms,
    relay_round_trip,
    told,
)
from relay.memory.record import Record, Said
from tests.relay.memory.world import FACTS, START, STATIC, World, leg

BOTH = {Arm.U: 100, Arm.T443: 300}


def test_what_worked_is_a_success_and_what_stood_before_it_a_failure() -> None:
    network = learn(None, leg((Arm.U, Arm.U443, Arm.T443), {Arm.U443: 30}), START)
    assert (network.ways[Arm.U].alpha, network.ways[Arm.U].beta) == (0.0, 1.0)
    assert (network.ways[Arm.U443].alpha, network.ways[Arm.U443].beta) == (1.0, 0.0)
    assert Arm.T443 not in network.ways, "nobody knows whether the peer tried it"
    assert network.rows == 1


@pytest.mark.parametrize(
    "record",
    [
        leg(STATIC, BOTH, seconds=1),
        leg(STATIC, {}),
        leg(STATIC, BOTH, received=49),
    ],
    ids=["shorter than two seconds", "no check of the peer ever came", "a second of audio never came"],
)
def test_what_says_nothing_of_the_network_moves_nothing(record: Record) -> None:
    assert learn(None, record, START).ways == {}


def test_weights_halve_in_a_week_and_in_a_day_behind_a_cellular_prefix() -> None:
    way = Way(alpha=8.0, beta=4.0, at=START)
    week = faded(way, START + 7 * 86400, Network().half_life)
    assert (week.alpha, week.beta) == (4.0, 2.0)
    assert Network(cellular=True).half_life == 86400
    assert Network(cellular=True, named=True).half_life == 7 * 86400


def test_the_median_prefers_what_was_lately() -> None:
    way = Way(times=[(START - 60 * 86400, 3000), (START - 60 * 86400, 3000), (START, 100), (START, 120)])
    assert median_ms(way, START, knowledge.HALF_LIFE) == 120
    assert median_ms(Way(), START, knowledge.HALF_LIFE) is None


def test_four_failures_in_a_row_outweigh_a_long_good_past() -> None:
    world = World(dict(BOTH))
    world.calls(500)
    world.works = {Arm.T443: 300}
    world.calls(4)
    assert world.network is not None
    assert world.network.ways[Arm.U].alpha <= knowledge.LEFT


@given(st.lists(st.floats(-1e8, 1e8), min_size=1, max_size=30))
def test_a_clock_that_jumps_breaks_nothing(jumps: list[float]) -> None:
    world = World(dict(BOTH))
    for jump in jumps:
        world.now = START + jump
        world.call()
        assert world.network is not None
        place = msgspec.structs.replace(leg(STATIC, BOTH), round_trip=40, maps_anew=True)
        world.network = learn(world.network, place, world.now)
        assert relay_round_trip(world.network, world.now) in (None, 0.04)
        world.network = told(world.network, Report(ok=False, arm=Arm.U), world.now)
        for way in world.network.ways.values():
            assert 0.0 <= way.alpha <= knowledge.HEAVIEST + knowledge.WIDENED
            assert 0.0 <= way.beta <= knowledge.HEAVIEST
    assert all(world.connected)
    world.now = START - 1e9
    assert decide(Snapshot(world.network), FACTS, world.now, 1).order[0] is Arm.U


def test_a_clock_that_went_back_does_not_keep_a_network_open_for_ever() -> None:
    network = knowledge.widen(Network(at=START), (Arm.U443,), START + 1e8)
    network = learn(network, leg(STATIC, BOTH), START)
    assert network.is_open(START)
    assert not network.is_open(START + knowledge.OPEN)


def test_feedback_on_a_way_of_ours_weighs_at_most_one() -> None:
    network: Network | None = None
    for _ in range(100):
        network = told(network, Report(ok=False, arm=Arm.U), START)
    assert network is not None
    assert network.ways[Arm.U] == Way(at=START, said_bad=1.0)


@given(st.lists(st.sets(st.sampled_from(STATIC)), max_size=20))
def test_what_was_stored_comes_back(history: list[set[Arm]]) -> None:
    network: Network | None = None
    for works in history:
        network = learn(network, leg(STATIC, dict.fromkeys(works, 77)), START)
    known = network or Network()
    known = learn(known, leg(STATIC, BOTH, same_site=True), START, b"site-one")
    assert list(known.straight) == [b"site-one"]
    assert knowledge.decode(knowledge.encode(known)) == known


@pytest.mark.parametrize("data", [b"", b"\x00", b"not a state", b"\x97\x01\x02"])
def test_something_else_in_the_store_is_an_error_of_one_kind(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whatever msgspec says
        knowledge.decode(data)


# How far the relay is, and what the NAT does.


def known_by(*found: Record) -> Network:
    network: Network | None = None
    for record in found:
        network = learn(network, record, START)
    return network or Network()


def far(ms: int) -> Record:
    return msgspec.structs.replace(leg(STATIC, BOTH), round_trip=ms)


def behind(anew: bool) -> Record:
    return msgspec.structs.replace(leg(STATIC, BOTH), maps_anew=anew)


def test_three_legs_tell_how_far_a_network_is_from_the_relay() -> None:
    assert relay_round_trip(known_by(far(90), far(100)), START) is None
    assert relay_round_trip(known_by(far(90), far(5000), far(100)), START) == 0.1, "one liar moves nothing"


def test_a_network_that_came_nearer_is_known_as_near_when_the_past_has_faded() -> None:
    network = known_by(*[far(200)] * 5)
    assert relay_round_trip(network, START) == 0.2
    for _ in range(3):
        network = learn(network, far(20), START + 14 * 86400)
    assert relay_round_trip(network, START + 14 * 86400) == 0.02
    assert relay_round_trip(network, START - 1e8) is not None, "a clock that went back breaks nothing"


def test_round_trips_are_few() -> None:
    assert len(known_by(*[far(90)] * 100).round_trips) == knowledge.SAMPLES


def test_three_legs_tell_what_a_nat_does_and_four_of_the_other_kind_that_it_was_changed() -> None:
    assert not maps_anew(known_by(behind(True), behind(True)))
    symmetric = known_by(*[behind(True)] * 20)
    assert maps_anew(symmetric)
    assert not maps_anew(known_by(*[behind(True)] * 20, *[behind(False)] * 4))
    assert not maps_anew(known_by(*[leg(STATIC, BOTH)] * 20))


def test_what_an_app_says_of_its_own_time_counts_on_ways_past_us_only() -> None:
    said = Said(True, ms=150)
    for arm, times in ((Arm.DIRECT_HOST, [(START, 150)]), (Arm.U, [])):
        network = told(None, Report(ok=True, arm=arm, said=said), START)
        assert network.ways[arm].times == times


def test_a_state_that_was_stored_before_round_trips_were_known_is_read() -> None:
    ways = {"u": [1.0, 0.0, 1, START, 1, [[START, 100]], 0.0, 0.0]}
    old = msgspec.msgpack.encode([ways, 1, START, 0.0, 0.0, True, False])
    network = knowledge.decode(old)
    assert (network.rows, network.round_trips, network.nat, network.straight) == (1, [], Way(), {})
    assert learn(network, far(80), START).round_trips == [(START, 80)]
