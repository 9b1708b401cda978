"""The SDP of the phones: what an aioice agent says, and candidates that lead nowhere."""

from __future__ import annotations

import aioice

from sdp.ice import read
from sdp.session import Session

HOST_PRIORITY = (126 << 24) + (65535 << 8) + 255
"""Of the only host candidate (RFC 8445, section 5.1.2.1)."""


def prefer_less(candidates: list[aioice.Candidate]) -> None:
    """An agent gives its host candidates the highest priority there is; dead ones shall come before them.

    Browsers leave that room anyway.
    """
    for candidate in candidates:
        if candidate.type == "host":
            candidate.priority = HOST_PRIORITY - (1000 << 8)


def dead_candidates(count: int) -> list[str]:
    """As VPNs, containers and idle interfaces make them: host candidates that are preferred to the real one.

    The addresses are those for benchmarks (RFC 2544), and the wire knows nothing of them.

    >>> dead_candidates(2)[1]
    'a=candidate:dead1 1 udp 2130706175 198.18.1.1 40001 typ host'
    """
    return [
        f"a=candidate:dead{index} 1 udp {HOST_PRIORITY - (index << 8)} "
        f"198.18.{index}.1 {40000 + index} typ host"
        for index in range(count)
    ]


def described(agent: aioice.Connection, dead: int) -> str:
    """An agent's description, with `dead` further candidates before its own."""
    default = agent.get_default_candidate(1)
    host, port = (default.host, default.port) if default else ("0.0.0.0", 9)
    lines = [
        "v=0",
        f"o=- 1 1 IN IP4 {host}",
        "s=-",
        f"c=IN IP4 {host}",
        "t=0 0",
        f"m=audio {port} RTP/AVP 0",
        "a=rtpmap:0 PCMU/8000",
        "a=rtcp-mux",
        f"a=ice-ufrag:{agent.local_username}",
        f"a=ice-pwd:{agent.local_password}",
        *dead_candidates(dead),
        *(f"a=candidate:{candidate.to_sdp()}" for candidate in agent.local_candidates),
    ]
    return "\r\n".join([*lines, ""])


def with_dead(text: str, count: int) -> str:
    """A browser's description of one media, with candidates added at its end."""
    return text + "".join(f"{line}\r\n" for line in dead_candidates(count))


async def take_over(agent: aioice.Connection, text: str) -> None:
    """What the other side's description says of ICE. RTCP comes with RTP, so component 2 is of no use."""
    session = Session.parse(text)
    found = read(session, session.medias[0])
    if found.ufrag is None or found.pwd is None:
        raise ValueError("the description has no ICE credentials")
    agent.remote_username, agent.remote_password = found.ufrag, found.pwd
    agent.remote_is_lite = found.lite
    for candidate in found.candidates:
        if candidate.component == 1 and candidate.transport.lower() == "udp":
            await agent.add_remote_candidate(aioice.Candidate.from_sdp(str(candidate)))
    await agent.add_remote_candidate(None)
