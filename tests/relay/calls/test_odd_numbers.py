"""Numbers in a description that are none, or too long: every field that has one, in every mode."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from relay.calls.report import Readings, Traffic, call_report
from relay.forward.plane import Reported
from relay.ng.errors import BAD_SDP, INCOMPLETE_SDP, REWRITE_FAILED, NgError
from sdp.ice import read
from tests.relay.calls.desk import ALICE, BOB, PLAIN, UNIX, Desk
from tests.relay.calls.test_optimize import MODES

FIELDS = {
    "session version": ("o=- 1 1", "o=- 1 {}"),
    "port": ("m=audio 10000", "m=audio {}"),
    "port count": ("m=audio 10000", "m=audio 10000/{}"),
    "payload type": ("AVP 96", "AVP {} 96"),
    "codec": ("rtpmap:96", "rtpmap:{}"),
    "clock": ("PCMU/8000", "PCMU/{}"),
    "channels": ("PCMU/8000", "PCMU/8000/{}"),
    "address length": ("c=IN IP4 {host}", "c=IN IP4 {host}/{}"),
    "rtcp": ("rtcp:10001", "rtcp:{}"),
    "ssrc": ("ssrc:7", "ssrc:{}"),
    "extension": ("extmap:1", "extmap:{}"),
    "crypto tag": ("crypto:1", "crypto:{}"),
    "key lifetime": ("|2^20", "|2^{}"),
    "key lifetime, plain": ("|2^20", "|{}"),
    "key identifier": ("|2^20", "|2^20|{}:4"),
    "length of the key identifier": ("|2^20", "|2^20|1:{}"),
    "foundation": ("candidate:1", "candidate:{}"),
    "component": (":1 1 udp", ":1 {} udp"),
    "priority": ("2130706431", "{}"),
    "candidate's port": ("{host} 10000 typ", "{host} {} typ"),
    "related port": ("rport 9", "rport {}"),
    "generation": ("generation 0", "generation {}"),
    "network-id": ("network-id 1", "network-id {}"),
    "network-cost": ("network-cost 10", "network-cost {}"),
    "ice-pacing": ("ice-pacing:50", "ice-pacing:{}"),
    "ptime": ("ptime:20", "ptime:{}"),
}
TEXT = """v=0
o=- 1 1 IN IP4 {host}
s=-
c=IN IP4 {host}
t=0 0
a=ice-pacing:50
m=audio 10000 RTP/AVP 96
a=rtpmap:96 PCMU/8000
a=rtcp:10001
a=ssrc:7 cname:x
a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid
a=ptime:20
a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA|2^20
a=ice-ufrag:{user}
a=ice-pwd:{user}{user}{user}{user}{user}{user}
a=candidate:1 1 udp 2130706431 {host} 10000 typ host raddr {host} rport 9 generation 0 network-id 1 network-cost 10
"""  # noqa: E501
DIGITS = st.sampled_from(["0", "9", "٣", "\uff19", "²", "½", "Ⅷ", "-", "+", "_", ".", "e", "x", "\x00", ""])
NUMBERS = st.one_of(
    st.integers(-2, 2**65).map(str),
    st.lists(DIGITS, max_size=6).map("".join),
    st.tuples(st.sampled_from("09٣\uff19"), st.integers(1, 5000)).map(lambda one: one[0] * one[1]),
)


def describes(field: str, number: str, host: str, user: str) -> str:
    """The field is that number, and everything else is as usual."""
    plain, odd = FIELDS[field]
    assert plain in TEXT
    text = TEXT.replace(plain, odd.replace("{}", number))
    return text.replace("{host}", host).replace("{user}", user).replace("\n", "\r\n")


@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=60)
@example("network-cost", "9" * 5000)
@example("network-cost", "9" * 60)
@example("network-cost", "٣")
@example("clock", "8" * 5000)
@example("priority", "0")
@example("priority", "4294967295")
@given(st.sampled_from(sorted(FIELDS)), NUMBERS)
def test_an_odd_number_is_refused_by_name_or_harms_nothing(mode: str, field: str, number: str) -> None:
    desk = Desk(PLAIN[:1])
    options: dict[str, Any] = dict(MODES[mode])
    refused = None
    try:
        offer = desk.offer(describes(field, number, ALICE, "aaaa"), **options)
        answer = desk.answer(describes(field, number, BOB, "bbbb"))
    except NgError as error:
        refused = error.reason
    else:
        for said in (offer, answer):
            ours = read(said, said.medias[0]).candidates[-1:]
            assert all((one.extension("network-cost") or "0") in ("0", "10") for one in ours) or (
                field == "network-cost" and number.isascii() and len(number) < 6
            )
        reported = Reported(1, blocks=1, fraction=0, lost=0, jitter=8, round_trips=0, round_trip=0)
        readings = Readings(lambda rule: Traffic(), lambda at: at + UNIX, lambda rule: (reported,))
        call_report(desk.registry.calls["call"], readings)
        assert desk.command("query", call_id="call").reply["result"] == "ok"
    assert refused in (None, BAD_SDP, INCOMPLETE_SDP, REWRITE_FAILED)
    desk.command("delete", call_id="call", delete_delay=0)
    assert (desk.box.ports, desk.box.rules) == ({}, {})
