"""Messages, errors and repeats on the ng socket (sections 1, 2 and 14 of the protocol)."""

import json
import socket
from typing import Any

import pytest

from tests.blackbox.daemon import Daemon
from tests.blackbox.description import Description, plain
from tests.blackbox.dialogue import Dialogue, described
from tests.ng import NgClient, Value, decode, encode, fresh_cookie, hyphens

S_A = plain()
S_B = plain("198.51.100.2", 20000, user="bob", version=5)
ICE_LINES = "a=ice-ufrag:bobs\r\na=ice-pwd:bobbobbobbobbobbobbobb\r\n"


def json_ask(client: NgClient, **keys: object) -> Any:
    """The reply to a command in JSON."""
    message = {key.replace("_", "-"): value for key, value in keys.items()}
    return json.loads(client.payload(json.dumps(message).encode()))


# Messages.


@pytest.mark.parametrize(
    ("request_", "reply"),
    [
        (b"d7:command4:pinge", b"d6:result4:ponge"),
        (b'{"command":"ping"}', b'{"result":"pong"}'),
        (b"d7:command3:fooe", b"d6:result5:error12:error-reason20:Unrecognized commande"),
        (b"de", b'd6:result5:error12:error-reason36:Dictionary contains no key "command"e'),
        (b"d7:command5:query7:call-id1:xe", b"d6:result5:error12:error-reason15:Unknown call-ide"),
        (
            b"d7:command6:delete7:call-id1:x8:from-tag1:ae",
            b"d7:warning38:Call-ID not found or tags didn't match6:result2:oke",
        ),
        (b"d7:command4:list5:limiti2ee", b"d5:callsle6:result2:oke"),
    ],
)
def test_the_published_vectors_are_answered_byte_for_byte(
    daemon: Daemon, request_: bytes, reply: bytes
) -> None:
    assert daemon.client.payload(request_) == reply


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "Invalid data (no payload)"),
        (b"d", "Could not decode bencode dictionary"),
        (b"d7:command4:ping", "Could not decode bencode dictionary"),
        (b"d7:command04:pinge", "Could not decode bencode dictionary"),
        (b"di1e4:pinge", "Could not decode bencode dictionary"),
        (b"d7:command", "Could not decode bencode dictionary"),
        (b"d7:commande", "Could not decode bencode dictionary"),
        (b"d7:commandi1x2ee", "Could not decode bencode dictionary"),
        (b"d7:command99999999999:pinge", "Could not decode bencode dictionary"),
        (b"l4:pinge", "Invalid NG data format"),
        (b"4:ping", "Invalid NG data format"),
        (b"i1e", "Invalid NG data format"),
        (b" d7:command4:pinge", "Invalid NG data format"),
        (b"\0", "Invalid NG data format"),
        (b"[]", "Invalid NG data format"),
        (b"d7:commandi1ee", 'Dictionary contains no key "command"'),
        (b"d7:commandl4:pingee", 'Dictionary contains no key "command"'),
        (b"d7:command0:e", "Unrecognized command"),
        (b"d7:command5:Offere", "Unrecognized command"),
    ],
)
def test_a_payload_that_is_no_command_is_answered_with_the_exact_error_in_bencode(
    daemon: Daemon, payload: bytes, reason: str
) -> None:
    reply = decode(daemon.client.payload(payload))
    assert list(reply.items()) == [("result", "error"), ("error-reason", reason)]


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"{", "Failed to parse JSON document"),
        (b'{"command":"ping"', "Failed to parse JSON document"),
        (b'{"command":"ping",}', "Failed to parse JSON document"),
        (b'{"command":"\xff"}', "Failed to parse JSON document"),
        (b"{}", 'Dictionary contains no key "command"'),
        (b'{"command":null}', 'Dictionary contains no key "command"'),
        (b'{"command":["ping"]}', 'Dictionary contains no key "command"'),
        (b'{"command":"PING"}', "Unrecognized command"),
    ],
)
def test_broken_json_is_answered_with_the_exact_error_in_json(
    daemon: Daemon, payload: bytes, reason: str
) -> None:
    assert json.loads(daemon.client.payload(payload)) == {"result": "error", "error-reason": reason}


@pytest.mark.parametrize("datagram", [b"", b" ", b"cookie", b" d7:command4:pinge", b"d7:command4:pinge"])
def test_a_datagram_without_a_cookie_is_not_answered(daemon: Daemon, datagram: bytes) -> None:
    with NgClient(daemon.ng) as client:
        client.socket.send(datagram)
        client.socket.send(b"after d7:command4:pinge")
        assert client.socket.recv(65536) == b"after d6:result4:ponge"


