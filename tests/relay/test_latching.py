"""The latch, transition by transition."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.latching import PROOF, REOPENED, STEP, WINDOW, Latch, Opened, State, Verdict

SIGNALLED = ("192.0.2.7", 4000)
BEHIND_NAT = ("192.0.2.7", 61000)
ANOTHER_MAPPING = ("192.0.2.7", 61001)
PROXY = "198.51.100.5"
BEHIND_PROXY = (PROXY, 5004)
STRANGER = ("203.0.113.66", 6666)
OTHER_STRANGER = ("203.0.113.67", 6667)


def feed(latch: Latch, source: tuple[str, int], count: int, now: float = 0.0, ssrc: int = 1) -> list[Verdict]:
    return [latch.packet(source, ssrc, seq, now) for seq in range(100, 100 + count)]


def test_first_packet_makes_its_source_the_peer() -> None:
    latch = Latch(SIGNALLED)
    assert feed(latch, STRANGER, 1) == [Verdict.ACCEPTED]
    assert (latch.state, latch.peer) == (State.LATCHED, STRANGER)


def test_signalled_address_locks_at_once() -> None:
    latch = Latch(SIGNALLED)
    feed(latch, SIGNALLED, 1)
    assert latch.state is State.LOCKED


@pytest.mark.parametrize("better", [SIGNALLED, BEHIND_NAT, BEHIND_PROXY])
def test_better_source_takes_over_from_an_unproven_stranger(better: tuple[str, int]) -> None:
    latch = Latch(SIGNALLED, hint=PROXY)
    feed(latch, STRANGER, PROOF - 1)
    assert feed(latch, better, 1) == [Verdict.ACCEPTED]
    assert latch.peer == better


def test_five_consistent_packets_lock() -> None:
    latch = Latch(SIGNALLED)
    feed(latch, STRANGER, PROOF)
    assert latch.state is State.LOCKED
    assert feed(latch, OTHER_STRANGER, PROOF) == [Verdict.STRANGER] * PROOF


def test_a_stranger_who_was_quicker_loses_to_the_host_that_signalled() -> None:
    latch = Latch(("10.0.0.5", 4000), hint=PROXY)
    feed(latch, STRANGER, 10 * PROOF)
    assert feed(latch, BEHIND_PROXY, 1, now=30.0) == [Verdict.ACCEPTED]
    assert feed(latch, STRANGER, PROOF, now=31.0) == [Verdict.STRANGER] * PROOF
    assert latch.peer == BEHIND_PROXY


def test_end_of_the_window_locks_the_host_of_the_signalled_address() -> None:
    latch = Latch(SIGNALLED)
    feed(latch, BEHIND_NAT, 1, now=0.0)
    assert feed(latch, BEHIND_NAT, 1, now=WINDOW) == [Verdict.ACCEPTED]
    assert (latch.state, latch.peer) == (State.LOCKED, BEHIND_NAT)


def test_stray_packet_long_before_the_phone_speaks_does_not_keep_the_stream() -> None:
    latch = Latch(SIGNALLED)
    feed(latch, STRANGER, 1, now=0.0)
    feed(latch, OTHER_STRANGER, PROOF, now=10 * WINDOW)
    assert (latch.state, latch.peer) == (State.LOCKED, OTHER_STRANGER)


def test_the_signalled_address_is_never_a_stranger() -> None:
    latch = Latch(SIGNALLED)
    feed(latch, STRANGER, PROOF)
    assert feed(latch, SIGNALLED, 1, now=60.0) == [Verdict.ACCEPTED]
    assert (latch.state, latch.peer) == (State.LOCKED, SIGNALLED)
    assert feed(latch, STRANGER, PROOF, now=61.0) == [Verdict.STRANGER] * PROOF


def test_stray_packet_loses_to_an_equal_source_that_proves_itself() -> None:
    latch = Latch(SIGNALLED)
    feed(latch, STRANGER, 1)
    verdicts = feed(latch, OTHER_STRANGER, PROOF)
    assert verdicts == [Verdict.STRANGER] * (PROOF - 1) + [Verdict.ACCEPTED]
    assert (latch.state, latch.peer) == (State.LOCKED, OTHER_STRANGER)


def test_lesser_source_never_wins_however_consistent() -> None:
    latch = Latch(SIGNALLED)
    feed(latch, BEHIND_NAT, 1)
    assert set(feed(latch, STRANGER, 4 * PROOF)) == {Verdict.STRANGER}


def test_two_challengers_in_turn_prove_nothing() -> None:
    latch = Latch(SIGNALLED)
    feed(latch, ("203.0.113.1", 1), 1)
    for seq in range(PROOF * 2):
        latch.packet(STRANGER, 1, seq, 0.0)
        latch.packet(OTHER_STRANGER, 2, seq, 0.0)
    assert latch.peer == ("203.0.113.1", 1)


@pytest.mark.parametrize(
    ("step", "state"),
    [(1, State.LOCKED), (STEP, State.LOCKED), (STEP + 1, State.LATCHED), (0, State.LATCHED)],
)
def test_sequence_numbers_must_go_up_a_little(step: int, state: State) -> None:
    latch = Latch()
    for number in range(PROOF):
        latch.packet(STRANGER, 1, (65530 + number * step) & 0xFFFF, 0.0)
    assert latch.state is state


def test_another_ssrc_begins_the_run_anew() -> None:
    latch = Latch()
    for seq in range(PROOF):
        latch.packet(STRANGER, seq % 2, seq, 0.0)
    assert latch.state is State.LATCHED


def test_rtcp_latches_but_proves_nothing() -> None:
    latch = Latch()
    for _ in range(2 * PROOF):
        assert latch.packet(STRANGER, None, None, 0.0) is Verdict.ACCEPTED
    assert (latch.state, latch.peer) == (State.LATCHED, STRANGER)
    feed(latch, STRANGER, PROOF)
    assert (latch.state, latch.peer) == (State.LOCKED, STRANGER)


def test_opaque_packets_all_count() -> None:
    latch = Latch(opaque=True)
    for _ in range(PROOF):
        latch.packet(STRANGER, None, None, 0.0)
    assert latch.state is State.LOCKED


def test_moved_peer_is_followed_after_two_authenticated_packets() -> None:
    latch = Latch(SIGNALLED, authenticated=True)
    feed(latch, SIGNALLED, 3)
    assert feed(latch, STRANGER, 1) == [Verdict.ACCEPTED]
    assert latch.peer == SIGNALLED
    feed(latch, STRANGER, 1)
    assert (latch.state, latch.peer) == (State.LOCKED, STRANGER)


def test_authenticated_rtcp_moves_a_peer_as_well() -> None:
    latch = Latch(SIGNALLED, authenticated=True)
    for source in (SIGNALLED, STRANGER, STRANGER):
        latch.packet(source, None, None, 0.0)
    assert latch.peer == STRANGER


def test_single_authenticated_packets_from_elsewhere_move_nothing() -> None:
    latch = Latch(SIGNALLED, authenticated=True)
    for _ in range(10):
        feed(latch, SIGNALLED, 1)
        feed(latch, STRANGER, 1)
        feed(latch, OTHER_STRANGER, 1)
    assert latch.peer == SIGNALLED


def test_authenticated_packet_ends_what_was_learnt_without_authentication() -> None:
    latch = Latch(SIGNALLED)
    feed(latch, STRANGER, PROOF - 1)
    latch.authenticated = True
    feed(latch, BEHIND_NAT, 1)
    assert (latch.state, latch.peer) == (State.LOCKED, BEHIND_NAT)


def test_signalled_address_does_not_call_back_a_peer_that_moved() -> None:
    latch = Latch(SIGNALLED, authenticated=True)
    feed(latch, STRANGER, 2)
    feed(latch, SIGNALLED, 1)
    assert latch.peer == STRANGER


def settled(peer: tuple[str, int], remote: tuple[str, int] = SIGNALLED) -> Latch:
    latch = Latch(remote, hint=PROXY)
    feed(latch, peer, PROOF)
    assert (latch.state, latch.peer) == (State.LOCKED, peer)
    return latch


@pytest.mark.parametrize("peer", [SIGNALLED, BEHIND_NAT])
def test_a_phone_whose_nat_gives_it_another_port_is_known_by_its_ssrc(peer: tuple[str, int]) -> None:
    latch = settled(peer)
    verdicts = feed(latch, ANOTHER_MAPPING, PROOF, now=60.0)
    assert verdicts == [Verdict.STRANGER] * (PROOF - 1) + [Verdict.ACCEPTED]
    assert (latch.state, latch.peer) == (State.LOCKED, ANOTHER_MAPPING)


def test_who_sits_behind_the_same_nat_does_not_know_the_ssrc() -> None:
    latch = settled(BEHIND_NAT)
    assert set(feed(latch, ANOTHER_MAPPING, 4 * PROOF, now=60.0, ssrc=2)) == {Verdict.STRANGER}


def test_who_knows_the_ssrc_is_a_stranger_at_another_host() -> None:
    latch = settled(BEHIND_NAT)
    assert set(feed(latch, STRANGER, 4 * PROOF, now=60.0)) == {Verdict.STRANGER}


@pytest.mark.parametrize("peer", [SIGNALLED, BEHIND_NAT, STRANGER])
def test_a_peer_that_describes_itself_again_may_be_found_at_another_port(peer: tuple[str, int]) -> None:
    latch, moved = settled(peer), (peer[0], 7)
    latch.reopen(elsewhere=False)
    assert latch.peer == peer
    verdicts = feed(latch, moved, PROOF, now=60.0, ssrc=2)
    assert verdicts == [Verdict.STRANGER] * (PROOF - 1) + [Verdict.ACCEPTED]
    assert (latch.state, latch.peer) == (State.LOCKED, moved)


def test_a_description_is_no_chance_for_a_stranger() -> None:
    latch = settled(STRANGER)
    latch.reopen(elsewhere=False)
    assert set(feed(latch, OTHER_STRANGER, 4 * PROOF, ssrc=2)) == {Verdict.STRANGER}
    assert latch.peer == STRANGER


def test_a_peer_whose_signalling_comes_from_elsewhere_may_be_found_anywhere() -> None:
    latch = settled(STRANGER)
    latch.reopen(elsewhere=True)
    feed(latch, OTHER_STRANGER, PROOF, ssrc=2)
    assert (latch.state, latch.peer) == (State.LOCKED, OTHER_STRANGER)


def test_nobody_takes_over_while_the_peer_talks() -> None:
    latch = settled(BEHIND_NAT)
    latch.reopen(elsewhere=True)
    for seq in range(200, 200 + 4 * PROOF):
        assert latch.packet(BEHIND_NAT, 1, seq, 1.0) is Verdict.ACCEPTED
        assert latch.packet(ANOTHER_MAPPING, 2, seq, 1.0) is Verdict.STRANGER
    assert latch.peer == BEHIND_NAT


def test_the_early_announcement_may_go_on_for_a_moment_before_the_phone_speaks() -> None:
    latch = settled(BEHIND_NAT)
    latch.reopen(elsewhere=False)
    assert set(feed(latch, BEHIND_NAT, 10, now=5.0)) == {Verdict.ACCEPTED}
    feed(latch, ANOTHER_MAPPING, PROOF, now=6.0, ssrc=2)
    assert latch.peer == ANOTHER_MAPPING


def test_three_windows_after_the_first_packet_a_peer_is_settled_again() -> None:
    latch = settled(BEHIND_NAT)
    latch.reopen(elsewhere=False)
    feed(latch, BEHIND_NAT, 1, now=5.0)
    assert set(feed(latch, ANOTHER_MAPPING, PROOF, 5.0 + REOPENED * WINDOW, ssrc=2)) == {Verdict.STRANGER}
    assert (latch.state, latch.peer, latch.opened) == (State.LOCKED, BEHIND_NAT, Opened.NOT)


def test_the_first_packet_from_the_signalled_address_settles_it_again() -> None:
    latch = settled(SIGNALLED)
    latch.reopen(elsewhere=True)
    feed(latch, SIGNALLED, 1, now=5.0)
    assert latch.state is State.LOCKED


def test_srtp_needs_no_second_window() -> None:
    latch = Latch(SIGNALLED, authenticated=True)
    feed(latch, SIGNALLED, 3)
    latch.reopen(elsewhere=True)
    assert (latch.state, latch.opened) == (State.LOCKED, Opened.NOT)


sources = st.sampled_from([SIGNALLED, BEHIND_NAT, BEHIND_PROXY, STRANGER, OTHER_STRANGER])
packets = st.tuples(sources, st.integers(1, 2), st.integers(0, 30), st.floats(0, 0.2))


@given(st.lists(packets, max_size=60))
def test_no_other_host_but_that_of_the_signalled_address_takes_over_a_locked_stream(
    script: list[tuple[tuple[str, int], int, int, float]],
) -> None:
    latch, now, locked = Latch(SIGNALLED, hint=PROXY), 0.0, None
    for source, ssrc, seq, later in script:
        now += later
        verdict = latch.packet(source, ssrc, seq, now)
        if locked is not None:
            assert latch.state is State.LOCKED
            if latch.peer != locked:
                assert source == SIGNALLED or source[0] == locked[0]
        assert (verdict is Verdict.ACCEPTED) == (source == latch.peer)
        locked = latch.peer if latch.state is State.LOCKED else None


@given(st.lists(packets, min_size=1, max_size=60))
def test_rank_of_the_peer_never_falls(script: list[tuple[tuple[str, int], int, int, float]]) -> None:
    latch, rank = Latch(SIGNALLED, hint=PROXY), 0
    for source, ssrc, seq, _ in script:
        latch.packet(source, ssrc, seq, 0.0)
        assert latch.peer is not None
        assert latch.rank(latch.peer) >= rank
        rank = latch.rank(latch.peer)
