"""What stops a relay for a while stops its calls for that while only: a paused machine, a flood."""

import contextlib
import os
import signal
import time

from tests.blackbox.daemon import Daemon
from tests.blackbox.dialogue import Dialogue
from tests.blackbox.phone import Phone, Port, rtp
from tests.blackbox.test_media import Talk

CALLS = 5
PAUSE = 8.0
"""Seconds: rtpengine's calls do not survive this."""
PACKETS_PER_SECOND = 50


def test_a_daemon_that_was_stopped_for_eight_seconds_under_load_forwards_again_at_once(
    daemon: Daemon,
) -> None:
    with contextlib.ExitStack() as opened:
        talks = [_talk(daemon, opened, number) for number in range(CALLS)]
        for talk in talks:
            talk.both_hear_each_other()
        os.kill(daemon.pid, signal.SIGSTOP)
        try:
            _speak(talks, PAUSE)
        finally:
            os.kill(daemon.pid, signal.SIGCONT)
        for talk in talks:
            _hears_the_next_word(talk.bob, talk.alice, talk.to_a)
            _hears_the_next_word(talk.alice, talk.bob, talk.to_b)
        for talk in talks:
            talk.both_hear_each_other()


def test_a_strangers_flood_leaves_the_call_and_its_neighbours_as_they_were(daemon: Daemon) -> None:
    with contextlib.ExitStack() as opened:
        flooded, neighbour = (_talk(daemon, opened, number) for number in range(2))
        flooded.both_hear_each_other()
        neighbour.both_hear_each_other()
        stranger = Port("127.0.1.66")
        opened.callback(stranger.close)
        end = time.monotonic() + 1.0
        sent = 0
        while time.monotonic() < end and sent < 100_000:
            stranger.send(flooded.to_a, rtp(sent, ssrc=666))
            sent += 1
            if sent % 500 == 0:
                neighbour.both_hear_each_other()
        _hears_the_next_word(flooded.bob, flooded.alice, flooded.to_a)
        flooded.both_hear_each_other()
        neighbour.both_hear_each_other()


def _talk(daemon: Daemon, opened: contextlib.ExitStack, number: int) -> Talk:
    alice = opened.enter_context(Phone(f"127.0.1.{100 + 2 * number}", "alice"))
    bob = opened.enter_context(Phone(f"127.0.1.{101 + 2 * number}", "bob"))
    return Talk(Dialogue(daemon.client, f"recovery-{number}@blackbox"), alice, bob)


def _speak(talks: list[Talk], seconds: float) -> None:
    """All phones talk for a while, a packet every 20 ms."""
    for _ in range(int(seconds * PACKETS_PER_SECOND)):
        for talk in talks:
            talk.alice.talk(talk.to_a)
            talk.bob.talk(talk.to_b)
        time.sleep(1 / PACKETS_PER_SECOND)


def _hears_the_next_word(listener: Phone, speaker: Phone, speaks_to: tuple[str, int]) -> None:
    """What is said now arrives, behind what was kept in between; a full queue may swallow the first words."""
    said: set[bytes] = set()
    for _ in range(PACKETS_PER_SECOND):
        said.add(speaker.talk(speaks_to))
        time.sleep(1 / PACKETS_PER_SECOND)
        if said.intersection(listener.rtp.waiting()):
            return
    raise AssertionError("media did not come back")
