"""Which port comes next."""

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.ports import REFUSED_FOR, REST, Ports, PortsExhausted


def ports(minimum: int, maximum: int, seed: int = 1) -> Ports:
    return Ports(minimum, maximum, random.Random(seed))


def test_pairs_are_even_and_cover_the_range() -> None:
    some = ports(30000, 30009)
    pairs = {some.take_pair() for _ in range(5)}
    assert pairs == {30000, 30002, 30004, 30006, 30008}
    with pytest.raises(PortsExhausted, match="no free pair of ports in 30000-30009: 10 in use, 0 free"):
        some.take_pair()


def test_odd_ends_of_the_range_are_used_as_singles() -> None:
    some = ports(30001, 30004)
    assert {some.take(), some.take()} == {30001, 30004}
    assert some.take_pair() == 30002


def test_singles_do_not_break_pairs_while_halves_are_left() -> None:
    some = ports(30000, 30007)
    first, second = some.take(), some.take()
    assert first ^ 1 == second
    assert {some.take_pair() for _ in range(3)} == set(range(30000, 30008, 2)) - {first & ~1}


def test_freed_pair_is_used_again_last() -> None:
    some = ports(30000, 30007)
    freed = some.take_pair()
    some.give_back(freed + 1)
    some.give_back(freed)
    assert [some.take_pair() for _ in range(4)][-1] == freed


def test_freed_single_rests_while_pairs_are_left() -> None:
    some = ports(30000, 39999)
    freed = some.take()
    some.take()
    some.give_back(freed)
    later = [some.take() for _ in range(REST)]
    assert freed not in later


def test_last_ports_are_found_when_nothing_else_is_left() -> None:
    some = ports(30000, 30003)
    taken = [some.take() for _ in range(4)]
    some.give_back(taken[0])
    assert some.take() == taken[0]
    with pytest.raises(PortsExhausted):
        some.take()


def test_refused_port_stays_out_for_a_while() -> None:
    some = ports(30000, 30001)
    refused = some.take()
    some.refuse(refused)
    other = refused ^ 1
    for _ in range(REFUSED_FOR - 1):
        assert some.take() == other
        some.give_back(other)
    assert (some.free, some.refused, some.used) == (1, 1, 0)
    assert some.take_pair() == 30000


def test_start_depends_on_the_random_source() -> None:
    assert len({ports(30000, 39999, seed).take_pair() for seed in range(10)}) > 5


@pytest.mark.parametrize("port", [29999, 30000, 40000])
def test_port_that_was_not_handed_out_cannot_come_back(port: int) -> None:
    with pytest.raises(ValueError, match=str(port)):
        ports(30000, 30009).give_back(port)


@pytest.mark.parametrize(("minimum", "maximum"), [(0, 10), (10, 9), (60000, 65536)])
def test_impossible_ranges_are_refused(minimum: int, maximum: int) -> None:
    with pytest.raises(ValueError, match="not a range"):
        ports(minimum, maximum)


@given(
    st.integers(30000, 30003),
    st.integers(0, 12),
    st.lists(st.sampled_from("pstgr"), max_size=200),
    st.randoms(),
)
def test_every_port_is_used_once_and_none_is_lost(
    minimum: int, length: int, script: list[str], rng: random.Random
) -> None:
    some, held = Ports(minimum, minimum + length, rng), set[int]()
    for step in script:
        if step in "ps":
            try:
                first = some.take_pair() if step == "p" else some.take()
            except PortsExhausted:
                continue
            new = {first, first + 1} if step == "p" else {first}
            assert not new & held
            assert all(port in some for port in new)
            held |= new
        elif held:
            port = rng.choice(sorted(held))
            held.remove(port)
            (some.refuse if step == "r" else some.give_back)(port)
        assert some.used == len(held)
        assert some.used + some.free + some.refused == length + 1


def test_nearly_full_range_is_as_fast_as_an_empty_one() -> None:
    some = ports(30000, 49999)
    held = [some.take_pair() for _ in range(9999)]
    started = time.process_time()
    for pair in held:
        some.give_back(pair)
        some.give_back(pair + 1)
        assert some.take_pair() != pair or some.free == 0
    assert time.process_time() - started < 1.0
