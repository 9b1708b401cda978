"""What advice becomes of calls: simulated time, phones that have only what they were advised to have."""

from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.memory.advice import TTL_BOLD, TTL_KNOWN
from relay.memory.arms import Arm
from relay.memory.decision import Snapshot, decide
from relay.memory.knowledge import HALF_LIFE, SITES, STEADY, Network, Report, learn, told
from relay.memory.record import Record
from tests.relay.memory.phones import ELSEWHERE, FACTS, HERE, TURN, Hotel
from tests.relay.memory.world import HOUR, KEY, leg

OPEN = {Arm.V6: 30, Arm.U: 20, Arm.TURN: 300}
BLOCKED = {Arm.TURN: 300}
phones = pytest.mark.parametrize(
    "phone", [(True, False), (False, False), (False, True)], ids=["named", "not", "said"]
)
"""Whether phones name their TURN candidate, and whether apps speak."""
works = pytest.mark.parametrize("works", [OPEN, {Arm.U: 20, Arm.TURN: 300}], ids=["both", "IPv4"])


def silent(seconds: int = 20) -> Record:
    """An answered leg that no check came of."""
    return leg((Arm.V6, Arm.U), {}, seconds=seconds)


def known(runs: int = STEADY) -> Hotel:
    hotel = Hotel(dict(OPEN))
    hotel.calls(runs)
    return hotel


@works
def test_where_phones_come_straight_thirty_times_they_are_told_of_no_turn_server(
    works: dict[Arm, int],
) -> None:
    hotel = Hotel(dict(works))
    hotel.calls(STEADY - 1)
    assert hotel.advice().turn == TURN
    hotel.call()
    advice = hotel.advice()
    assert (advice.turn, advice.transports, advice.ttl) == ((), ("udp",), TTL_BOLD)


@phones
@works
@pytest.mark.parametrize("good", [0, 8, 30, 300])
def test_where_udp_dies_turn_is_back_after_one_call_and_tcp_first_within_eight(
    works: dict[Arm, int], good: int, phone: tuple[bool, bool]
) -> None:
    hotel = Hotel(dict(works), *phone)
    hotel.calls(good)
    hotel.works = dict(BLOCKED)
    hotel.call()
    assert hotel.advice().turn == TURN
    hotel.calls(7)
    assert hotel.advice().turn == TURN
    assert hotel.connected[good + 1 :] == [True] * 7
    assert hotel.advice().transports == (("tcp", "udp") if any(phone) else ("udp", "tcp"))


@phones
def test_a_phone_that_keeps_its_advice_is_without_turn_for_an_hour_at_most(phone: tuple[bool, bool]) -> None:
    hotel = Hotel(dict(OPEN), *phone)
    hotel.calls(STEADY)
    kept, since = hotel.advice(), hotel.now
    hotel.works, hotel.connected = dict(BLOCKED), []
    while hotel.now < since + kept.ttl:
        hotel.call(kept, pause=300.0)
    hotel.call()
    assert hotel.connected == [False] * 12 + [True]


@phones
@works
@pytest.mark.parametrize("pause", [20.0, 1800.0])
@pytest.mark.parametrize("dead", [8, 40, 500])
def test_where_udp_works_again_turn_is_dropped_within_a_day_or_fifty_calls(
    works: dict[Arm, int], dead: int, pause: float, phone: tuple[bool, bool]
) -> None:
    hotel = Hotel(dict(works), *phone)
    hotel.calls(STEADY)
    hotel.works = dict(BLOCKED)
    hotel.calls(dead)
    hotel.works = dict(works)
    opened, calls = hotel.now, 0
    while hotel.advice().turn or hotel.advice().transports[0] != "udp":
        hotel.call(pause=pause)
        calls += 1
        assert calls <= 50 or hotel.now - opened <= 24 * HOUR
    assert all(hotel.connected[STEADY + 1 :])


@pytest.mark.parametrize("apps_speak", [False, True])
def test_where_turn_alone_works_it_is_never_taken_away_though_no_phone_names_it(apps_speak: bool) -> None:
    hotel = Hotel(dict(BLOCKED), names_turn=False, apps_speak=apps_speak)
    for _ in range(200):
        hotel.call()
        assert hotel.advice().turn == TURN
    assert all(hotel.connected)


@pytest.mark.parametrize(
    ("seconds", "received", "mode", "turn"),
    [
        (20, 0, "relay", TURN),
        (5, 0, "relay", TURN),
        (4, 0, "relay", ()),
        (20, 0, "assist", ()),
        (20, 500, "relay", ()),
    ],
    ids=["silent", "just long enough", "too short", "may have gone direct", "media came without checks"],
)
def test_one_answered_call_that_never_reached_us_brings_turn_back(
    seconds: int, received: int, mode: str, turn: tuple[str, ...]
) -> None:
    hotel = known()
    record = msgspec.structs.replace(silent(seconds), received=received, mode=mode)
    hotel.network = learn(hotel.network, record, hotel.now, HERE)
    assert hotel.advice().turn == turn


def test_a_call_whose_media_never_flowed_though_the_path_was_there_says_nothing() -> None:
    hotel = known()
    muted = leg((Arm.V6, Arm.U), dict(OPEN), received=3, same_site=True)
    hotel.network = learn(hotel.network, muted, hotel.now, HERE)
    assert hotel.advice().turn == ()


