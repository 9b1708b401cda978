"""The SIP proxy's part: ng commands, and the calls they set up."""

from __future__ import annotations

import itertools
import os
import socket
from collections.abc import Mapping

from relay.bench.errors import BenchFailed
from relay.forward.rule import Address
from relay.ng import bencode, message
from relay.ng.bencode import Encodable, Value
from relay.ng.errors import NgError

TIMEOUT = 2.0
"""Seconds for the reply to one command."""


class Client:
    """Asks one relay, a command at a time."""

    def __init__(self, ng: Address) -> None:
        self._ng = ng
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.settimeout(TIMEOUT)
        self._socket.connect(ng)
        self._cookies = itertools.count()

    def ask(self, command: str, keys: Mapping[str, Encodable]) -> dict[str, Value]:
        """The reply. Raises ``BenchFailed`` where there is none or an error."""
        cookie = b"%d_%d" % (os.getpid(), next(self._cookies))
        try:
            self._socket.send(cookie + b" " + bencode.encode({"command": command, **keys}))
            reply = self._reply_to(cookie)
        except OSError as error:
            raise BenchFailed(f"no reply to {command} from ng {self._ng[0]}:{self._ng[1]}: {error}") from None
        if reply.get("result") == "error":
            raise BenchFailed(f"{command} was refused: {reply.get('error-reason')}")
        return reply

    def answers_ping(self, timeout: float) -> bool:
        """Whether it is there, within ``timeout`` seconds."""
        self._socket.settimeout(timeout)
        try:
            return self.ask("ping", {}).get("result") == "pong"
        except BenchFailed:
            return False
        finally:
            self._socket.settimeout(TIMEOUT)

    def close(self) -> None:
        """Of the socket; calls stay."""
        self._socket.close()

    def _reply_to(self, cookie: bytes) -> dict[str, Value]:
        while True:
            parts = message.split(self._socket.recv(65536))
            if parts is not None and parts[0] == cookie:
                try:
                    return message.decode(parts[1])[0]
                except NgError as error:
                    raise BenchFailed(f"a reply that is no ng message: {error}") from error
