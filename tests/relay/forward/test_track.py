"""Loss and jitter of a stream, in C and in Python (RFC 3550, sections 6.4.1 and A.1, A.3, A.8)."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest

from relay.forward._fastpath import Tracker
from relay.forward.fake_track import MAX_ABSENT, MAX_DROPOUT, Track

TWINS = pytest.mark.parametrize("twin", [Track, Tracker], ids=["slow", "native"])
CLOCK = 8000
FRAME = 20_000_000
"""Nanoseconds between two packets of 160 samples."""


def flaws(track: Track | Tracker, sequences: Iterable[int], ssrc: int = 7) -> list[int]:
    return [track.packet(ssrc, number % 65536, 0, 0, 0) for number in sequences]


def lost(track: Track | Tracker, sequences: Iterable[int]) -> int:
    """Skipped less late."""
    return sum(flaws(track, sequences))


@TWINS
def test_nothing_is_lost_while_numbers_go_on(twin: type[Track | Tracker]) -> None:
    assert lost(twin(), range(65500, 65600)) == 0


@TWINS
def test_missing_numbers_are_lost(twin: type[Track | Tracker]) -> None:
    assert flaws(twin(), [10, 11, 15, 16]) == [0, 0, 3, 0]


@TWINS
def test_a_packet_that_comes_late_was_not_lost(twin: type[Track | Tracker]) -> None:
    assert lost(twin(), [10, 12, 11, 13]) == 0


@TWINS
def test_a_packet_that_comes_twice_is_taken_off(twin: type[Track | Tracker]) -> None:
    assert flaws(twin(), [10, 11, 11, 12]) == [0, 0, -1, 0]


@TWINS
def test_a_leap_is_another_beginning_once_the_next_packet_follows_it(twin: type[Track | Tracker]) -> None:
    track = twin()
    far = 10 + MAX_DROPOUT
    assert flaws(track, [10, far, far + 1, far + 3]) == [0, 0, 0, 1]


@TWINS
def test_a_single_stray_number_changes_nothing(twin: type[Track | Tracker]) -> None:
    assert flaws(twin(), [10, 30000, 11, 12]) == [0, 0, 0, 0]


@TWINS
def test_a_second_ssrc_beside_the_first_is_not_followed(twin: type[Track | Tracker]) -> None:
    track = twin()
    for number in range(0, 300, 3):
        assert flaws(track, [number], ssrc=7) == [2 if number else 0]
        assert flaws(track, [number, number + 50], ssrc=8) == [0, 0]


@TWINS
def test_a_second_ssrc_is_followed_when_the_first_is_gone(twin: type[Track | Tracker]) -> None:
    track = twin()
    flaws(track, [1, 2], ssrc=7)
    assert sum(flaws(track, range(0, 2 * MAX_ABSENT, 2), ssrc=8)) == 0
    assert flaws(track, [1000, 1002], ssrc=8) == [0, 1]


@TWINS
def test_packets_that_come_in_time_have_no_jitter(twin: type[Track | Tracker]) -> None:
    track = twin()
    for number in range(100):
        track.packet(7, number, 160 * number, CLOCK, FRAME * number)
    assert (track.jitter, track.clock) == (0, CLOCK)


@TWINS
def test_jitter_nears_the_mean_difference_of_transit(twin: type[Track | Tracker]) -> None:
    track = twin()
    for number in range(1000):
        late = 5_000_000 if number % 2 else 0
        track.packet(7, number, 160 * number, CLOCK, FRAME * number + late)
    assert track.jitter / 16 / CLOCK == pytest.approx(0.005, rel=0.05)


@TWINS
def test_payload_types_without_a_clock_tell_no_jitter(twin: type[Track | Tracker]) -> None:
    track = twin()
    for number in range(100):
        event = number % 10 == 9  # telephone-event: the same timestamp again and again
        track.packet(7, number, 0 if event else 160 * number, 0 if event else CLOCK, FRAME * number)
    assert track.jitter == 0


@TWINS
def test_another_clock_begins_anew(twin: type[Track | Tracker]) -> None:
    track = twin()
    for number in range(10):
        track.packet(7, number, 0, CLOCK, FRAME * number)
    assert track.jitter > 0
    track.packet(7, 10, 0, 48000, FRAME * 10)
    assert (track.jitter, track.clock) == (0, 48000)


@pytest.mark.parametrize("seed", range(20))
def test_twins_agree_on_random_packets(seed: int) -> None:
    dice = random.Random(seed)
    slow, native = Track(), Tracker()
    sequence, now, timestamp = dice.randrange(65536), dice.randrange(2**50), dice.randrange(2**32)
    for _ in range(2000):
        sequence += dice.choice([1] * 20 + [0, 2, 5, -1, -30, -99, -101, 2999, 3000, 40000])
        timestamp += dice.choice([160] * 20 + [0, 3000, -160, 2**31, 80000])
        now += dice.randrange(2 * FRAME)
        packet = (
            dice.choice([7] * 30 + [8]) if dice.random() < 0.9 else 8,
            sequence % 65536,
            timestamp % 2**32,
            dice.choice([0, *[CLOCK] * 20, 90000]),
            now,
        )
        assert native.packet(*packet) == slow.packet(*packet)
        assert (native.jitter, native.clock) == (slow.jitter, slow.clock)
