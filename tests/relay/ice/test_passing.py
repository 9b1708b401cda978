from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.ice import stun
from relay.ice.agent import MAX_PATHS
from relay.ice.credentials import Credentials
from relay.ice.outputs import Path, Refused
from relay.ice.passing import (
    PARKED,
    PARKING_TIME,
    TRANSACTION_TIME,
    Forward,
    Nominated,
    Passer,
    Side,
    Validated,
)

ALICE = Credentials("alic", "password-of-alice-22-chr")
BOB = Credentials("bobb", "password-of-bob-22-chars")
A, B = Side.OFFERER, Side.ANSWERER
AT_ALICE = Path(1, ("192.0.2.1", 40000))
AT_BOB = Path(2, ("198.51.100.1", 50000))
ELSEWHERE = Path(1, ("203.0.113.6", 6666))


def check(sender: Credentials, receiver: Credentials, number: int = 0, key: bytes | None = None) -> bytes:
    username = f"{receiver.ufrag}:{sender.ufrag}"
    return stun.request(
        number.to_bytes(12, "big"), username, key or receiver.key, 1, 1, controlling=True, nominate=False
    )


def answer(request: bytes, key: bytes) -> bytes:
    return stun.success(stun.parse(request), ("203.0.113.1", 9), key)


def connected() -> Passer:
    """Both sides were heard from."""
    passer = Passer(ALICE, BOB)
    passer.received(A, AT_ALICE, check(ALICE, BOB, 1001), now=0.0)
    passer.received(B, AT_BOB, check(BOB, ALICE, 1002), now=0.0)
    return passer


def test_a_verified_check_and_its_answer_pass_unchanged() -> None:
    passer = connected()
    request = check(ALICE, BOB)
    assert passer.received(A, AT_ALICE, request, now=1.0) == [Forward(B, AT_BOB, request)]
    response = answer(request, BOB.key)
    assert passer.received(B, AT_BOB, response, now=1.1) == [Forward(A, AT_ALICE, response)]


def test_the_first_checks_wait_until_the_other_side_shows_itself() -> None:
    passer = Passer(ALICE, BOB)
    first = check(ALICE, BOB, 1)
    assert passer.received(A, AT_ALICE, first, now=0.0) == [Validated(A, AT_ALICE)]
    theirs = check(BOB, ALICE, 2)
    assert passer.received(B, AT_BOB, theirs, now=1.0) == [
        Validated(B, AT_BOB),
        Forward(B, AT_BOB, first),
        Forward(A, AT_ALICE, theirs),
    ]
    response = answer(first, BOB.key)
    assert passer.received(B, AT_BOB, response, now=1.1) == [Forward(A, AT_ALICE, response)]


def test_only_the_last_few_and_fresh_ones_wait() -> None:
    passer = Passer(ALICE, BOB)
    requests = [check(ALICE, BOB, number) for number in range(5)]
    for request in [*requests, requests[-1]]:
        passer.received(A, AT_ALICE, request, now=0.0)
    outputs = passer.received(B, AT_BOB, check(BOB, ALICE, 9), now=PARKING_TIME)
    assert [o.datagram for o in outputs if isinstance(o, Forward) and o.side is B] == requests[-PARKED:]

    passer = Passer(ALICE, BOB)
    passer.received(A, AT_ALICE, requests[0], now=0.0)
    outputs = passer.received(B, AT_BOB, check(BOB, ALICE, 9), now=PARKING_TIME + 0.1)
    assert [o for o in outputs if isinstance(o, Forward) and o.side is B] == []


def test_the_answerers_checks_pass_before_its_answer_came() -> None:
    passer = Passer(ALICE)
    assert passer.received(B, AT_BOB, check(BOB, ALICE), now=0.0) == [Validated(B, AT_BOB)]
    assert passer.received(A, AT_ALICE, check(ALICE, BOB), now=0.1) == [Refused("integrity")]
    passer.set_credentials(ALICE, BOB)
    outputs = passer.received(A, AT_ALICE, check(ALICE, BOB), now=0.2)
    assert Forward(B, AT_BOB, check(ALICE, BOB)) in outputs
    assert Forward(A, AT_ALICE, check(BOB, ALICE)) in outputs


