from __future__ import annotations

from random import Random

import pytest
from aioice import stun as aioice_stun
from hypothesis import given
from hypothesis import strategies as st

from relay.ice import stun
from relay.ice.agent import MAX_EARLY_PATHS, MAX_PATHS
from relay.ice.check import RTO, SENDS
from relay.ice.outputs import Path, Refused, Selected, Send, Usable, Validated
from relay.ice.stun import Class, Message
from tests.relay.ice.peer import (
    HIGH,
    HOME,
    LOW,
    MOBILE,
    OURS,
    RTP,
    STRANGER,
    THEIRS,
    agent,
    answer,
    check,
    events,
    selected,
    sent,
)


def test_a_check_is_answered_at_once_and_checked_back_once() -> None:
    outputs = agent().received(HOME, check(), now=0.0)
    [(path, response)] = sent(outputs, Class.SUCCESS)
    assert path == HOME
    assert response.attributes["XOR-MAPPED-ADDRESS"] == HOME.remote
    assert response.is_signed_with(OURS.key)
    [(path, request)] = sent(outputs, Class.REQUEST)
    assert path == HOME
    assert request.username == ("peer", "ours")
    assert request.is_signed_with(THEIRS.key)
    assert request.attributes["ICE-CONTROLLED"] == 2**63
    assert request.attributes["PRIORITY"] >> 24 == 110
    assert "USE-CANDIDATE" not in request.attributes
    assert events(outputs) == [Validated(HOME)]


def test_a_second_check_from_the_same_source_is_only_answered() -> None:
    it = agent()
    it.received(HOME, check(), now=0.0)
    outputs = it.received(HOME, check(), now=0.01)
    assert len(sent(outputs, Class.SUCCESS)) == 1
    assert sent(outputs, Class.REQUEST) == []
    assert events(outputs) == []


def test_a_path_is_usable_when_our_check_is_answered() -> None:
    it = agent()
    outputs = it.received(HOME, check(), now=0.0)
    assert it.received(HOME, answer(outputs), now=0.05) == [Usable(HOME)]
    assert it.deadline is None


def test_nominated_and_answered_is_selected_in_either_order() -> None:
    it = agent()
    outputs = it.received(HOME, check(nominate=True), now=0.0)
    assert Selected(HOME) not in outputs
    assert it.received(HOME, answer(outputs), now=0.05) == [Usable(HOME), Selected(HOME)]

    it = agent()
    it.received(HOME, answer(it.received(HOME, check(), now=0.0)), now=0.05)
    assert events(it.received(HOME, check(nominate=True), now=0.1)) == [Selected(HOME)]
    assert events(it.received(HOME, check(nominate=True), now=0.2)) == []


@pytest.mark.parametrize(
    "datagram",
    [
        check(key=b"wrong"),
        check(username="other:peer"),
        check(username="ours:other"),
        check(username="ours"),
        check(username=""),
    ],
)
def test_a_strangers_request_validates_nothing(datagram: bytes) -> None:
    it = agent()
    outputs = it.received(STRANGER, datagram, now=0.0)
    assert events(outputs) == [Refused("integrity")]
    assert it.validated == ()
    assert it.deadline is None


@pytest.mark.parametrize("datagram", [check(key=b"wrong"), check(key=b"wrong")[:20]])
def test_an_error_is_never_larger_than_what_it_answers(datagram: bytes) -> None:
    datagram = datagram[:2] + (len(datagram) - 20).to_bytes(2, "big") + datagram[4:]
    for output in agent().received(STRANGER, datagram, now=0.0):
        if isinstance(output, Send):
            assert stun.parse(output.datagram).error == 401
            assert len(output.datagram) <= len(datagram)
            assert len(datagram) > 20


def test_an_unknown_attribute_is_answered_with_420() -> None:
    plain = check()
    body = plain[20:-32] + b"\x00\x77\x00\x00"
    data = plain[:20] + body
    data += b"\x00\x08\x00\x14" + aioice_stun.message_integrity(data, OURS.key)
    outputs = agent().received(HOME, aioice_stun.set_body_length(data, len(data) - 20), now=0.0)
    [(_, response)] = sent(outputs, Class.ERROR)
    assert response.error == 420
    assert response.is_signed_with(OURS.key)
    assert events(outputs) == [Refused("unknown attribute")]


