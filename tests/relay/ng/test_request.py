from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.ng import errors, words
from relay.ng.bencode import Value
from relay.ng.errors import NgError
from relay.ng.request import MAX_WARNINGS, Request, parse

ADDRESS = "192.0.2.7"

SAME: list[tuple[str, Any, list[dict[str, Value]]]] = [
    ("call_id", "x", [{"call-id": "x"}, {"call-ID": "x"}, {"call id": "x"}, {"rtpp-flags": "call-id=x"}]),
    ("from_tag", "x", [{"from-tag": "x"}, {"from tag": "x"}, {"from_tag": "x"}]),
    ("from_tag", "", [{"from-tag": ""}]),
    ("to_tag", "x", [{"to-tag": "x"}, {"to tag": "x"}, {"to_tag": "x"}]),
    ("via_branch", "x", [{"via-branch": "x"}, {"via branch": ["x"]}]),
    ("sdp", "v=0", [{"sdp": "v=0"}]),
    ("label", "5", [{"label": "5"}, {"from-label": 5}, {"from label": "5"}]),
    ("metadata", "m", [{"metadata": "m"}]),
    ("address_family", "IP6", [{"address-family": "IP6"}, {"address family": "ip6"}]),
    ("media_address", ADDRESS, [{"media-address": ADDRESS}, {"media address": [ADDRESS]}]),
    ("media_address", "2001:db8::1", [{"media-address": "[2001:DB8:0::1]"}]),
    (
        "received_from",
        ADDRESS,
        [
            {"received-from": ["IP4", ADDRESS]},
            {"received from": ["IP4", ADDRESS]},
            {"received-from": ADDRESS},
            {"received-from": [ADDRESS]},
            {"received-from": f"IP4 {ADDRESS}"},
            {"received-from": f"IP4,{ADDRESS}"},
            {"rtpp-flags": f"received-from={ADDRESS}"},
            {"rtpp-flags": f"received-from=[IP4 {ADDRESS}]"},
        ],
    ),
    (
        "replace",
        {"origin", "session-name"},
        [
            {"replace": ["origin", "session-name"]},
            {"replace": ["Origin", "session name"]},
            {"replace": "origin,session_name"},
            {"replace": ["origin"], "flags": ["replace-session-name"]},
            {"flags": ["replace origin", "replace-session name"]},
            {"rtpp-flags": "replace-origin replace-session-name"},
            {"rtpp-flags": "replace=[origin session-name]"},
        ],
    ),
    (
        "replace",
        {"sdp-version", "zero-address"},
        [{"replace": ["SDP-version", "zero address"]}, {"replace": ["sdp version", "zero-address"]}],
    ),
    (
        "rtcp_mux",
        {"offer", "require"},
        [
            {"rtcp-mux": ["offer", "require"]},
            {"RTCP-mux": ["offer", "require"]},
            {"rtcp mux": "offer,require"},
            {"rtcp_mux": "offer, require"},
            {"flags": ["rtcp-mux-offer", "rtcp-mux-require"]},
            {"flags": "rtcp-mux-offer,rtcp-mux-require"},
            {"rtpp-flags": "rtcp-mux=[offer require]"},
            {"rtpp-flags": "rtcp-mux-offer rtcp-mux-require"},
        ],
    ),
    (
        "direction",
        ("in", "out"),
        [
            {"direction": ["in", "out"]},
            {"direction": "in,out"},
            {"from-interface": "in", "to-interface": "out"},
            {"from interface": "in", "to interface": "out"},
            {"rtpp-flags": "direction=in direction=out"},
            {"rtpp-flags": "direction=[in out]"},
        ],
    ),
    ("direction", ("internal", "external"), [{"rtpp-flags": "internal external"}]),
    ("direction", ("in",), [{"interface": "in"}, {"direction": "in"}, {"from-interface": "in"}]),
    ("direction", ("", "out"), [{"to-interface": "out"}]),
    ("ice", "force", [{"ICE": "force"}, {"ice": ["force"]}, {"Ice": "Force"}, {"rtpp-flags": "ICE=force"}]),
    (
        "ice",
        "force-relay",
        [
            {"ICE": "force-relay"},
            {"ICE": "force_relay"},
            {"ICE": "force relay"},
            {"ICE": ["force relay"]},
        ],
    ),
    ("ice", "force", [{"ICE": ["force", "trickle"]}, {"ICE": "trickle,force"}, {"flags": ["webrtc"]}]),
    (
        "ice",
        "optimize",
        [
            {"ICE": "force", "flags": ["ICE-optimize"]},
            {"flags": ["webrtc", "ice_optimize"]},
            {"rtpp-flags": "ICE=force ICE-optimize"},
        ],
    ),
    ("ice", "remove", [{"ICE": "remove", "flags": ["ICE-optimize"]}]),
    ("ice", None, [{"flags": ["ICE-optimize"]}]),
    ("ice", "remove", [{"ICE": "remove", "flags": ["webrtc"]}]),
    ("ice", "optimize", [{"ICE": "optimize"}]),
    ("ice_policy", "office", [{"ICE-policy": "office"}, {"rtpp-flags": "ice-policy=office"}]),
    ("network", "a1b2", [{"network": "a1b2"}, {"rtpp-flags": "network=a1b2"}]),
    ("network", "x" * 64, [{"network": "x" * 64}]),
    ("network", None, [{}, {"network": ""}]),
    (
        "network_legs",
        ("hq", "lte:26201"),
        [
            {"network-legs": {"from": "hq", "to": "lte:26201"}},
            {"network legs": ["hq", "lte:26201"]},
            {"network-legs": "hq, lte:26201"},
            {"rtpp-flags": "network-legs=hq,lte:26201"},
        ],
    ),
    ("network_legs", (None, "x"), [{"network-legs": {"to": "x"}}, {"network-legs": ",x"}]),
    ("user_agent", "Linphone/5", [{"user-agent": "Linphone/5"}, {"User Agent": "Linphone/5"}]),
    (
        "flags",
        {"trickle-ice"},
        [
            {"ICE": ["force", "trickle"]},
            {"flags": ["trickle-ICE"]},
            {"flags": ["trickle ICE"]},
            {"flags": "trickle_ice"},
            {"flags": ["Trickle-ice"]},
            {"rtpp-flags": "trickle-ICE"},
        ],
    ),
    ("flags", {"ice-reject"}, [{"flags": ["ICE-reject"]}, {"flags": ["reject ICE"]}, {"ICE": ["reject"]}]),
    (
        "flags",
        {"sip-source-address", "loop-protect"},
        [
            {"flags": ["SIP-source-address", "loop-protect"]},
            {"flags": ["SIP source address", "loop protect"]},
            {"rtpp-flags": "SIP-source-address loop-protect"},
        ],
    ),
    ("flags", {"to-tag"}, [{"flags": ["to-tag"]}, {"rtpp-flags": "to-tag=x"}, {"rtpp-flags": "to-tag"}]),
    ("flags", set(), [{"flags": ["symmetric"]}, {"flags": []}, {"flags": ""}]),
    (
        "flags",
        {"webrtc", "trickle-ice", "no-rtcp-attribute", "generate-mid"},
        [{"flags": [spelling]} for spelling in ("webrtc", "webRTC", "WebRTC", "WebRtc")],
    ),
    ("rtcp_mux", {"offer", "require"}, [{"flags": ["WebRTC"]}]),
    ("ice_lite", "forward", [{"ICE-lite": word} for word in ("forward", "fwd", "fw", "offer")]),
    (
        "ice_lite",
        "backward",
        [{"ice lite": word} for word in ("backward", "back", "backwards", "bkw", "bk", "reverse", "answer")],
    ),
    ("ice_lite", "off", [{"ICE lite": "no"}, {"ice-lite": "none"}, {"ice-lite": "off"}]),
    ("ice_lite", "both", [{"ICE-lite": "both"}, {"ICE": ["force", "lite-both"]}]),
    (
        "transport_protocol",
        "UDP/TLS/RTP/SAVPF",
        [
            {"transport-protocol": "UDP/TLS/RTP/SAVPF"},
            {"transport protocol": "udp/tls/rtp/savpf"},
            {"rtpp-flags": "UDP/TLS/RTP/SAVPF"},
            {"rtpp-flags": "SRTP DTLS AVPF"},
            {"flags": ["webrtc"]},
        ],
    ),
    (
        "transport_protocol",
        "RTP/AVP",
        [{"transport-protocol": "RTP/AVP"}, {"rtpp-flags": "RTP"}, {"rtpp-flags": "RTP AVP"}],
    ),
    ("transport_protocol", "RTP/SAVPF", [{"rtpp-flags": "SRTP AVPF"}]),
    ("transport_protocol", "accept", [{"transport-protocol": "accept"}]),
    ("tos", 184, [{"TOS": 184}, {"tos": "184"}]),
    ("tos", -1, [{"TOS": -1}]),
    ("delete_delay", 5, [{"delete delay": 5, "delete-delay": "9"}, {"delete_delay": "5"}]),
    ("delete_delay", 0, [{"delete-delay": 0}]),
    ("delete_delay", None, [{"delete-delay": -1}, {}]),
    ("limit", 2, [{"limit": 2}, {"limit": "2"}]),
    ("limit", -2, [{"limit": -2}]),
    ("sip_code", 200, [{"sip-code": 200}, {"SIP code": "200"}, {"sip-response-code": 200}]),
    (
        "sip_message_type",
        "reply",
        [
            {"sip-message-type": "sip_reply"},
            {"SIP message type": "reply"},
            {"sip-message-type": "sip-response"},
        ],
    ),
    ("sip_message_type", "request", [{"sip-message-type": "sip_request"}]),
    ("osrtp", {"offer"}, [{"OSRTP": ["offer"]}, {"osrtp": "offer-RFC"}, {"flags": ["OSRTP-offer"]}]),
    ("osrtp", {"offer", "accept"}, [{"OSRTP": "offer,accept-RFC"}, {"rtpp-flags": "OSRTP=[offer accept]"}]),
    ("sdes", {"pad"}, [{"SDES": ["pad"]}, {"flags": ["pad-crypto"]}, {"flags": ["SDES-pad"]}]),
    ("sdes", set(), [{"SDES": ["on", "static", "encrypted_srtp"]}, {}]),
    (
        "sdes",
        {"order:aead-aes-256-gcm;aes-cm-128-hmac-sha1-80;", "offerer-pref:aes-cm-128-hmac-sha1-32"},
        [
            {
                "SDES": [
                    "order:AEAD_AES_256_GCM;AES_CM_128_HMAC_SHA1_80;",
                    "offerer_pref:AES_CM_128_HMAC_SHA1_32",
                ]
            }
        ],
    ),
    ("supports", {"load-limit"}, [{"supports": ["load limit"]}]),
]


