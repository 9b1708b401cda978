"""aiortc as a WebRTC phone: says a tone, writes down what it hears."""

import asyncio
import fractions
from typing import Any

import aiortc
import av
import numpy as np
from aiortc.mediastreams import MediaStreamTrack

from sdp.session import Session
from tests.interop.plain import FRAME, RATE, WEBRTC_TONE, tone

HOST = "127.0.0.32"
"""aioice leaves loopback out of its own host addresses; tests patch them to this one."""


class Tone(MediaStreamTrack):
    """What the WebRTC phone says."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self.samples = 0

    async def recv(self) -> av.AudioFrame:
        await asyncio.sleep(FRAME / RATE)
        frame = av.AudioFrame.from_ndarray(tone(WEBRTC_TONE, self.samples).reshape(1, -1), "s16", "mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, self.samples, fractions.Fraction(1, RATE)
        self.samples += FRAME
        return frame


class WebPhone:
    """aiortc with one audio track."""

    def __init__(self) -> None:
        self.peer = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))
        self._tone = Tone()
        self.peer.addTrack(self._tone)
        self.heard: list[np.ndarray[Any, Any]] = []
        self.rate = 0
        self._listening: list[asyncio.Task[None]] = []
        self.peer.on("track", self._listen)

    @property
    def said(self) -> int:
        """Packets of 20 ms so far."""
        return self._tone.samples // FRAME

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


async def connected(peer: aiortc.RTCPeerConnection) -> None:
    while peer.connectionState != "connected":
        assert peer.connectionState in ("new", "connecting")
        await asyncio.sleep(0.01)
