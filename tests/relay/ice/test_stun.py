from __future__ import annotations

import struct

import pytest
from aioice import stun as aioice_stun
from hypothesis import given
from hypothesis import strategies as st

from relay.ice import stun
from relay.ice.stun import Class, StunError

RFC5769_KEY = b"VOkJxbRl1RmTxUk/WvJxBt"
RFC5769_REQUEST = bytes.fromhex(
    "000100582112a442b7e7a701bc34d686fa87dfae"
    "802200105354554e207465737420636c69656e74"
    "002400046e0001ff"
    "80290008932ff9b151263b36"
    "000600096576746a3a68367659202020"
    "000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2"
    "80280004e57a3bcf"
)
RFC5769_RESPONSE_IPV4 = bytes.fromhex(
    "0101003c2112a442b7e7a701bc34d686fa87dfae"
    "8022000b7465737420766563746f7220"
    "002000080001a147e112a643"
    "000800142b91f599fd9e90c38c7489f92af9ba53f06be7d7"
    "80280004c07d4c96"
)
RFC5769_RESPONSE_IPV6 = bytes.fromhex(
    "010100482112a442b7e7a701bc34d686fa87dfae"
    "8022000b7465737420766563746f7220"
    "002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9"
    "00080014a382954e4be67bf11784c97c8292c275bfe3ed41"
    "80280004c8fb0b4c"
)
TRANSACTION = bytes(range(12))
KEY = b"k" * 22


def check(extra: bytes = b"", key: bytes | None = KEY) -> bytes:
    """A request with ``extra`` attributes in front of the integrity."""
    data = struct.pack("!HH4s12s", 1, 0, stun.COOKIE, TRANSACTION)
    data += b"\x00\x06\x00\x04a:bc" + extra
    if key is not None:
        data += b"\x00\x08\x00\x14" + aioice_stun.message_integrity(data, key)
    return aioice_stun.set_body_length(data, len(data) - 20)


def reason(datagram: bytes) -> str:
    with pytest.raises(StunError) as caught:
        stun.parse(datagram)
    return caught.value.reason


def test_the_sample_request_of_rfc_5769_is_believed() -> None:
    message = stun.parse(RFC5769_REQUEST)
    assert message.type is Class.REQUEST
    assert message.username == ("evtj", "h6vY")
    assert message.attributes["PRIORITY"] == 0x6E0001FF
    assert message.attributes["ICE-CONTROLLED"] == 0x932FF9B151263B36
    assert message.is_signed_with(RFC5769_KEY)
    assert not message.is_signed_with(RFC5769_KEY[:-1])
    assert message.unknown == ()


@pytest.mark.parametrize(
    ("datagram", "mapped"),
    [
        (RFC5769_RESPONSE_IPV4, ("192.0.2.1", 32853)),
        (RFC5769_RESPONSE_IPV6, ("2001:db8:1234:5678:11:2233:4455:6677", 32853)),
    ],
)
def test_the_sample_responses_of_rfc_5769_are_believed(datagram: bytes, mapped: tuple[str, int]) -> None:
    message = stun.parse(datagram)
    assert message.type is Class.SUCCESS
    assert message.attributes["XOR-MAPPED-ADDRESS"] == mapped
    assert message.is_signed_with(RFC5769_KEY)


@pytest.mark.parametrize("at", [16, 30, 70, len(RFC5769_REQUEST) - 1])
def test_a_changed_byte_breaks_the_fingerprint(at: int) -> None:
    changed = bytearray(RFC5769_REQUEST)
    changed[at] ^= 1
    assert reason(bytes(changed)) == "malformed"


def test_our_request_is_read_by_aioice() -> None:
    datagram = stun.request(TRANSACTION, "a:b", KEY, 12345, 2**64 - 1, controlling=True, nominate=True)
    message = aioice_stun.parse_message(datagram)
    assert message.check_message_integrity(KEY)
    attributes = {name: value for name, value in message.attributes.items() if name.isupper()}
    assert attributes.pop("MESSAGE-INTEGRITY")
    assert attributes.pop("FINGERPRINT")
    assert attributes == {
        "USERNAME": "a:b",
        "PRIORITY": 12345,
        "ICE-CONTROLLING": 2**64 - 1,
        "USE-CANDIDATE": None,
    }


@pytest.mark.parametrize("mapped", [("192.0.2.1", 40000), ("2001:db8::1", 40000)])
def test_our_answer_is_that_of_aioice_byte_for_byte(mapped: tuple[str, int]) -> None:
    request = stun.parse(RFC5769_REQUEST)
    theirs = aioice_stun.Message(
        aioice_stun.Method.BINDING,
        aioice_stun.Class.RESPONSE,
        request.transaction,
        {"XOR-MAPPED-ADDRESS": mapped},
    )
    theirs.add_message_integrity(KEY)
    assert stun.success(request, mapped, KEY) == bytes(theirs)


