"""What is written down of a leg when it ends."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from relay.calls.moves import went_to
from relay.calls.outcome import record
from relay.calls.quality import Told
from relay.calls.report import Readings, Traffic
from relay.calls.state import Call, Leg
from relay.ice.policy import Optimizer, Order, Place, Policy
from relay.memory.arms import Arm
from relay.memory.identity import Identity
from relay.memory.knowledge import Report
from relay.memory.record import Record
from sdp.ice import read
from tests.relay.calls.desk import ALICE, BOB, ICE, PLAIN, RELAY, RELAY6, UNIX, Desk, sdp
from tests.relay.calls.test_ice import ALICE_KEYS, BOB_ICE, NAT, WITH_ICE, Phone

HOME = Identity(b"h" * 16, b"f" * 16, True, "linphone")
TRAFFIC = Traffic(rtp_packets=100, sent_packets=90, checks=7)


class Book:
    """Keeps the records of a desk's legs, by tag."""

    def __init__(self, desk: Desk, reported: Told = lambda rule: (), traffic: Traffic = TRAFFIC) -> None:
        self.records: dict[str, Record] = {}
        self.reasons: list[str] = []
        desk.registry.on_end = self._ended
        self._desk = desk
        self._reported = reported
        self._traffic = traffic

    def _ended(self, call: Call, leg: Leg, reason: str) -> None:
        readings = Readings(lambda rule: self._traffic, lambda monotonic: monotonic + UNIX, self._reported)
        self.records[leg.tag or ""] = record(call, leg, HOME, reason, self._desk.now, readings)
        self.reasons.append(reason)


def talk(desk: Desk, *more: str, delay: float = 0.0) -> Phone:
    """Alice checks the relay half a second after the answer, and bob never does.

    ``more`` of her candidates; ``delay``: seconds until she answers a check.
    """
    caller = sdp(ALICE, 10000, *ICE, *more)
    desk.offer(caller, ICE="force")
    desk.now += 20.0
    answer = desk.answer(sdp(BOB, 20000, *BOB_ICE))
    alice = Phone(desk, NAT, ALICE_KEYS, True, answer)
    desk.now += 0.5
    alice.check(delay)
    return alice


def end(desk: Desk, seconds: float = 60.0) -> None:
    desk.now += seconds
    desk.command("delete", call_id="call", delete_delay=0)


def test_a_leg_that_worked_says_when_and_how() -> None:
    desk = Desk(PLAIN[:1])
    book = Book(desk)
    talk(desk)
    end(desk)
    found = book.records["A"]
    assert (found.network, found.family, found.named) == (HOME.network, HOME.family, True)
    assert (found.mode, found.given, found.seen) == ("relay", (Arm.U,), (Arm.U,))
    assert (found.first_check, found.usable, found.chosen) == (500, {Arm.U: 500}, Arm.U)
    assert (found.remote, found.offered) == ("prflx", 1)
    assert found.checks_out >= 1
    assert found.checks_in >= 2 * TRAFFIC.checks
    assert (found.seconds, found.answered, found.reason) == (60, True, "deleted")
    assert found.received >= 100
    assert found.counts
    assert found.worked == (Arm.U,)


def test_the_other_leg_that_never_checked_says_so() -> None:
    desk = Desk(PLAIN[:1])
    book = Book(desk)
    talk(desk)
    end(desk)
    found = book.records["B"]
    assert (found.first_check, found.usable, found.seen, found.chosen) == (None, {}, (), None)
    assert (found.worked, found.failed) == ((), ())


def test_what_came_through_the_peers_turn_server_is_its_way() -> None:
    desk = Desk(PLAIN[:1])
    book = Book(desk)
    talk(desk, f"candidate:3 1 udp 16777215 {NAT[0]} {NAT[1]} typ relay raddr 10.0.0.5 rport 1")
    end(desk)
    found = book.records["A"]
    assert (found.given, found.chosen, found.remote) == ((Arm.U, Arm.TURN), Arm.TURN, "relay")
    assert (found.worked, found.failed) == ((Arm.TURN,), (Arm.U,))


def test_a_call_that_was_never_answered_does_not_count() -> None:
    desk = Desk(PLAIN[:1])
    book = Book(desk)
    desk.offer(WITH_ICE, ICE="force")
    end(desk)
    assert {tag: found.counts for tag, found in book.records.items()} == {"A": False, "": False}