@pytest.mark.parametrize(
    ("ok", "arm", "turn"),
    [
        (False, Arm.U, TURN),
        (False, Arm.V6, TURN),
        (True, Arm.TURN, TURN),
        (True, Arm.U, ()),
        (False, Arm.TURN, ()),
        (False, None, ()),
    ],
)
def test_an_app_that_could_not_do_without_turn_brings_it_back(
    ok: bool, arm: Arm | None, turn: object
) -> None:
    hotel = known()
    hotel.network = told(hotel.network, Report(ok=ok, arm=arm), hotel.now)
    assert hotel.advice().turn == turn
    hotel.calls(STEADY)
    assert hotel.advice().turn == (), "unless thirty more calls show that it was wrong"


def test_what_was_seen_long_ago_takes_nothing_away() -> None:
    hotel = known()
    hotel.now += HALF_LIFE
    assert hotel.advice().turn == TURN


def test_who_asks_from_an_unknown_place_is_always_told_of_turn() -> None:
    hotel = known()
    assert hotel.advice(b"").turn == TURN
    hotel.calls(STEADY, site=b"")
    assert hotel.advice(b"").turn == TURN


def test_the_sites_of_a_network_are_bounded_and_the_latest_stay() -> None:
    hotel = Hotel(dict(OPEN))
    for number in range(100):
        hotel.calls(2, site=bytes([number]) * 8)
    assert hotel.network is not None
    assert list(hotel.network.straight) == [bytes([number]) * 8 for number in range(100 - SITES, 100)]


# A stranger, who says that he is in that network and is not.


@pytest.mark.parametrize("calls", [8, 1000])
@pytest.mark.parametrize("real", [0, 10])
def test_what_a_stranger_does_under_a_networks_name_takes_turn_from_nobody_who_is_there(
    calls: int, real: int
) -> None:
    hotel = Hotel(dict(BLOCKED), names_turn=False)
    hotel.calls(real)
    hotel.works = dict(OPEN)
    hotel.calls(calls, site=ELSEWHERE)
    hotel.works = dict(BLOCKED)
    assert hotel.advice().turn == TURN
    hotel.calls(10)
    assert all(hotel.connected)


def test_a_stranger_cannot_make_tcp_come_first_where_phones_come_straight() -> None:
    hotel = known(3)
    hotel.works = dict(BLOCKED)
    hotel.calls(50, site=ELSEWHERE)
    assert hotel.advice(ELSEWHERE).transports == ("tcp", "udp")
    assert hotel.advice().transports == ("udp", "tcp")


records = st.builds(
    Record,
    network=st.just(KEY),
    family=st.none(),
    mode=st.sampled_from(("relay", "assist")),
    given=st.permutations((Arm.V6, Arm.U, Arm.TURN)).map(tuple),
    usable=st.dictionaries(st.sampled_from((Arm.V6, Arm.U, Arm.TURN)), st.integers(0, 9000)),
    seen=st.lists(st.sampled_from((Arm.V6, Arm.U, Arm.TURN)), unique=True).map(tuple),
    chosen=st.none() | st.sampled_from((Arm.V6, Arm.U, Arm.TURN)),
    received=st.integers(0, 200),
    seconds=st.integers(0, 60),
    answered=st.booleans(),
    same_site=st.booleans(),
)
reports = st.builds(
    Report, ok=st.booleans(), arm=st.none() | st.sampled_from(Arm), cellular=st.none() | st.booleans()
)


@given(st.lists(records, max_size=8), st.lists(reports, max_size=30), st.integers(0, 40))
@settings(max_examples=150)
def test_eight_calls_and_any_feedback_of_a_stranger_leave_everything_to_the_phones_that_are_there(
    calls: list[Record], said: list[Report], seen: int
) -> None:
    """All of our candidates, and TURN as long as they did not show themselves that they need none."""
    hotel = Hotel(dict(OPEN), names_turn=False)
    hotel.calls(seen)
    before = hotel.advice().turn
    network: Network | None = hotel.network
    for record in calls:
        network = learn(network, record, hotel.now, ELSEWHERE)
    for report in said:
        network = told(network, report, hotel.now)
    hotel.network = network
    assert set(before) <= set(hotel.advice().turn)
    assert decide(Snapshot(network), FACTS, hotel.now, 1).dropped == ()


@pytest.mark.parametrize("share", [0.03, 0.1, 0.3])
def test_behind_an_address_that_many_networks_share_few_are_told_to_do_without_turn_and_cannot(
    share: float,
) -> None:
    dice = random.Random(5)
    hotel = Hotel({})
    for _ in range(5000):
        hotel.works = dict(BLOCKED if dice.random() < share else OPEN)
        hotel.call()
    assert hotel.connected.count(False) < 0.013 * len(hotel.connected)


def test_advice_that_takes_nothing_away_holds_for_a_day() -> None:
    hotel = Hotel(dict(BLOCKED), names_turn=False)
    hotel.calls(20)
    assert (hotel.advice().turn, hotel.advice().ttl) == (TURN, TTL_KNOWN)
