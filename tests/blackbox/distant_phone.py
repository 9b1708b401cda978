"""Phones with ICE that are far away, or behind a NAT, and that report what they hear."""

from __future__ import annotations

import select
import time
from collections import deque
from collections.abc import Sequence

from relay.ice.outputs import Output, Path, Send
from tests.blackbox.ice_phone import HERE, IcePhone
from tests.blackbox.phone import rtp
from tests.ng import Address
from tests.rtcp import block, receiver_report, sender_report

STEP = 0.005
"""Seconds between two looks at all sockets."""
PACE = 6
"""Looks between two packets of audio: 30 ms."""
REPORTS = 16
"""Packets between two sender reports."""
LOST, JITTER = 26, 80
"""What every phone reports: a tenth is lost; 10 ms at 8 kHz."""


class DistantPhone(IcePhone):
    """Hears everything ``distance`` seconds late, and so answers late.

    ``shift``: what its NAT adds to its port for a STUN server; None: there is no NAT.
    """

    def __init__(
        self, address: str, controlling: bool, number: int, distance: float = 0.0, shift: int | None = None
    ) -> None:
        super().__init__(address, controlling, number)
        self.ssrc = 1000 + number
        self._distance = distance
        self._coming: deque[tuple[float, int, Address, bytes]] = deque()
        self._sockets = [self.socket]
        self._packets = 0
        host, port = self.socket.getsockname()
        if shift is not None:
            within = "1 1 UDP 2130706431 10.0.0.5 40000 typ host"
            outside = f"2 1 UDP 1694498815 {host} {port + shift} typ srflx raddr 10.0.0.5 rport 40000"
            line = f"1 1 UDP 2130706431 {host} {port} typ host"
            self.sdp = self.sdp.replace(line, f"{within}\r\na=candidate:{outside}")

    def look(self) -> None:
        """Take in what came, and answer what came long enough ago."""
        now = time.monotonic()
        for place in [self._sockets.index(one) for one in select.select(self._sockets, [], [], 0)[0]]:
            datagram, source = self._sockets[place].recvfrom(4096)
            self._coming.append((now + self._distance, HERE + place, source, datagram))
        while self._coming and self._coming[0][0] <= now:
            _, port, source, datagram = self._coming.popleft()
            if datagram[0] < 4:
                self._send(self._agent.received(Path(port, source), datagram, now))
            elif datagram[1] == 200:
                ntp = int.from_bytes(datagram[10:14], "big")
                ssrc = int.from_bytes(datagram[4:8], "big")
                self._say(receiver_report(block(ssrc, LOST, 3, JITTER, ntp)))

    def talk(self) -> None:
        """One packet of audio, and a report now and then."""
        self._packets += 1
        self._say(rtp(self._packets, self.ssrc))
        if self._packets % REPORTS == 1:
            self._say(sender_report(self.ssrc, self._packets))

    def go_to(self, address: str) -> None:
        """Another network: a socket there, from which the relay is checked."""
        self._sockets.append(type(self.socket)(self.socket.family, self.socket.type))
        self._sockets[-1].bind((address, 0))
        here = Path(HERE + len(self._sockets) - 1, self.relay)
        self._send(self._agent.check(here, time.monotonic()))

    def close(self) -> None:
        for one in self._sockets:
            one.close()

    def _send(self, outputs: list[Output]) -> None:
        for output in outputs:
            if isinstance(output, Send):
                self._sockets[output.path.port - HERE].sendto(output.datagram, output.path.remote)

    def _say(self, datagram: bytes) -> None:
        self._sockets[-1].sendto(datagram, self.relay)


def converse(phones: Sequence[DistantPhone], seconds: float) -> None:
    """All of them, at the same time."""
    begun = time.monotonic()
    looks = 0
    while time.monotonic() < begun + seconds:
        for phone in phones:
            phone.look()
            if looks % PACE == 0:
                phone.talk()
        looks += 1
        select.select([], [], [], max(0.0, begun + looks * STEP - time.monotonic()))
