"""Who is who in a call: tags, Via branches, forking, and what a delete takes with it."""

from typing import Any

import pytest

from tests.blackbox.daemon import Daemon, wait_until
from tests.blackbox.description import plain
from tests.blackbox.dialogue import Dialogue, described
from tests.ng import Value

S_A = plain()
WARNING = "Call-ID not found or tags didn't match"


def phone(number: int) -> str:
    """The description of one of bob's phones."""
    return plain(f"198.51.100.{number}", 20000 + 10 * number, user="bob", version=5)


S_B = phone(2)


def hears(call: Dialogue, tag: str) -> list[str]:
    """Tags of the parties whose media this party gets."""
    party: Any = call.query()["tags"][tag]
    return sorted(link["tag"] for link in party["subscriptions"])


# Two parties.


def test_an_offer_makes_two_parties_of_which_one_has_no_tag_yet(call: Dialogue) -> None:
    call.offer(S_A, label="x")
    tags = call.query()["tags"]
    assert list(tags) == ["A", "<untagged 1>"] or list(tags) == ["A", "<untagged 2>"]
    assert tags["A"]["label"] == "x"


def test_the_first_answer_gives_the_tag(call: Dialogue) -> None:
    call.offer(S_A)
    call.answer(S_B)
    assert call.tags == ["A", "B"]
    assert (hears(call, "A"), hears(call, "B")) == (["B"], ["A"])


def test_an_answer_may_come_several_times(call: Dialogue) -> None:
    call.offer(S_A)
    first = call.answer(S_B).text
    assert [call.answer(S_B).text, call.answer(S_B).text] == [first, first]
    assert call.tags == ["A", "B"]


def test_tags_may_be_swapped_when_an_offer_came_in_a_reply(call: Dialogue) -> None:
    """A delayed offer: bob's 200 has the offer, alice's ACK the answer, and the proxy swaps the tags."""
    offered = call.offer(S_B, from_tag="B", to_tag="A")
    assert "B" in call.tags
    answered = call.answer(S_A, from_tag="B", to_tag="A")
    assert sorted(call.tags) == ["A", "B"]
    assert offered.media.port != answered.media.port
    assert call.offer(S_A, from_tag="A", to_tag="B").media.port == answered.media.port


def test_a_reoffer_needs_no_to_tag(call: Dialogue) -> None:
    port = call.offer(S_A).media.port
    call.answer(S_B)
    assert call.offer(S_A).media.port == port
    assert call.tags == ["A", "B"]


def test_an_offer_to_an_unknown_to_tag_is_a_new_branch(call: Dialogue) -> None:
    port = call.offer(S_A).media.port
    call.answer(S_B)
    assert call.offer(S_A, to_tag="C").media.port != port
    assert len(call.tags) == 3


@pytest.mark.parametrize("known", [False, True])
def test_a_repeated_offer_to_a_tag_that_nobody_knows_gives_the_same_bytes(
    daemon: Daemon, call: Dialogue, known: bool
) -> None:
    """After a restart of the relay a re-INVITE is the first it hears of a call, or a delayed offer is."""
    if known:
        call.offer(S_A)
        call.answer(S_B)
    first = call.offer(S_A, to_tag="C").text
    used = daemon.metric("rtpengine_ports_used")
    assert call.offer(S_A, to_tag="C").text == first
    assert daemon.metric("rtpengine_ports_used") == used
    answered = call.answer(S_B, to_tag="C")
    assert call.offer(S_A, to_tag="C").text == first
    assert call.answer(S_B, to_tag="C").text == answered.text


# Forking with a Via branch for each phone.


def test_each_branch_has_ports_of_its_own_and_all_share_the_callers(call: Dialogue) -> None:
    offered = [call.offer(S_A, via_branch=branch).media.port for branch in ("b1", "b2", "b3")]
    assert len(set(offered)) == 3
    answered = [
        call.answer(phone(number), to_tag=f"T{number}", via_branch=f"b{number}").media.port
        for number in (2, 1, 3)
    ]
    assert len(set(answered)) == 1
    assert not set(answered) & set(offered)


