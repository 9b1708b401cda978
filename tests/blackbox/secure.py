"""A phone that brings keys in its SDP (RFC 4568), if it brings any."""

from __future__ import annotations

import base64
import os

import pylibsrtp

from tests.blackbox.description import Description, plain
from tests.blackbox.phone import Phone, Port
from tests.ng import Address

CM, GCM = "AES_CM_128_HMAC_SHA1_80", "AEAD_AES_128_GCM"
PROFILES = {
    CM: (pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 30),
    GCM: (pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 28),
}


class KeyedPhone(Phone):
    """Speaks ``protocol``; with ``suite``, it offers that suite, and takes it from an offer."""

    def __init__(self, address: str, protocol: str, suite: str | None = None) -> None:
        super().__init__(address)
        self.protocol, self.suite = protocol, suite
        self.leaving: pylibsrtp.Session | None = None
        self.arriving: pylibsrtp.Session | None = None

    def offer(self) -> str:
        return self._describe("1") if self.suite else self._describe(None)

    def answer(self, offer: Description) -> str:
        """Takes the line with its suite, if there is one."""
        line = next((one for one in self._lines(offer) if one[1] == self.suite), None)
        if line is None:
            return self._describe(None)
        self._hear_with(line)
        return self._describe(line[0])

    def take(self, answer: Description) -> None:
        """The answer to its offer: with a key for what it hears, or media is plain."""
        lines = self._lines(answer)
        if lines:
            assert lines[0][:2] == ["1", self.suite]
            self._hear_with(lines[0])
        else:
            self.leaving = None

    @property
    def keyed(self) -> bool:
        return self.leaving is not None and self.arriving is not None

    def say(self, packet: bytes, to: Address, rtcp: bool = False) -> None:
        port = self.rtcp if rtcp else self.rtp
        if self.leaving is not None:
            packet = self.leaving.protect_rtcp(packet) if rtcp else self.leaving.protect(packet)
        port.send(to, packet)

    def hear(self, rtcp: bool = False) -> bytes:
        port: Port = self.rtcp if rtcp else self.rtp
        packet, _ = port.receive()
        if self.arriving is None:
            return packet
        return self.arriving.unprotect_rtcp(packet) if rtcp else self.arriving.unprotect(packet)

    def _describe(self, tag: str | None) -> str:
        address, port = self.rtp.address
        lines = ["a=rtcp-fb:0 nack pli"] if self.protocol.endswith("F") else []
        if tag is not None and self.suite is not None:
            profile, length = PROFILES[self.suite]
            key = os.urandom(length)
            self.leaving = _session(key, profile, pylibsrtp.Policy.SSRC_ANY_OUTBOUND)
            lines.append(f"a=crypto:{tag} {self.suite} inline:{base64.b64encode(key).decode()}")
        return plain(address, port, *lines, protocol=self.protocol)

    def _hear_with(self, line: list[str]) -> None:
        text = line[2].removeprefix("inline:").partition("|")[0]
        key = base64.b64decode(text + "=" * (-len(text) % 4))
        self.arriving = _session(key, PROFILES[line[1]][0], pylibsrtp.Policy.SSRC_ANY_INBOUND)

    @staticmethod
    def _lines(description: Description) -> list[list[str]]:
        return [value.split() for value in description.media.attributes("crypto")]


def _session(key: bytes, profile: int, direction: int) -> pylibsrtp.Session:
    return pylibsrtp.Session(pylibsrtp.Policy(key=key, ssrc_type=direction, srtp_profile=profile))
