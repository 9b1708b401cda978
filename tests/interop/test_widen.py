"""A phone that misses an address of the relay is told it by an INFO, through a real Kamailio."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import aioice
import pytest

from relay.memory.arms import Arm
from relay.memory.identity import identify
from relay.memory.knowledge import Network, Way
from relay.store import secret
from relay.store.sqlite import SqliteStore
from sdp.fragment import Fragment
from sdp.ice import read
from sdp.session import Session
from tests.interop.carrier import Carried, Carrier
from tests.interop.process import wait_until
from tests.interop.recipe import Advising, App, Proxy
from tests.interop.relay import MEDIA_ADDRESS
from tests.ng import Address

CAFE = "a-cafe-in-town"
IPV6 = "::1"
LIMIT = 40.0
CALLER = "\r\n".join(
    [
        "v=0", "o=- 1 1 IN IP4 127.0.0.41", "s=-", "c=IN IP4 127.0.0.41", "t=0 0", "m=audio 40000 RTP/AVP 0",
        "a=ice-ufrag:home", f"a=ice-pwd:{'home' * 6}", "a=ice-options:trickle", "a=rtcp-mux", "a=mid:0", "",
    ]
)  # fmt: skip
LATE = "\r\n".join(
    [
        "a=ice-ufrag:home", f"a=ice-pwd:{'home' * 6}", "m=audio 9 RTP/AVP 0", "a=mid:0",
        "a=candidate:1 1 udp 2122260223 127.0.0.41 40000 typ host", "",
    ]
)  # fmt: skip


class Knowing(Advising):
    """icerelay with IPv4 and IPv6, which learnt that IPv6 is dead in the cafe."""

    def __init__(self, directory: Path) -> None:
        file = directory / "memory.db"
        key = identify(secret.read_or_make(f"{file}.secret"), CAFE, None, None).network
        assert key is not None
        now = time.time()
        works = Way(alpha=40.0, rows=40, at=now, times=[(now, 120)] * 5)
        fails = Way(beta=60.0, rows=40, at=now)
        known = Network({Arm.U: works, Arm.V6: fails}, rows=40, at=now, explored_at=now, named=True)
        store = SqliteStore(str(file), 86400.0)
        store.update({key: [lambda _: known]}, {})
        store.close()
        super().__init__(directory)
        wait_until(lambda: self.client.ask("advice", network=CAFE)["ttl"] == 86400, "the cafe is at hand")

    def _common_options(self) -> list[str]:
        return [*super()._common_options(), f"--interface={IPV6}"]


class IceApp(App, Carrier):
    """An app that says which network it is in, and whose media are those of an ICE agent."""


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[Knowing]:
    relay = Knowing(tmp_path)
    yield relay
    relay.stop()


@pytest.fixture
def proxy(tmp_path: Path, relay: Knowing) -> Iterator[Address]:
    proxy = Proxy(tmp_path, relay.ng, relay.http)
    yield proxy.address
    proxy.stop()


@pytest.fixture
def apps(proxy: Address) -> Iterator[tuple[IceApp, IceApp]]:
    alice, bob = IceApp("alice", 41, proxy, "home"), IceApp("bob", 42, proxy, CAFE)
    for app in (alice, bob):
        app.register()
    yield alice, bob
    for app in (alice, bob):
        app.close()


def connected(alice: IceApp, bob: IceApp) -> tuple[Carried, Carried]:
    """A call in which bob is told of IPv4 alone; one in fifty is told all, out of curiosity."""
    while True:
        outgoing = alice.call(bob.user)
        incoming = bob.incoming()
        incoming.answer()
        outgoing.wait_for_answer()
        assert isinstance(outgoing, Carried)
        assert isinstance(incoming, Carried)
        if told(incoming.told[0].text) == {MEDIA_ADDRESS}:
            return outgoing, incoming
        outgoing.hang_up()
        incoming.wait_for_end()


def told(text: str) -> set[str]:
    session = Session.parse(text)
    return {candidate.address for candidate in read(session, session.medias[0]).candidates}


def described(agent: aioice.Connection) -> str:
    lines = [
        "a=rtcp-mux", "a=mid:0", f"a=ice-ufrag:{agent.local_username}", f"a=ice-pwd:{agent.local_password}",
        *(f"a=candidate:{one.to_sdp()}" for one in agent.local_candidates if one.component == 1),
    ]  # fmt: skip
    head = ["v=0", f"o=- 1 1 IN IP6 {IPV6}", "s=-", f"c=IN IP6 {IPV6}", "t=0 0", "m=audio 40002 RTP/AVP 0"]
    return "\r\n".join([*head, *lines, ""])


async def call_of_an_agent_with_ipv6_alone(relay: Knowing, alice: IceApp, bob: IceApp) -> str:
    """Returns the address at which it reaches the relay in the end."""
    agent = aioice.Connection(ice_controlling=False, use_ipv4=False)
    await agent.gather_candidates()
    alice.body, bob.body = CALLER, described(agent)
    outgoing, incoming = await asyncio.to_thread(connected, alice, bob)
    session = Session.parse(incoming.told[0].text)
    ice = read(session, session.medias[0])
    assert ice.ufrag is not None
    assert ice.pwd is not None
    agent.remote_username, agent.remote_password = ice.ufrag, ice.pwd
    for candidate in ice.candidates:
        await agent.add_remote_candidate(aioice.Candidate.from_sdp(str(candidate)))
    connecting = asyncio.create_task(agent.connect())
    widened = f"ice widen call-id={outgoing.id} tag={incoming.tag} ways=v6"
    await asyncio.to_thread(wait_until, lambda: widened in relay.log, "nobody checked for 4 s", 10.0)
    assert incoming.fragments == []
    await asyncio.to_thread(outgoing.trickle, LATE)
    (part,) = Fragment.parse(incoming.fragments[0]).parts
    assert {candidate.address for candidate in part.candidates} == {MEDIA_ADDRESS, IPV6}
    for candidate in part.candidates:
        await agent.add_remote_candidate(aioice.Candidate.from_sdp(str(candidate)))
    await agent.add_remote_candidate(None)
    await connecting
    reached = str(agent._nominated[1].remote_addr[0])
    await agent.close()
    await asyncio.to_thread(outgoing.hang_up)
    return reached


def test_an_info_of_the_caller_brings_the_callee_what_it_misses(
    relay: Knowing, apps: tuple[IceApp, IceApp], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aioice.ice.get_host_addresses", lambda use_ipv4, use_ipv6: [IPV6])
    call = call_of_an_agent_with_ipv6_alone(relay, *apps)
    assert asyncio.run(asyncio.wait_for(call, LIMIT)) == IPV6
