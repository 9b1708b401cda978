"""Bencode as the ng protocol uses it: tolerant in, plain out.

Keys may come in any order, the first of two equal keys wins, and whatever
follows the top-level dictionary is ignored. Strings are decoded as UTF-8 with
``surrogateescape`` and encoded back the same way, so arbitrary bytes survive.

>>> decode(b"d7:command4:pingetrailing")
{'command': 'ping'}
>>> encode({"result": "pong"})
b'd6:result4:ponge'
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from relay.ng._bencode import MAX_DEPTH, MAX_DIGITS, decode, encode
from relay.ng.errors import BencodeError

__all__ = ["MAX_DEPTH", "MAX_DIGITS", "BencodeError", "Encodable", "Value", "decode", "encode"]

Value: TypeAlias = int | str | list["Value"] | dict[str, "Value"]
"""What a message holds once decoded."""

Encodable: TypeAlias = int | str | Sequence["Encodable"] | Mapping[str, "Encodable"]
"""What a message may be built from."""
