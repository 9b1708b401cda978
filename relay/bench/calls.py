"""Calls for the generator: what the phones say, and what the relay tells them."""

from __future__ import annotations

import base64
import itertools
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import resources

from relay.bench.control import Client
from relay.bench.errors import BenchFailed
from relay.bench.streams import CALLEE, CALLER, Check, Job, Keys, Stream
from relay.forward.rule import Address
from relay.ng.bencode import Encodable

SUITE = "AES_CM_128_HMAC_SHA1_80"
UFRAG, PASSWORD = "bnch", "the-generators-own-password"
"""ICE credentials of all phones."""

FINGERPRINT = ":".join(f"{7 * octet % 256:02X}" for octet in range(32))

_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Kind:
    """How phones of a call speak: SDP of both, made from a phone's address, and the flags of the offer."""

    name: str
    offer: Callable[[Address], str]
    answer: Callable[[Address], str]
    flags: Mapping[str, Encodable]


@dataclass(frozen=True, slots=True)
class Told:
    """What a phone learns from the relay's SDP."""

    at: Address
    ufrag: str
    password: str = field(repr=False)
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Call:
    """A call that is up. ``tag`` and ``key`` (for SRTP) are the caller's."""

    id: str
    tag: str
    caller: Told
    callee: Told
    key: bytes = field(repr=False)


def _description(phone: Address, media: str, *attributes: str) -> str:
    network = f"IN {'IP6' if ':' in phone[0] else 'IP4'} {phone[0]}"
    session = ("v=0", f"o=- 1 1 {network}", "s=-", f"c={network}", "t=0 0")
    lines = (*session, media, *attributes, "a=sendrecv")
    return "".join(f"{line}\r\n" for line in lines)


def _plain(phone: Address) -> str:
    return _description(phone, f"m=audio {phone[1]} RTP/AVP 8", "a=rtpmap:8 PCMA/8000")


def _video(phone: Address) -> str:
    return _description(phone, f"m=video {phone[1]} RTP/AVP 96", "a=rtpmap:96 H264/90000")


def _crypto(phone: Address) -> str:
    """Its key is replaced by that of the call."""
    crypto = f"a=crypto:1 {SUITE} inline:KEY"
    return _description(phone, f"m=audio {phone[1]} RTP/SAVP 8", "a=rtpmap:8 PCMA/8000", crypto)


def _ice(phone: Address) -> str:
    candidate = f"a=candidate:1 1 udp 2130706431 {phone[0]} {phone[1]} typ host"
    credentials = f"a=ice-ufrag:{UFRAG}", f"a=ice-pwd:{PASSWORD}"
    return _description(phone, f"m=audio {phone[1]} RTP/AVP 8", "a=rtcp-mux", *credentials, candidate)


def _browser(_: Address) -> str:
    return resources.files("relay").joinpath("data", "twelve-candidates-offer.sdp").read_bytes().decode()


def _browsers_answer(phone: Address) -> str:
    return _browser(phone).replace("a=setup:actpass", "a=setup:active").replace("mOb1", "mOb2")


_NO_ICE: dict[str, Encodable] = {"ICE": "remove"}

PLAIN = Kind("plain", _plain, _plain, _NO_ICE)
VIDEO = Kind("video", _video, _video, _NO_ICE)
SRTP = Kind("srtp", _crypto, _plain, {**_NO_ICE, "transport-protocol": "RTP/AVP", "DTLS": "off"})
ICE = Kind("ice", _ice, _ice, {"ICE": "force", "rtcp-mux": ["offer"]})
WEBRTC = Kind("webrtc", _browser, _browsers_answer, {"ICE": "force"})


def set_up(client: Client, kind: Kind, phones: tuple[Address, Address]) -> Call:
    """Offer and answer. Raises ``BenchFailed`` if the relay refuses, or tells something unusable."""
    number = next(_numbers)
    id, tag, key = f"bench-{number}@{phones[0][0]}", f"caller{number}", os.urandom(30)
    dialog: dict[str, Encodable] = {"call-id": id, "from-tag": tag}
    offer = kind.offer(phones[CALLER]).replace("inline:KEY", f"inline:{base64.b64encode(key).decode()}")
    callee = _told(client.ask("offer", {**dialog, "sdp": offer, **kind.flags}))
    answered = {**dialog, "to-tag": f"callee{number}", "sdp": kind.answer(phones[CALLEE])}
    return Call(id, tag, _told(client.ask("answer", answered)), callee, key)


def tear_down(client: Client, call: Call) -> None:
    """At once. Raises ``BenchFailed`` if the relay knows no such call."""
    reply = client.ask("delete", {"call-id": call.id, "from-tag": call.tag, "delete-delay": 0})
    if "warning" in reply:
        raise BenchFailed(f"delete did not find the call: {reply['warning']}")


def _told(reply: Mapping[str, object]) -> Told:
    sdp = str(reply.get("sdp"))
    host = re.search(r"(?m)^c=IN IP[46] ([0-9a-f.:]+)", sdp)
    port = re.search(r"(?m)^m=\S+ (\d+)", sdp)
    if host is None or port is None:
        raise BenchFailed(f"the relay's SDP names no address:\n{sdp}")
    key = re.search(rf"(?m)^a=crypto:\d+ {SUITE} inline:([^|\s]+)", sdp)
    return Told(
        at=(host[1], int(port[1])),
        ufrag=_attribute(sdp, "ice-ufrag"),
        password=_attribute(sdp, "ice-pwd"),
        key=base64.b64decode(key[1] + "=" * (-len(key[1]) % 4)) if key else b"",
    )


def _attribute(sdp: str, name: str) -> str:
    found = re.search(rf"(?m)^a={name}:(\S+)", sdp)
    return found[1] if found else ""


# ---- as streams


def media_job(calls: list[Call], kind: Kind, size: int, burst: int) -> Job:
    """A stream each way for every call."""
    streams = []
    for call in calls:
        streams.append(Stream(CALLER, call.caller.at, call.callee.at))
        streams.append(Stream(CALLEE, call.callee.at, call.caller.at))
    keys = [Keys(SUITE, call.key, call.caller.key) for call in calls] if kind is SRTP else []
    if not all(key.relay for key in keys):
        raise BenchFailed(f"the relay answered without a=crypto for {SUITE}")
    return Job(streams, size, burst, 96 if kind is VIDEO else 8, keys=keys)


def checks_job(calls: list[Call]) -> Job:
    """Checks from both phones of every call; the caller controls (RFC 8445, section 6.1.1)."""
    streams = []
    for call in calls:
        for side, told in ((CALLER, call.caller), (CALLEE, call.callee)):
            if not told.ufrag or not told.password:
                raise BenchFailed("the relay's SDP has no a=ice-ufrag and a=ice-pwd")
            check = Check(f"{told.ufrag}:{UFRAG}", told.password, PASSWORD, controlling=side == CALLER)
            streams.append(Stream(side, told.at, told.at, check=check))
    return Job(streams)


def direct_job(count: int, phones: tuple[Address, Address], size: int, burst: int) -> Job:
    """As many streams from phone to phone, without a relay."""
    streams = []
    for _ in range(count):
        streams.append(Stream(CALLER, phones[CALLEE], phones[CALLER]))
        streams.append(Stream(CALLEE, phones[CALLER], phones[CALLEE]))
    return Job(streams, size, burst, direct=True)