@pytest.mark.parametrize("code", [401, 487])
def test_our_error_is_read_by_aioice(code: int) -> None:
    message = aioice_stun.parse_message(stun.failure(stun.parse(RFC5769_REQUEST), code, KEY))
    assert message.error_code == code
    assert message.check_message_integrity(KEY)


def test_unknown_attributes_that_must_be_understood_are_listed() -> None:
    message = stun.parse(
        check(b"\x00\x77\x00\x01a\x00\x00\x00" + b"\x00\x03\x00\x04\x00\x00\x00\x06" + b"\xc0\x57\x00\x00")
    )
    assert message.unknown == (0x0077, 0x0003)
    assert message.is_signed_with(KEY)
    answer = stun.failure(message, 420, KEY)
    assert b"\x00\x0a\x00\x04\x00\x77\x00\x03" in answer
    assert stun.parse(answer).error == 420


def test_what_follows_the_integrity_is_not_looked_at() -> None:
    datagram = check() + b"\x00\x77\x00\x00" + b"\x00\x25\x00\x00"
    message = stun.parse(aioice_stun.set_body_length(datagram, len(datagram) - 20))
    assert message.unknown == ()
    assert "USE-CANDIDATE" not in message.attributes


@pytest.mark.parametrize(
    ("datagram", "why"),
    [
        (b"", "not stun"),
        (RFC5769_REQUEST[:-4], "not stun"),
        (RFC5769_REQUEST + bytes(4), "not stun"),
        (b"\x80" + RFC5769_REQUEST[1:], "not stun"),
        (RFC5769_REQUEST[:4] + bytes(4) + RFC5769_REQUEST[8:], "not stun"),
        (b"\x00\x01\x06\x00" + stun.COOKIE + bytes(12 + 0x600), "not stun"),
        (b"\x00\x03" + check()[2:], "not a binding"),
        (b"\x03\xff" + check()[2:], "not a binding"),
        (check(b"\x00\x24\x00\x40"), "malformed"),
        (check(b"\x00\x24\xff\xff"), "malformed"),
        (check(b"\x00\x24\x00\x03abc\x00"), "malformed"),
        (b"\x00\x01\x00\x08" + stun.COOKIE + TRANSACTION + b"\x80\x22\x00\x05abcd", "malformed"),
        (check(b"\x00\x20\x00\x00"), "malformed"),
        (check(b"\x00\x20\x00\x08\x00\x03" + bytes(6)), "malformed"),
        (check(b"\x00\x09\x00\x04\x00\x00\x04\x01" + b"\x80\x22\x00\x04\xff\xff\xff\xff"), "malformed"),
        (check(b"\x80\x28\x00\x04\x00\x00\x00\x00"), "malformed"),
        (check(b"\x00\x06\x00\x00"), "attribute twice"),
    ],
)
def test_what_cannot_be_used_has_a_reason(datagram: bytes, why: str) -> None:
    assert reason(datagram) == why


def test_without_integrity_nothing_is_believed() -> None:
    assert not stun.parse(check(key=None)).is_signed_with(KEY)
    assert not stun.parse(check(key=None)).is_signed_with(b"")


@given(st.data())
def test_a_damaged_message_is_read_or_refused(data: st.DataObject) -> None:
    datagram = bytearray(
        data.draw(
            st.sampled_from([RFC5769_REQUEST, RFC5769_RESPONSE_IPV6, check(), check(b"\x00\x25\x00\x00")])
        )
    )
    for _ in range(data.draw(st.integers(1, 6))):
        datagram[data.draw(st.integers(0, len(datagram) - 1))] = data.draw(st.integers(0, 255))
    try:
        message = stun.parse(bytes(datagram))
    except StunError:
        return
    assert message.username is None or len(message.username) == 2
    message.is_signed_with(KEY)
    stun.failure(message, 420, KEY)


@given(st.lists(st.tuples(st.integers(0, 0xFFFF), st.binary(max_size=24)), max_size=8))
def test_any_attributes_are_read_or_refused(attributes: list[tuple[int, bytes]]) -> None:
    extra = b"".join(struct.pack("!HH", t, len(v)) + v + bytes(-len(v) % 4) for t, v in attributes)
    try:
        stun.parse(check(extra))
    except StunError:
        return


@given(st.binary(max_size=100))
def test_random_bytes_are_read_or_refused(body: bytes) -> None:
    body += bytes(-len(body) % 4)
    try:
        stun.parse(b"\x00\x01" + struct.pack("!H", len(body)) + stun.COOKIE + TRANSACTION + body)
    except StunError:
        return