@pytest.mark.parametrize(
    ("field", "meaning", "message"),
    [(field, meaning, message) for field, meaning, messages in SAME for message in messages],
    ids=str,
)
def test_spellings_mean(field: str, meaning: object, message: dict[str, Value]) -> None:
    request = parse({"command": "offer", **message})
    assert getattr(request, field) == meaning
    assert request.warnings == ()


@pytest.mark.parametrize(
    ("message", "ignored"),
    [
        ({"OSRTP": "offer-legacy"}, {"osrtp-offer-legacy"}),
        ({"SDES": ["unencrypted_srtp"]}, {"sdes-unencrypted-srtp"}),
        ({"codecs": {"strip": ["PCMA"]}}, {"codec-strip-PCMA"}),
        ({"record call": "on"}, {"record-call=on"}),
        ({"ptime": 40, "ptime-reverse": "30"}, {"ptime=40", "ptime-reverse=30"}),
        ({"T.38": ["decode"], "from-tags": ["a"]}, {"t.38-decode", "from-tags"}),
        ({"flags": ["record-call", "OSRTP-accept-legacy", "codec-strip-PCMA", "transcode-opus", "T38-x"]},
         {"record-call", "osrtp-accept-legacy", "codec-strip-PCMA", "transcode-opus", "T38-x"}),
        ({"rtpp-flags": "codec=[strip=[PCMA PCMU] offer=all] DTMF-delay=5"},
         {"codec-strip-PCMA", "codec-strip-PCMU", "codec-offer-all", "dtmf-delay"}),
    ],
)  # fmt: skip
def test_what_is_known_but_not_done_is_told_apart(message: dict[str, Value], ignored: set[str]) -> None:
    request = parse({"command": "offer", **message})
    assert set(request.ignored) == ignored
    assert request.warnings == ()