def test_checks_go_on_reaching_both_when_the_answerer_makes_the_next_offer() -> None:
    passer = Passer(ALICE, BOB)
    passer.received(A, AT_ALICE, check(ALICE, BOB), now=0.0)
    passer.received(B, AT_BOB, check(BOB, ALICE), now=0.0)
    passer.turn_round()
    passer.set_credentials(BOB, ALICE)
    assert Forward(B, AT_ALICE, check(BOB, ALICE, 9)) in passer.received(
        A, AT_BOB, check(BOB, ALICE, 9), now=0.1
    )


@pytest.mark.parametrize(
    "datagram",
    [
        check(ALICE, BOB, key=b"wrong"),
        check(BOB, ALICE),
        check(Credentials("othr", "x"), BOB),
        check(ALICE, Credentials("othr", BOB.pwd)),
    ],
)
def test_what_the_receiver_would_not_believe_does_not_pass(datagram: bytes) -> None:
    passer = connected()
    assert passer.received(A, ELSEWHERE, datagram, now=1.0) == [Refused("integrity")]
    assert passer.validated(A) == (AT_ALICE,)


def test_an_answer_passes_only_from_where_it_was_asked_signed_and_in_time() -> None:
    passer = connected()
    request = check(ALICE, BOB)
    passer.received(A, AT_ALICE, request, now=1.0)
    good, forged = answer(request, BOB.key), answer(request, b"wrong")
    assert passer.received(B, ELSEWHERE, good, now=1.1) == [Refused("unknown transaction")]
    assert passer.received(A, AT_ALICE, good, now=1.1) == [Refused("unknown transaction")]
    assert passer.received(B, AT_BOB, forged, now=1.1) == [Refused("integrity")]
    late = 1.1 + TRANSACTION_TIME
    assert passer.received(B, AT_BOB, good, now=late) == [Refused("unknown transaction")]


def test_a_peer_that_moves_is_reached_where_it_was_heard_last() -> None:
    passer = connected()
    moved = Path(1, ("192.0.2.200", 40001))
    outputs = passer.received(A, moved, check(ALICE, BOB, 5), now=5.0)
    assert outputs[0] == Validated(A, moved)
    theirs = check(BOB, ALICE, 6)
    assert passer.received(B, AT_BOB, theirs, now=5.1) == [Forward(A, moved, theirs)]
    assert passer.validated(A) == (AT_ALICE, moved)
    passer.received(A, AT_ALICE, check(ALICE, BOB, 7), now=6.0)
    assert passer.received(B, AT_BOB, theirs, now=6.1) == [Forward(A, AT_ALICE, theirs)]


def test_indications_end_here() -> None:
    assert connected().received(A, AT_ALICE, b"\x00\x11\x00\x00" + stun.COOKIE + bytes(12), now=1.0) == []


def test_sources_are_bounded() -> None:
    passer = connected()
    for number in range(200):
        passer.received(A, Path(1, ("192.0.2.1", 1000 + number)), check(ALICE, BOB, number), now=1.0)
    assert len(passer.validated(A)) == MAX_PATHS


@given(st.data())
def test_damaged_messages_never_raise_and_never_pass(data: st.DataObject) -> None:
    passer = connected()
    request = check(ALICE, BOB)
    passer.received(A, AT_ALICE, request, now=1.0)
    side, good = data.draw(st.sampled_from([(A, check(ALICE, BOB, 7)), (B, answer(request, BOB.key))]))
    datagram = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        datagram[data.draw(st.integers(0, len(datagram) - 1))] = data.draw(st.integers(0, 255))
    outputs = passer.received(side, ELSEWHERE, bytes(datagram), now=1.0)
    if datagram[:-8] != good[:-8]:
        assert not any(isinstance(output, (Forward, Validated)) for output in outputs)


def test_a_path_is_nominated_when_a_check_that_says_so_was_answered_there() -> None:
    passer = connected()
    nominating = stun.request(
        b"nominating-1", f"{BOB.ufrag}:{ALICE.ufrag}", BOB.key, 1, 1, controlling=True, nominate=True
    )
    assert passer.received(A, ELSEWHERE, nominating, now=1.0) == [
        Validated(A, ELSEWHERE),
        Forward(B, AT_BOB, nominating),
    ]
    response = answer(nominating, BOB.key)
    assert passer.received(B, AT_BOB, response, now=1.1) == [
        Forward(A, ELSEWHERE, response),
        Nominated(B, AT_BOB),
        Nominated(A, ELSEWHERE),
    ]