def test_a_phone_that_rang_while_another_one_answered_does_not_count() -> None:
    desk = Desk(PLAIN[:1])
    book = Book(desk)
    for branch in ("one", "two"):
        desk.offer(WITH_ICE, ICE="force", via_branch=branch)
    desk.answer(sdp(BOB, 20000, *BOB_ICE), via_branch="one")
    end(desk)
    assert {tag: found.counts for tag, found in book.records.items()} == {"A": True, "B": True, "": False}


def test_every_leg_is_told_of_once_however_the_call_ends() -> None:
    for ending in ("delete", "branch", "timeout", "shutdown"):
        desk = Desk(PLAIN[:1])
        book = Book(desk)
        talk(desk)
        if ending == "delete":
            end(desk)
        elif ending == "branch":
            desk.command("delete", call_id="call", from_tag="A", delete_delay=0)
        elif ending == "timeout":
            desk.tick(100.0)
        else:
            desk.registry.end_all()
        assert set(book.records) == {"A", "B"}, ending
        assert len(book.reasons) == 2, ending
        assert desk.box.rules == {}


def test_a_move_is_counted_and_a_restart_forgets_nothing() -> None:
    desk = Desk(PLAIN[:1])
    book = Book(desk)
    alice = talk(desk)
    moved = Phone(desk, ("198.51.100.7", 7000), ALICE_KEYS, True, alice.relay)
    desk.now += 2.0
    moved.check()
    restarted = WITH_ICE.replace("ufrag:abcd", "ufrag:efgh").replace("pwd:abcd", "pwd:efgh")
    desk.offer(restarted, to_tag="B", ICE="force")
    end(desk)
    assert (book.records["A"].moves, book.records["A"].first_check) == (1, 500)


def test_a_failed_command_leaves_no_record() -> None:
    desk = Desk(PLAIN[:1])
    book = Book(desk)
    desk.box.limit = 0
    with pytest.raises(ValueError, match="ports"):
        desk.offer(WITH_ICE, ICE="force")
    assert book.records == {}


# Whether a phone needs its TURN server.

BARE = ICE[:2]
TURN_SERVER = ("203.0.113.90", 50000)


def named_turn(port: int) -> str:
    return f"candidate:3 1 udp 16777215 {TURN_SERVER[0]} {port} typ relay raddr 10.0.0.5 rport 1"


def call_from(
    desk: Desk, source: tuple[str, int], *lines: str, signals_from: str | None = NAT[0], by_turn: bool = False
) -> Record:
    """A call whose caller checks us from ``source``. Returns the caller's record."""
    book = Book(desk)
    place = {} if signals_from is None else {"received_from": signals_from}
    desk.offer(sdp(ALICE, 10000, *lines), ICE="force", **place)
    answer = desk.answer(sdp(BOB, 20000, *BOB_ICE))
    Phone(desk, source, ALICE_KEYS, True, answer).check()
    leg = next(leg for leg in desk.registry.calls["call"].legs.values() if leg.tag == "A")
    leg.by_turn = by_turn
    end(desk)
    return book.records["A"]


@pytest.mark.parametrize("lines", [BARE, ICE, (*ICE, named_turn(50000))], ids=["bare", "host", "with TURN"])
def test_a_phone_that_checks_from_where_it_signals_from_comes_straight(lines: tuple[str, ...]) -> None:
    found = call_from(Desk(PLAIN[:1]), NAT, *lines)
    assert (found.chosen, found.remote, found.straight) == (Arm.U, "prflx", True)


@pytest.mark.parametrize("signals_from", [NAT[0], None, "2001:db8:5::1"])
@pytest.mark.parametrize("lines", [BARE, ICE])
def test_an_address_that_the_phone_does_not_signal_from_may_be_its_turn_server(
    signals_from: str | None, lines: tuple[str, ...]
) -> None:
    found = call_from(Desk(PLAIN[:1]), TURN_SERVER, *lines, signals_from=signals_from)
    assert (found.chosen, found.worked, found.failed) == (Arm.U, (Arm.U,), ())
    assert found.straight is False


def test_an_address_of_a_turn_server_that_the_phone_named_is_one_whatever_the_port() -> None:
    found = call_from(Desk(PLAIN[:1]), TURN_SERVER, *ICE, named_turn(TURN_SERVER[1] + 2))
    assert (found.chosen, found.worked, found.failed) == (Arm.TURN, (Arm.TURN,), (Arm.U,))
    assert found.straight is False


