"""A small ng client of the tests' own, so that the relay's codec is not checked with itself."""

import itertools
import os
import socket
from typing import TypeAlias

Address: TypeAlias = tuple[str, int]
Value: TypeAlias = "int | str | list[Value] | dict[str, Value]"

_cookies = itertools.count()


def encode(value: Value) -> bytes:
    """Bencode; dictionaries are written in the order they have."""
    match value:
        case int():
            return b"i%de" % value
        case str():
            raw = value.encode("utf-8", "surrogateescape")
            return b"%d:%s" % (len(raw), raw)
        case list():
            return b"l" + b"".join(encode(item) for item in value) + b"e"
        case dict():
            return b"d" + b"".join(encode(key) + encode(item) for key, item in value.items()) + b"e"


def decode(data: bytes) -> dict[str, Value]:
    """One bencoded dictionary. Raises ValueError for anything else."""
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
        return {str(key): item for key, item in zip(items[::2], items[1::2], strict=True)}, at + 1
    colon = data.index(b":", at)
    end = colon + 1 + int(data[at:colon])
    return data[colon + 1 : end].decode("utf-8", "surrogateescape"), end


def split(datagram: bytes) -> tuple[bytes, dict[str, Value]]:
    """Cookie and dictionary of a datagram."""
    cookie, _, payload = datagram.partition(b" ")
    return cookie, decode(payload)


class NgClient:
    """Asks the relay over UDP, as a proxy does; through `own`, a socket of another network, if given."""

    def __init__(self, relay: Address, timeout: float = 2.0, own: socket.socket | None = None) -> None:
        self._socket = own or socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.settimeout(timeout)
        self._socket.connect(relay)

    def ask(self, command: str, **keys: Value) -> dict[str, Value]:
        """The reply to one command. Keys are given with underscores: ``call_id`` is sent as ``call-id``."""
        cookie = f"test_{os.getpid()}_{next(_cookies)}".encode()
        message: dict[str, Value] = {key.replace("_", "-"): value for key, value in keys.items()}
        message["command"] = command
        self._socket.send(cookie + b" " + encode(message))
        while True:
            back, reply = split(self._socket.recv(65536))
            if back == cookie:
                return reply

    def calls(self) -> list[str]:
        """Call-IDs of all calls the relay knows."""
        listed = self.ask("list", limit=100_000)["calls"]
        assert isinstance(listed, list)
        return [str(call) for call in listed]

    def close(self) -> None:
        self._socket.close()
