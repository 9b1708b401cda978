from __future__ import annotations

from itertools import permutations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.memory.arms import DIRECT, OWN, Arm
from relay.memory.decision import Decision, Facts, Snapshot, belief, decide, direct_works, static
from relay.memory.knowledge import (
    OPEN,
    Network,
    Report,
    Way,
    learn,
    maps_anew,
    relay_round_trip,
    told,
    widen,
)
from relay.memory.record import Said
from tests.relay.memory.world import FACTS, HOUR, START, STATIC, World, leg

UDP_DEAD = {Arm.T443: 400}
ALL_WORK = {Arm.U: 100, Arm.U443: 110, Arm.T443: 300}

ways = st.builds(
    Way,
    alpha=st.floats(0, 1000),
    beta=st.floats(0, 1000),
    rows=st.integers(0, 2000),
    at=st.floats(START - 1e7, START + 1e7),
    run=st.integers(-9, 9),
    times=st.lists(st.tuples(st.floats(START - 1e6, START + 1e6), st.integers(0, 5000)), max_size=4),
    said_ok=st.floats(0, 20),
    said_bad=st.floats(0, 20),
)
networks = st.builds(
    Network,
    ways=st.dictionaries(st.sampled_from(Arm), ways),
    rows=st.integers(0, 3000),
    at=st.floats(START - 1e7, START + 1e7),
    opened_at=st.sampled_from((0.0, START - HOUR, START + HOUR)),
    explored_at=st.sampled_from((0.0, START - HOUR, START + 100 * HOUR)),
    named=st.booleans(),
    cellular=st.booleans(),
)
OURS = tuple(arm for arm in Arm if arm not in DIRECT)
facts = st.lists(st.sampled_from(OURS), unique=True).map(
    lambda arms: Facts(tuple(arms) if Arm.U in arms else (*arms, Arm.U), Arm.U)
)
snapshots = st.builds(Snapshot, st.none() | networks, st.none() | networks, st.none() | networks)


@given(snapshots, facts, st.integers())
@settings(max_examples=200)
def test_the_default_candidate_and_the_last_way_are_never_dropped(
    snapshot: Snapshot, facts: Facts, seed: int
) -> None:
    decision = decide(snapshot, facts, START, seed)
    assert facts.default in decision.order
    assert any(arm in OWN for arm in decision.order)
    assert set(facts.arms) == set(decision.order) | set(decision.dropped)
    assert len(decision.order) == len(set(decision.order))
    assert set(decision.dropped) <= OWN
    assert decision == decide(snapshot, facts, START, seed)


def test_nothing_known_is_the_static_policy() -> None:
    assert decide(Snapshot(), FACTS, START, 1) == static(FACTS) == Decision(STATIC)


def test_a_dead_way_beside_a_sure_one_is_left_out_in_the_end() -> None:
    facts = Facts((Arm.U443, Arm.U, Arm.T443), Arm.U)
    network: Network | None = None
    calls = 0
    while not decide(Snapshot(network), facts, START, 1).dropped:
        record = leg(facts.arms, {Arm.U: 100, Arm.T443: 400})
        network = learn(network, msgspec.structs.replace(record, explored=(Arm.U443,)), START)
        calls += 1
    assert decide(Snapshot(network), facts, START, 1).dropped == (Arm.U443,)
    assert calls == 38, "the first number of failures that puts the upper bound below 0.05"


def test_a_way_that_failed_three_times_is_put_last_and_stays() -> None:
    world = World({Arm.U: 100, Arm.T443: 400}, facts=Facts((Arm.U443, Arm.U, Arm.T443), Arm.U))
    world.calls(3)
    assert world.decision().explored == (Arm.U443,), "a day has not passed since, for there was none"
    world.calls(27)
    assert world.decision() == Decision(
        (Arm.U, Arm.T443, Arm.U443), learnt=True, beliefs=world.decision().beliefs
    )


def _well_known(rows: int = 100) -> Network:
    dead = Way(alpha=0.0, beta=100.0, rows=100, at=START)
    alive = Way(alpha=100.0, beta=0.0, rows=100, at=START, times=[(START, 50)])
    return Network(ways={Arm.U: alive, Arm.U443: dead, Arm.T443: dead}, rows=rows, at=START)


