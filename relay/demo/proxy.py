"""The SIP proxy's part of the call: ng commands over the real socket."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass

from relay.demo.errors import CallFailed
from relay.forward.rule import Address
from relay.ng import bencode, message
from relay.ng.bencode import Encodable, Value
from relay.ng.errors import NgError

TIMEOUT = 2.0
"""Seconds; the relay answers in a millisecond or two."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the relay said to one command, and how many seconds it took."""

    reply: dict[str, Value]
    seconds: float

    @property
    def sdp(self) -> str:
        """The description in a reply to ``offer`` and ``answer``. Raises ``CallFailed``."""
        text = self.reply.get("sdp")
        if not isinstance(text, str):
            raise CallFailed("the relay's reply has no SDP")
        return text


class Proxy:
    """Speaks for both phones. Blocks until the relay has answered, which it does at once."""

    def __init__(self, ng: Address) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.settimeout(TIMEOUT)
        self._socket.connect(ng)
        self._ng = ng

    def ask(self, command: str, keys: Mapping[str, Encodable]) -> Answer:
        """One command and its reply. Raises ``CallFailed`` where there is none or an error."""
        cookie = secrets.token_hex(8).encode()
        began = time.perf_counter()
        try:
            self._socket.send(cookie + b" " + bencode.encode({"command": command, **keys}))
            reply = self._reply_to(cookie)
        except TimeoutError:
            raise CallFailed(f"no reply to {command} from {self._place} within {TIMEOUT:g} s") from None
        except OSError as error:
            raise CallFailed(f"cannot reach the relay at {self._place}: {error.strerror}") from None
        if reply.get("result") == "error":
            raise CallFailed(f"the relay refused {command}: {reply.get('error-reason')}")
        return Answer(reply, time.perf_counter() - began)

    @property
    def _place(self) -> str:
        return f"ng {self._ng[0]}:{self._ng[1]}"

    def _reply_to(self, cookie: bytes) -> dict[str, Value]:
        while True:
            parts = message.split(self._socket.recv(65536))
            if parts is None or parts[0] != cookie:
                continue
            try:
                return message.decode(parts[1])[0]
            except NgError as error:
                raise CallFailed(f"a reply that is no ng message: {error}") from error

    def close(self) -> None:
        self._socket.close()