@pytest.mark.parametrize("trailing", [b"XX", b"\n", b"d7:command4:liste", b"\0" * 100])
def test_bytes_behind_the_dictionary_are_ignored(daemon: Daemon, trailing: bytes) -> None:
    assert daemon.client.payload(b"d7:command4:pinge" + trailing) == b"d6:result4:ponge"


def test_the_first_of_two_equal_keys_counts(daemon: Daemon) -> None:
    assert daemon.client.payload(b"d7:command4:ping7:command3:fooe") == b"d6:result4:ponge"


def test_a_cookie_may_be_any_bytes_but_a_space(daemon: Daemon) -> None:
    assert daemon.client.raw(b"\0\xff{d\n d7:command4:pinge") == b"\0\xff{d\n d6:result4:ponge"


def test_the_reply_comes_from_the_address_that_was_asked(daemon: Daemon) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unconnected:
        unconnected.settimeout(3.0)
        unconnected.sendto(b"c1 d7:command4:pinge", daemon.ng)
        assert unconnected.recvfrom(100) == (b"c1 d6:result4:ponge", daemon.ng)


# Missing keys and values.


@pytest.mark.parametrize(
    ("command", "missing", "reason"),
    [
        ("offer", "sdp", "No SDP body in message"),
        ("offer", "call-id", "No call-id in message"),
        ("offer", "from-tag", "No from-tag in message"),
        ("answer", "sdp", "No SDP body in message"),
        ("answer", "call-id", "No call-id in message"),
        ("answer", "from-tag", "No from-tag in message"),
        ("answer", "to-tag", "No to-tag in message"),
        ("delete", "call-id", "No call-id in message"),
        ("query", "call-id", "No call-id in message"),
    ],
)
def test_a_missing_key_is_named(call: Dialogue, command: str, missing: str, reason: str) -> None:
    call.offer(S_A)
    message: dict[str, Value] = {
        "sdp": S_A, "call-id": call.call_id, "from-tag": "A", "to-tag": "B", "command": command,
    }  # fmt: skip
    del message[missing]
    assert call.client.send_message(message) == {"result": "error", "error-reason": reason}


@pytest.mark.parametrize("command", ["answer", "query"])
def test_an_unknown_call_is_an_error(call: Dialogue, command: str) -> None:
    reply = call.ask(command, sdp=S_A, from_tag="A", to_tag="B")
    assert reply == {"result": "error", "error-reason": "Unknown call-id"}


def test_an_unknown_call_is_a_warning_of_delete_and_an_error_with_fatal(call: Dialogue) -> None:
    text = "Call-ID not found or tags didn't match"
    assert call.ask("delete", from_tag="A") == {"warning": text, "result": "ok"}
    assert call.ask("delete", from_tag="A", flags=["fatal"]) == {"result": "error", "error-reason": text}


@pytest.mark.parametrize(
    ("sdp", "reason"),
    [
        ("", "No SDP body in message"),
        ("nonsense", "Failed to parse SDP"),
        ("o=alice 1 1 IN IP4 198.51.100.1\r\nv=0\r\n", "Failed to parse SDP"),
        ("v=0\r\n", "Error rewriting SDP"),
        (S_A.partition("m=")[0], "Error rewriting SDP"),
        (S_A.replace("c=IN IP4 198.51.100.1\r\n", ""), "Incomplete SDP specification"),
    ],
)
def test_a_body_that_cannot_be_used_is_refused_and_leaves_no_call(
    call: Dialogue, sdp: str, reason: str
) -> None:
    reply = call.ask("offer", sdp=sdp, from_tag="A")
    assert reply == {"result": "error", "error-reason": reason}
    assert not call.exists


def test_an_offer_to_oneself_is_an_invalid_association(call: Dialogue) -> None:
    call.offer(S_A)
    reply = call.ask("offer", sdp=S_A, from_tag="A", to_tag="A")
    assert reply == {"result": "error", "error-reason": "Invalid dialogue association"}


def test_a_first_offer_to_oneself_is_answered_like_its_repeat(call: Dialogue) -> None:
    keys: dict[str, Value] = {"sdp": S_A, "from-tag": "A", "to-tag": "A"}
    assert call.ask("offer", **keys)["result"] == call.ask("offer", **keys)["result"]


def test_an_empty_from_tag_is_a_tag(call: Dialogue) -> None:
    call.offer(S_A, from_tag="")
    assert described(call.ask("answer", sdp=S_B, from_tag="", to_tag="B")).media.port
    assert "B" in call.tags


# What nobody knows is ignored.


