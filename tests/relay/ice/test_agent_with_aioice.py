"""Two real ICE agents (aioice) talk through two of ours, on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

import aioice
import pytest

from relay.ice import agent as ice
from relay.ice import outputs
from relay.ice.credentials import Credentials, new
from relay.ice.stun import Address, is_stun

LOOPBACK = "127.0.0.1"
MIDDLE, HIGHEST = 2**63, 2**64 - 1
"""Tie-breakers; aioice draws its own, which is as good as never 0 or the highest."""
LIMIT = 10.0
"""Seconds for a whole test; connecting takes a fraction of one."""


class Leg(asyncio.DatagramProtocol):
    """One port of the relay with its agent; media goes to the ``other`` leg."""

    transport: asyncio.DatagramTransport
    other: Leg

    def __init__(self, controlling: bool, lite: bool = False, tie_breaker: int = 2**63) -> None:
        self.agent = ice.Agent(new(), controlling, lite, tie_breaker=tie_breaker)
        self.usable: Address | None = None
        self.refused: list[str] = []
        self.selected = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    @property
    def port(self) -> int:
        port: int = self.transport.get_extra_info("sockname")[1]
        return port

    @property
    def candidate(self) -> aioice.Candidate:
        return aioice.Candidate("1", 1, "udp", 2130706431, LOOPBACK, self.port, "host")

    def datagram_received(self, data: bytes, addr: Address) -> None:
        path = outputs.Path(0, addr)
        if is_stun(data):
            self.act(self.agent.received(path, data, asyncio.get_running_loop().time()))
        elif path in self.agent.validated:
            self.other.send_media(data)

    def send_media(self, data: bytes) -> None:
        selected = self.agent.selected.get(0)
        remote = selected.remote if selected else self.usable
        if remote is not None:
            self.transport.sendto(data, remote)

    def answered(self, remote: Credentials) -> None:
        self.act(self.agent.set_remote(remote, asyncio.get_running_loop().time()))

    def act(self, wanted: list[outputs.Output]) -> None:
        for output in wanted:
            match output:
                case outputs.Send(path, datagram):
                    self.transport.sendto(datagram, path.remote)
                case outputs.Usable(path):
                    self.usable = path.remote
                case outputs.Selected():
                    self.selected.set()
                case outputs.Refused(reason):
                    self.refused.append(reason)
                case outputs.Validated():
                    pass
        if self._timer is not None:
            self._timer.cancel()
        loop, deadline = asyncio.get_running_loop(), self.agent.deadline
        self._timer = None if deadline is None else loop.call_at(deadline, self.wake)

    def wake(self) -> None:
        self._timer = None
        self.act(self.agent.timeout(asyncio.get_running_loop().time()))


async def opened(leg: Leg) -> Leg:
    await asyncio.get_running_loop().create_datagram_endpoint(lambda: leg, local_addr=(LOOPBACK, 0))
    return leg


async def connect(client: aioice.Connection, leg: Leg) -> None:
    """What the SDP exchange does, and then ICE."""
    await client.gather_candidates()
    leg.answered(Credentials(client.local_username, client.local_password))
    client.remote_username = leg.agent.local.ufrag
    client.remote_password = leg.agent.local.pwd
    await client.add_remote_candidate(leg.candidate)
    await client.add_remote_candidate(None)
    await client.connect()


def run(scenario: Callable[[], Awaitable[None]], monkeypatch: pytest.MonkeyPatch) -> None:
    """aioice leaves loopback out of its own host addresses; here it is the only network needed."""
    monkeypatch.setattr("aioice.ice.get_host_addresses", lambda use_ipv4, use_ipv6: [LOOPBACK])

    async def limited() -> None:
        async with asyncio.timeout(LIMIT):
            await scenario()

    asyncio.run(limited())


def client(controlling: bool) -> aioice.Connection:
    return aioice.Connection(ice_controlling=controlling, stun_server=None, use_ipv6=False)


@pytest.mark.parametrize(
    ("towards_offerer", "towards_answerer"),
    [
        ((False, False, MIDDLE), (True, False, MIDDLE)),
        ((False, True, MIDDLE), (True, False, MIDDLE)),
        ((True, False, 0), (True, False, MIDDLE)),
        ((True, False, HIGHEST), (False, False, 0)),
        ((False, False, HIGHEST), (False, False, HIGHEST)),
    ],
    ids=["usual", "lite", "conflict, we give in", "conflict, they give in", "nobody controls at first"],
)
def test_two_clients_talk_through_two_agents(
    towards_offerer: tuple[bool, bool, int],
    towards_answerer: tuple[bool, bool, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        left, right = await opened(Leg(*towards_offerer)), await opened(Leg(*towards_answerer))
        left.other, right.other = right, left
        offerer, answerer = client(controlling=True), client(controlling=False)
        await asyncio.gather(connect(offerer, left), connect(answerer, right))
        await asyncio.gather(left.selected.wait(), right.selected.wait())
        for sender, receiver in ((offerer, answerer), (answerer, offerer)):
            for number in range(20):
                await sender.send(b"media %d" % number)
                assert await receiver.recv() == b"media %d" % number
        await offerer.close()
        await answerer.close()
        left.transport.close()
        right.transport.close()
        assert set(left.refused + right.refused) <= {"role conflict", "check failed"}

    run(scenario, monkeypatch)


def test_a_client_that_checks_before_the_answer_is_connected_when_it_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        leg = await opened(Leg(controlling=False))
        offerer = client(controlling=True)
        await offerer.gather_candidates()
        offerer.remote_username = leg.agent.local.ufrag
        offerer.remote_password = leg.agent.local.pwd
        await offerer.add_remote_candidate(leg.candidate)
        await offerer.add_remote_candidate(None)
        await offerer.connect()
        assert len(leg.agent.validated) == 1
        assert not leg.selected.is_set()
        leg.answered(Credentials(offerer.local_username, offerer.local_password))
        await leg.selected.wait()
        await offerer.close()
        leg.transport.close()

    run(scenario, monkeypatch)