def test_before_twenty_legs_one_way_of_each_kind_stays() -> None:
    young = msgspec.structs.replace(_well_known(rows=19), explored_at=START)
    assert decide(Snapshot(young), FACTS, START, 3).dropped == (Arm.U443,)
    known = msgspec.structs.replace(_well_known(rows=20), explored_at=START)
    assert decide(Snapshot(known), FACTS, START, 3).dropped == (Arm.U443, Arm.T443)


def test_a_dead_default_candidate_is_put_last_and_never_left_out() -> None:
    known = _well_known()
    alive, dead = known.ways[Arm.U], known.ways[Arm.T443]
    ways = {Arm.U: dead, Arm.U443: dead, Arm.T443: alive}
    network = msgspec.structs.replace(known, ways=ways, explored_at=START)
    decision = decide(Snapshot(network), FACTS, START, 3)
    assert (decision.order, decision.dropped) == ((Arm.T443, Arm.U), (Arm.U443,))


def test_feedback_that_would_tip_the_scales_leaves_nothing_out() -> None:
    known = msgspec.structs.replace(_well_known(), explored_at=START)
    for beta, dropped in ((37.0, ()), (38.0, (Arm.U443,))):
        doubtful = Way(beta=beta, rows=40, at=START)
        ways = {Arm.U: known.ways[Arm.U], Arm.U443: doubtful}
        network = told(msgspec.structs.replace(known, ways=ways), Report(ok=False, arm=Arm.U443), START)
        assert decide(Snapshot(network), FACTS, START, 3).dropped == dropped


def test_once_a_day_everything_is_tried_and_now_and_then_one_way_in_the_last_place() -> None:
    network = _well_known()
    due = decide(Snapshot(network), FACTS, START, 3)
    assert (due.order, due.dropped, due.explored) == (STATIC, (), (Arm.U443, Arm.T443))
    rested = Snapshot(msgspec.structs.replace(network, explored_at=START))
    explored = [decide(rested, FACTS, START, seed) for seed in range(2000)]
    curious = [decision for decision in explored if decision.explored]
    assert 20 <= len(curious) <= 70
    assert all(decision.order == (Arm.U, *decision.explored) for decision in curious)


def test_a_wrong_guess_gives_everything_for_a_day() -> None:
    network = msgspec.structs.replace(_well_known(), explored_at=START + HOUR)
    widened = widen(network, (Arm.T443,), START + HOUR)
    assert decide(Snapshot(widened), FACTS, START + OPEN, 3).dropped == ()
    assert widened.ways[Arm.T443].alpha == 2.0
    others = msgspec.structs.replace(widened, explored_at=START + HOUR + OPEN)
    assert decide(Snapshot(others), FACTS, START + HOUR + OPEN, 3).dropped == (Arm.U443,)


def test_a_call_without_a_check_after_something_was_dropped_is_a_wrong_guess() -> None:
    network = learn(_well_known(), leg((Arm.U,), {}, dropped=(Arm.U443, Arm.T443)), START)
    assert network.is_open(START)
    assert decide(Snapshot(network), FACTS, START, 3).dropped == ()


def test_a_network_whose_udp_dies_is_learnt_within_eight_calls_though_it_was_good_for_long() -> None:
    for good in (0, 8, 300):
        world = World(dict(ALL_WORK))
        world.calls(good)
        world.works = dict(UDP_DEAD)
        calls = 0
        while world.decision().order[0] is not Arm.T443:
            world.call()
            calls += 1
            assert calls <= 8


@pytest.mark.parametrize("pause", [20.0, 1800.0])
@pytest.mark.parametrize("dead", [8, 40, 500])
@pytest.mark.parametrize("speed", [20, 400])
def test_it_is_unlearnt_within_a_day_or_fifty_calls_after_udp_works_again(
    speed: int, dead: int, pause: float
) -> None:
    world = World({Arm.T443: speed})
    world.calls(dead)
    assert world.decision().order[0] is Arm.T443
    world.works = {Arm.U: 20, Arm.U443: 20, Arm.T443: speed}
    opened, calls = world.now, 0
    while world.decision().order[0] not in (Arm.U, Arm.U443):
        world.call(pause)
        calls += 1
        assert calls <= 50 or world.now - opened <= 24 * HOUR
    assert all(world.connected)