@pytest.mark.parametrize("controlling", [False, True])
def test_with_the_higher_tie_breaker_we_keep_or_take_control(controlling: bool) -> None:
    it = agent(controlling, tie_breaker=HIGH)
    outputs = it.received(HOME, check(controlling=controlling, tie_breaker=LOW), now=0.0)
    assert it.controlling
    if controlling:
        [(_, response)] = sent(outputs, Class.ERROR)
        assert (response.error, response.is_signed_with(OURS.key)) == (487, True)
        assert events(outputs) == [Refused("role conflict")]
    else:
        assert sent(outputs, Class.ERROR) == []
        assert events(outputs) == [Validated(HOME)]


@pytest.mark.parametrize("controlling", [False, True])
def test_with_the_lower_tie_breaker_we_give_in_or_stay_controlled(controlling: bool) -> None:
    it = agent(controlling, tie_breaker=LOW)
    outputs = it.received(HOME, check(controlling=controlling, tie_breaker=HIGH), now=0.0)
    assert not it.controlling
    if controlling:
        assert sent(outputs, Class.ERROR) == []
        assert events(outputs) == [Validated(HOME)]
    else:
        [(_, response)] = sent(outputs, Class.ERROR)
        assert response.error == 487


def test_equal_tie_breakers_are_settled_for_the_one_who_is_asked() -> None:
    it = agent(controlling=True, tie_breaker=7)
    [(_, response)] = sent(it.received(HOME, check(controlling=True, tie_breaker=7), now=0.0), Class.ERROR)
    assert response.error == 487
    assert it.controlling


@pytest.mark.parametrize("controlling", [False, True])
def test_487_makes_us_change_roles_and_check_again(controlling: bool) -> None:
    it = agent(controlling)
    outputs = it.received(HOME, check(controlling=not controlling), now=0.0)
    [(_, request)] = sent(outputs, Class.REQUEST)
    outputs = it.received(HOME, stun.failure(request, 487, THEIRS.key), now=0.1)
    assert it.controlling is not controlling
    [(_, again)] = sent(outputs, Class.REQUEST)
    assert again.transaction != request.transaction
    assert ("ICE-CONTROLLING" in again.attributes) is not controlling


def test_487_to_a_check_of_before_the_change_changes_nothing() -> None:
    it = agent(tie_breaker=HIGH)
    outputs = it.received(HOME, check(controlling=True), now=0.0)
    [(_, request)] = sent(outputs, Class.REQUEST)
    it.received(HOME, check(controlling=False), now=0.05)
    assert it.controlling
    outputs = it.received(HOME, stun.failure(request, 487, THEIRS.key), now=0.1)
    assert it.controlling
    [(_, again)] = sent(outputs, Class.REQUEST)
    assert "USE-CANDIDATE" in again.attributes


def test_when_we_get_control_late_we_nominate_what_works_already() -> None:
    it = agent(tie_breaker=HIGH)
    it.received(HOME, answer(it.received(HOME, check(controlling=True), now=0.0)), now=0.05)
    outputs = it.received(HOME, check(controlling=False), now=0.1)
    [(_, request)] = sent(outputs, Class.REQUEST)
    assert "USE-CANDIDATE" in request.attributes
    assert it.received(HOME, answer(outputs), now=0.15) == [Selected(HOME)]


def test_as_controlling_agent_our_first_answered_check_selects() -> None:
    it = agent(controlling=True)
    outputs = it.received(HOME, check(controlling=False), now=0.0)
    [(_, request)] = sent(outputs, Class.REQUEST)
    assert "USE-CANDIDATE" in request.attributes
    assert it.received(HOME, answer(outputs), now=0.05) == [Usable(HOME), Selected(HOME)]


