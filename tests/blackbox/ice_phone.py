"""A phone with ICE that checks the relay from one socket, and then sends audio."""

from __future__ import annotations

import select
import socket
import time

from relay.ice.agent import Agent
from relay.ice.credentials import Credentials
from relay.ice.outputs import Output, Path, Send
from tests.blackbox.description import Description, plain
from tests.blackbox.phone import rtp
from tests.ng import Address

HERE = 0


class IcePhone:
    """``sdp`` is what it says of itself, ``hear`` what it is told."""

    def __init__(self, address: str, controlling: bool, number: int) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, 0))
        self.socket.setblocking(False)
        keys = Credentials(f"ufrag{number:04}", f"password-of-a-phone-{number:04}")
        self._agent = Agent(keys, controlling, tie_breaker=number)
        self._sequence = 0
        host, port = self.socket.getsockname()
        lines = [
            "a=rtcp-mux",
            f"a=ice-ufrag:{keys.ufrag}",
            f"a=ice-pwd:{keys.pwd}",
            f"a=candidate:1 1 UDP 2130706431 {host} {port} typ host",
        ]
        self.sdp = plain(host, port) + "".join(f"{line}\r\n" for line in lines)
        self.relay: Address = ("", 0)

    def hear(self, said: Description) -> None:
        """The relay's description: check it."""
        media = said.medias[0]
        self.relay = (media.candidates[0].address, media.candidates[0].port)
        ufrag, pwd = media.attribute("ice-ufrag"), media.attribute("ice-pwd")
        assert ufrag
        assert pwd
        now = time.monotonic()
        self._send(self._agent.set_remote(Credentials(ufrag, pwd), now))
        self._send(self._agent.check(Path(HERE, self.relay), now))

    def work(self) -> None:
        """Answer what came, and send one packet of audio."""
        while select.select([self.socket], [], [], 0)[0]:
            datagram, source = self.socket.recvfrom(4096)
            if datagram[0] < 4:
                self._send(self._agent.received(Path(HERE, source), datagram, time.monotonic()))
        self._sequence += 1
        self.socket.sendto(rtp(self._sequence), self.relay)

    def close(self) -> None:
        self.socket.close()

    def _send(self, outputs: list[Output]) -> None:
        for output in outputs:
            if isinstance(output, Send):
                self.socket.sendto(output.datagram, output.path.remote)
