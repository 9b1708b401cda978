"""A caller that has changed its address: what a phone does that notices it at once.

A check with USE-CANDIDATE leaves the new address, media follows it, and checks that come
there are answered (RFC 8445, section 7.3). The old address is dead from then on:
what is under way to it is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import aioice
from aioice import stun

from bench.ice_lab.namespaces import run

INTERFACE = "net"
AGAIN = 0.050
"""Seconds until an unanswered check is sent again."""
TABLE = "moved"


class Moved(asyncio.DatagramProtocol):
    def __init__(self, agent: aioice.Connection, address: str) -> None:
        self._agent = agent
        self._address = address
        self._pair = agent._nominated[1]
        self._remote: tuple[str, int] = self._pair.remote_addr
        self._answered = False

    @classmethod
    async def to(cls, address: str, agent: aioice.Connection) -> Moved:
        """The address is taken, and the old one does not hear any more."""
        moved = cls(agent, address)
        old = moved._pair.local_candidate.host
        run("ip", "addr", "add", f"{address}/32", "dev", INTERFACE)
        run("nft", "-f", "-", given=f"""
table ip {TABLE} {{
  chain in {{
    type filter hook input priority 0; policy accept
    ip daddr {old} drop
  }}
}}
""")  # fmt: skip
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: moved, local_addr=(address, 0))
        return moved

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    async def talk(self, packets: Iterator[bytes], interval: float) -> None:
        """``interval`` in seconds."""
        checking = asyncio.create_task(self._check())
        try:
            await asyncio.sleep(0)  # the first check leaves first
            for packet in packets:
                self._transport.sendto(packet, self._remote)
                await asyncio.sleep(interval)
        finally:
            checking.cancel()

    async def _check(self) -> None:
        request = self._agent.build_request(self._pair, nominate=True)
        request.add_message_integrity(self._agent.remote_password.encode())
        while not self._answered:
            self._transport.sendto(bytes(request), self._remote)
            await asyncio.sleep(AGAIN)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        try:
            message = stun.parse_message(data)
        except ValueError:
            return  # media: the capture sees it
        if message.message_class is stun.Class.RESPONSE:
            self._answered = True
        elif message.message_class is stun.Class.REQUEST:
            reply = stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, message.transaction_id)
            reply.attributes["XOR-MAPPED-ADDRESS"] = addr
            reply.add_message_integrity(self._agent.local_password.encode())
            self._transport.sendto(bytes(reply), addr)

    def close(self) -> None:
        self._transport.close()
        run("nft", "delete", "table", "ip", TABLE)
        run("ip", "addr", "del", f"{self._address}/32", "dev", INTERFACE)
