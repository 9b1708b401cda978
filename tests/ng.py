"""A small ng client of the tests' own, so that the relay's codec is not checked with itself."""

import itertools
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import TypeAlias

Address: TypeAlias = tuple[str, int]
Value: TypeAlias = "int | str | Sequence[Value] | Mapping[str, Value]"
Reply: TypeAlias = dict[str, Value]

_cookies = itertools.count()


def encode(value: Value) -> bytes:
    """Bencode; dictionaries are written in the order they have."""
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, str):
        raw = value.encode("utf-8", "surrogateescape")
        return b"%d:%s" % (len(raw), raw)
    if isinstance(value, Mapping):
        return b"d" + b"".join(encode(key) + encode(item) for key, item in value.items()) + b"e"
    return b"l" + b"".join(encode(item) for item in value) + b"e"


def decode(data: bytes) -> Reply:
    """One bencoded dictionary and nothing behind it. Raises ``ValueError`` for anything else."""
    value, end = _decode(data, 0)
    if not isinstance(value, dict) or end != len(data):
        raise ValueError(f"not one dictionary: {data!r}")
    return value


def _decode(data: bytes, at: int) -> tuple[Value, int]:
    head = data[at : at + 1]
    if head == b"i":
        end = data.index(b"e", at)
        return int(data[at + 1 : end]), end + 1
    if head in (b"l", b"d"):
        items: list[Value] = []
        at += 1
        while data[at : at + 1] != b"e":
            item, at = _decode(data, at)
            items.append(item)
        if head == b"l":
            return items, at + 1
        return dict(_pairs(items)), at + 1
    colon = data.index(b":", at)
    end = colon + 1 + int(data[at:colon])
    if end > len(data):
        raise ValueError(f"string is longer than the message: {data!r}")
    return data[colon + 1 : end].decode("utf-8", "surrogateescape"), end


def _pairs(items: list[Value]) -> Iterator[tuple[str, Value]]:
    for key, item in zip(items[::2], items[1::2], strict=True):
        if not isinstance(key, str):
            raise ValueError(f"key is not a string: {key!r}")
        yield key, item


def split(datagram: bytes) -> tuple[bytes, Reply]:
    """Cookie and dictionary of a datagram in bencode."""
    cookie, _, payload = datagram.partition(b" ")
    return cookie, decode(payload)


class NgClient:
    """Asks the relay over UDP, as a proxy does; through `own`, a socket of another network, if given."""

    def __init__(self, relay: Address, timeout: float = 3.0, own: socket.socket | None = None) -> None:
        self.socket = own or socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.settimeout(timeout)
        self.socket.connect(relay)

    def __enter__(self) -> "NgClient":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def raw(self, datagram: bytes) -> bytes:
        """The reply to a whole datagram, as it came. Raises ``TimeoutError`` where none comes."""
        cookie, _, _ = datagram.partition(b" ")
        self.socket.send(datagram)
        while True:
            reply = self.socket.recv(65536)
            if reply.partition(b" ")[0] == cookie:
                return reply

    def payload(self, payload: bytes) -> bytes:
        """The reply's payload to a payload, under a fresh cookie."""
        return self.raw(fresh_cookie() + b" " + payload).partition(b" ")[2]

    def ask(self, command: str, **keys: Value) -> Reply:
        """The reply to one command. Keys are given with underscores: ``call_id`` is sent as ``call-id``."""
        return self.send_message({**hyphens(keys), "command": command})

    def send_message(self, message: Mapping[str, Value]) -> Reply:
        """The reply to a dictionary."""
        return decode(self.payload(encode(message)))

    def calls(self) -> list[str]:
        """Call-IDs of all calls the relay knows."""
        listed = self.ask("list", limit=100_000)["calls"]
        assert isinstance(listed, list)
        return [str(call) for call in listed]

    def close(self) -> None:
        self.socket.close()


def hyphens(keys: Mapping[str, Value]) -> dict[str, Value]:
    """Python's keyword names as the protocol writes them."""
    return {key.replace("_", "-"): value for key, value in keys.items()}


def fresh_cookie() -> bytes:
    """A cookie that nobody used before."""
    return b"test_%d_%d" % (os.getpid(), next(_cookies))
