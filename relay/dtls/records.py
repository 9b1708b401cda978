"""DTLS records from the outside (RFC 6347, section 4.1): where they begin, and what their headers tell.

OpenSSL writes a flight as one string of bytes, and believes the lengths that a
stranger claims. So datagrams are cut here, and read here before OpenSSL does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

MAX_DATAGRAM = 1200
"""Bytes of UDP payload that get through every usual tunnel, and what browsers keep to."""
MAX_MESSAGE = 16384
"""Bytes a handshake message may claim. OpenSSL reserves what is claimed, up to 100 kB; a chain of RSA-4096
certificates is 5 kB."""

HANDSHAKE = 22
APPLICATION_DATA = 23

_HEADER = 13
_MESSAGE_HEADER = 12
_CLIENT_HELLO = 1
_RANDOM = slice(2, 34)  # of a ClientHello, after its version


class Record(NamedTuple):
    """One record of a datagram. ``epoch`` 0 is in the clear, later ones are encrypted."""

    kind: int
    epoch: int
    data: bytes
    """All of the record, with its header."""


class _Fragment(NamedTuple):
    """Of a handshake message."""

    kind: int
    message_length: int
    offset: int
    body: bytes


def read_records(datagram: bytes) -> list[Record]:
    """The records that make up ``datagram``; none if anything in it is no record of DTLS 1.0 to 1.2."""
    records = []
    start = 0
    while start < len(datagram):
        header = datagram[start : start + _HEADER]
        end = start + _HEADER + int.from_bytes(header[11:13])
        if len(header) < _HEADER or not 20 <= header[0] <= 23 or header[1] != 0xFE or end > len(datagram):
            return []
        records.append(Record(header[0], int.from_bytes(header[3:5]), datagram[start:end]))
        start = end
    return records


def pack(flight: bytes) -> list[bytes]:
    """The records that OpenSSL wrote, in order, in datagrams of at most ``MAX_DATAGRAM`` bytes."""
    datagrams = [b""]
    for record in read_records(flight):
        if len(datagrams[-1]) + len(record.data) > MAX_DATAGRAM:
            datagrams.append(b"")
        datagrams[-1] += record.data
    return [datagram for datagram in datagrams if datagram]


def client_random(records: list[Record]) -> bytes | None:
    """The 32 bytes by which one ClientHello differs from all others; None if none begins here."""
    for fragment in _fragments(records):
        if fragment.kind == _CLIENT_HELLO and fragment.offset == 0 and len(fragment.body) >= _RANDOM.stop:
            return fragment.body[_RANDOM]
    return None


def claims_too_much(records: list[Record]) -> bool:
    """Whether a handshake message in the clear says that it is longer than ``MAX_MESSAGE``."""
    return any(fragment.message_length > MAX_MESSAGE for fragment in _fragments(records))


def _fragments(records: list[Record]) -> Iterator[_Fragment]:
    """Those in the clear. A record may hold several."""
    for record in records:
        rest = record.data[_HEADER:]
        while record.kind == HANDSHAKE and record.epoch == 0 and len(rest) >= _MESSAGE_HEADER:
            end = _MESSAGE_HEADER + int.from_bytes(rest[9:12])
            body = rest[_MESSAGE_HEADER:end]
            yield _Fragment(rest[0], int.from_bytes(rest[1:4]), int.from_bytes(rest[6:9]), body)
            rest = rest[end:]
