"""Two real ICE agents (aioice) call each other through the relay: SDP over ng, checks and data over UDP."""

import asyncio
from collections.abc import Awaitable, Callable

import aioice
import pytest

from sdp.ice import read
from sdp.session import Session
from tests.interop.relay import MEDIA_ADDRESS, Relay
from tests.ng import Value

LIMIT = 20.0
HOST = "127.0.0.31"

TRICKY = (b"hello", b"\x80\x00" + bytes(10), b"\x80\xc8" + bytes(10), bytes([22]) * 13, b"\xff" * 1200)
"""Data that looks like nothing, RTP, RTCP, DTLS, and nothing again: agents send what they like."""


def agent(controlling: bool) -> aioice.Connection:
    return aioice.Connection(ice_controlling=controlling, stun_server=None, use_ipv6=False)


def described(connection: aioice.Connection, with_candidates: bool = True) -> str:
    candidates = connection.local_candidates
    lines = [
        "v=0",
        f"o=- 1 1 IN IP4 {HOST}",
        "s=-",
        f"c=IN IP4 {candidates[0].host}",
        "t=0 0",
        f"m=audio {candidates[0].port} RTP/AVP 0",
        "a=rtcp-mux",
        f"a=ice-ufrag:{connection.local_username}",
        f"a=ice-pwd:{connection.local_password}",
        *(f"a=candidate:{candidate.to_sdp()}" for candidate in candidates if with_candidates),
    ]
    return "\r\n".join([*lines, ""])


async def listen(connection: aioice.Connection, text: str, only_relay: bool = False) -> None:
    """Take over what the other side's description, as the relay wrote it, says of ICE."""
    session = Session.parse(text)
    found = read(session, session.medias[0])
    assert found.ufrag is not None
    assert found.pwd is not None
    connection.remote_username, connection.remote_password = found.ufrag, found.pwd
    connection.remote_is_lite = found.lite
    for candidate in found.candidates:
        if candidate.component == 1 and (not only_relay or candidate.address == MEDIA_ADDRESS):
            await connection.add_remote_candidate(aioice.Candidate.from_sdp(str(candidate)))
    await connection.add_remote_candidate(None)


def run(scenario: Callable[[], Awaitable[None]], monkeypatch: pytest.MonkeyPatch) -> None:
    """aioice leaves loopback out of its own host addresses; here it is the only network needed."""
    monkeypatch.setattr("aioice.ice.get_host_addresses", lambda use_ipv4, use_ipv6: [HOST])

    async def limited() -> None:
        async with asyncio.timeout(LIMIT):
            await scenario()

    asyncio.run(limited())


async def connect(
    relay: Relay,
    call_id: str,
    options: dict[str, Value],
    only_relay: bool = False,
    keep: bool = False,
) -> None:
    caller, callee = agent(controlling=True), agent(controlling=False)
    await asyncio.gather(caller.gather_candidates(), callee.gather_candidates())
    offer = relay.client.ask("offer", call_id=call_id, from_tag="A", sdp=described(caller), **options)
    await listen(callee, str(offer["sdp"]), only_relay)
    answer = relay.client.ask(
        "answer", call_id=call_id, from_tag="A", to_tag="B", sdp=described(callee), **options
    )
    await listen(caller, str(answer["sdp"]), only_relay)
    await asyncio.gather(caller.connect(), callee.connect())
    for sender, receiver in ((caller, callee), (callee, caller)):
        for data in TRICKY * 5:
            await sender.send(data)
            assert await receiver.recv() == data
    await asyncio.gather(caller.close(), callee.close())
    if not keep:
        relay.client.ask("delete", call_id=call_id, from_tag="A")


@pytest.mark.parametrize(
    "options",
    [{"ICE": "force"}, {"ICE": "default"}, {"ICE": "force", "ICE-lite": "both"}],
    ids=["force", "default", "lite"],
)
def test_two_ice_agents_exchange_data_through_the_relay(
    relay: Relay, options: dict[str, Value], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        await connect(relay, "aioice", options)

    run(scenario, monkeypatch)


def test_a_caller_that_restarts_with_new_credentials_is_connected_again(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        await connect(relay, "restart", {"ICE": "force"}, keep=True)
        await connect(relay, "restart", {"ICE": "force"})

    run(scenario, monkeypatch)


@pytest.mark.parametrize("mode", ["optional", "force-relay"])
def test_agents_that_reach_each_other_only_through_the_relay_check_each_other_through_it(
    relay: Relay, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        await connect(relay, f"aioice-{mode}", {"ICE": mode}, only_relay=True)

    run(scenario, monkeypatch)
