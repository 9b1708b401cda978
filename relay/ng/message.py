"""One ng message: a cookie, a space, and a dictionary in bencode or JSON.

The first byte of the payload says which, and the reply is written the same
way, error replies included. Where not even that byte helps, the answer is in
bencode.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping

import msgspec

from relay.ng import bencode
from relay.ng.bencode import MAX_DEPTH, BencodeError, Encodable, Value
from relay.ng.errors import (
    BAD_BENCODE,
    BAD_FORMAT,
    BAD_JSON,
    NO_PAYLOAD,
    NOT_A_JSON_OBJECT,
    NgError,
)


class Encoding(enum.Enum):
    """How the dictionary is written."""

    BENCODE = "bencode"
    JSON = "json"


def split(datagram: bytes) -> tuple[bytes, bytes] | None:
    """Cookie and payload; None where there is no cookie to answer with.

    >>> split(b"c1 d7:command4:pinge")
    (b'c1', b'd7:command4:pinge')
    """
    cookie, space, payload = datagram.partition(b" ")
    return (cookie, payload) if cookie and space else None


def encoding_of(payload: bytes) -> Encoding:
    """The encoding to answer ``payload`` in, also where it cannot be decoded."""
    return Encoding.JSON if payload.startswith(b"{") else Encoding.BENCODE


def decode(payload: bytes) -> tuple[dict[str, Value], Encoding]:
    """The dictionary of a message and how it was written. Raises ``NgError``."""
    if not payload:
        raise NgError(NO_PAYLOAD)
    if payload.startswith(b"d"):
        try:
            return bencode.decode(payload), Encoding.BENCODE
        except BencodeError as error:
            raise NgError(BAD_BENCODE) from error
    if payload.startswith(b"{"):
        return _decode_json(payload), Encoding.JSON
    raise NgError(BAD_FORMAT)


def encode_reply(cookie: bytes, reply: Mapping[str, Encodable], encoding: Encoding) -> bytes:
    """The datagram that answers ``cookie``."""
    if encoding is Encoding.BENCODE:
        return cookie + b" " + bencode.encode(reply)
    text = json.dumps(reply, ensure_ascii=False, separators=(",", ":"))
    # Bytes that are not UTF-8 can come in by bencode (a call-id, say) but cannot go out by JSON.
    readable = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return cookie + b" " + readable.encode()


def error_reply(reason: str) -> dict[str, Encodable]:
    """The reply to a command that failed."""
    return {"result": "error", "error-reason": reason}


def _decode_json(payload: bytes) -> dict[str, Value]:
    try:
        document = msgspec.json.decode(payload)
    except (ValueError, RecursionError) as error:
        raise NgError(BAD_JSON) from error
    if not isinstance(document, dict):
        raise NgError(NOT_A_JSON_OBJECT)
    return {key: _plain(item, 1) for key, item in document.items() if item is not None}


def _plain(value: object, depth: int) -> Value:
    """A JSON value in the terms of bencode: true is 1, null is absent, 1.5 is its text."""
    if depth > MAX_DEPTH:
        raise NgError(BAD_JSON)
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return int(value) if value.is_integer() else str(value)
    if isinstance(value, list):
        return [_plain(item, depth + 1) for item in value if item is not None]
    assert isinstance(value, dict)
    return {key: _plain(item, depth + 1) for key, item in value.items() if item is not None}
