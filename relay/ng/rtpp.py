"""The one-string form of all options, ``rtpp-flags``.

    words  := word { " " word }
    word   := text | key "=" value
    value  := text | "[" words "]"

A value in brackets is a dictionary if all its words are ``key=value``,
otherwise a list. Nothing is refused: a bracket that is missing is taken to
stand at the end, one too many is passed over.
"""

from __future__ import annotations

from relay.ng.bencode import Value

MAX_DEPTH = 8
"""Brackets inside brackets; deeper ones are read as text. The protocol needs three."""

Word = tuple[str | None, Value]
"""Key, or None for a bare word; and the value, or the bare word."""


def read(text: str) -> list[Word]:
    """The words of ``text``, in order.

    >>> read("trust-address direction=[in out] ICE=force")
    [(None, 'trust-address'), ('direction', ['in', 'out']), ('ICE', 'force')]
    """
    words: list[Word] = []
    position = 0
    while position < len(text):
        found, position = _words(text, position, 0)
        words.extend(found)
    return words


def _words(text: str, position: int, depth: int) -> tuple[list[Word], int]:
    """The words up to a closing bracket, and the position behind it."""
    words: list[Word] = []
    while position < len(text):
        if text[position] == "]":
            return words, position + 1
        if text[position].isspace():
            position += 1
            continue
        start, position = position, _word_end(text, position, depth < MAX_DEPTH)
        key, equals, value = text[start:position].partition("=")
        if equals and text[position : position + 1] == "[":
            inner, position = _words(text, position + 1, depth + 1)
            words.append((key, _collection(inner)))
        elif equals:
            words.append((key, value))
        else:
            words.append((None, key))
    return words, position


def _word_end(text: str, position: int, nest: bool) -> int:
    """Where the word at ``position`` ends: blank, bracket, or, to ``nest``, ``[`` behind ``=``."""
    while position < len(text) and not text[position].isspace() and text[position] != "]":
        position += 1
        if nest and text[position - 1] == "=" and text[position : position + 1] == "[":
            break
    return position


def _collection(words: list[Word]) -> Value:
    if words and all(key is not None for key, _ in words):
        mapping: dict[str, Value] = {}
        for key, value in words:
            mapping.setdefault(key or "", value)
        return mapping
    return [value if key is None else f"{key}={value}" for key, value in words]
