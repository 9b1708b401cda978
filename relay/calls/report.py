"""What ``query`` and ``delete`` tell of a call, in the shape of the ng protocol."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from relay.calls import quality
from relay.calls.state import Call, Leg, Media, Mode, Security, Stream
from relay.forward.rule import Address
from sdp.values import valueclass

Reply = dict[str, Any]


class Traffic(NamedTuple):
    """What one rule has seen so far. ``last_packet`` is monotonic seconds, 0.0 for never."""

    rtp_packets: int = 0
    rtp_bytes: int = 0
    rtcp_packets: int = 0
    rtcp_bytes: int = 0
    errors: int = 0
    sent_packets: int = 0
    checks: int = 0
    """Answered by the plane itself."""
    last_packet: float = 0.0
    ssrc: int | None = None
    seq: int = 0
    """Of the latest packet with that SSRC."""
    lost: int = 0
    """RTP packets that never came; those that came twice are taken off (RFC 3550, section A.3)."""
    jitter: float | None = None
    """Seconds (section A.8); None where the clock is not known."""
    peer: Address | None = None
    latched: bool = False
    """The source has been confirmed."""
    in_kernel: bool = False
    """The kernel forwards what arrives, not user space."""


@valueclass
class Readings:
    """Reads the plane for one report. ``unix`` turns monotonic seconds into unix time."""

    of: Callable[[int], Traffic]
    unix: Callable[[float], float]
    reported: quality.Told = lambda rule: ()


def parties(call: Call, tag: str | None = None) -> dict[str, Leg]:
    """The legs by the names that they have in a report; with ``tag``, that one, if any, and who it hears."""
    legs = list(call.legs.values())
    if tag is not None:
        only = call.leg_of(tag)
        legs = [leg for leg in legs if only is not None and (leg is only or leg.id in only.links)]
    return {
        leg.tag if leg.tag is not None else f"<untagged {number}>": leg for number, leg in enumerate(legs)
    }


def call_report(call: Call, readings: Readings, tag: str | None = None) -> Reply:
    """The reply to ``delete``, and what ``query`` explains further, without ``result``.

    ``tag`` restricts it to one leg and those that it hears.
    """
    totals = {name: {"packets": 0, "bytes": 0, "errors": 0} for name in ("RTP", "RTCP")}
    tags: Reply = {}
    ssrcs: Reply = {}
    legs = parties(call, tag)
    for name, leg in legs.items():
        tags[name] = _leg(call, leg, readings, totals, ssrcs)
    for ssrc, entry in quality.streams(call, legs.values(), readings.reported).items():
        ssrcs[ssrc] = ssrcs.get(ssrc, {}) | entry
    report = {**times_of(call), "SSRC": ssrcs, "tags": tags, "totals": totals}
    if call.metadata:
        report["metadata"] = call.metadata
    return report


def times_of(call: Call) -> Reply:
    """The beginning of a report, which nothing can spoil."""
    whole, fraction = divmod(call.created, 1)
    return {
        "created": int(whole),
        "created_us": int(fraction * 1e6),
        "last signal": int(call.last_signal_unix),
    }


def _leg(call: Call, leg: Leg, readings: Readings, totals: Reply, ssrcs: Reply) -> Reply:
    report: Reply = {"tag": leg.tag or ""}
    if leg.via_branch:
        report["via-branch"] = leg.via_branch
    if leg.label:
        report["label"] = leg.label
    linked = [call.legs[id] for id in leg.links]
    return report | {
        "created": int(readings.unix(leg.created)),
        "subscriptions": [_link(other) for other in linked if other.partner == leg.id],
        "subscribers": [_link(other) for other in linked if other.id == leg.partner],
        "medias": [_media(leg, media, readings, totals, ssrcs) for media in leg.medias],
    }


def _link(leg: Leg) -> Reply:
    return {"tag": leg.tag or "", "type": "offer/answer"}


def _media(leg: Leg, media: Media, readings: Readings, totals: Reply, ssrcs: Reply) -> Reply:
    report: Reply = {"index": media.index + 1, "type": media.kind}
    if media.protocol:
        report["protocol"] = media.protocol
    if media.codec:
        report["codec"] = media.codec
    streams = [_stream(leg, stream, readings, totals, ssrcs) for stream in media.streams]
    if len(streams) == 1 and not media.opaque:
        streams[0]["flags"].insert(1, "RTCP")
        streams.append(_muxed(streams[0]))
    return report | {"streams": streams, "flags": _media_flags(media, leg.carrier(media))}


def _media_flags(media: Media, lead: Media) -> list[str]:
    """``lead`` has the ports, ICE and keys that the media uses."""
    flags = ["initialized"] if media.streams else []
    if media.asymmetric:
        flags.append("asymmetric")
    if media.direction in ("sendrecv", "sendonly"):
        flags.append("send")
    if media.direction in ("sendrecv", "recvonly"):
        flags.append("recv")
    if media.mux:
        flags.append("rtcp-mux")
    flags += _keys(lead.security)
    if lead.ice is not None:
        flags.append("ICE")
        if lead.ice.mode is Mode.PASSED:
            flags.append("passthrough")
    return flags


def _keys(security: Security | None) -> list[str]:
    """How the media of this leg is keyed."""
    if security is None:
        return []
    if security.identity is not None and security.expected:
        return ["DTLS-SRTP", f"DTLS role {security.setup.value}"]
    return ["SDES"] if security.remote is not None else []


def _stream(leg: Leg, stream: Stream, readings: Readings, totals: Reply, ssrcs: Reply) -> Reply:
    port = stream.path.port
    seen = [readings.of(path.rule) for path in stream.paths]
    sent_from = seen[stream.selected]
    stats = {
        "packets": sum(one.rtp_packets + one.rtcp_packets for one in seen),
        "bytes": sum(one.rtp_bytes + one.rtcp_bytes for one in seen),
        "errors": sum(one.errors for one in seen),
    }
    _add_totals(totals, stream.component, seen)
    flags = ["RTP" if stream.component == 1 else "RTCP"]
    if stream.remote is not None:
        flags.append("filled")
    if sent_from.latched:
        flags.append("confirmed")
    if any(one.in_kernel for one in seen):
        flags.append("kernelized")
    report: Reply = {
        "local port": port.number,
        "local address": port.at.address,
        "family": "IPv6" if port.at.family == "IP6" else "IPv4",
        "endpoint": _endpoint(sent_from.peer or stream.remote),
        "advertised endpoint": _endpoint(stream.remote),
        "last packet": int(readings.unix(max(leg.created, *(one.last_packet for one in seen)))),
        "flags": flags,
    }
    if sent_from.ssrc is not None:
        report["SSRC"] = sent_from.ssrc
        report["reception"] = _reception(sent_from)
        ssrcs[str(sent_from.ssrc)] = {
            "packets": sent_from.rtp_packets,
            "bytes": sent_from.rtp_bytes,
            "last RTP seq": sent_from.seq,
        }
    report["stats"] = stats
    return report


def _reception(traffic: Traffic) -> Reply:
    """How the RTP of a stream arrives here: loss in packets and percent, jitter in ms."""
    report: Reply = {
        "lost": traffic.lost,
        "packet loss": round(100 * traffic.lost / (traffic.rtp_packets + traffic.lost)),
    }
    if traffic.jitter is not None:
        report["jitter"] = round(1000 * traffic.jitter)
    return report


def _muxed(rtp: Reply) -> Reply:
    """RTCP on the port of RTP is listed as a stream of its own, whose packets the first one counts."""
    not_its = ("RTP", "RTCP", "kernelized")
    flags = ["RTCP", "fallback RTCP", *(flag for flag in rtp["flags"] if flag not in not_its)]
    own = {name: value for name, value in rtp.items() if name not in ("SSRC", "reception", "stats", "flags")}
    return {**own, "flags": flags, "stats": {"packets": 0, "bytes": 0, "errors": 0}}


def _add_totals(totals: Reply, component: int, seen: list[Traffic]) -> None:
    for one in seen:
        totals["RTP"]["packets"] += one.rtp_packets
        totals["RTP"]["bytes"] += one.rtp_bytes
        totals["RTCP"]["packets"] += one.rtcp_packets
        totals["RTCP"]["bytes"] += one.rtcp_bytes
        totals["RTP" if component == 1 else "RTCP"]["errors"] += one.errors


def _endpoint(address: Address | None) -> Reply:
    """Empty when unknown."""
    if address is None:
        return {}
    return {"family": "IPv6" if ":" in address[0] else "IPv4", "address": address[0], "port": address[1]}
