"""A WebRTC phone (aiortc) and a plain SIP phone hear each other: a tone each way, over ICE, DTLS, SRTP."""

import asyncio
import fractions
import math
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import aiortc
import av
import numpy as np
import pytest
from aiortc.mediastreams import MediaStreamTrack

from sdp.session import Session
from tests.interop.ng import Address, Value
from tests.interop.relay import Relay

LIMIT = 40.0
HOST = "127.0.0.32"
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
}


def tone(frequency: float, start: int, count: int = FRAME) -> np.ndarray[Any, np.dtype[np.int16]]:
    times = np.arange(start, start + count) / RATE
    return (8000 * np.sin(2 * math.pi * frequency * times)).astype(np.int16)


class Tone(MediaStreamTrack):
    """What the WebRTC phone says."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._samples = 0

    async def recv(self) -> av.AudioFrame:
        await asyncio.sleep(FRAME / RATE)
        frame = av.AudioFrame.from_ndarray(tone(WEBRTC_TONE, self._samples).reshape(1, -1), "s16", "mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, self._samples, fractions.Fraction(1, RATE)
        self._samples += FRAME
        return frame


class PlainPhone:
    """RTP/AVP with PCMU: says one tone, writes down what it hears."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((PLAIN_HOST, 0))
        self._socket.setblocking(False)
        self.heard = np.zeros(0, np.int16)
        self.packets = 0
        self.in_clear = True

    def sdp(self) -> str:
        port = self._socket.getsockname()[1]
        return (
            f"v=0\r\no=- 1 1 IN IP4 {PLAIN_HOST}\r\ns=-\r\nc=IN IP4 {PLAIN_HOST}\r\nt=0 0\r\n"
            f"m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=sendrecv\r\n"
        )

    async def talk(self, to: Address) -> None:
        loop = asyncio.get_running_loop()
        loop.add_reader(self._socket, self._hear)
        for number in range(PACKETS):
            header = struct.pack("!BBHII", 0x80, 0, number, number * FRAME, 77)
            self._socket.sendto(header + compress(tone(PLAIN_TONE, number * FRAME)), to)
            await asyncio.sleep(FRAME / RATE)
        loop.remove_reader(self._socket)

    def _hear(self) -> None:
        packet = self._socket.recv(4096)
        if 192 <= packet[1] < 224:
            return
        self.packets += 1
        self.in_clear = self.in_clear and packet[1] & 127 == 0 and len(packet) == 12 + FRAME
        self.heard = np.concatenate([self.heard, expand(packet[12:])])

    def close(self) -> None:
        self._socket.close()


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


class WebPhone:
    """aiortc with one audio track."""

    def __init__(self) -> None:
        self.peer = aiortc.RTCPeerConnection()
        self.peer.addTrack(Tone())
        self.heard: list[np.ndarray[Any, Any]] = []
        self.rate = 0
        self._listening: list[asyncio.Task[None]] = []
        self.peer.on("track", self._listen)

    def _listen(self, track: MediaStreamTrack) -> None:
        self._listening.append(asyncio.get_running_loop().create_task(self._write_down(track)))

    async def _write_down(self, track: MediaStreamTrack) -> None:
        while True:
            frame = await track.recv()
            assert isinstance(frame, av.AudioFrame)
            self.rate = frame.sample_rate
            channels = len(frame.layout.channels)
            self.heard.append(frame.to_ndarray().reshape(-1)[::channels])

    async def close(self) -> None:
        for task in self._listening:
            task.cancel()
        await self.peer.close()


def only_pcmu(text: str) -> str:
    """The phone's offer, telling that it speaks nothing else: no codec is translated here."""
    session = Session.parse(text)
    media = session.medias[0]
    media.lines[0] = f"m=audio {media.port} {media.protocol} 0\r\n"
    keep = ("a=rtpmap:", "a=fmtp:", "a=rtcp-fb:")
    media.lines = [line for line in media.lines if not line.startswith(keep) or ":0 " in line]
    return str(session)


def destination(reply: dict[str, Value]) -> Address:
    media = Session.parse(str(reply["sdp"])).medias[0]
    return "127.0.0.10", media.port


def run(scenario: Callable[[], Awaitable[None]], monkeypatch: pytest.MonkeyPatch) -> None:
    """aioice leaves loopback out of its own host addresses; here it is the only network needed."""
    monkeypatch.setattr("aioice.ice.get_host_addresses", lambda use_ipv4, use_ipv6: [HOST])

    async def limited() -> None:
        async with asyncio.timeout(LIMIT):
            await scenario()

    asyncio.run(limited())


async def connected(peer: aiortc.RTCPeerConnection) -> None:
    while peer.connectionState != "connected":
        assert peer.connectionState in ("new", "connecting")
        await asyncio.sleep(0.01)


def assert_both_heard(web: WebPhone, plain: PlainPhone) -> None:
    assert plain.in_clear
    assert plain.packets >= 0.9 * PACKETS
    middle = plain.heard[RATE // 2 : RATE // 2 + RATE]
    assert loudest(middle, RATE) == pytest.approx(WEBRTC_TONE, abs=10)
    heard = np.concatenate(web.heard)
    assert len(heard) >= 0.9 * PACKETS * FRAME * web.rate / RATE
    assert loudest(heard[web.rate : 2 * web.rate], web.rate) == pytest.approx(PLAIN_TONE, abs=10)


def test_a_webrtc_phone_calls_a_plain_one(relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        web, plain = WebPhone(), PlainPhone()
        await web.peer.setLocalDescription(await web.peer.createOffer())
        offer = only_pcmu(web.peer.localDescription.sdp)
        told = relay.client.ask("offer", call_id="web", from_tag="A", sdp=offer, **TO_PLAIN)
        answer = relay.client.ask("answer", call_id="web", from_tag="A", to_tag="B", sdp=plain.sdp())
        await web.peer.setRemoteDescription(aiortc.RTCSessionDescription(str(answer["sdp"]), "answer"))
        await connected(web.peer)
        await plain.talk(destination(told))
        assert_both_heard(web, plain)
        await web.close()
        plain.close()
        relay.client.ask("delete", call_id="web", from_tag="A")

    run(scenario, monkeypatch)


def test_a_plain_phone_calls_a_webrtc_one(relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        web, plain = WebPhone(), PlainPhone()
        told = relay.client.ask("offer", call_id="plain", from_tag="A", sdp=plain.sdp(), **TO_WEBRTC)
        await web.peer.setRemoteDescription(aiortc.RTCSessionDescription(str(told["sdp"]), "offer"))
        await web.peer.setLocalDescription(await web.peer.createAnswer())
        answer = relay.client.ask(
            "answer", call_id="plain", from_tag="A", to_tag="B", sdp=web.peer.localDescription.sdp
        )
        await connected(web.peer)
        await plain.talk(destination(answer))
        assert_both_heard(web, plain)
        await web.close()
        plain.close()
        relay.client.ask("delete", call_id="plain", from_tag="A")

    run(scenario, monkeypatch)
