"""Two ICE agents (aioice) in one network, which call each other through a relay under ``ICE=optimize``.

Run as a program, so that both are in the network namespace it was started in. It prints, as JSON, where each
agent sends to in the end. One agent can be given candidates that nobody listens at. ``late`` agents tell
theirs by fragments, after the answer.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from typing import Any

import aioice
import aioice.ice

from sdp.ice import read
from sdp.session import Session
from tests.ng import NgClient

LIMIT = 20.0
ALICE, BOB = "10.9.0.2", "10.9.0.3"


async def agent(host: str, controlling: bool) -> aioice.Connection:
    """An agent that knows one address of its own."""
    aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: [host]
    made = aioice.Connection(ice_controlling=controlling, stun_server=None, use_ipv6=False)
    await made.gather_candidates()
    return made


def described(connection: aioice.Connection, dead: socket.socket | None) -> str:
    """Its description; with ``dead`` the candidate is one that never answers."""
    (candidate,) = [one for one in connection.local_candidates if one.component == 1]
    host, port = dead.getsockname() if dead is not None else (candidate.host, candidate.port)
    line = candidate.to_sdp().replace(f" {candidate.host} {candidate.port} ", f" {host} {port} ")
    lines = [
        "v=0", f"o=- 1 1 IN IP4 {host}", "s=-", f"c=IN IP4 {host}", "t=0 0",
        f"m=audio {port} RTP/AVP 0", "a=rtcp-mux",
        f"a=ice-ufrag:{connection.local_username}", f"a=ice-pwd:{connection.local_password}",
        f"a=candidate:{line}",
    ]  # fmt: skip
    return "\r\n".join([*lines, ""])


def later(text: str) -> tuple[str, str]:
    """A description without its candidates, and the fragment that has them."""
    lines = text.splitlines(keepends=True)
    of_ice = [line for line in lines if line.startswith(("a=ice-", "m=", "a=candidate"))]
    of_ice.sort(key=lambda line: not line.startswith("a=ice-"))
    bare = "".join(line for line in lines if not line.startswith("a=candidate"))
    return bare + "a=ice-options:trickle\r\n", "".join(of_ice)


def candidates(text: str) -> str:
    return "".join(line for line in text.splitlines(keepends=True) if line.startswith("a=candidate"))


async def listen(connection: aioice.Connection, text: str) -> None:
    session = Session.parse(text)
    found = read(session, session.medias[0])
    assert found.ufrag is not None
    assert found.pwd is not None
    connection.remote_username, connection.remote_password = found.ufrag, found.pwd
    for candidate in found.candidates:
        if candidate.component == 1:
            await connection.add_remote_candidate(aioice.Candidate.from_sdp(str(candidate)))
    await connection.add_remote_candidate(None)


async def call(setup: dict[str, Any]) -> dict[str, str]:
    client = NgClient(tuple(setup["ng"]))
    caller, callee = await agent(ALICE, True), await agent(BOB, False)
    silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    silent.bind((ALICE, 0))
    dead = silent if setup["blocked"] else None
    said, heard = [described(one, dead) for one in (caller, callee)], ["", ""]
    fragments = []
    if setup["late"]:
        said, fragments = [list(texts) for texts in zip(*map(later, said), strict=True)]
    offer = client.ask("offer", call_id="c", from_tag="A", sdp=said[0], **setup["offer"])
    answer = client.ask("answer", call_id="c", from_tag="A", to_tag="B", sdp=said[1], **setup["answer"])
    for text, tags in zip(fragments, (("A", "B"), ("B", "A")), strict=False):
        keys: dict[str, Any] = {"call_id": "c", "from_tag": tags[0], "to_tag": tags[1], "sdp": text}
        heard[tags[0] == "A"] = candidates(str(client.ask("offer", flags=["fragment"], **keys)["sdp"]))
    await listen(callee, str(offer["sdp"]) + heard[1])
    await listen(caller, str(answer["sdp"]) + heard[0])
    await asyncio.gather(caller.connect(), callee.connect())
    for sender, receiver in ((caller, callee), (callee, caller)):
        await sender.send(b"\x80\x00" + bytes(170))
        assert await receiver.recv() == b"\x80\x00" + bytes(170)
    reached = {
        name: one._nominated[1].remote_addr[0] for name, one in (("caller", caller), ("callee", callee))
    }
    await asyncio.gather(caller.close(), callee.close())
    client.ask("delete", call_id="c", from_tag="A")
    return {**reached, "offer": str(offer["sdp"]), "answer": str(answer["sdp"])}


def main() -> None:
    setup = json.loads(sys.argv[1])
    print("RESULT", json.dumps(asyncio.run(asyncio.wait_for(call(setup), LIMIT))), flush=True)


if __name__ == "__main__":
    main()