def test_a_list_of_thousands_of_codecs_fills_no_log() -> None:
    codecs: Value = {"strip": [f"codec-{number:>5000}" for number in range(100)]}
    request = parse({"command": "offer", "codec": codecs})
    assert len(request.ignored) <= 16
    assert max(map(len, request.ignored)) <= 64


@pytest.mark.parametrize(
    ("message", "warning"),
    [
        ({"nonsense": "x"}, "unknown key 'nonsense'"),
        ({"flags": ["nonsense"]}, "unknown flag 'nonsense'"),
        ({"flags": {"a": "b"}}, "not a list: flags \"{'a': 'b'}\""),
        ({"flags": [["a"]]}, "not a word: flags \"['a']\""),
        ({"replace": ["nonsense"]}, "unknown word in replace 'nonsense'"),
        ({"rtcp-mux": "offer,nonsense"}, "unknown word in rtcp-mux 'nonsense'"),
        ({"ICE": "nonsense"}, "unknown value of ice 'nonsense'"),
        ({"ICE": ["force", "remove"]}, "unknown value of ice 'remove'"),
        ({"ICE-lite": "nonsense"}, "unknown value of ice-lite 'nonsense'"),
        ({"address-family": "IP5"}, "unknown value of address-family 'IP5'"),
        ({"media-address": "host.example"}, "not an address: media-address 'host.example'"),
        ({"received-from": ["IP4", "1.2.3"]}, "not an address: received-from '1.2.3'"),
        ({"received-from": "fe80::1%eth0"}, "not an address: received-from 'fe80::1%eth0'"),
        ({"transport-protocol": "RTP/XXX"}, "unknown value of transport-protocol 'RTP/XXX'"),
        ({"TOS": "many"}, "not a number: tos 'many'"),
        ({"TOS": "9" * 5000}, "not a number: tos '" + "9" * 64 + "'"),
        ({"call-id": {"a": "b"}}, "not a string: call-id \"{'a': 'b'}\""),
        ({"flags": ["x\r\ny"]}, "unknown flag 'x\\r\\ny'"),
    ],
)
def test_what_makes_no_sense_is_named_and_ignored(message: dict[str, Value], warning: str) -> None:
    assert parse({"command": "offer", **message}).warnings == (warning,)


