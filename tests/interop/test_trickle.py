"""WebRTC phones that tell their candidates late, or never: by INFO through Kamailio, and over ng."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import aiortc
import pytest

from sdp.ice import read
from sdp.session import Session
from tests.interop import aiortc_phone as phone
from tests.interop import test_aioice as agents
from tests.interop import test_aiortc as aiortc_calls
from tests.interop import test_chromium as browsers
from tests.interop.carrier import Carried, Carrier
from tests.interop.chromium import Chromium, WebPhone
from tests.interop.kamailio import Kamailio
from tests.interop.phones import Phones
from tests.interop.plain import PACKETS, TO_PLAIN, PlainPhone, destination
from tests.interop.relay import Relay
from tests.ng import NgClient

LIMIT = 40.0


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(LIMIT):
            await scenario()

    asyncio.run(limited())


def bare(text: str) -> str:
    """The description without what its author will have found out later (RFC 8840, section 4.1)."""
    session = Session.parse(text)
    for media in session.medias:
        media.lines = [
            line for line in media.lines if not line.startswith(("a=candidate:", "a=end-of-candidates"))
        ]
        media.lines[0] = f"m={media.kind} 9 {media.protocol} {' '.join(media.formats)}\r\n"
        media.lines = ["c=IN IP4 0.0.0.0\r\n" if line.startswith("c=") else line for line in media.lines]
        media.lines.append("a=ice-options:trickle\r\n")
    return str(session)


def fragment(text: str, candidates: Sequence[str], *, end: bool = False) -> str:
    """The candidates of the first media of a description."""
    session = Session.parse(text)
    media = session.medias[0]
    said = read(session, media)
    lines = [
        f"a=ice-ufrag:{said.ufrag}",
        f"a=ice-pwd:{said.pwd}",
        f"m={media.kind} 9 {media.protocol} {' '.join(media.formats)}",
        f"a=mid:{media.attribute('mid')}",
        *(f"a=candidate:{candidate}" for candidate in candidates),
        *(["a=end-of-candidates"] if end else []),
    ]
    return "\r\n".join([*lines, ""])


def candidates_of(text: str) -> list[str]:
    return Session.parse(text).medias[0].attributes("candidate")


async def dial(caller: Carrier, callee: Carrier, *words: str) -> tuple[Carried, Carried]:
    """A call with the descriptions that both carry; returns when it is answered."""

    def connect() -> tuple[Carried, Carried]:
        callee.register()
        outgoing = caller.call(callee.user, *words)
        incoming = callee.incoming()
        incoming.answer()
        outgoing.wait_for_answer()
        assert isinstance(outgoing, Carried)
        assert isinstance(incoming, Carried)
        return outgoing, incoming

    return await asyncio.to_thread(connect)


def named_port(call: Carried) -> tuple[str, int]:
    """Where a plain phone is told to send."""
    return call.told[0].address


# aiortc, through Kamailio.


async def call_by_sip(phones: Phones, *, trickling: bool) -> None:
    """A WebRTC phone without a candidate in its offer calls a plain one; both talk all the time."""
    web, plain = phone.WebPhone(), PlainPhone()
    caller, callee = phones.carrier("alice", 21), phones.carrier("bob", 22)
    await web.peer.setLocalDescription(await web.peer.createOffer())
    complete = phone.only_pcmu(web.peer.localDescription.sdp)
    caller.body, callee.body = bare(complete), plain.sdp()
    outgoing, incoming = await dial(caller, callee, "to-plain")
    answer = aiortc.RTCSessionDescription(outgoing.told[-1].text, "answer")
    await web.peer.setRemoteDescription(answer)
    await phone.connected(web.peer)
    talk = asyncio.create_task(plain.talk(named_port(incoming)))
    if trickling:
        await heard(plain, PACKETS // 3)
        await tell_one_by_one(outgoing, complete)
        assert incoming.fragments == []
    await talk
    aiortc_calls.assert_both_heard(web, plain)
    await web.close()
    plain.close()
    await asyncio.to_thread(outgoing.hang_up)


async def tell_one_by_one(call: Carried, description: str) -> None:
    """Each INFO says again what those before said; the last one, that this was all."""
    found = candidates_of(description)
    for count in range(1, len(found) + 1):
        await asyncio.to_thread(call.trickle, fragment(description, found[:count], end=count == len(found)))


async def heard(plain: PlainPhone, packets: int) -> None:
    while plain.packets < packets:
        await asyncio.sleep(0.01)


def test_both_directions_go_on_when_candidates_come_by_info(
    phones: Phones, kamailio: Kamailio, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = len(kamailio.log)
    aiortc_calls.run(lambda: call_by_sip(phones, trickling=True), monkeypatch)
    assert "ERROR: rtpengine" not in kamailio.log[before:]


def test_a_phone_that_never_tells_a_candidate_talks_to_a_plain_one(
    phones: Phones, monkeypatch: pytest.MonkeyPatch
) -> None:
    aiortc_calls.run(lambda: call_by_sip(phones, trickling=False), monkeypatch)


def test_the_proxy_is_told_when_a_fragment_cannot_be_used(
    phones: Phones, kamailio: Kamailio, relay: Relay
) -> None:
    caller, callee = phones.carrier("alice", 21), phones.carrier("bob", 22)
    plain = PlainPhone()
    caller.body = callee.body = plain.sdp()
    outgoing, _ = asyncio.run(dial(caller, callee))
    with pytest.raises(AssertionError, match="500 No Relay"):
        outgoing.trickle("a=ice-ufrag:" + "x" * 20_000)
    assert "proxy replied with error: Failed to parse SDP" in kamailio.log
    outgoing.hang_up()
    plain.close()


def test_candidates_reach_the_other_party_where_checks_pass_through(
    phones: Phones, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They prefer the direct path that they learn of late to the one through the relay."""

    async def scenario() -> None:
        one, other = agents.agent(controlling=True), agents.agent(controlling=False)
        await asyncio.gather(one.gather_candidates(), other.gather_candidates())
        caller, callee = phones.carrier("alice", 21), phones.carrier("bob", 22)
        full = [agents.described(agent) + "a=mid:0\r\n" for agent in (one, other)]
        caller.body, callee.body = bare(full[0]), bare(full[1])
        calls = await dial(caller, callee, "end-to-end")
        for call, description in zip(calls, full, strict=True):
            await asyncio.to_thread(call.trickle, fragment(description, candidates_of(description), end=True))
        outgoing, incoming = calls
        for agent, call in ((one, outgoing), (other, incoming)):
            description = call.told[-1].text
            assert len(call.fragments) == 1
            late = "".join(f"a=candidate:{value}\r\n" for value in late_candidates(call.fragments[0]))
            await agents.listen(agent, description + late)
        await asyncio.gather(one.connect(), other.connect())
        for sender, receiver in ((one, other), (other, one)):
            await sender.send(b"hello")
            assert await receiver.recv() == b"hello"
            pair = sender._nominated[1]
            assert pair.remote_candidate.host == agents.HOST
        await asyncio.gather(one.close(), other.close())
        await asyncio.to_thread(outgoing.hang_up)

    agents.run(scenario, monkeypatch)


