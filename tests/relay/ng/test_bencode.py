from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay.ng.bencode import MAX_DEPTH, BencodeError, Value, decode, encode
from tests.relay.ng import plain_bencode

ANY_BYTES = st.binary(max_size=20).map(lambda data: data.decode("utf-8", "surrogateescape"))
VALUES: st.SearchStrategy[Value] = st.recursive(
    st.integers(-(2**63), 2**63 - 1) | ANY_BYTES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_BYTES, inner, max_size=4),
    max_leaves=20,
)
MESSAGES = st.dictionaries(ANY_BYTES, VALUES, max_size=5)


@given(MESSAGES)
def test_what_was_encoded_is_decoded_again(message: dict[str, Value]) -> None:
    assert decode(encode(message)) == message


@given(MESSAGES)
def test_keys_keep_the_order_they_were_put_in(message: dict[str, Value]) -> None:
    assert list(decode(encode(message))) == list(message)


@given(MESSAGES)
def test_every_message_is_written_as_plain_python_writes_it(message: dict[str, Value]) -> None:
    assert encode(message) == plain_bencode.encode(message)


@given(MESSAGES, st.data())
def test_damaged_messages_are_read_as_plain_python_reads_them(
    message: dict[str, Value], data: st.DataObject
) -> None:
    encoded = bytearray(encode(message))
    for _ in range(data.draw(st.integers(0, 3))):
        encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.sampled_from(b"0123:-dlie\xff"))
    whole = bytes(encoded)
    assert read_by(decode, whole) == read_by(plain_bencode.decode, whole)


PIECES = b"d l e i7e i-0e i08e ie i - x 0: 1:a 01:a 2:bc 9:d".split()


@given(st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join))
@example(b"1:a01:be")
@example(b"1:a" + b"l" * MAX_DEPTH)
@example(b"1:a1:b1:a1:ce")
def test_pieces_of_messages_are_read_as_plain_python_reads_them(pieces: bytes) -> None:
    assert read_by(decode, b"d" + pieces) == read_by(plain_bencode.decode, b"d" + pieces)


def read_by(codec: Callable[[bytes], dict[str, Value]], data: bytes) -> dict[str, Value] | int:
    """What was read, or where it failed."""
    try:
        return codec(data)
    except BencodeError as error:
        return error.position


@given(st.binary(max_size=300))
def test_random_bytes_are_decoded_or_refused(data: bytes) -> None:
    refused_or_encodable(b"d" + data)
    refused_or_encodable(data)


@given(MESSAGES, st.data())
def test_a_damaged_message_is_decoded_or_refused(message: dict[str, Value], data: st.DataObject) -> None:
    encoded = bytearray(encode(message))
    for _ in range(data.draw(st.integers(1, 4))):
        encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(
            st.sampled_from(b"0123456789:-dlie") | st.integers(0, 255)
        )
    refused_or_encodable(bytes(encoded))
    refused_or_encodable(bytes(encoded[: data.draw(st.integers(0, len(encoded)))]))


def refused_or_encodable(data: bytes) -> None:
    try:
        message = decode(data)
    except BencodeError:
        return
    assert decode(encode(message)) == message


def test_keys_need_not_be_sorted() -> None:
    assert decode(b"d1:b1:x1:a1:ye") == {"b": "x", "a": "y"}


def test_bytes_after_the_dictionary_are_ignored() -> None:
    assert decode(b"d7:command4:pingeXX\n") == {"command": "ping"}


def test_the_first_of_two_equal_keys_wins() -> None:
    assert decode(b"d7:command4:ping7:command6:deletee") == {"command": "ping"}


def test_bytes_that_are_not_utf8_survive() -> None:
    message = b"d3:sdp4:\xff\x00\xc3(e"
    assert encode(decode(message)) == message


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"i1e",
        b"le",
        b"d",
        b"d1:a",
        b"d1:ae",
        b"di1e1:ae",
        b"dle1:ae",
        b"dde1:ae",
        b"d01:a1:be",
        b"d1:a00:e",
        b"d-1:a1:be",
        b"d1:a-1:e",
        b"d1:a5:abe",
        b"d1:a99999999999999999999:e",
        b"d1:a9999999999999999999999999:e",
        b"d1:aie",
        b"d1:ai-e",
        b"d1:ai--1e",
        b"d1:ai1_0e",
        b"d1:ai 1e",
        b"d1:ai1",
        b"d1:ai1.5ee",
        b"d1:ai999999999999999999999e",
        b"d1:a1 :be",
        b"d 1:a1:be",
        b"d\xc2\xb2:aae",
    ],
)
def test_what_is_not_a_dictionary_is_refused(data: bytes) -> None:
    with pytest.raises(BencodeError):
        decode(data)


@pytest.mark.parametrize("opening", [b"l", b"d1:a", b"ld1:a"])
def test_64_kib_of_nesting_are_refused(opening: bytes) -> None:
    nested = b"d1:a" + opening * (65_000 // len(opening))
    with pytest.raises(BencodeError, match="nested too deeply"):
        decode(nested)


def test_nesting_up_to_the_limit_is_read() -> None:
    assert decode(b"d1:a" + b"l" * (MAX_DEPTH - 1) + b"e" * MAX_DEPTH)
    with pytest.raises(BencodeError):
        decode(b"d1:a" + b"l" * MAX_DEPTH + b"e" * (MAX_DEPTH + 1))


@pytest.mark.parametrize("piece", [b"0:", b"1", b"i1e", b"le", b"de", b"i", b"9:", b"\xff", b"e"])
def test_64_kib_of_one_piece_are_decoded_or_refused(piece: bytes) -> None:
    refused_or_encodable(b"d1:al" + piece * (65_000 // len(piece)))
    refused_or_encodable(b"d1:al" + piece * (65_000 // len(piece)) + b"ee")
    refused_or_encodable(b"d" + piece * (65_000 // len(piece)) + b"e")


def test_the_error_says_where() -> None:
    with pytest.raises(BencodeError) as caught:
        decode(b"d1:ax")
    assert caught.value.position == 4