def test_keys_of_the_message_win_over_rtpp_flags() -> None:
    request = parse({"command": "offer", "rtpp-flags": "call-id=a ICE=force", "call-id": "b"})
    assert (request.call_id, request.ice) == ("b", "force")


def test_thousands_of_unknown_keys_give_a_few_warnings() -> None:
    message: dict[str, Value] = {f"unknown {number}": 1 for number in range(5000)}
    assert len(parse({"command": "offer", **message}).warnings) == MAX_WARNINGS


@pytest.mark.parametrize("message", [{}, {"command": 1}, {"command": ["ping"]}, {"Command": "ping"}])
def test_without_a_command_nothing_can_be_done(message: dict[str, Value]) -> None:
    with pytest.raises(NgError) as caught:
        parse(message)
    assert caught.value.reason == errors.NO_COMMAND


def test_commands_are_case_sensitive() -> None:
    assert parse({"command": "Offer"}).command == "Offer"


WORDS = st.sampled_from(
    sorted(words.FLAGS | words.FLAGS_NOT_YET | words.KEYS_NOT_YET | words.REPLACE | words.ICE)
) | st.text(max_size=8)
VALUES: st.SearchStrategy[Value] = st.recursive(
    st.integers() | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from([field.name for field in fields(Request)] + ["ICE-lite", "rtpp-flags", "interface"])


@given(st.dictionaries(KEYS | WORDS, VALUES, max_size=8))
def test_no_option_makes_a_command_fail(message: dict[str, Value]) -> None:
    request = parse({**message, "command": "offer"})
    assert request.flags <= words.FLAGS
    assert request.replace <= words.REPLACE
    assert hash(request) == hash(parse({**message, "command": "offer"}))


@pytest.mark.parametrize(
    ("message", "sdes"),
    [
        ({"SDES": "off"}, {"off"}),
        ({"SDES": ["no"]}, {"off"}),
        (
            {"flags": ["SDES-only-AES_CM_128_HMAC_SHA1_80", "SDES-pad"]},
            {"only-aes-cm-128-hmac-sha1-80", "pad"},
        ),
        ({"SDES": ["no-AEAD_AES_256_GCM", "nonew"]}, {"no-aead-aes-256-gcm", "nonew"}),
    ],
)
def test_sdes_words_are_read_from_key_and_flags(message: dict[str, Value], sdes: set[str]) -> None:
    assert set(parse({"command": "offer", **message}).sdes) == sdes


def test_dtls_options_are_read() -> None:
    request = parse(
        {"command": "offer", "dtls": "disable", "DTLS-reverse": "passive", "DTLS fingerprint": "SHA-1"}
    )
    assert (request.dtls, request.dtls_reverse, request.dtls_fingerprint) == ("off", "passive", "sha-1")


@pytest.mark.parametrize(
    ("message", "warning"),
    [
        ({"network": "x" * 65}, "longer than 64 bytes: network '(not shown)'"),
        ({"network": "é" * 33}, "longer than 64 bytes: network '(not shown)'"),
        ({"network": ["cafe"]}, "not a string: network '(not shown)'"),
        ({"network": 5}, "not a string: network '(not shown)'"),
        ({"network-legs": "cafe"}, "not a pair: network-legs '(not shown)'"),
        ({"network-legs": 5}, "not a pair: network-legs '(not shown)'"),
        ({"network-legs": {"from": "x" * 65}}, "longer than 64 bytes: network-legs '(not shown)'"),
        ({"network-legs": {"from": ["cafe"]}}, "not a string: network-legs '(not shown)'"),
        ({"user-agent": "x" * 257}, "longer than 256 bytes: user-agent '(not shown)'"),
    ],
)
def test_a_network_that_makes_no_sense_is_noted_without_being_shown(
    message: dict[str, Value], warning: str
) -> None:
    request = parse({"command": "offer", **message})
    assert request.warnings == (warning,)
    assert (request.network, request.network_legs, request.user_agent) == (None, (None, None), None)


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({"ok": "yes", "kind": "turn", "call_id": "x"}, {"ok": "yes", "kind": "turn", "call-id": "x"}),
        ("ok:yes, kind:turn,call-id:a:b", {"ok": "yes", "kind": "turn", "call-id": "a:b"}),
        (["ok:no", "wifi/cell:wifi", 5, "junk"], {"ok": "no", "wifi/cell": "wifi"}),
    ],
)
@pytest.mark.parametrize("command", ["offer", "answer", "delete"])
def test_feedback_may_come_with_other_commands(command: str, said: Value, found: dict[str, Value]) -> None:
    request = parse({"command": command, "ice-feedback": said})
    assert (request.feedback, request.warnings, request.ignored) == (found, (), ())


@pytest.mark.parametrize("said", ["", "yes", 5, [], {}])
def test_feedback_that_makes_no_sense_is_noted_without_being_shown(said: Value) -> None:
    request = parse({"command": "delete", "ice-feedback": said})
    assert request.feedback == {}
    assert request.warnings == ("not a dictionary: ice-feedback '(not shown)'",)


def test_a_query_brings_no_feedback() -> None:
    assert parse({"command": "query", "ice-feedback": {"ok": "yes"}}).feedback == {}