def test_the_report_names_the_branches(call: Dialogue) -> None:
    for number in (1, 2):
        call.offer(S_A, via_branch=f"b{number}")
    call.answer(phone(2), to_tag="T2", via_branch="b2")
    parties = call.query()["tags"]
    assert parties["T2"]["via-branch"] == "b2"
    assert "via-branch" not in parties["A"]
    (waiting,) = [party for party in parties.values() if not party["tag"]]
    assert waiting["via-branch"] == "b1"


def test_the_branch_that_answered_last_hears_the_caller_and_the_caller_hears_all(call: Dialogue) -> None:
    for number in (1, 2):
        call.offer(S_A, via_branch=f"b{number}")
    call.answer(phone(2), to_tag="T2", via_branch="b2")
    call.answer(phone(1), to_tag="T1", via_branch="b1")
    assert (hears(call, "T1"), hears(call, "T2")) == (["A"], [])
    assert hears(call, "A") == ["T1", "T2"]


def test_a_repeated_offer_of_a_branch_is_that_branch(call: Dialogue) -> None:
    first = call.offer(S_A, via_branch="b1").text
    call.offer(S_A, via_branch="b2")
    assert call.offer(S_A, via_branch="b1").text == first


def test_a_late_branch_joins_while_another_rings(call: Dialogue) -> None:
    call.offer(S_A, via_branch="b1")
    ringing = call.answer(phone(1), to_tag="T1", via_branch="b1").media.port
    late = call.offer(S_A, via_branch="b2").media.port
    assert call.answer(phone(2), to_tag="T2", via_branch="b2").media.port == ringing
    assert late != ringing
    assert hears(call, "T2") == ["A"]


# Forking under one offer.


def test_phones_that_got_the_same_offer_are_parties_of_their_own(call: Dialogue) -> None:
    call.offer(S_A)
    answered = [call.answer(phone(number), to_tag=f"T{number}").media.port for number in (1, 2)]
    assert len(set(answered)) == 1
    assert call.tags == ["A", "T1", "T2"]
    assert (hears(call, "T1"), hears(call, "T2")) == ([], ["A"])


def test_phones_that_got_the_same_offer_share_its_port(call: Dialogue) -> None:
    told = call.offer(S_A).media.port
    for number in (1, 2):
        call.answer(phone(number), to_tag=f"T{number}")
    parties = call.query()["tags"]
    local = [parties[tag]["medias"][0]["streams"][0]["local port"] for tag in ("T1", "T2")]
    assert local == [told, told]


def test_the_winner_of_a_fork_under_one_offer_keeps_its_port_when_it_is_called_again(call: Dialogue) -> None:
    told = call.offer(S_A).media.port
    for number in (1, 2, 1):
        call.answer(phone(number), to_tag=f"T{number}")
    assert call.offer(S_A, to_tag="T1").media.port == told
    assert hears(call, "T1") == ["A"]


# Delete, rules 1 to 6.


def forked(call: Dialogue) -> Dialogue:
    """A with two answered branches and one that rings."""
    for number in (1, 2, 3):
        call.offer(S_A, via_branch=f"b{number}")
    for number in (1, 2):
        call.answer(phone(number), to_tag=f"T{number}", via_branch=f"b{number}")
    return call


@pytest.mark.parametrize(
    ("keys", "left"),
    [
        ({}, None),
        ({"from-tag": "A"}, None),
        ({"from-tag": "A", "to-tag": "T1"}, None),
        ({"from-tag": "A", "via-branch": "b1"}, ["A", "T2", ""]),
        ({"from-tag": "A", "via-branch": "b3"}, ["A", "T1", "T2"]),
        ({"from-tag": "T1"}, ["A", "T2", ""]),
        ({"from-tag": "A", "to-tag": "T2", "flags": ["to-tag"]}, ["A", "T1", ""]),
        ({"from-tag": "A", "to-tag": "T2", "via-branch": "b1", "flags": ["to-tag"]}, ["A", "T1", ""]),
        ({"from-tag": "A", "to-tag": "TX", "via-branch": "b1", "flags": ["to-tag"]}, ["A", "T2", ""]),
        ({"from-tag": "A", "via-branch": "bX"}, None),
        ({"from-tag": "X", "via-branch": "b2"}, ["A", "T1", ""]),
    ],
)
def test_a_delete_takes_what_it_names_and_who_has_nobody_left(
    call: Dialogue, keys: dict[str, Value], left: list[str] | None
) -> None:
    forked(call)
    reply = call.ask("delete", **keys)
    assert reply["result"] == "ok"
    assert "warning" not in reply
    assert call.exists == (left is not None)
    if left is not None:
        assert [party["tag"] for party in call.query()["tags"].values()] == left


