"""A phone that talks SRTP by means of pylibsrtp, for tests of planes."""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import pylibsrtp

from relay.forward.plane import Plane, SrtpUnavailable
from relay.forward.rule import Address
from relay.forward.srtp_library import Context, public_policy
from relay.srtp.profiles import MasterKey, Profile


class End(Protocol):
    """One direction at the phone's end. A packet that it does not take raises."""

    def protect(self, packet: bytes, *, rtcp: bool = False) -> bytes: ...
    def unprotect(self, packet: bytes, *, rtcp: bool = False) -> bytes: ...


@dataclass
class Public:
    """``pylibsrtp.Session``."""

    session: pylibsrtp.Session

    def protect(self, packet: bytes, *, rtcp: bool = False) -> bytes:
        return bytes(self.session.protect_rtcp(packet) if rtcp else self.session.protect(packet))

    def unprotect(self, packet: bytes, *, rtcp: bool = False) -> bytes:
        return bytes(self.session.unprotect_rtcp(packet) if rtcp else self.session.unprotect(packet))


def end(profile: Profile, master: MasterKey, *, inbound: bool) -> End:
    """By the public interface if that has the profile."""
    try:
        return Public(pylibsrtp.Session(public_policy(profile, master, inbound=inbound)))
    except SrtpUnavailable:
        return Context(profile, master, inbound=inbound)


def master(profile: Profile) -> MasterKey:
    return MasterKey.split(profile, os.urandom(profile.key_length + profile.salt_length))


@dataclass
class Phone:
    """A socket that sends and hears what is plain outside of it, and protected on the way."""

    sock: socket.socket
    profile: Profile
    out_key: MasterKey = field(init=False)
    in_key: MasterKey = field(init=False)

    def __post_init__(self) -> None:
        self.new_keys()

    def new_keys(self) -> None:
        self.out_key, self.in_key = master(self.profile), master(self.profile)
        self.leaving = end(self.profile, self.out_key, inbound=False)
        self.arriving = end(self.profile, self.in_key, inbound=True)

    def open_keys(self, plane: Plane, after: int | None = None) -> int:
        """The relay's end of this phone's keys."""
        return plane.open_keys(self.profile, receive=self.out_key, send=self.in_key, after=after)

    def protected(self, packet: bytes) -> bytes:
        return self.leaving.protect(packet, rtcp=is_rtcp(packet))

    def send(self, packet: bytes, to: Address) -> None:
        self.sock.sendto(self.protected(packet), to)

    def hear(self) -> bytes:
        packet = self.sock.recv(10000)
        return self.arriving.unprotect(packet, rtcp=is_rtcp(packet))


def is_rtcp(packet: bytes) -> bool:
    return 192 <= packet[1] < 224


def rtp(seq: int, ssrc: int = 1, payload: bytes = b"voice" * 32) -> bytes:
    return bytes([0x80, 8]) + (seq & 0xFFFF).to_bytes(2, "big") + bytes(4) + ssrc.to_bytes(4, "big") + payload


def rtcp(ssrc: int = 1) -> bytes:
    return bytes([0x80, 200, 0, 6]) + ssrc.to_bytes(4, "big") + b"x" * 20


def name(sock: socket.socket) -> Address:
    address: Address = sock.getsockname()[:2]
    return address


def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait for what another thread does."""
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "it never came true"
        select.select([], [], [], 0.001)