def test_as_controlling_agent_we_nominate_the_path_that_works() -> None:
    it = agent(controlling=True)
    it.received(STRANGER, check(controlling=False), now=0.0)
    outputs = it.received(HOME, check(controlling=False), now=0.02)
    [(_, request)] = sent(outputs, Class.REQUEST)
    assert "USE-CANDIDATE" not in request.attributes
    outputs = it.received(HOME, answer(outputs), now=0.05)
    assert events(outputs) == [Usable(HOME)]
    [(_, request)] = sent(outputs, Class.REQUEST)
    assert "USE-CANDIDATE" in request.attributes
    assert it.received(HOME, answer(outputs), now=0.1) == [Selected(HOME)]


def test_each_port_is_selected_on_its_own() -> None:
    it = agent(controlling=True)
    rtcp = Path(2, ("192.0.2.1", 40001))
    for path, now in ((HOME, 0.0), (rtcp, 0.1)):
        outputs = it.received(path, check(controlling=False), now)
        assert Selected(path) in it.received(path, answer(outputs), now + 0.05)
    assert it.selected == {1: HOME, 2: rtcp}


def test_before_the_answer_requests_are_answered_and_later_checked() -> None:
    it = agent(answered=False)
    outputs = it.received(HOME, check(nominate=True), now=0.0)
    assert len(sent(outputs, Class.SUCCESS)) == 1
    assert sent(outputs, Class.REQUEST) == []
    assert events(outputs) == [Validated(HOME)]
    outputs = it.set_remote(THEIRS, now=120.0)
    assert it.received(HOME, answer(outputs), now=120.1) == [Usable(HOME), Selected(HOME)]


def test_early_requests_of_another_branch_are_forgotten_with_the_answer() -> None:
    it = agent(answered=False)
    it.received(MOBILE, check(username="ours:othr"), now=0.0)
    it.received(HOME, check(), now=0.0)
    outputs = it.set_remote(THEIRS, now=1.0)
    assert [path for path, _ in sent(outputs, Class.REQUEST)] == [HOME]
    assert it.validated == (HOME,)


def test_early_sources_are_bounded() -> None:
    it = agent(answered=False)
    paths = [Path(RTP, ("192.0.2.1", 40000 + number)) for number in range(100)]
    for path in paths:
        it.received(path, check(), now=0.0)
    assert it.validated == tuple(paths[-MAX_EARLY_PATHS:])


def test_learnt_sources_are_bounded_and_the_selected_one_stays() -> None:
    it = agent()
    it.received(HOME, answer(it.received(HOME, check(nominate=True), now=0.0)), now=0.0)
    for number in range(500):
        it.received(Path(RTP, ("203.0.113.1", 1000 + number)), check(), now=1.0)
    assert len(it.validated) == MAX_PATHS
    assert it.validated[0] == HOME
    assert len(sent(it.timeout(1.02), Class.REQUEST)) == 1


def test_a_peer_that_shows_itself_is_checked_at_once_though_a_candidate_of_it_was_tried_just_before() -> None:
    it = agent()
    assert len(sent(it.check(HOME, now=1.0), Class.REQUEST)) == 1
    assert [path for path, _ in sent(it.received(MOBILE, check(), now=1.001), Class.REQUEST)] == [MOBILE]


def test_a_check_is_repeated_with_doubled_pauses_and_given_up() -> None:
    it = agent()
    first = next(output for output in it.received(HOME, check(), now=0.0)[1:] if isinstance(output, Send))
    times = []
    while it.deadline is not None:
        now = it.deadline
        assert it.timeout(now - 0.001) == []
        for output in it.timeout(now):
            assert output == first
            times.append(round(now, 6))
    assert times == [0.1, 0.3, 0.7, 1.5, 3.1]
    assert len(times) + 1 == SENDS
    assert len(sent(it.received(HOME, check(), now=30.0), Class.REQUEST)) == 1