def test_unknown_keys_flags_and_words_change_nothing(call: Dialogue) -> None:
    strange = call.offer(
        S_A,
        frobnicate="yes", sip_message_type="sip_request", alias_key=["a", {"b": 1}],
        flags=["frobnicate", "symmetric", "", "replace-nothing", ["nested"]],
        replace=["everything"], rtcp_mux=["sometimes"], ICE="maybe", transport_protocol="carrier/pigeon",
        address_family="IP7", direction=["nowhere", "else"], media_address="no address",
        received_from=["IP4", "not one"], TOS="high", delete_delay="soon", xyz={"deep": [{"er": 1}]},
    )  # fmt: skip
    assert call.offer(S_A).text == strange.text


def test_options_of_later_versions_do_not_fail_an_offer(call: Dialogue) -> None:
    assert call.offer(
        S_A, SDES=["off"], DTLS="passive", OSRTP="offer", codec={"strip": ["PCMA"]}, record_call="on",
        flags=["record-call", "generate-RTCP", "inject-DTMF", "codec-strip-PCMA"], ptime=40, T38=["decode"],
    ).media.formats == ["0", "8", "101"]  # fmt: skip


@pytest.mark.parametrize(
    "keys",
    [
        {"rtcp-mux": ["offer", "require"]},
        {"rtcp-mux": "offer,require"},
        {"rtcp-mux": "offer, require"},
        {"rtcp mux": ["offer", "require"]},
        {"RTCP-mux": ["require"]},
        {"flags": ["rtcp-mux-offer", "rtcp-mux-require"]},
        {"flags": "rtcp-mux-require"},
        {"rtpp-flags": "trust-address rtcp-mux=[offer require]"},
    ],
)
def test_a_list_may_be_written_in_every_dialect(call: Dialogue, keys: dict[str, Value]) -> None:
    media = call.offer(S_A, **keys).media
    assert media.has("rtcp-mux")
    assert media.attribute("rtcp") == str(media.port)


@pytest.mark.parametrize("key", ["ICE", "ice", "Ice"])
@pytest.mark.parametrize("value", ["force", ["force"], "FORCE"])
def test_a_word_may_be_written_in_every_dialect(call: Dialogue, key: str, value: Value) -> None:
    assert call.offer(S_A, **{key: value}).media.has("ice-ufrag")


@pytest.mark.parametrize("spelling", ["call-id", "call-ID", "call id", "Call_Id"])
def test_the_call_id_may_be_spelled_in_every_dialect(daemon: Daemon, spelling: str) -> None:
    message = {spelling: "dialect", "from tag": "A", "sdp": S_A, "command": "offer"}
    assert daemon.client.send_message(message)["result"] == "ok"
    assert daemon.client.calls() == ["dialect"]


def test_an_option_inside_ice_is_not_lost(call: Dialogue) -> None:
    media = call.offer(S_A, ICE=["force", "trickle"]).media
    assert media.attributes("ice-options") == ["trickle ice2"]
    assert media.has("end-of-candidates")


def test_a_call_id_of_arbitrary_bytes_comes_back(daemon: Daemon) -> None:
    call_id = b"\xff\0 \xc3\xa9".decode("utf-8", "surrogateescape")
    described(daemon.client.ask("offer", sdp=S_A, call_id=call_id, from_tag="A"))
    assert daemon.client.calls() == [call_id]


# JSON.


def test_a_call_in_json_has_the_same_shape_as_in_bencode(daemon: Daemon, call: Dialogue) -> None:
    common = {"call_id": call.call_id, "from_tag": "A"}
    offered = json_ask(daemon.client, command="offer", sdp=S_A, flags=["loop-protect"], **common)
    answered = json_ask(daemon.client, command="answer", sdp=S_B, to_tag="B", **common)
    report = json_ask(daemon.client, command="query", **common)
    assert list(offered) == list(answered) == ["sdp", "result"]
    assert Description(offered["sdp"]).session.has("rtpengine")
    assert list(report["tags"]) == ["A", "B"]
    assert report == json.loads(json.dumps(call.query()))


def test_json_true_counts_as_one_and_null_as_absent(daemon: Daemon) -> None:
    daemon.client.ask("offer", sdp=S_A, call_id="one", from_tag="A")
    daemon.client.ask("offer", sdp=S_A, call_id="two", from_tag="A")
    assert len(json_ask(daemon.client, command="list", limit=True)["calls"]) == 1
    assert len(json_ask(daemon.client, command="list", limit=None)["calls"]) == 2


# List and ping.


