"""What the relay itself has counted: the reply to ``query``, as far as the demonstration needs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from relay.demo.errors import CallFailed
from relay.forward.rule import Address
from relay.ng.bencode import Encodable


@dataclass(frozen=True, slots=True)
class Counted:
    """Of one leg: packets that its phone sent and the relay took, others, and where the phone was seen."""

    packets: int
    errors: int
    source: Address | None


class _Endpoint(msgspec.Struct):
    address: str = ""
    port: int = 0


class _Stats(msgspec.Struct):
    packets: int
    errors: int


class _Stream(msgspec.Struct):
    endpoint: _Endpoint
    stats: _Stats


class _Media(msgspec.Struct):
    streams: list[_Stream]


class _Leg(msgspec.Struct):
    medias: list[_Media]


class _Report(msgspec.Struct):
    tags: dict[str, _Leg]


def read(reply: Mapping[str, Encodable]) -> dict[str, Counted]:
    """Every leg's first media, by tag. Raises ``CallFailed`` where the reply has another form."""
    try:
        report = msgspec.convert(reply, _Report)
        return {tag: _counted(leg.medias[0].streams) for tag, leg in report.tags.items()}
    except (msgspec.ValidationError, IndexError) as error:
        raise CallFailed(f"the relay's report cannot be read: {error}") from error


def _counted(streams: list[_Stream]) -> Counted:
    seen = streams[0].endpoint
    return Counted(
        packets=sum(stream.stats.packets for stream in streams),
        errors=sum(stream.stats.errors for stream in streams),
        source=(seen.address, seen.port) if seen.address else None,
    )