@pytest.mark.parametrize("from_", [HOME, STRANGER])
def test_an_answer_counts_only_from_where_it_was_asked_and_signed(from_: Path) -> None:
    it = agent()
    outputs = it.received(HOME, check(nominate=True), now=0.0)
    key = b"wrong" if from_ == HOME else THEIRS.key
    assert isinstance(it.received(from_, answer(outputs, key), now=0.1)[0], Refused)
    assert it.selected == {}
    assert it.received(HOME, answer(outputs), now=0.2) == [Usable(HOME), Selected(HOME)]
    assert it.received(HOME, answer(outputs), now=0.3) == [Refused("unknown transaction")]


def test_a_lite_agent_answers_believes_and_never_checks() -> None:
    it = agent(lite=True)
    assert events(it.received(HOME, check(), now=0.0)) == [Validated(HOME)]
    outputs = it.received(HOME, check(nominate=True), now=0.1)
    assert events(outputs) == [Selected(HOME)]
    assert sent(outputs, Class.REQUEST) == []
    assert it.deadline is None


def test_towards_a_lite_peer_we_control_and_check_first() -> None:
    it = agent(answered=False)
    it.set_remote(THEIRS, now=0.0, lite=True)
    outputs = it.check(HOME, now=0.0)
    assert it.validated == ()
    assert it.received(HOME, answer(outputs), now=0.1) == [Validated(HOME), Usable(HOME), Selected(HOME)]


def test_a_candidate_that_was_checked_in_vain_is_checked_at_once_when_the_peer_shows_itself() -> None:
    """Its NAT has let nothing in before, and the next repeat may be far."""
    it = agent()
    it.check(HOME, now=0.0)
    for _ in range(2):
        assert it.deadline is not None
        it.timeout(it.deadline)
    outputs = it.received(HOME, check(), now=0.35)
    assert len(sent(outputs, Class.REQUEST)) == 1
    assert it.deadline == pytest.approx(0.35 + RTO)
    assert events(it.received(HOME, answer(outputs), now=0.4)) == [Usable(HOME)]
    assert sent(it.received(HOME, check(), now=0.41), Class.REQUEST) == []


def test_with_the_answer_the_repeats_of_early_checks_begin_anew() -> None:
    it = agent()
    it.check(HOME, now=0.0)
    assert [path for path, _ in sent(it.resume(now=0.05), Class.REQUEST)] == [HOME]
    assert it.deadline == pytest.approx(0.05 + RTO)
    assert it.resume(now=0.05) == []


def test_a_candidate_that_does_not_answer_is_left_alone_once_another_path_is_selected() -> None:
    it = agent()
    it.check(MOBILE, now=0.0)
    outputs = it.received(HOME, check(nominate=True), now=0.05)
    it.received(HOME, answer(outputs), now=0.08)
    assert it.selected == {RTP: HOME}
    assert it.timeout(now=0.1) == []


def test_a_binding_indication_is_accepted_silently() -> None:
    indication = b"\x00\x11\x00\x00" + stun.COOKIE + bytes(12)
    assert agent().received(HOME, indication, now=0.0) == []


@given(st.data())
def test_a_damaged_check_never_raises_and_never_validates(data: st.DataObject) -> None:
    datagram = bytearray(check(nominate=True))
    before = bytes(datagram)
    for _ in range(data.draw(st.integers(1, 5))):
        datagram[data.draw(st.integers(0, len(datagram) - 1))] = data.draw(st.integers(0, 255))
    it = agent()
    it.received(HOME, bytes(datagram), now=0.0)
    if datagram[:-8] != before[:-8]:
        assert it.validated == ()


@given(st.binary(max_size=200))
def test_random_bytes_are_refused(datagram: bytes) -> None:
    assert all(isinstance(output, Refused) for output in agent().received(HOME, datagram, now=0.0))


def test_a_source_gets_50_answers_in_a_second() -> None:
    it = agent()
    outputs = [output for _ in range(80) for output in it.received(HOME, check(), now=1.0)]
    assert len(sent(outputs, Class.SUCCESS)) == 50
    assert events(outputs).count(Refused("too many")) == 30
    assert len(sent(it.received(HOME, check(), now=2.0), Class.SUCCESS)) == 1