def test_list_names_32_calls_unless_a_limit_says_otherwise(daemon: Daemon) -> None:
    names = {f"listed {number}" for number in range(35)}
    for name in names:
        daemon.client.ask("offer", sdp=S_A, call_id=name, from_tag="A")

    def listed(**keys: Value) -> list[Value]:
        calls = daemon.client.ask("list", **keys)["calls"]
        assert isinstance(calls, list)
        assert set(calls) <= names
        return calls

    counts = [len(listed(limit=limit)) for limit in (0, 1, "5", 34, 1000)]
    assert [len(listed()), *counts] == [32, 0, 1, 5, 34, 35]


def test_a_negative_list_limit_is_refused(daemon: Daemon) -> None:
    refused = {"result": "error", "error-reason": "invalid limit, must be >= 0"}
    assert daemon.client.ask("list", limit=-1) == refused
    assert daemon.client.ask("list", limit="-1") == refused


def test_ping_needs_nothing_and_minds_nothing(daemon: Daemon) -> None:
    assert daemon.client.ask("ping", call_id=["x"], sdp=5, flags=["fatal"]) == {"result": "pong"}


# Repeats.


def test_a_repeat_gets_the_stored_bytes_and_runs_nothing(daemon: Daemon, call: Dialogue) -> None:
    cookie = fresh_cookie() + b" "
    keys = {"call-id": call.call_id, "from-tag": "A"}
    offer = cookie + encode({"sdp": S_A, **keys, "command": "offer"})
    first = daemon.client.raw(offer)
    calls, used = daemon.metric("rtpengine_sessions_total"), daemon.metric("rtpengine_ports_used")
    call.ask("delete", from_tag="A")
    assert daemon.client.raw(offer) == first
    assert not call.exists
    assert daemon.metric("rtpengine_sessions_total") == calls
    assert used == 4


def test_a_repeated_cookie_counts_more_than_the_body_behind_it(daemon: Daemon) -> None:
    cookie = fresh_cookie()
    first = daemon.client.raw(cookie + b" d7:command4:pinge")
    assert daemon.client.raw(cookie + b" d7:command4:liste") == first


def test_an_error_is_repeated_as_well(daemon: Daemon, call: Dialogue) -> None:
    cookie = fresh_cookie()
    query = cookie + b" " + encode({"call-id": call.call_id, "command": "query"})
    first = daemon.client.raw(query)
    call.offer(S_A)
    assert daemon.client.raw(query) == first


def test_the_same_cookie_of_another_peer_is_another_command(daemon: Daemon, call: Dialogue) -> None:
    cookie = fresh_cookie()
    before = daemon.client.raw(cookie + b" d7:command4:liste")
    call.offer(S_A)
    with NgClient(daemon.ng) as other:
        after = other.raw(cookie + b" d7:command4:liste")
    assert before != after
    assert call.call_id.encode() in after


def test_a_repeated_delete_reports_the_call_again(call: Dialogue) -> None:
    call.offer(S_A)
    delete = fresh_cookie() + b" " + encode({"call-id": call.call_id, "command": "delete"})
    first = call.client.raw(delete)
    assert b"totals" in first
    assert call.client.raw(delete) == first


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"ICE": "force"},
        {"flags": ["generate-mid", "loop-protect"]},
        {"replace": ["sdp-version", "origin"]},
    ],
)
def test_a_repeated_offer_under_a_new_cookie_gives_the_same_bytes(
    call: Dialogue, keys: dict[str, Value]
) -> None:
    first = call.offer(S_A, **keys).text
    assert [call.offer(S_A, **keys).text for _ in range(3)] == [first] * 3
    call.answer(S_B + ICE_LINES if "ICE" in keys else S_B)
    assert call.offer(S_A, to_tag="B", **keys).text == first


def test_a_repeated_answer_under_a_new_cookie_gives_the_same_bytes(call: Dialogue) -> None:
    call.offer(S_A, ICE="force")
    first = call.answer(S_B).text
    assert [call.answer(S_B).text for _ in range(3)] == [first] * 3


def test_identical_offers_from_several_workers_at_once_are_one_call(daemon: Daemon, call: Dialogue) -> None:
    body = encode({"sdp": S_A, **hyphens({"call_id": call.call_id, "from_tag": "A"}), "command": "offer"})
    workers = [NgClient(daemon.ng) for _ in range(8)]
    try:
        for worker in workers:
            for _ in range(3):
                worker.socket.send(b"same " + body)
        replies = {worker.socket.recv(65536) for worker in workers for _ in range(3)}
    finally:
        for worker in workers:
            worker.close()
    assert len(replies) == 1
    assert daemon.client.calls() == [call.call_id]
    assert daemon.metric("rtpengine_ports_used") == 4