def trickling(ufrag: str) -> str:
    """What a phone with ICE says of itself before it knows a candidate."""
    ice = [f"a=ice-ufrag:{ufrag}", f"a=ice-pwd:{ufrag * 6}", "a=ice-options:trickle", "a=rtcp-mux", "a=mid:0"]
    head = ["v=0", "o=- 1 1 IN IP4 192.0.2.9", "s=-", "c=IN IP4 0.0.0.0", "t=0 0"]
    return "\r\n".join([*head, "m=audio 9 RTP/AVP 0", *ice, ""])


HOST = "1 1 udp 2122260223 10.0.0.5 40000 typ host"
OUTSIDE = "2 1 udp 1686052607 203.0.113.7 40000 typ srflx raddr 10.0.0.5 rport 40000"
LOOPBACK = "3 1 udp 2122194687 127.0.0.1 40001 typ host"


def test_under_assist_the_relay_chooses_what_of_an_info_goes_on(phones: Phones, relay: Relay) -> None:
    """The phones turn out to be at two addresses: the private one is for nobody else."""
    caller, callee = phones.carrier("alice", 21), phones.carrier("bob", 22)
    caller.body, callee.body = trickling("abcd"), trickling("bbbb")
    outgoing, incoming = asyncio.run(dial(caller, callee, "same-site"))
    outgoing.trickle(fragment(caller.body, [HOST, LOOPBACK]))
    outgoing.trickle(fragment(caller.body, [HOST, LOOPBACK, OUTSIDE], end=True))
    incoming.trickle(fragment(callee.body, [OUTSIDE, LOOPBACK], end=True))
    passed = [fragment(caller.body, []), fragment(caller.body, [OUTSIDE], end=True)]
    assert incoming.fragments == passed
    assert outgoing.fragments == [fragment(callee.body, [OUTSIDE], end=True)]
    assert reasons(relay, incoming) == ["direct-kept", *["relay-inserted"] * 2, "host-private", "invalid"]
    outgoing.hang_up()