def test_strangers_get_50_answers_in_a_second_all_together() -> None:
    it = agent()
    paths = [Path(RTP, ("203.0.113.1", 1000 + number)) for number in range(500)]
    outputs = [output for path in paths for output in it.received(path, check(key=b"wrong"), now=1.0)]
    assert len(sent(outputs, Class.ERROR)) == 50
    assert len(sent(it.received(HOME, check(), now=1.0), Class.SUCCESS)) == 1


def test_what_nobody_answered_is_checked_again_when_the_peer_knows_us() -> None:
    it = agent()
    it.check(HOME, 0.0)
    while it.deadline is not None:
        it.timeout(it.deadline)
    assert [path for path, _ in sent(it.resume(120.0), Class.REQUEST)] == [HOME]
    assert it.resume(120.0) == []


def test_nobody_is_checked_any_more_when_the_password_is_gone() -> None:
    it = agent()
    it.received(HOME, check(), now=0.0)
    it.received(MOBILE, check(), now=0.0)
    it.set_remote(None, 0.01)
    assert sent(it.timeout(0.05), Class.REQUEST) == []


@given(st.integers(0, 2**32), st.booleans(), st.booleans())
def test_whatever_comes_in_whatever_order_the_agent_stays_within_its_bounds(
    seed: int, controlling: bool, lite: bool
) -> None:
    dice = Random(seed)
    it = agent(controlling, lite, answered=dice.random() < 0.7)
    paths = [Path(port, ("192.0.2.1", 40000 + number)) for port in (1, 2) for number in range(40)]
    paths = dice.sample(paths, dice.choice([2, 4, 60]))
    asked: list[tuple[Path, Message]] = []
    now = 0.0
    for _ in range(200):
        now += dice.choice([0.0, 0.01, 0.1, 2.0, 9.0])
        path = dice.choice(paths)
        match dice.randrange(8):
            case 0 | 1 | 2:
                outputs = it.received(path, check(dice.random() < 0.5, dice.random() < 0.8), now)
            case 3 | 4 if asked:
                path, request = asked.pop()
                code = dice.choice([0, 0, 0, 487, 400])
                reply = stun.failure(request, code, THEIRS.key) if code else None
                outputs = it.received(path, reply or stun.success(request, path.remote, THEIRS.key), now)
            case 5:
                outputs = it.alive(path, now)
            case 6:
                outputs = it.set_remote(dice.choice([THEIRS, THEIRS, None]), now)
            case _:
                outputs = it.timeout(now)
        asked += sent(outputs, Class.REQUEST)
        assert len(it.validated) <= MAX_PATHS
        assert all(path.port == port for port, path in it.selected.items())
        assert set(it.selected.values()) <= set(it.validated)
        assert it.timeout(now) is not None
        assert it.deadline is None or it.deadline > now


def test_a_check_that_was_lost_several_times_begins_anew_when_the_peer_is_heard() -> None:
    it = agent()
    it.received(HOME, check(), now=0.0)
    for now in (0.11, 0.32):
        it.timeout(now)
    assert sent(it.received(HOME, check(), now=0.6), Class.REQUEST) == []
    it.timeout(0.73)
    assert len(sent(it.received(HOME, check(), now=0.8), Class.REQUEST)) == 1
    assert it.deadline == pytest.approx(0.9)


def test_every_path_has_a_state_for_those_who_ask() -> None:
    it = selected()
    it.check(MOBILE, now=0.1)
    it.received(STRANGER, check(), now=0.2)
    assert dict(it.pairs()) == {HOME: "selected", MOBILE: "checking", STRANGER: "heard"}
    now = 0.2
    while dict(it.pairs())[MOBILE] == "checking" and it.deadline is not None:
        now = it.deadline
        it.timeout(now)
    assert dict(it.pairs())[MOBILE] == "failed"
    while dict(it.pairs())[HOME] == "selected" and it.deadline is not None:
        it.timeout(it.deadline)
    assert dict(it.pairs())[HOME] == "lost"