@pytest.mark.parametrize("source", [NAT, TURN_SERVER])
def test_an_app_that_says_that_it_came_by_turn_is_believed(source: tuple[str, int]) -> None:
    found = call_from(Desk(PLAIN[:1]), source, *BARE, by_turn=True)
    assert (found.given, found.worked, found.failed) == ((Arm.U, Arm.TURN), (Arm.TURN,), (Arm.U,))
    assert found.straight is False


def test_what_an_app_says_of_turn_counts_for_nothing_where_the_phone_named_the_address() -> None:
    host = f"candidate:4 1 udp 2130706431 {NAT[0]} {NAT[1]} typ host"
    found = call_from(Desk(PLAIN[:1]), NAT, *BARE, host, by_turn=True)
    assert (found.chosen, found.straight) == (Arm.U, True)


@pytest.mark.parametrize(
    ("seconds", "option", "unreached"), [(20, "force", True), (4, "force", False), (20, "optional", False)]
)
def test_a_phone_that_never_had_a_path_to_us_is_told_of_unless_it_had_no_time_or_another_path(
    seconds: float, option: str, unreached: bool
) -> None:
    desk = Desk(PLAIN[:1])
    book = Book(desk, traffic=Traffic())
    desk.offer(sdp(ALICE, 10000, *BARE), ICE=option)
    desk.answer(sdp(BOB, 20000, *BOB_ICE))
    end(desk, seconds)
    assert {tag: one.unreached for tag, one in book.records.items()} == {"A": unreached, "B": unreached}
    assert book.records["A"].straight is (False if unreached else None)


def test_a_phone_that_reached_us_or_has_no_ice_is_not_told_of() -> None:
    desk = Desk(PLAIN[:1])
    book = Book(desk, traffic=Traffic())
    desk.offer(sdp(ALICE, 10000, *BARE), ICE="force")
    answer = desk.answer(sdp(BOB, 20000))
    Phone(desk, NAT, ALICE_KEYS, True, answer).check()
    end(desk, 20)
    assert [one.unreached for one in book.records.values()] == [False, False]


@pytest.mark.parametrize("named", [{}, {"from_tag": "A"}, {"from_tag": "B"}])
def test_the_delay_of_a_delete_is_not_talked_in(named: dict[str, str]) -> None:
    desk = Desk(PLAIN[:1])
    book = Book(desk, traffic=Traffic())
    desk.offer(sdp(ALICE, 10000, *BARE), ICE="force")
    desk.answer(sdp(BOB, 20000, *BOB_ICE))
    desk.now += 3.0
    desk.command("delete", call_id="call", delete_delay=30, **named)
    desk.tick(31.0)
    assert [(one.seconds, one.unreached) for one in book.records.values()] == [(3, False)] * 2


def test_a_delete_that_another_offer_took_back_ends_no_talk() -> None:
    desk = Desk(PLAIN[:1])
    book = Book(desk)
    desk.offer(WITH_ICE, ICE="force")
    desk.answer(sdp(BOB, 20000, *BOB_ICE))
    desk.command("delete", call_id="call", delete_delay=30)
    desk.now += 10.0
    desk.offer(WITH_ICE, to_tag="B", ICE="force")
    end(desk, 20.0)
    assert book.records["A"].seconds == 30


def test_a_branch_that_came_late_is_not_older_than_it_is() -> None:
    desk = Desk(PLAIN[:1])
    book = Book(desk, traffic=Traffic())
    desk.offer(WITH_ICE, ICE="force", via_branch="one")
    desk.answer(sdp(BOB, 20000, *BOB_ICE), via_branch="one")
    desk.now += 60.0
    desk.offer(WITH_ICE, ICE="force", via_branch="two")
    desk.answer(sdp(BOB, 20000, *BOB_ICE), to_tag="C", via_branch="two")
    end(desk, 3.0)
    assert (book.records["C"].seconds, book.records["C"].unreached) == (3, False)
    assert book.records["B"].unreached


# The order that earlier calls taught.


def ordered(order: Order | None) -> Callable[[Place, tuple[int, ...], int], Order | None]:
    def asked(place: Place, families: tuple[int, ...], default: int) -> Order | None:
        assert (families, default) == ((6, 4), 4)
        return order

    return asked


