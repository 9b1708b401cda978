"""The agent against a browser, through NATs and bad networks, in simulated time."""

from __future__ import annotations

import itertools

import pytest

from relay.ice.agent import MAX_PATHS, Agent
from relay.ice.check import SENDS
from relay.ice.stun import is_stun
from tests.network.lab import EVIL, LTE, OURS, RELAY, THEIRS, WIFI, NatOf, connect, lab
from tests.network.leg import Leg
from tests.network.world import Dependence, Nat, Network, Socket

RTT = 0.05
MARGIN = 0.02
"""Seconds that a move may take beside the round trip."""


def restricted(network: Network, ip: str) -> Nat:
    return Nat(network, ip, filtering=Dependence.ADDRESS_AND_PORT)


def by_address(network: Network, ip: str) -> Nat:
    return Nat(network, ip, Dependence.ADDRESS, Dependence.ADDRESS)


NATS = pytest.mark.parametrize(
    "nat", [Nat, restricted, by_address, Nat.symmetric], ids=["open", "restricted", "address", "symmetric"]
)
ROLES = pytest.mark.parametrize("we_control", [False, True], ids=["controlled", "controlling"])


@NATS
@ROLES
def test_a_browser_is_connected_through_any_nat_with_few_checks(nat: NatOf, we_control: bool) -> None:
    it = connect(lab(nat=nat, we_control=we_control), 0.5)
    first_request = it.network.delay
    assert it.leg.moves[0][0] - first_request <= 2 * RTT + MARGIN
    assert it.leg.checks <= 4
    it.network.run(5.0)
    assert it.browser.selected is it.wifi
    assert len(it.leg.moves) == 1
    assert it.leg.strange == 0
    assert len(it.wifi.media) > 200
    assert len(it.leg.heard) > 200


@ROLES
@pytest.mark.parametrize("seed", [*range(20), 98])
def test_a_fifth_of_all_packets_lost_and_the_rest_in_disorder_is_no_obstacle(
    seed: int, we_control: bool
) -> None:
    it = connect(lab(Network(seed, loss=0.2, jitter=0.1), we_control=we_control), 8.0)
    assert it.leg.lost == []
    assert len(it.leg.moves) == 1
    it.network.run(60.0)
    assert it.leg.lost == []
    assert len(it.leg.moves) == 1


@ROLES
@pytest.mark.parametrize("ours", ["lower", "higher"])
def test_a_role_conflict_is_settled(we_control: bool, ours: str) -> None:
    it = connect(lab(we_control=we_control, both_claim=True, tie_breaker=1000 if ours == "lower" else 1))
    assert it.leg.agent.controlling is (ours == "higher")
    assert it.browser.controlling is (ours == "lower")
    assert it.browser.selected is it.wifi


@ROLES
def test_two_of_our_agents_find_each_other(we_control: bool) -> None:
    network = Network()
    left = Leg(network, RELAY, Agent(OURS, we_control, tie_breaker=1))
    right = Leg(network, ("192.0.2.2", 30000), Agent(THEIRS, not we_control, tie_breaker=2))
    left.answered(THEIRS)
    right.answered(OURS)
    left.check(right.at)
    network.run(1.0)
    assert (left.chosen, right.chosen) == (right.at, left.at)


def arrival(it_network: Network, ip: str, nominating: bool) -> float:
    """When the first check from ``ip`` reached us (with USE-CANDIDATE, if that is the question)."""
    return next(
        time + it_network.delay
        for time, source, _, datagram in it_network.carried
        if source[0] == ip
        and datagram[:2] == b"\x00\x01"
        and (b"\x00\x25\x00\x00" in datagram or not nominating)
    )


@NATS
@ROLES
def test_a_moved_browser_has_its_return_path_back_after_one_round_trip(nat: NatOf, we_control: bool) -> None:
    it = connect(lab(we_control=we_control), 10.0)
    lte = it.move(nat)
    it.network.run(5.0)
    moved_at, to = it.leg.moves[-1]
    assert to[0] == LTE
    assert moved_at - arrival(it.network, LTE, nominating=False) <= RTT + RTT * (not we_control) + MARGIN
    assert moved_at - arrival(it.network, LTE, nominating=not we_control) <= RTT + MARGIN
    assert it.browser.selected is lte
    assert len(it.leg.moves) == 2
    assert [address[0] for address in it.leg.forgotten] == [WIFI]
    assert {path.remote[0] for path in it.leg.agent.validated} == {LTE}


