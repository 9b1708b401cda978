"""Native: ext/bencode.pyx."""

from collections.abc import Mapping

from relay.ng.bencode import Encodable, Value

MAX_DEPTH: int
"""Lists and dictionaries inside one another; no command of the protocol needs more than six."""
MAX_DIGITS: int
"""An integer of 64 bits has at most 19 digits and a sign; a string cannot be longer than its datagram."""

def decode(data: bytes) -> dict[str, Value]:
    """The dictionary at the beginning of ``data``; reads every byte at most once.

    Raises ``BencodeError`` for anything else: another type, a length with a
    leading zero, an end before its time, more than ``MAX_DEPTH`` levels.
    """

def encode(value: Mapping[str, Encodable]) -> bytes:
    """``value`` in bencode, keys in the order they were put in.

    Text must be what ``decode`` can produce: anything but lone surrogates other
    than those of ``surrogateescape``.
    """
