"""Asks a running relay of this machine over the ng protocol, as a proxy would."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Mapping

from relay.forward.rule import Address
from relay.ng import bencode, message
from relay.ng.bencode import Value
from relay.ng.errors import NgError

PATIENCE = 1.0
"""Seconds for one answer."""
ATTEMPTS = 3
"""A datagram may be lost."""
LOCAL = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""Where a relay is reached that listens on every address of this machine."""

Report = Mapping[str, Value]


class AskError(Exception):
    """No answer. The text says why, for the person who asked."""


def place(ng: Address) -> str:
    """Where a relay that listens at ``ng`` is asked, for people."""
    host = LOCAL.get(ng[0], ng[0])
    return f"[{host}]:{ng[1]}" if ":" in host else f"{host}:{ng[1]}"


def ask(ng: Address, command: Mapping[str, bencode.Encodable]) -> Report:
    """The reply of the relay at ``ng``, which may say that the command failed. Raises ``AskError``."""
    host = LOCAL.get(ng[0], ng[0])
    cookie = secrets.token_hex(8).encode()
    query = cookie + b" " + bencode.encode(command)
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect((host, ng[1]))
            reply = _reply(sock, cookie, query)
    except OSError as error:
        raise AskError(f"no relay answers at {place(ng)}: {error.strerror}; see --listen-ng") from error
    if reply is None:
        seconds = ATTEMPTS * PATIENCE
        raise AskError(f"no relay answers at {place(ng)} within {seconds:g} s; see --listen-ng")
    return reply


def _reply(sock: socket.socket, cookie: bytes, query: bytes) -> Report | None:
    for _ in range(ATTEMPTS):
        sock.send(query)
        end = time.monotonic() + PATIENCE
        while (left := end - time.monotonic()) > 0:
            sock.settimeout(left)
            try:
                parts = message.split(sock.recv(65536))
            except TimeoutError:
                break
            if parts is None or parts[0] != cookie:
                continue
            try:
                return message.decode(parts[1])[0]
            except NgError as error:
                raise AskError(f"a reply that is no ng message: {error.reason}") from error
    return None