def test_a_new_network_is_judged_by_what_is_usual_for_the_user_agent_then_for_all() -> None:
    good = Network(ways={Arm.U: Way(alpha=30.0, rows=30, at=START)}, rows=30)
    bad = Network(ways={Arm.U: Way(beta=30.0, rows=30, at=START)}, rows=30)
    assert belief(Snapshot(None, good, bad), Arm.U, START).mean > 0.9
    assert belief(Snapshot(None, None, bad), Arm.U, START).mean < 0.1
    assert belief(Snapshot(None, None, None), Arm.U, START).mean == 0.5
    family = belief(Snapshot(None, good, None), Arm.U, START)
    assert family.alpha + family.beta == pytest.approx(2.0)


def test_direct_ways_work_where_clients_said_so_and_we_saw_calls_of_theirs() -> None:
    network: Network | None = None
    for _ in range(20):
        network = told(network, Report(ok=True, arm=Arm.DIRECT_HOST), START)
    assert not direct_works(Snapshot(network), START), "nobody but clients spoke"
    for _ in range(3):
        network = learn(network, leg(STATIC, ALL_WORK), START)
    assert direct_works(Snapshot(network), START)
    for _ in range(20):
        network = told(network, Report(ok=False, arm=Arm.DIRECT_HOST), START)
    assert not direct_works(Snapshot(network), START)
    assert not direct_works(Snapshot(), START)


# Feedback of an adversary.

reports = st.lists(
    st.builds(
        Report,
        ok=st.booleans(),
        arm=st.none() | st.sampled_from(Arm),
        cellular=st.none() | st.booleans(),
        moved=st.booleans(),
        said=st.none()
        | st.builds(Said, st.booleans(), st.integers(0, 65535), st.integers(0, 1000), st.integers(0, 65535)),
    ),
    max_size=40,
)
truths = st.dictionaries(st.sampled_from(STATIC), st.integers(1, 3000), min_size=1)


@given(reports)
def test_feedback_alone_changes_nothing(said: list[Report]) -> None:
    network: Network | None = None
    for report in said:
        network = told(network, report, START)
    assert decide(Snapshot(network), FACTS, START, 1).order == STATIC


@given(reports, st.integers(0, 5), st.booleans())
def test_feedback_moves_neither_the_relay_nor_a_nat(said: list[Report], seen: int, anew: bool) -> None:
    network: Network | None = None
    for _ in range(seen):
        record = msgspec.structs.replace(leg(STATIC, ALL_WORK), round_trip=40, maps_anew=anew)
        network = learn(network, record, START)
    silent = network or Network()
    for report in said:
        network = told(network, report, START)
    heard = network or Network()
    assert relay_round_trip(heard, START) == relay_round_trip(silent, START)
    assert maps_anew(heard) == maps_anew(silent)


@given(reports, truths, st.integers(0, 60), st.permutations(STATIC))
@settings(max_examples=80)
def test_feedback_never_departs_from_the_static_policy_where_we_saw_no_reason(
    said: list[Report], truth: dict[Arm, int], seen: int, order: list[Arm]
) -> None:
    silent = World(dict(truth), facts=Facts(tuple(order), Arm.U))
    silent.calls(seen)
    network = silent.network
    for report in said:
        network = told(network, report, silent.now)
    without = decide(Snapshot(silent.network), silent.facts, silent.now, 1)
    with_it = decide(Snapshot(network), silent.facts, silent.now, 1)
    assert set(with_it.dropped) <= set(without.dropped)
    assert _departures(with_it.order, order) <= _departures(without.order, order)
    working = [arm for arm in with_it.order if arm in truth]
    assert working or not [arm for arm in without.order if arm in truth]


def _departures(order: tuple[Arm, ...], plain: list[Arm]) -> set[tuple[Arm, Arm]]:
    pairs = {(one, other) for number, one in enumerate(order) for other in order[number + 1 :]}
    return {(one, other) for one, other in pairs if plain.index(one) > plain.index(other)}


def test_every_order_of_three_ways_can_come_of_what_was_seen() -> None:
    """The property above would hold as well if nothing were ever learnt."""
    arms = (Arm.U, Arm.V6, Arm.U443)
    reached = set()
    for order in permutations(arms):
        times = {arm: 10 + 1500 * place for place, arm in enumerate(order)}
        ways = {arm: Way(alpha=20.0, rows=20, at=START, times=[(START, ms)]) for arm, ms in times.items()}
        reached.add(decide(Snapshot(Network(ways=ways, rows=20)), Facts(arms, Arm.U), START, 1).order)
    assert len(reached) == 6
