from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.ng import errors
from relay.ng.bencode import Encodable
from relay.ng.errors import NgError
from relay.ng.message import Encoding, decode, encode_reply, encoding_of, error_reply, split
from relay.ng.request import parse

CAPTURES = Path(__file__).parents[2] / "data" / "ng"


def captured() -> Iterator[tuple[str, bytes]]:
    """Who sent it, ``proxy`` (Kamailio 5.6.3) or ``relay`` (rtpengine 10.5.3.5), and the datagram."""
    for file in sorted(CAPTURES.glob("*.jsonl")):
        for line in file.read_text().splitlines():
            entry = json.loads(line)
            yield entry["from"], entry["data"].encode("utf-8", "surrogateescape")


DATAGRAMS = list(captured())


def answered(datagram: bytes) -> bytes | None:
    """A daemon that knows ``ping`` only, to see the whole way."""
    parts = split(datagram)
    if parts is None:
        return None
    cookie, payload = parts
    try:
        message, encoding = decode(payload)
        command = parse(message).command
        reply: dict[str, Encodable] = {"result": "pong"}
        if command != "ping":
            raise NgError(errors.UNKNOWN_COMMAND)
    except NgError as error:
        encoding = encoding_of(payload)
        reply = error_reply(error.reason)
    return encode_reply(cookie, reply, encoding)


@pytest.mark.parametrize(
    ("request_", "reply"),
    [
        (b"c1 d7:command4:pinge", b"c1 d6:result4:ponge"),
        (b"c3 d7:command3:fooe", b"c3 d6:result5:error12:error-reason20:Unrecognized commande"),
        (b"c4 de", b'c4 d6:result5:error12:error-reason36:Dictionary contains no key "command"e'),
        (b"c ", b"c d6:result5:error12:error-reason25:Invalid data (no payload)e"),
        (b"c dx", b"c d6:result5:error12:error-reason35:Could not decode bencode dictionarye"),
        (b"c [1]", b"c d6:result5:error12:error-reason22:Invalid NG data formate"),
        (b"c  d7:command4:pinge", b"c d6:result5:error12:error-reason22:Invalid NG data formate"),
        (b'c {"command":"ping"}', b'c {"result":"pong"}'),
        (b"c {xx", b'c {"result":"error","error-reason":"Failed to parse JSON document"}'),
        (b"c {}", b'c {"result":"error","error-reason":"Dictionary contains no key \\"command\\""}'),
        (b"c d7:commandi1ee", b'c d6:result5:error12:error-reason36:Dictionary contains no key "command"e'),
    ],
)
def test_replies_are_byte_for_byte_those_of_rtpengine(request_: bytes, reply: bytes) -> None:
    assert answered(request_) == reply


@pytest.mark.parametrize("datagram", [b"", b"c", b"d7:command4:pinge", b" d7:command4:pinge", b" "])
def test_without_a_cookie_there_is_no_answer(datagram: bytes) -> None:
    assert answered(datagram) is None


def test_all_captured_datagrams_come_out_as_they_came_in() -> None:
    assert len(DATAGRAMS) > 400
    for _, datagram in DATAGRAMS:
        parts = split(datagram)
        assert parts is not None
        cookie, payload = parts
        message, encoding = decode(payload)
        assert encode_reply(cookie, message, encoding) == datagram


def test_nothing_in_captured_requests_is_unknown() -> None:
    for sender, datagram in DATAGRAMS:
        if sender == "proxy":
            request = parse(decode(datagram.split(b" ", 1)[1])[0])
            assert request.warnings == ()


@given(st.sampled_from(DATAGRAMS), st.data())
def test_damaged_captures_get_an_answer(capture: tuple[str, bytes], data: st.DataObject) -> None:
    datagram = bytearray(capture[1])
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(datagram) - 1))
        datagram[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    answered(bytes(datagram))


@given(st.binary(max_size=200), st.sampled_from([b"c ", b"c d", b"c {", b'c {"command":', b""]))
def test_random_bytes_get_an_answer_or_none(data: bytes, start: bytes) -> None:
    answered(start + data)


JSON_TEXT = st.text(st.characters(codec="utf-8"), max_size=10)


@given(
    st.dictionaries(
        JSON_TEXT,
        st.recursive(
            st.integers() | st.booleans() | st.none() | st.floats() | JSON_TEXT,
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(JSON_TEXT, inner, max_size=3),
        ),
    )
)
def test_any_json_object_is_read_or_refused(document: dict[str, object]) -> None:
    payload = json.dumps({**document, "command": "ping"}).encode()
    assert answered(b"c " + payload) in (
        b'c {"result":"pong"}',
        b'c {"result":"error","error-reason":"Failed to parse JSON document"}',
    )


def test_json_booleans_count_as_integers_and_null_as_absent() -> None:
    message, encoding = decode(b'{"command":"list","limit":true,"label":null,"x":[null,false,2.0,1.5]}')
    assert encoding is Encoding.JSON
    assert message == {"command": "list", "limit": 1, "x": [0, 2, "1.5"]}


@pytest.mark.parametrize(
    "payload",
    [
        b'{"command":"ping"} x',
        b'{"command":NaN}',
        b'{"command":"\xff"}',
        b'{"command":"\\ud800"}',
        b'{"command":"\\udc80"}',
        b'{"a":' * 10_000,
        b'{"a":' * 40 + b"1" + b"}" * 40,
        b'{"a":' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"a":' + b"1" * 60_000 + b"}",
        b"{" + b"x" * 65_000,
    ],
)
def test_bad_json_is_refused_by_name(payload: bytes) -> None:
    with pytest.raises(NgError) as caught:
        decode(payload)
    assert caught.value.reason == errors.BAD_JSON


def test_json_replies_escape_line_ends() -> None:
    assert encode_reply(b"c", {"sdp": "v=0\r\n"}, Encoding.JSON) == b'c {"sdp":"v=0\\r\\n"}'


def test_a_json_reply_is_utf8_even_if_a_call_id_was_not() -> None:
    datagram = encode_reply(b"c", {"calls": [b"\xffid".decode("utf-8", "surrogateescape")]}, Encoding.JSON)
    assert json.loads(datagram[2:].decode()) == {"calls": ["\ufffdid"]}


def test_a_list_reply_is_as_rtpengine_writes_it() -> None:
    reply: dict[str, Encodable] = {"calls": ["h1", "t"], "result": "ok"}
    assert encode_reply(b"c2", reply, Encoding.BENCODE) == b"c2 d5:callsl2:h11:te6:result2:oke"


def test_only_the_relays_error_strings_and_the_cookie_reach_the_answer() -> None:
    assert answered(b"a\tb\xff " + b"x" * 65_000) == (
        b"a\tb\xff d6:result5:error12:error-reason22:Invalid NG data formate"
    )