@pytest.mark.parametrize(
    "keys",
    [
        {"from-tag": "X"},
        {"from-tag": "A", "to-tag": "X", "flags": ["to-tag"]},
        {"from-tag": "X", "via-branch": "bX"},
    ],
)
def test_a_delete_that_names_nobody_leaves_the_call_alone(call: Dialogue, keys: dict[str, Value]) -> None:
    forked(call)
    assert call.ask("delete", **keys) == {"warning": WARNING, "result": "ok"}
    flags = [*keys.get("flags", []), "fatal"]  # type: ignore[misc]
    refused = call.ask("delete", **{**keys, "flags": flags})
    assert refused == {"result": "error", "error-reason": WARNING}
    assert len(call.tags) == 4


def test_an_unanswered_call_is_deleted_by_a_to_tag_that_never_answered(call: Dialogue) -> None:
    call.offer(S_A)
    reply = call.ask("delete", from_tag="A", to_tag="B", flags=["to-tag"])
    assert "warning" not in reply
    assert not call.exists


def test_deleting_the_last_branch_ends_the_call(call: Dialogue) -> None:
    forked(call)
    for branch in ("b3", "b1"):
        call.ask("delete", from_tag="A", via_branch=branch)
    assert call.tags == ["A", "T2"]
    call.ask("delete", from_tag="A", via_branch="b2")
    assert not call.exists


def test_a_deleted_branch_can_be_offered_to_again(call: Dialogue) -> None:
    forked(call)
    call.ask("delete", from_tag="A", via_branch="b3")
    call.offer(S_A, via_branch="b3")
    assert len(call.tags) == 4


def test_a_shared_offer_survives_the_delete_of_the_phone_that_answered_first(
    daemon: Daemon, call: Dialogue
) -> None:
    told = call.offer(S_A).media.port
    for number in (1, 2):
        call.answer(phone(number), to_tag=f"T{number}")
    call.ask("delete", from_tag="A", to_tag="T1", flags=["to-tag"])
    assert call.tags == ["A", "T2"]
    assert call.query()["tags"]["T2"]["medias"][0]["streams"][0]["local port"] == told
    assert daemon.metric("rtpengine_ports_used") == 4


def test_all_ports_are_free_after_a_delete(daemon: Daemon, call: Dialogue) -> None:
    forked(call)
    assert daemon.metric("rtpengine_ports_used") == 8
    call.ask("delete", from_tag="A", via_branch="b1")
    wait_until(lambda: daemon.metric("rtpengine_ports_used") == 6, "the ports of the branch are free")
    call.ask("delete")
    wait_until(lambda: daemon.metric("rtpengine_ports_used") == 0, "all ports are free")


def test_delete_reports_what_query_does_and_fast_nothing(call: Dialogue) -> None:
    forked(call)
    asked = call.query()
    assert call.ask("delete", via_branch="b3", from_tag="A", flags=["fast"]) == {"result": "ok"}
    report: Any = call.ask("delete")
    assert list(report) == list(asked)
    assert list(report) == [
        "created", "created_us", "last signal", "SSRC", "tags", "totals", "result",
    ]  # fmt: skip
    assert {"packets", "bytes", "errors"} == set(report["totals"]["RTP"]) == set(report["totals"]["RTCP"])


def test_query_may_be_restricted_to_a_party_and_whom_it_hears(call: Dialogue) -> None:
    forked(call)
    assert list(call.ask("query", from_tag="T2")["tags"]) == ["A", "T2"]  # type: ignore[arg-type]