def test_where_ice_ends_at_the_relay_an_info_ends_at_the_proxy(phones: Phones) -> None:
    """The very script that passes on what comes back: nothing does."""
    caller, callee = phones.carrier("alice", 21), phones.carrier("bob", 22)
    caller.body, callee.body = trickling("abcd"), PlainPhone().sdp()
    outgoing, incoming = asyncio.run(dial(caller, callee, "same-site", "to-plain"))
    outgoing.trickle(fragment(caller.body, [HOST, OUTSIDE], end=True))
    assert incoming.fragments == []
    outgoing.hang_up()


def reasons(relay: Relay, call: Carried) -> list[str]:
    """Of all candidates that this phone was told, or was not."""
    report: Any = relay.client.ask("query", call_id=call.id)
    return [one["reason"] for one in report["tags"][call.tag]["medias"][0]["ICE"]["candidates"]]


def late_candidates(text: str) -> list[str]:
    return [
        line.removeprefix("a=candidate:") for line in text.splitlines() if line.startswith("a=candidate:")
    ]


# Chromium.


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    browser = Chromium(tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.stop()


async def found_late(web: WebPhone) -> list[str]:
    return [found["candidate"].removeprefix("candidate:") for found in await web.candidates()]


def test_a_browser_that_calls_through_the_proxy_tells_its_candidates_by_info(
    phones: Phones, browser: Chromium
) -> None:
    async def scenario() -> None:
        plain = PlainPhone()
        caller, callee = phones.carrier("alice", 21), phones.carrier("bob", 22)
        async with WebPhone(browser, codec="PCMU") as web:
            caller.body, callee.body = await web.offer(gathered=False), plain.sdp()
            outgoing, incoming = await dial(caller, callee, "to-plain")
            await web.accept(outgoing.told[-1].text)
            await web.connected()
            talk = asyncio.create_task(plain.talk(named_port(incoming)))
            await heard(plain, PACKETS // 3)
            found = await found_late(web)
            assert found
            await asyncio.to_thread(outgoing.trickle, fragment(caller.body, found, end=True))
            await talk
            await browsers.assert_both_heard(web, plain)
            await asyncio.to_thread(outgoing.hang_up)
        plain.close()

    run(scenario)


@pytest.mark.parametrize("when", ["before the offer", "before the answer", "after the answer"])
def test_a_browser_is_heard_whenever_its_candidates_come(relay: Relay, browser: Chromium, when: str) -> None:
    async def scenario() -> None:
        plain = PlainPhone()
        async with WebPhone(browser, codec="PCMU") as web:
            offer = await web.offer(gathered=False)
            late = fragment(offer, await found_late(web), end=True)
            if when == "before the offer":
                send(relay.client, late)
            told = relay.client.ask("offer", call_id="late", from_tag="A", sdp=offer, **TO_PLAIN)
            if when == "before the answer":
                send(relay.client, late)
            answer = relay.client.ask("answer", call_id="late", from_tag="A", to_tag="B", sdp=plain.sdp())
            await web.accept(str(answer["sdp"]))
            await web.connected()
            if when == "after the answer":
                send(relay.client, late)
            await plain.talk(destination(told))
            await browsers.assert_both_heard(web, plain)
        plain.close()
        relay.forget_calls()

    run(scenario)


def send(client: NgClient, text: str) -> None:
    reply = client.ask("offer", call_id="late", from_tag="A", sdp=text, flags=["fragment"])
    assert reply["result"] == "ok"
