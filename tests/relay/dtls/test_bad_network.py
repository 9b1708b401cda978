"""Loss, order and copies: every handshake connects, with time to spare."""

from __future__ import annotations

import itertools

import pytest

from tests.relay.dtls.network import Fate, active_end, bad_network, network, never, passive_end, promptly


@pytest.mark.parametrize("seed", range(40))
def test_a_fifth_of_the_datagrams_may_be_lost(seed: int) -> None:
    pair = network(active_end(), passive_end(), bad_network(seed, loss=0.2)).run()
    assert pair.active.keys.local == pair.passive.keys.remote
    assert pair.active.keys.remote == pair.passive.keys.local
    assert pair.now - 100.0 < 15.0


def test_most_losses_are_mended_within_a_second() -> None:
    times = []
    for seed in range(40):
        pair = network(active_end(), passive_end(), bad_network(seed, loss=0.2)).run()
        times.append(pair.now - 100.0)
    assert sorted(times)[len(times) * 3 // 4] < 1.0


@pytest.mark.parametrize("seed", range(20))
def test_order_and_copies_do_not_matter(seed: int) -> None:
    pair = network(active_end(), passive_end(), bad_network(seed, copies=0.5, jitter=0.5)).run()
    assert pair.active.keys.local == pair.passive.keys.remote


@pytest.mark.parametrize("seed", range(20))
def test_everything_at_once_is_survived_also_without_ice(seed: int) -> None:
    fate = bad_network(seed, loss=0.2, copies=0.2, jitter=0.3)
    pair = network(active_end(), passive_end(validated=False), fate).run()
    assert pair.active.keys.local == pair.passive.keys.remote


@pytest.mark.parametrize("lost", range(4))
def test_the_loss_of_any_one_datagram_is_mended_within_half_a_second(lost: int) -> None:
    numbers = itertools.count()
    fate: Fate = lambda datagram: never(datagram) if next(numbers) == lost else promptly(datagram)  # noqa: E731
    pair = network(active_end(), passive_end(), fate).run()
    assert pair.active.keys.local == pair.passive.keys.remote
    assert pair.now - 100.0 < 0.5