# Delete with a delay.


def test_a_delayed_delete_shows_the_call_until_its_time(call: Dialogue) -> None:
    call.offer(S_A)
    call.answer(S_B)
    reply = call.ask("delete", from_tag="A", delete_delay=1)
    assert "totals" in reply
    assert call.exists
    assert call.tags == ["A", "B"]
    wait_until(lambda: not call.exists, "the call has ended")


@pytest.mark.parametrize("key", ["delete-delay", "delete delay", "delete_delay"])
@pytest.mark.parametrize("value", [30, "30"])
def test_the_delay_may_be_spelled_in_every_dialect(call: Dialogue, key: str, value: Value) -> None:
    call.offer(S_A)
    call.ask("delete", from_tag="A", **{key: value})
    assert call.exists


def test_a_negative_delay_is_the_daemons_default(call: Dialogue) -> None:
    call.offer(S_A)
    call.ask("delete", from_tag="A", delete_delay=-1)
    assert not call.exists


def test_a_later_offer_cancels_a_delayed_delete(brisk: Daemon, call_id: str) -> None:
    one, other = (Dialogue(brisk.client, f"{call_id} {name}") for name in ("cancelled", "not"))
    for call in (one, other):
        call.offer(S_A)
        call.answer(S_B)
        call.ask("delete", from_tag="A")
    assert one.offer(S_A, to_tag="B").media.port
    wait_until(lambda: not other.exists, "the call of which nothing was heard has ended")
    assert one.exists


def test_a_later_answer_cancels_a_delayed_delete_too(brisk: Daemon, call_id: str) -> None:
    one, other = (Dialogue(brisk.client, f"{call_id} {name}") for name in ("cancelled", "not"))
    for call in (one, other):
        call.offer(S_A)
        call.ask("delete", from_tag="A")
    assert described(one.ask("answer", sdp=S_B, from_tag="A", to_tag="B"))
    wait_until(lambda: not other.exists, "the call of which nothing was heard has ended")
    assert one.exists


def test_a_branch_can_be_deleted_with_a_delay(brisk: Daemon, call_id: str) -> None:
    call = forked(Dialogue(brisk.client, call_id))
    call.ask("delete", from_tag="A", via_branch="b1")
    assert "T1" in call.tags
    wait_until(lambda: "T1" not in call.tags, "the branch is gone")
    assert call.tags[:2] == ["A", "T2"]


def test_no_delay_ends_a_call_that_waits_for_its_end(brisk: Daemon, call_id: str) -> None:
    call = Dialogue(brisk.client, call_id)
    call.offer(S_A)
    call.ask("delete", from_tag="A", delete_delay=30)
    call.ask("delete", from_tag="A", delete_delay=0)
    assert not call.exists


# Time.


def test_a_call_without_packets_ends_and_is_counted(brisk: Daemon, call_id: str) -> None:
    call = Dialogue(brisk.client, call_id)
    call.offer(S_A)
    call.answer(S_B)
    wait_until(lambda: not call.exists, "the silent call has ended")
    said = f"call-id={call_id} reason=timeout"
    wait_until(lambda: said in brisk.log, "the log says why")


def test_a_call_that_nobody_answers_ends(brisk: Daemon, call_id: str) -> None:
    call = Dialogue(brisk.client, call_id)
    call.offer(S_A)
    wait_until(lambda: not call.exists, "the unanswered call has ended")
    said = f"call-id={call_id} reason=offer timeout"
    wait_until(lambda: said in brisk.log, "the log says why")


def test_a_call_on_hold_outlives_one_that_is_silent(brisk: Daemon, call_id: str) -> None:
    held, silent = (Dialogue(brisk.client, f"{call_id} {name}") for name in ("held", "silent"))
    for call, line in ((held, "a=inactive\r\n"), (silent, "")):
        call.offer(S_A + line)
        call.answer(S_B + line)
    wait_until(lambda: not silent.exists, "the silent call has ended")
    assert held.exists
