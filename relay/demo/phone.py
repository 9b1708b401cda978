"""A phone: an ICE agent, a socket for the call, and a second one for comparison.

The phone's agent is ``relay.ice``'s, which also runs the relay's end: like any
phone it answers checks, sends its own, and the relay takes media from nowhere
else. (Strangers' agents meet the relay in the tests.)
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Iterable

from relay.demo import media
from relay.demo.errors import CallFailed
from relay.demo.media import Inbox
from relay.forward.rule import Address
from relay.ice import stun
from relay.ice.agent import Agent, Output, Path, Selected, Send
from relay.ice.credentials import Credentials

CONNECT_TIMEOUT = 2.0
"""Seconds; a check is sent five times by then."""


class Phone:
    """``address`` is an IP address of this machine; the ports are free ones.

    ``controlling``: this phone made the offer (RFC 8445, section 6.1.1).
    """

    def __init__(self, name: str, address: str, credentials: Credentials, controlling: bool) -> None:
        self.name = name
        self.credentials = credentials
        self.ssrc = secrets.randbits(32)
        self.sent = 0
        """Packets sent into the call; as many were sent directly."""
        self.remote: Address | None = None
        """Where ICE found that media goes."""
        self._agent = Agent(credentials, controlling, tie_breaker=secrets.randbits(64))
        self._stirred = asyncio.Event()
        self._socket = media.open_socket(address)
        self._direct = media.open_socket(address)
        self.at: Address = self._socket.getsockname()

    def listen_to(self, other: Phone) -> None:
        """Note what ``other`` says, over the relay and directly."""
        self.heard, self.heard_directly = Inbox(other.ssrc), Inbox(other.ssrc)
        loop = asyncio.get_running_loop()
        loop.add_reader(self._socket, self._read)
        loop.add_reader(self._direct, self._read_direct)

    def close(self) -> None:
        """Hang up."""
        loop = asyncio.get_running_loop()
        for sock in (self._socket, self._direct):
            loop.remove_reader(sock)
            sock.close()

    async def connect(self, told: Address, remote: Credentials) -> None:
        """ICE with the relay at ``told``. Raises ``CallFailed``."""
        now = asyncio.get_running_loop().time()
        self._carry_out(self._agent.set_remote(remote, now))
        self._carry_out(self._agent.check(Path(0, told), now))
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                while self.remote is None:
                    await self._wait()
        except TimeoutError:
            raise CallFailed(
                f"the {self.name} was told to send to {told[0]}:{told[1]}, and ICE found no way to there"
                f" within {CONNECT_TIMEOUT:g} s"
            ) from None

    async def _wait(self) -> None:
        """For a datagram, or for the time to repeat a check."""
        loop = asyncio.get_running_loop()
        self._stirred.clear()
        due = self._agent.deadline
        try:
            await asyncio.wait_for(self._stirred.wait(), None if due is None else due - loop.time())
        except TimeoutError:
            self._carry_out(self._agent.timeout(loop.time()))

    def say(self) -> None:
        """Send the next packet into the call."""
        assert self.remote is not None
        self._socket.sendto(media.packet(self.sent, self.ssrc, time.time_ns()), self.remote)
        self.sent += 1

    def say_directly(self, other: Phone) -> None:
        """Send the last packet once more, past the relay."""
        datagram = media.packet(self.sent - 1, self.ssrc, time.time_ns())
        self._direct.sendto(datagram, other._direct.getsockname())

    def renew_consent(self) -> None:
        """A check on the path in use, as a phone does every five seconds (RFC 7675)."""
        assert self.remote is not None
        self._carry_out(self._agent.check(Path(0, self.remote), asyncio.get_running_loop().time()))

    def _read(self) -> None:
        now = asyncio.get_running_loop().time()
        for datagram in media.arrived(self._socket):
            if stun.is_stun(datagram.data):
                self._carry_out(self._agent.received(Path(0, datagram.source), datagram.data, now))
            else:
                self.heard.take(datagram)

    def _read_direct(self) -> None:
        for datagram in media.arrived(self._direct):
            self.heard_directly.take(datagram)

    def _carry_out(self, outputs: Iterable[Output]) -> None:
        for output in outputs:
            if isinstance(output, Send):
                self._socket.sendto(output.datagram, output.path.remote)
            elif isinstance(output, Selected):
                self.remote = output.path.remote
        self._stirred.set()
