"""A phone: ICE, DTLS-SRTP, a socket for the call, and a second one for comparison.

The phone's agent and handshake are ``relay.ice``'s and ``relay.dtls``', which
also run the relay's end: like any phone it answers checks, sends its own, and
shows a certificate; the relay takes media from nowhere else. (Strangers' ICE
and DTLS meet the relay in the tests.)
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Iterable

from relay.demo import media
from relay.demo.errors import CallFailed
from relay.demo.media import Inbox
from relay.dtls.fingerprint import Fingerprint
from relay.dtls.handshake import Failed, Handshake, Keys, Role
from relay.dtls.handshake import Output as DtlsOutput
from relay.dtls.handshake import Send as Flight
from relay.dtls.identity import Identity
from relay.forward.rule import Address
from relay.forward.srtp_library import Context
from relay.ice import stun
from relay.ice.agent import Agent
from relay.ice.credentials import Credentials
from relay.ice.outputs import Output, Path, Selected, Send
from relay.srtp.profiles import MasterKey, profile_of_dtls

CONNECT_TIMEOUT = 2.0
"""Seconds; a check is sent five times by then."""

FIRST_BYTES_OF_DTLS = range(20, 64)
"""RFC 7983."""


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
        self.identity = Identity.create(time.time())
        self._handshake: Handshake | None = None
        self._idle: Context | None = None
        """Protects what goes past the relay, in the clear: for the time it takes."""
        self._keys: tuple[Context, Context] | None = None
        """What leaves is protected with the first, what arrives opened with the second."""
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

    async def connect(self, told: Address, remote: Credentials, role: Role, expected: Fingerprint) -> None:
        """ICE with the relay at ``told``, then DTLS. Raises ``CallFailed``."""
        self._handshake = Handshake(self.identity, role, [expected])
        now = asyncio.get_running_loop().time()
        self._carry_out(self._agent.set_remote(remote, now))
        self._carry_out(self._agent.check(Path(0, told), now))
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                while self.remote is None:
                    await self._wait()
                self._agree(self._handshake.start(asyncio.get_running_loop().time()))
                while self._keys is None:
                    await self._wait()
        except TimeoutError:
            missing = "ICE found no way to there" if self.remote is None else "DTLS gave no keys"
            raise CallFailed(
                f"the {self.name} was told to send to {told[0]}:{told[1]}, and {missing}"
                f" within {CONNECT_TIMEOUT:g} s"
            ) from None

    async def _wait(self) -> None:
        """For a datagram, or for the time to repeat a check."""
        loop = asyncio.get_running_loop()
        self._stirred.clear()
        assert self._handshake is not None
        due = min((at for at in (self._agent.deadline, self._handshake.deadline) if at), default=None)
        try:
            await asyncio.wait_for(self._stirred.wait(), None if due is None else due - loop.time())
        except TimeoutError:
            self._carry_out(self._agent.timeout(loop.time()))
            self._agree(self._handshake.timeout(loop.time()))

    def say(self) -> None:
        """Send the next packet into the call."""
        assert self.remote is not None
        assert self._keys is not None
        datagram = media.packet(self.sent, self.ssrc, time.time_ns())
        self._socket.sendto(self._keys[0].protect(datagram), self.remote)
        self.sent += 1

    def say_directly(self, other: Phone) -> None:
        """Send the last packet once more, past the relay, after the same work."""
        assert self._idle is not None
        datagram = media.packet(self.sent - 1, self.ssrc, time.time_ns())
        self._idle.protect(datagram)
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
            elif datagram.data[:1] and datagram.data[0] in FIRST_BYTES_OF_DTLS:
                if self._handshake is not None:
                    self._agree(self._handshake.received(datagram.data, now))
            elif self._keys is not None:
                self.heard.take(datagram._replace(data=_opened(self._keys[1], datagram.data)))

    def _read_direct(self) -> None:
        for datagram in media.arrived(self._direct):
            self.heard_directly.take(datagram)

    def _agree(self, outputs: Iterable[DtlsOutput]) -> None:
        for output in outputs:
            if isinstance(output, Flight) and self.remote is not None:
                self._socket.sendto(output.datagram, self.remote)
            elif isinstance(output, Keys):
                profile = profile_of_dtls(output.profile.name)
                ours = MasterKey.split(profile, output.local)
                theirs = MasterKey.split(profile, output.remote)
                self._keys = (Context(profile, ours, inbound=False), Context(profile, theirs, inbound=True))
                self._idle = Context(profile, ours, inbound=False)
            elif isinstance(output, Failed):
                raise CallFailed(f"the {self.name} got no keys from DTLS: {output.reason}")
        self._stirred.set()

    def _carry_out(self, outputs: Iterable[Output]) -> None:
        for output in outputs:
            if isinstance(output, Send):
                self._socket.sendto(output.datagram, output.path.remote)
            elif isinstance(output, Selected):
                self.remote = output.path.remote
        self._stirred.set()


def _opened(keys: Context, datagram: bytes) -> bytes:
    """Empty where it is not the relay's."""
    try:
        return keys.unprotect(datagram)
    except RuntimeError:
        return b""
