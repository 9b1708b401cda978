"""Which streams the kernel gets, and as what."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import pytest

from relay.forward.offload import flow
from relay.forward.offload.flow import KNOWN, End, Flow, Why, judge
from relay.forward.offload.gates import Gate
from relay.forward.offload.kernel import FLOW_SIZE, KEY_SIZE, Kind
from relay.forward.rule import Learn, Rule, StunKeys
from relay.latching import State

CALLER, CALLEE = ("192.0.2.2", 4000), ("198.51.100.2", 5000)
TO_CALLER, TO_CALLEE = ("192.0.2.1", 30000), ("198.51.100.1", 30002)
INSIDE, OUTSIDE = Gate("192.0.2.1", "eth0", 2, Kind.TCX), Gate("198.51.100.1", "eth1", 3, Kind.TCX)

END = End(
    Rule(1, 10, CALLER, Learn.WINDOW, rtp=(2,), rtcp=(2,)),
    TO_CALLER, INSIDE, alone=True, state=State.LOCKED, heard=True, peer=CALLER, tos=0,
)  # fmt: skip
OUT = End(
    Rule(2, 11, CALLEE, Learn.WINDOW, rtp=(1,), rtcp=(1,)),
    TO_CALLEE, OUTSIDE, alone=True, state=State.LOCKED, heard=True, peer=CALLEE, tos=184,
)  # fmt: skip


def with_rule(end: End, **changes: object) -> End:
    return replace(end, rule=replace(end.rule, **changes))  # type: ignore[arg-type]


def test_a_settled_plain_stream_is_the_kernels() -> None:
    assert judge(END, OUT) == Flow(TO_CALLER, CALLER, TO_CALLEE, CALLEE, tos=184, device=3)


@pytest.mark.parametrize(
    ("end", "out", "why"),
    [
        (END, None, Why.OUTPUTS),
        (replace(END, gate=replace(INSIDE, kind=None)), OUT, Why.INTERFACE),
        (END, replace(OUT, gate=replace(OUTSIDE, kind=None)), Why.INTERFACE),
        (with_rule(END, keys=7), OUT, Why.SRTP),
        (END, with_rule(OUT, keys=7), Why.SRTP),
        (END, with_rule(OUT, dtls=True), Why.SRTP),
        (with_rule(END, opaque=True), OUT, Why.OPAQUE),
        (with_rule(END, asymmetric=True), OUT, Why.ASYMMETRIC),
        (END, with_rule(OUT, asymmetric=True), Why.ASYMMETRIC),
        (replace(END, alone=False), OUT, Why.SHARED),
        (END, replace(OUT, local=("2001:db8::1", 30002)), Why.FAMILIES),
        (replace(END, gate=replace(INSIDE, kind=Kind.XDP)), OUT, Why.DEVICES),
        (replace(END, state=State.LATCHED), OUT, Why.UNSETTLED),
        (replace(END, state=State.WAITING), OUT, Why.UNSETTLED),
        (END, replace(OUT, state=State.LATCHED), Why.UNSETTLED),
        (END, replace(OUT, peer=None), Why.UNSETTLED),
        (with_rule(END, learn=Learn.NOBODY), OUT, Why.UNSETTLED),
        (replace(END, heard=False), OUT, Why.QUIET),
    ],
)
def test_all_others_stay_in_user_space(end: End, out: End | None, why: Why) -> None:
    assert judge(end, out) is why


def test_xdp_sends_through_the_device_it_came_by() -> None:
    native = replace(INSIDE, kind=Kind.XDP)
    assert isinstance(judge(replace(END, gate=native), replace(OUT, gate=native)), Flow)


def test_a_callee_who_never_spoke_gets_media_where_signalling_said() -> None:
    found = judge(END, replace(OUT, state=State.WAITING))
    assert isinstance(found, Flow)
    assert found.destination == CALLEE


def test_of_several_validated_sources_the_selected_one_is_the_kernels() -> None:
    sources = (("192.0.2.9", 9), CALLER)
    keys = StunKeys("ours", "password", "theirs", controlling=False)
    end = with_rule(END, learn=Learn.NOBODY, sources=sources, stun=True, stun_keys=keys)
    found = judge(replace(end, state=State.WAITING), OUT)
    assert isinstance(found, Flow)
    assert found.peer == CALLER


def test_what_concerns_rtcp_alone_keeps_no_stream_in_user_space() -> None:
    assert isinstance(judge(END, with_rule(OUT, plain_rtcp=True)), Flow)


def test_a_field_that_nobody_judged_keeps_its_rules_in_user_space(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "UNKNOWN", (("hint", None),))
    assert judge(with_rule(END, hint="192.0.2.3"), OUT) is Why.OTHER
    assert judge(END, with_rule(OUT, hint="192.0.2.3")) is Why.OTHER
    assert isinstance(judge(END, OUT), Flow)


def test_every_field_of_a_rule_is_judged_or_says_nothing_by_default() -> None:
    fields = {field.name: field for field in dataclasses.fields(Rule)}
    assert fields.keys() >= KNOWN
    assert all(fields[name].default is not dataclasses.MISSING for name in fields.keys() - KNOWN)


@pytest.mark.parametrize(("one", "other"), [("192.0.2.1", "198.51.100.1"), ("2001:db8::1", "2001:db8::2")])
def test_keys_and_flows_have_the_size_of_the_tables(one: str, other: str) -> None:
    made = Flow((one, 1), (other, 2), (one, 3), (other, 4), tos=255, device=2**31)
    assert (len(made.key()), len(made.value(65535))) == (KEY_SIZE, FLOW_SIZE)