def test_a_move_that_nominates_at_once_takes_one_round_trip_in_all() -> None:
    it = connect(lab(aggressive=True), 10.0)
    it.move()
    it.network.run(1.0)
    assert it.leg.moves[-1][0] - arrival(it.network, LTE, nominating=True) <= RTT + MARGIN


@ROLES
def test_a_browser_comes_back_to_where_it_was(we_control: bool) -> None:
    it = connect(lab(we_control=we_control), 10.0)
    it.move()
    it.network.run(10.0)
    it.network.dead = {LTE}
    it.browser.leave(it.browser.interfaces[0])
    it.browser.add(it.wifi.socket, priority=1000)
    it.network.run(5.0)
    assert [address[0] for _, address in it.leg.moves] == [WIFI, LTE, WIFI]


@ROLES
def test_a_nat_that_forgets_its_ports_is_a_move(we_control: bool) -> None:
    it = connect(lab(we_control=we_control), 10.0)
    before = it.leg.chosen
    assert isinstance(it.wifi.socket.nat, Nat)
    it.wifi.socket.nat.reboot()
    it.network.run(10.0)
    assert it.leg.chosen != before
    assert it.leg.chosen == it.leg.moves[-1][1]
    assert it.wifi.media[-1] > it.network.now - 0.1


def test_a_second_interface_does_not_take_a_controlled_browser_off_its_path() -> None:
    it = connect(lab(we_control=True), 10.0)
    it.browser.add(Socket(Nat(it.network, LTE)), priority=1)
    it.network.run(120.0)
    assert len(it.leg.moves) == 1
    assert {path.remote[0] for path in it.leg.agent.validated} == {WIFI, LTE}


def test_a_controlled_browser_is_followed_to_an_interface_that_it_checked_all_the_time() -> None:
    it = connect(lab(we_control=True), 10.0)
    it.browser.add(Socket(Nat(it.network, LTE)), priority=1)
    it.network.run(10.0)
    it.network.dead.add(WIFI)
    it.browser.leave(it.wifi)
    it.network.run(5.0)
    assert [address[0] for _, address in it.leg.moves] == [WIFI, LTE]


@ROLES
def test_a_strangers_media_is_not_accepted_from_the_first_second_on(we_control: bool) -> None:
    it = lab(we_control=we_control)
    for number in range(100):
        it.network.at(number * 0.01, lambda: it.network.send((EVIL, 6666), RELAY, b"\x80 evil"))
    it.browser.start(OURS, RELAY)
    it.network.run(5.0)
    assert it.leg.strange == 100
    assert it.leg.heard == []


@ROLES
def test_replayed_checks_move_nothing(we_control: bool) -> None:
    it = connect(lab(we_control=we_control), 10.0, talking=False)
    overheard = [datagram for _, _, to, datagram in it.network.carried if to == RELAY and is_stun(datagram)]
    it.browser.mute = True
    for datagram in overheard:
        it.network.send((EVIL, 6666), RELAY, datagram)
    it.network.run(20.0)
    assert [address[0] for _, address in it.leg.moves] == [WIFI]
    assert it.leg.agent.selected[0].remote[0] == WIFI


@ROLES
def test_a_check_that_was_held_back_and_sent_by_another_moves_nothing(we_control: bool) -> None:
    it = connect(lab(we_control=we_control), 10.0)
    it.network.dead.add(WIFI)
    it.network.run(6.0)
    held = [datagram for time, _, to, datagram in it.network.carried if to == RELAY and time > 10.0]
    it.network.dead.clear()
    for datagram in filter(is_stun, held):
        it.network.send((EVIL, 6666), RELAY, datagram)
    it.network.run(20.0)
    assert [address[0] for _, address in it.leg.moves] == [WIFI]


def three_nominations(pause: float) -> Leg:
    """An aggressive browser in three networks; the best one is in the middle."""
    it = lab(aggressive=True)
    for number, priority in ((11, 3000), (12, 2000)):
        it.browser.add(Socket(Nat(it.network, f"203.0.113.{number}")), priority)
    for number, interface in enumerate(it.browser.interfaces):
        interface.checked = number * pause - 0.05
    it.browser.start(OURS, RELAY)
    it.network.run(0.5)
    return it.leg


