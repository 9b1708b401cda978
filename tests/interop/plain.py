"""A plain SIP phone's media: PCMU over RTP/AVP, a tone in each direction."""

import asyncio
import math
import os
import socket
import struct
from typing import Any

import numpy as np
import pylibsrtp

from sdp import crypto
from sdp.crypto import Crypto
from sdp.session import Session
from tests.ng import Address, Value

PLAIN_HOST = "127.0.0.33"
RATE = 8000
FRAME = 160
"""Samples of 20 ms."""
WEBRTC_TONE, PLAIN_TONE = 440.0, 1000.0
PACKETS = 150

TO_PLAIN: dict[str, Value] = {"ICE": "remove", "transport-protocol": "RTP/AVP", "rtcp-mux": ["demux"]}
TO_WEBRTC: dict[str, Value] = {
    "ICE": "force",
    "transport-protocol": "UDP/TLS/RTP/SAVPF",
    "rtcp-mux": ["offer", "require"],
    "flags": ["generate mid"],
    "SDES": ["off"],
}


def tone(frequency: float, start: int, count: int = FRAME) -> np.ndarray[Any, np.dtype[np.int16]]:
    times = np.arange(start, start + count) / RATE
    return (8000 * np.sin(2 * math.pi * frequency * times)).astype(np.int16)


class PlainPhone:
    """RTP/AVP with PCMU: says one tone, writes down what it hears. Its mirror sends VP8 back as it comes."""

    def __init__(self, bound: socket.socket | None = None, *, mirror: bool = False) -> None:
        """At PLAIN_HOST, or at the address that a socket of another network is bound to."""
        if bound is None:
            bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            bound.bind((PLAIN_HOST, 0))
        self._socket = bound
        self._socket.setblocking(False)
        self._mirror = socket.socket(socket.AF_INET, socket.SOCK_DGRAM) if mirror else None
        if self._mirror is not None:
            self._mirror.bind((PLAIN_HOST, 0))
            self._mirror.setblocking(False)
        self.heard = np.zeros(0, np.int16)
        self.packets = 0
        self.first = 0
        """Sequence number with which it begins to talk."""
        self.begun: int | None = None
        """Sequence number that it heard first."""
        self.last = 0
        """Sequence number that it heard last."""
        self.sent = 0
        self.in_clear = True

    def sdp(self, *, rejects_video: bool = False) -> str:
        """Its description; with a second media where it answers an offer of video."""
        video = "m=video 0 RTP/AVP 96\r\n" * rejects_video
        if self._mirror is not None:
            video = f"m=video {self._mirror.getsockname()[1]} RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\n"
        host, port = self._socket.getsockname()
        return (
            f"v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
            f"m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=sendrecv\r\n{video}"
        )

    async def talk(self, to: Address, packets: int = PACKETS) -> None:
        loop = asyncio.get_running_loop()
        loop.add_reader(self._socket, self._hear)
        if self._mirror is not None:
            loop.add_reader(self._mirror, self._reflect, self._mirror)
        for number in range(packets):
            header = struct.pack("!BBHII", 0x80, 0, (self.first + number) & 0xFFFF, number * FRAME, 77)
            packet = header + compress(tone(PLAIN_TONE, number * FRAME))
            self._socket.sendto(self._wrap(packet), to)
            self.sent += 1
            await asyncio.sleep(FRAME / RATE)
        loop.remove_reader(self._socket)
        if self._mirror is not None:
            loop.remove_reader(self._mirror)

    def _hear(self) -> None:
        packet = self._socket.recv(4096)
        if 192 <= packet[1] < 224:
            return
        packet = self._unwrap(packet)
        self.packets += 1
        self.last = int.from_bytes(packet[2:4])
        self.begun = self.last if self.begun is None else self.begun
        self.in_clear = self.in_clear and packet[1] & 127 == 0 and len(packet) == 12 + FRAME
        self.heard = np.concatenate([self.heard, expand(packet[12:])])

    def _reflect(self, mirror: socket.socket) -> None:
        packet, source = mirror.recvfrom(4096)
        if not 192 <= packet[1] < 224:
            mirror.sendto(packet[:8] + b"seen" + packet[12:], source)

    @property
    def share(self) -> float:
        """Of the packets that were sent between the first and the last one heard."""
        return self.packets / ((self.last - (self.begun or 0)) % 65536 + 1)

    def _wrap(self, packet: bytes) -> bytes:
        return packet

    def _unwrap(self, packet: bytes) -> bytes:
        return packet

    def close(self) -> None:
        if self._mirror is not None:
            self._mirror.close()
        self._socket.close()


class SdesPhone(PlainPhone):
    """The same over RTP/SAVP, with keys in its SDP (RFC 4568)."""

    def __init__(self) -> None:
        super().__init__()
        self._line = Crypto(1, "AES_CM_128_HMAC_SHA1_80", os.urandom(30))
        self._leaving = _srtp(self._line, pylibsrtp.Policy.SSRC_ANY_OUTBOUND)

    def sdp(self, *, rejects_video: bool = False) -> str:
        plain = super().sdp(rejects_video=rejects_video).replace("RTP/AVP", "RTP/SAVP")
        return f"{plain}a=crypto:{self._line}\r\n"

    def take(self, reply: dict[str, Value]) -> None:
        """The answer to its offer."""
        (line,) = crypto.read(Session.parse(str(reply["sdp"])).medias[0])
        self._arriving = _srtp(line, pylibsrtp.Policy.SSRC_ANY_INBOUND)

    def _wrap(self, packet: bytes) -> bytes:
        return self._leaving.protect(packet)

    def _unwrap(self, packet: bytes) -> bytes:
        return self._arriving.unprotect(packet)


def _srtp(line: Crypto, direction: int) -> pylibsrtp.Session:
    return pylibsrtp.Session(pylibsrtp.Policy(key=line.key, ssrc_type=direction))


def compress(samples: np.ndarray[Any, np.dtype[np.int16]]) -> bytes:
    """PCMU (G.711): sign, exponent and mantissa of the biased value, all inverted."""
    found = bytearray()
    for sample in samples.tolist():
        sign, size = (0x80, -sample) if sample < 0 else (0, sample)
        size = min(size, 32635) + 132
        exponent = size.bit_length() - 8
        found.append(~(sign | exponent << 4 | size >> exponent + 3 & 15) & 0xFF)
    return bytes(found)


def expand(octets: bytes) -> np.ndarray[Any, np.dtype[np.int16]]:
    """The reverse."""
    codes = ~np.frombuffer(octets, np.uint8)
    size = (((codes & 15).astype(np.int32) << 3) + 132 << ((codes >> 4) & 7)) - 132
    return np.where(codes & 128, -size, size).astype(np.int16)


def loudest(samples: np.ndarray[Any, Any], rate: int) -> float:
    """The frequency that carries most of the energy, Hz."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * rate / len(samples))


def destination(reply: dict[str, Value]) -> Address:
    session = Session.parse(str(reply["sdp"]))
    connection = next(line for line in str(session).splitlines() if line.startswith("c=IN IP4 "))
    return connection.split()[2], session.medias[0].port
