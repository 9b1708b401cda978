"""What the packets at both phones say."""

from __future__ import annotations

import json

from bench.ice_lab.capture import Packet
from bench.ice_lab.media import STRANGER, UNDER_WAY, End, Move, one_way, round_trip

OLD, NEW, THERE = "192.0.2.10", "192.0.2.11", "192.0.2.20"
PTIME = 0.020


def sent(stream: int, count: int, own: str, begin: float = 0.0) -> tuple[Packet, ...]:
    return tuple(Packet(begin + number * PTIME, stream, number, own) for number in range(count))


def arrived(packets: tuple[Packet, ...], after: float, own: str) -> tuple[Packet, ...]:
    return tuple(one._replace(at=one.at + after, own=own) for one in packets)


def ends(there: float, back: float) -> tuple[End, End]:
    """A call of a second, with so many seconds of delay in each direction."""
    mine, theirs = sent(1, 50, OLD), sent(2, 50, THERE)
    return End((), mine, arrived(theirs, back, OLD)), End((), theirs, arrived(mine, there, THERE))


def test_a_round_trip_is_what_both_directions_take() -> None:
    trip = round_trip(*ends(0.025, 0.035), until=1.0)
    assert trip is not None
    assert round(trip, 3) == 0.060


def test_packets_of_another_stream_with_the_same_number_are_not_mistaken() -> None:
    caller, callee = ends(0.025, 0.035)
    stray = Packet(0.0, STRANGER, 30, THERE)
    taken = one_way(caller, End((), (), (stray, *callee.got)), 0.0, 1.0)
    assert taken is not None
    assert round(taken, 3) == 0.025


def test_what_changed_before_the_end_does_not_count() -> None:
    mine = sent(1, 100, OLD)
    got = arrived(mine[:50], 0.5, THERE) + arrived(mine[50:], 0.01, THERE)
    taken = one_way(End((), mine, ()), End((), (), got), since=1.2, until=2.0)
    assert taken is not None
    assert round(taken, 3) == 0.010


def test_a_direction_without_media_has_no_round_trip() -> None:
    caller, callee = ends(0.025, 0.035)
    assert round_trip(caller, End((), callee.sent, ()), until=1.0) is None


def test_the_first_media_is_not_the_strangers() -> None:
    stray = Packet(0.1, STRANGER, 0, OLD)
    end = End((), (), (stray, Packet(0.4, 1, 0, OLD)))
    assert (end.first, end.strange) == (0.4, 1)
    assert End((), (), (stray,)).first is None


def moved(got: tuple[Packet, ...], length: int = 100) -> Move:
    """The caller checks at its new address at 0.2 s; ``got`` came to it."""
    mover = End(((0.1, OLD), (0.2, NEW), (0.25, NEW)), sent(1, 10, OLD) + sent(3, 50, NEW, 0.2), got)
    peer_got = arrived(mover.sent, 0.07, THERE)[:-1]
    found = Move.of(mover, End((), sent(2, length, THERE), peer_got), NEW, until=length * PTIME)
    assert found is not None
    return found


def test_a_move_is_timed_from_the_first_check_at_the_new_address_and_its_losses_are_counted() -> None:
    packets = sent(2, 100, THERE)
    got = arrived(packets[:10], 0.07, OLD) + arrived(packets[14:], 0.07, NEW)
    found = moved(got)
    assert found.returned is not None
    assert round(found.returned, 3) == round(14 * PTIME + 0.07 - 0.2, 3)
    assert found.lost == 4
    assert found.sent == round((2.0 - UNDER_WAY - 0.2) / PTIME)
    assert found.lost_there == 1


def test_media_that_came_to_the_new_address_and_went_away_again_has_not_returned() -> None:
    packets = sent(2, 100, THERE)
    found = moved(arrived(packets[12:16], 0.07, NEW))
    assert found.returned is None
    assert found.lost == found.sent - 4


def test_a_caller_that_did_not_check_at_its_new_address_did_not_move() -> None:
    caller, callee = ends(0.025, 0.035)
    assert Move.of(caller, callee, NEW, until=1.0) is None


def test_ends_come_through_json_as_they_were() -> None:
    caller, callee = ends(0.025, 0.035)
    checked = End(((0.1, OLD),), caller.sent, callee.got)
    said = {"checks": checked.checks, "sent": checked.sent, "got": checked.got}
    assert End.of(json.loads(json.dumps(said))) == checked
