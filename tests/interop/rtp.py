"""The media half of a scripted phone: 50 PCMU packets a second, and a count of what arrives."""

import secrets
import select
import socket
import struct
import threading
import time
from collections import Counter, deque

from tests.ng import Address

INTERVAL = 0.02
"""Seconds between packets: the packet time the phones announce."""
PAYLOAD = b"\xff" * 160
"""20 ms of G.711 silence."""


class Media:
    """An RTP endpoint with its own address and SSRC.

    `strict` accepts media only from the very address and port it was told to send to,
    as symmetric phones do; the rest is counted in `refused`. `saying` is what each packet carries,
    `sound` what the last two seconds of packets carried.
    """

    def __init__(self, host: str, *, strict: bool = False) -> None:
        self.strict = strict
        self.ssrc = secrets.randbits(32)
        self.sent = 0
        self.talking = False
        self.saying = PAYLOAD
        self.sound: deque[bytes] = deque(maxlen=100)
        self.told: Address | None = None
        self.refused: Counter[Address] = Counter()
        self._heard: Counter[tuple[Address, int]] = Counter()
        self._sequence = secrets.randbits(15)
        self._socket, self._rtcp = _pair(host)
        self.address: Address = self._socket.getsockname()
        self._running = True
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def talk_to(self, address: Address) -> None:
        """Send to `address` from now on, while `talking` is set."""
        self.told = address

    def heard(self, ssrc: int | None = None, source: Address | None = None) -> int:
        """Packets accepted, from anyone or of one SSRC or one source."""
        return sum(
            count
            for (one_source, one_ssrc), count in list(self._heard.items())
            if (ssrc is None or ssrc == one_ssrc) and (source is None or source == one_source)
        )

    def close(self) -> None:
        self._running = False
        self._thread.join()
        self._socket.close()
        self._rtcp.close()

    def _run(self) -> None:
        due = time.monotonic()
        while self._running:
            readable, _, _ = select.select([self._socket], [], [], max(0.0, due - time.monotonic()))
            if readable:
                self._receive()
            if time.monotonic() >= due:
                due += INTERVAL
                if self.talking and self.told is not None:
                    self._send(self.told)

    def _send(self, address: Address) -> None:
        self._sequence = (self._sequence + 1) & 0xFFFF
        header = struct.pack("!BBHII", 0x80, 0, self._sequence, (self.sent * 160) & 0xFFFFFFFF, self.ssrc)
        self._socket.sendto(header + self.saying, address)
        self.sent += 1

    def _receive(self) -> None:
        packet, source = self._socket.recvfrom(2048)
        if len(packet) < 12 or packet[0] >> 6 != 2:
            return
        if self.strict and self.told not in (None, source):
            self.refused[source] += 1
            return
        self.sound.append(packet[12:])
        self._heard[source, struct.unpack_from("!I", packet, 8)[0]] += 1


def _pair(host: str) -> tuple[socket.socket, socket.socket]:
    """Sockets on an even port and the odd one above it."""
    while True:
        rtp, rtcp = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        rtp.bind((host, 0))
        port = rtp.getsockname()[1]
        try:
            if port % 2 == 0:
                rtcp.bind((host, port + 1))
                return rtp, rtcp
        except OSError:
            pass
        rtp.close()
        rtcp.close()