@pytest.mark.parametrize(
    ("order", "addresses"),
    [
        (None, [RELAY6, RELAY]),
        (Order((4, 6)), [RELAY, RELAY6]),
        (Order((6, 4), explored=(6,)), [RELAY6, RELAY]),
        (Order((4,), dropped=(6,)), [RELAY]),
    ],
)
def test_our_candidates_come_in_the_learnt_order(order: Order | None, addresses: list[str]) -> None:
    desk = Desk()
    book = Book(desk)
    desk.registry.optimizer = Optimizer(order=ordered(order))
    offer = desk.offer(WITH_ICE, ICE="optimize", rtcp_mux=["require"])
    told = sorted(read(offer, offer.medias[0]).candidates, key=lambda candidate: -candidate.priority)
    assert [candidate.address for candidate in told] == addresses
    desk.answer(sdp(BOB, 20000, *BOB_ICE))
    end(desk)
    ways = {4: Arm.U, 6: Arm.V6}
    found = book.records["B"]
    assert found.given == tuple(Arm.V6 if ":" in address else Arm.U for address in addresses)
    assert found.dropped == tuple(ways[family] for family in (order.dropped if order else ()))
    assert found.explored == tuple(ways[family] for family in (order.explored if order else ()))


# What the phone's NAT does.


def srflx(port: int) -> str:
    return f"candidate:2 1 udp 1694498815 {NAT[0]} {port} typ srflx raddr 10.0.0.5 rport 40000"


@pytest.mark.parametrize(
    ("candidates", "anew"), [((), None), ((srflx(NAT[1]),), False), ((srflx(NAT[1] + 1),), True)]
)
def test_a_check_from_another_port_than_a_stun_server_saw_shows_what_the_nat_does(
    candidates: tuple[str, ...], anew: bool | None
) -> None:
    desk = Desk(PLAIN[:1])
    book = Book(desk)
    talk(desk, *candidates)
    end(desk)
    assert book.records["A"].maps_anew is anew
    assert book.records["B"].maps_anew is None


# A phone that goes elsewhere.

CELL = Report(ok=True, cellular=True)
LTE = ("192.0.2.200", 7000)


def test_a_phone_that_was_followed_by_its_checks_went_to_where_they_come_from_now() -> None:
    desk = Desk(PLAIN[:1])
    alice = talk(desk)
    leg = next(leg for leg in desk.registry.calls["call"].legs.values() if leg.tag == "A")
    assert went_to(leg, CELL) is None, "its app says what network it is in, and it is still there"
    desk.now += 2.0
    Phone(desk, LTE, ALICE_KEYS, True, alice.relay).check()
    assert went_to(leg, CELL) == Place(LTE[0])
    assert went_to(leg, Report(ok=True)) is None


def test_a_phone_that_says_that_it_moved_and_is_not_seen_elsewhere_is_nowhere() -> None:
    desk = Desk(PLAIN[:1])
    talk(desk)
    leg = next(leg for leg in desk.registry.calls["call"].legs.values() if leg.tag == "A")
    assert went_to(leg, Report(ok=True, cellular=True, moved=True)) == Place()


def test_signalling_from_the_new_network_is_believed_before_anything_else() -> None:
    desk = Desk(PLAIN[:1])
    talk(desk)
    leg = next(leg for leg in desk.registry.calls["call"].legs.values() if leg.tag == "A")
    leg.went_to = Place(LTE[0])
    desk.offer(WITH_ICE, to_tag="B", ICE="force")
    assert leg.went_to is not None
    desk.offer(WITH_ICE, to_tag="B", ICE="force", received_from=LTE[0], sip_transport="tls")
    assert leg.place == Place(LTE[0], transport="tls")
    assert not leg.went_to


def test_what_was_left_out_is_not_learnt_from_twice_nor_where_phones_check_each_other() -> None:
    for widened, always in ((False, False), (True, False), (False, True)):
        desk = Desk()
        book = Book(desk)
        policies = (Policy("x", assist=frozenset(("always",))),) if always else ()
        desk.registry.optimizer = Optimizer(policies, order=ordered(Order((4,), dropped=(6,))))
        desk.offer(sdp(ALICE, 10000, "rtcp-mux", *ICE), ICE="optimize")
        desk.answer(sdp(BOB, 20000, "rtcp-mux", *BOB_ICE))
        desk.tick(5.0 if widened else 1.0)
        end(desk)
        assert book.records["B"].dropped == (() if widened or always else (Arm.V6,))
