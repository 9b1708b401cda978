"""Bencode in plain Python: what the native codec is compared with."""

from __future__ import annotations

from collections.abc import Mapping

from relay.ng.bencode import MAX_DEPTH, MAX_DIGITS, BencodeError, Encodable, Value

_DICT, _LIST, _INT, _END, _ZERO, _NINE = b"dlie09"


class _Open:
    """A list or dictionary that is still being read."""

    __slots__ = ("items", "key", "mapping")

    def __init__(self, mapping: bool) -> None:
        self.items: list[Value] = []
        self.mapping: dict[str, Value] | None = {} if mapping else None
        self.key: str | None = None

    @property
    def value(self) -> Value:
        return self.items if self.mapping is None else self.mapping

    def add(self, value: Value, position: int) -> None:
        if self.mapping is None:
            self.items.append(value)
        elif self.key is not None:
            self.mapping.setdefault(self.key, value)
            self.key = None
        elif isinstance(value, str):
            self.key = value
        else:
            raise BencodeError("key is not a string", position)


def decode(data: bytes) -> dict[str, Value]:
    """The dictionary at the beginning of ``data``; reads every byte at most once.

    Raises ``BencodeError`` for anything else: another type, a length with a
    leading zero, an end before its time, more than ``MAX_DEPTH`` levels.
    """
    if data[:1] != b"d":
        raise BencodeError("no dictionary", 0)
    stack = [_Open(mapping=True)]
    position = 1
    while True:
        kind = data[position] if position < len(data) else -1
        if kind == _END:
            closed = stack.pop()
            if closed.key is not None:
                raise BencodeError("key without value", position)
            position += 1
            if not stack:
                assert closed.mapping is not None
                return closed.mapping
            stack[-1].add(closed.value, position)
        elif kind in (_DICT, _LIST):
            if len(stack) == MAX_DEPTH:
                raise BencodeError("nested too deeply", position)
            if stack[-1].mapping is not None and stack[-1].key is None:
                raise BencodeError("key is not a string", position)
            stack.append(_Open(mapping=kind == _DICT))
            position += 1
        elif kind == _INT:
            number, position = _integer(data, position + 1)
            stack[-1].add(number, position)
        elif _ZERO <= kind <= _NINE:
            text, position = _string(data, position)
            stack[-1].add(text, position)
        else:
            raise BencodeError("unexpected byte or end", position)


def _integer(data: bytes, start: int) -> tuple[int, int]:
    end = data.find(b"e", start, start + MAX_DIGITS + 1)
    digits = data[start + 1 : end] if data[start : start + 1] == b"-" else data[start:end]
    if end < 0 or not digits.isdigit():
        raise BencodeError("bad integer", start)
    return int(data[start:end]), end + 1


def _string(data: bytes, start: int) -> tuple[str, int]:
    colon = data.find(b":", start, start + MAX_DIGITS + 1)
    digits = data[start:colon]
    if colon < 0 or not digits.isdigit() or (digits[0] == _ZERO and len(digits) > 1):
        raise BencodeError("bad length", start)
    end = colon + 1 + int(digits)
    if end > len(data):
        raise BencodeError("string is longer than the message", start)
    return data[colon + 1 : end].decode("utf-8", "surrogateescape"), end


def encode(value: Mapping[str, Encodable]) -> bytes:
    """``value`` in bencode, keys in the order they were put in.

    Text must be what ``decode`` can produce: anything but lone surrogates other
    than those of ``surrogateescape``.
    """
    out: list[str] = []
    _append(value, out)
    return "".join(out).encode("utf-8", "surrogateescape")


def _append(value: Encodable, out: list[str]) -> None:
    if isinstance(value, str):
        out.append(_string_of(value))
    elif isinstance(value, int):
        out.append(f"i{value:d}e")
    elif isinstance(value, Mapping):
        out.append("d")
        for key, item in value.items():
            out.append(_string_of(key))
            _append(item, out)
        out.append("e")
    else:
        out.append("l")
        for item in value:
            _append(item, out)
        out.append("e")


def _string_of(text: str) -> str:
    octets = len(text) if text.isascii() else len(text.encode("utf-8", "surrogateescape"))
    return f"{octets}:{text}"
