"""A worker that hangs is noticed."""

from __future__ import annotations

import functools

from relay.daemon.watch import PATIENCE, Watch
from relay.forward._fastpath import NativePlane
from tests.relay.forward.held import handle
from tests.relay.forward.test_fastpath import until


def test_a_worker_without_turns_is_told_once_and_counted_until_it_goes_on() -> None:
    watch = Watch(2)
    told = [watch.look([5, turn]) for turn in range(PATIENCE + 3)]
    assert [look for look in told if look != ([], [])] == [([0], [])]
    assert watch.stuck == 1
    assert watch.look([6, 99]) == ([], [0])
    assert watch.stuck == 0


def test_one_late_look_is_no_reason_to_worry() -> None:
    watch = Watch(1)
    assert [watch.look([turns]) for turns in (1, 1, 2, 2, 3)] == [([], [])] * 5
    assert watch.stuck == 0


def turns_follow(plane: NativePlane, asked: list[int]) -> bool:
    return all(now > then for now, then in zip(plane.beats(), asked, strict=True))


def test_workers_without_a_packet_take_a_turn_when_asked() -> None:
    plane = NativePlane(2, rules=8)
    try:
        asked = plane.beats()
        until(lambda: turns_follow(plane, asked))
    finally:
        plane.stop()


def has_taken_a_turn(plane: NativePlane, worker: int, before: list[int]) -> bool:
    return plane.beats()[worker] > before[worker]


def test_a_worker_that_waits_in_the_kernel_is_noticed_and_the_others_are_not() -> None:
    plane = NativePlane(2, rules=64)
    watch, seen = Watch(2), []
    try:
        with handle(plane) as worker:
            watch.look(plane.beats())
            worker.hold()
            for _ in range(PATIENCE + 1):
                before = plane.beats()
                until(functools.partial(has_taken_a_turn, plane, 1, before))
                seen.append(watch.look(plane.beats()))
            assert [look for look in seen if look != ([], [])] == [([0], [])]
            assert watch.stuck == 1
            worker.release()
            asked = plane.beats()
            until(lambda: turns_follow(plane, asked))
            assert watch.look(plane.beats()) == ([], [0])
            assert watch.stuck == 0
    finally:
        plane.stop()