def test_of_three_nominations_within_100_ms_the_best_wins() -> None:
    leg = three_nominations(0.0)
    assert leg.chosen is not None
    assert leg.chosen[0] == "203.0.113.11"


def test_of_three_nominations_far_apart_the_latest_wins() -> None:
    leg = three_nominations(0.15)
    assert leg.chosen is not None
    assert leg.chosen[0] == "203.0.113.12"


@ROLES
def test_consent_is_lost_after_30_seconds_and_comes_back_with_an_answered_check(we_control: bool) -> None:
    it = connect(lab(we_control=we_control), 10.0)
    it.network.dead.add(WIFI)
    it.network.run(27.0)
    assert it.leg.lost == []
    it.network.run(4.0)
    assert len(it.leg.lost) == 1
    assert it.leg.chosen is None
    assert [path.remote[0] for path in it.leg.agent.validated] == [WIFI]
    sent = it.leg.checks
    it.network.run(60.0)
    assert it.leg.checks == sent
    it.network.dead.clear()
    it.network.run(3.0)
    assert it.leg.chosen is not None
    assert len(it.leg.moves) == 2


def test_a_browser_that_checks_is_hardly_ever_asked() -> None:
    it = connect(lab(), 2.0)
    before = it.leg.checks
    it.network.run(600.0)
    assert it.leg.checks == before


def test_a_lite_peer_is_checked_and_asked_for_consent() -> None:
    it = lab(lite=True, answered=False)
    it.wifi.socket.send(RELAY, b"\x80 opens the NAT")
    it.leg.answered(THEIRS, lite=True)
    it.leg.check((WIFI, 50000))
    it.network.run(0.2)
    assert it.leg.chosen == (WIFI, 50000)
    before = it.leg.checks
    it.network.run(600.0)
    assert it.leg.lost == []
    assert 600 / 12 <= it.leg.checks - before <= 600 / 4


@pytest.mark.parametrize("says_alive", [False, True])
def test_a_peer_that_only_sends_media_keeps_the_path_if_its_media_is_authenticated(says_alive: bool) -> None:
    it = connect(lab(), 5.0)
    it.leg.says_alive = says_alive
    it.browser.mute = True
    it.network.run(120.0)
    assert (it.leg.lost == []) is says_alive
    assert it.leg.heard[-1][0] > it.network.now - 0.1


def test_a_peer_whose_consent_was_lost_is_checked_when_its_media_is_authenticated() -> None:
    it = connect(lab(), 5.0)
    it.network.dead.add(WIFI)
    it.network.run(40.0)
    assert len(it.leg.lost) == 1
    it.browser.lite = it.leg.says_alive = True
    it.network.dead.clear()
    it.network.run(1.0)
    assert it.leg.chosen is not None


@ROLES
def test_a_phone_may_ring_for_two_minutes(we_control: bool) -> None:
    it = lab(we_control=we_control, answered=False)
    it.browser.start(OURS, RELAY)
    it.network.run(120.0)
    assert it.leg.checks == 0
    it.leg.answered(THEIRS)
    it.network.run(0.2)
    assert it.leg.connected


def test_checks_stop_while_it_rings_and_go_on_with_the_answer() -> None:
    it = lab(we_control=True)
    it.leg.check((WIFI, 50000))
    it.network.run(120.0)
    assert it.leg.checks == SENDS
    it.browser.lite = True
    it.browser.start(OURS, RELAY)
    it.wifi.socket.send(RELAY, b"\x80 opens the NAT")
    it.leg.act(it.leg.agent.resume(it.network.now))
    it.network.run(0.2)
    assert it.leg.connected


def test_many_new_sources_are_checked_one_every_20_ms() -> None:
    it = lab()
    for number in range(20):
        it.browser.add(Socket(Nat(it.network, f"203.0.113.{number + 2}")))
    it.browser.start(OURS, RELAY)
    it.network.run(0.04)
    checks: list[float] = []
    it.network.run(0.5)
    seen: set[bytes] = set()
    for time, source, _, datagram in it.network.carried:
        if source == RELAY and datagram[:2] == b"\x00\x01" and datagram[8:20] not in seen:
            seen.add(datagram[8:20])
            checks.append(time)
    assert checks[0] == it.network.delay
    assert all(later - earlier > 0.0199 for earlier, later in itertools.pairwise(checks))
    assert len(checks) >= 20
    assert len(it.leg.agent.validated) <= MAX_PATHS
