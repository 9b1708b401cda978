"""Policies of ``ICE=optimize`` as an operator writes them: ``NAME key=value key=value``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from relay.ice.policy import ALWAYS, DIRECT_WORKS, FAR_RELAY, MAX_OWN, MAX_TOTAL, SAME_SITE, Policy
from sdp.choose import KINDS

_REASONS = (SAME_SITE, FAR_RELAY, DIRECT_WORKS, ALWAYS)


def parse_policy(text: str, _machine: Sequence[tuple[str, str]]) -> tuple[Policy, ...]:
    """
    >>> parse_policy("office interface=in assist=same-site direct=2", [])[0].direct
    2
    """
    name, *pairs = text.split() or [""]
    if not name or "=" in name:
        raise ValueError("a policy begins with its name; write office assist=same-site drop=mdns")
    given: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if key not in _KEYS or not equals:
            raise ValueError(f"{pair} is no part of a policy; write key=value, keys are {', '.join(_KEYS)}")
        field, parse = _KEYS[key]
        given[field] = parse(value)
    return (Policy(name, **given),)


def _word(text: str) -> str:
    if not text:
        raise ValueError("a value is missing after the =")
    return text


def _direction(text: str) -> str:
    if text not in ("offer", "answer"):
        raise ValueError(f"no direction: {text}; write offer (who is called) or answer (who calls)")
    return text


def _assist(text: str) -> frozenset[str]:
    return frozenset() if text == "never" else _words("assist", text, _REASONS, "never or ")


def _drop(text: str) -> frozenset[str]:
    return _words("drop", text, KINDS)


def _words(key: str, text: str, known: Sequence[str], other: str = "") -> frozenset[str]:
    found = frozenset(text.split(","))
    if not found <= frozenset(known):
        wrong = ",".join(sorted(found - frozenset(known)))
        raise ValueError(f"{key}={wrong} is not known; write {other}some of {','.join(known)}")
    return found


def _number(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and low <= int(text[:9]) <= high):
            raise ValueError(f"{text or 'nothing'} is no number of candidates; write {low} to {high}")
        return int(text)

    return parse


_KEYS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "interface": ("interface", _word),
    "direction": ("direction", _direction),
    "user-agent": ("family", lambda text: _word(text).lower()),
    "assist": ("assist", _assist),
    "direct": ("direct", _number(0, MAX_TOTAL - 1)),
    "own": ("own", _number(1, MAX_OWN)),
    "drop": ("drop", _drop),
}
"""What may be written: field of ``Policy``, and how to read it."""
