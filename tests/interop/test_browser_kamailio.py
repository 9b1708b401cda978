"""Browsers and WebRTC apps behind a real Kamailio that runs examples/kamailio-webrtc.cfg."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import aiortc
import numpy as np
import pytest

from tests.interop.aiortc_phone import HOST, connected, only_pcmu
from tests.interop.aiortc_phone import WebPhone as App
from tests.interop.chromium import Chromium
from tests.interop.phone import Call
from tests.interop.phones import Phones
from tests.interop.plain import FRAME, PLAIN_TONE, RATE, WEBRTC_TONE, compress, expand, loudest, tone
from tests.interop.relay import Relay
from tests.interop.rtp import Media
from tests.interop.talk import assert_talk as assert_both_hear
from tests.interop.web import BrowserPhone, WebProxy

LIMIT = 40.0
ENOUGH = 0.95
"""Of the packets sent, those that arrive."""
PACKETS = 100
SAID = compress(tone(PLAIN_TONE, 0))
"""20 periods of the plain phone's tone: one packet like the other, and no step between them."""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    browser = Chromium(tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.stop()


@pytest.fixture(scope="module")
def proxy(relay: Relay, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebProxy]:
    proxy = WebProxy(tmp_path_factory.mktemp("kamailio"), relay.ng)
    yield proxy
    proxy.stop()


@pytest.fixture
def phones(relay: Relay, proxy: WebProxy) -> Iterator[Phones]:
    phones = Phones(proxy.address)
    yield phones
    phones.close()
    print(f"--- relay:\n{relay.log}--- kamailio:\n{proxy.log}")
    relay.forget_calls()


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(LIMIT):
            await scenario()

    asyncio.run(limited())


async def pick_up(call: Call) -> None:
    """A plain phone rings, answers, and says its tone."""
    call.media.saying = SAID
    call.ring()
    await asyncio.to_thread(call.answer)


def assert_plain(call: Call) -> None:
    """The phone was told nothing of WebRTC."""
    lines = call.remote.text.splitlines()
    assert [line.split()[2] for line in lines if line.startswith("m=")] == ["RTP/AVP"]
    webrtc = ("a=candidate", "a=ice-", "a=fingerprint", "a=setup", "a=rtcp-mux", "a=crypto")
    assert not [line for line in lines if line.startswith(webrtc)]


def assert_hears(media: Media, frequency: float) -> None:
    assert {len(payload) for payload in media.sound} == {160}
    assert loudest(expand(b"".join(media.sound)), RATE) == pytest.approx(frequency, abs=10)


async def assert_talk(web: BrowserPhone, call: Call) -> None:
    """Two more seconds go each way, all but a few packets arrive, and both hear the other's tone."""
    before, media = await web.counted(), call.media
    sent, heard = media.sent, media.heard()
    while media.sent < sent + PACKETS or (await web.counted()).sent < before.sent + PACKETS:
        await asyncio.sleep(0.02)
    said, now = media.sent - sent, await web.counted()
    assert now.received - before.received >= ENOUGH * said - 1
    assert media.heard() - heard >= ENOUGH * (now.sent - before.sent) - 1
    assert await web.loudest() == pytest.approx(PLAIN_TONE, abs=10)
    assert_hears(media, WEBRTC_TONE)
    assert_plain(call)


def assert_nothing_left(relay: Relay) -> None:
    relay.wait_for_no_calls()
    assert relay.open_ports() == []


async def call_plain(web: BrowserPhone, phones: Phones) -> Call:
    """The browser calls a plain phone, which answers."""
    bob = phones.new("bob", 22)
    bob.register()
    calling = asyncio.create_task(web.call(bob.user))
    call = await asyncio.to_thread(bob.incoming)
    await pick_up(call)
    await calling
    await web.connected()
    return call


def test_a_browser_calls_a_plain_phone(
    relay: Relay, proxy: WebProxy, browser: Chromium, phones: Phones
) -> None:
    async def scenario() -> None:
        async with BrowserPhone(browser, proxy, phones.name("alice"), codec="PCMU") as alice:
            call = await call_plain(alice, phones)
            await assert_talk(alice, call)
            await alice.hang_up()
            await asyncio.to_thread(call.wait_for_end)
        assert_nothing_left(relay)

    run(scenario)


def test_a_plain_phone_calls_a_browser(
    relay: Relay, proxy: WebProxy, browser: Chromium, phones: Phones
) -> None:
    async def scenario() -> None:
        async with BrowserPhone(browser, proxy, phones.name("alice")) as alice:
            call = phones.new("bob", 22).call(alice.user)
            call.media.saying = SAID
            await alice.incoming()
            await alice.pick_up()
            await asyncio.to_thread(call.wait_for_answer)
            await alice.connected()
            await assert_talk(alice, call)
            await asyncio.to_thread(call.hang_up)
            await alice.ended()
        assert_nothing_left(relay)

    run(scenario)


def test_a_browser_changes_its_ice_credentials_in_mid_call(
    relay: Relay, proxy: WebProxy, browser: Chromium, phones: Phones
) -> None:
    async def scenario() -> None:
        async with BrowserPhone(browser, proxy, phones.name("alice"), codec="PCMU") as alice:
            call = await call_plain(alice, phones)
            before = call.remote.address
            await alice.restart()
            offers = [one for one in await alice.told() if one.startswith("> INVITE")]
            ufrags = [line[12:] for one in offers for line in one.splitlines() if "a=ice-ufrag:" in line]
            assert len(set(ufrags)) == 2
            while await alice.path() != ufrags[-1]:
                await asyncio.sleep(0.02)
            await assert_talk(alice, call)
            assert call.remote.address == before
            await alice.hang_up()
            await asyncio.to_thread(call.wait_for_end)
        assert_nothing_left(relay)

    run(scenario)


def test_browsers_call_each_other(relay: Relay, proxy: WebProxy, browser: Chromium, phones: Phones) -> None:
    async def scenario() -> None:
        async with (
            BrowserPhone(browser, proxy, phones.name("alice")) as alice,
            BrowserPhone(browser, proxy, phones.name("bob"), frequency=PLAIN_TONE) as bob,
        ):
            calling = asyncio.create_task(alice.call(bob.user))
            await bob.incoming()
            await bob.pick_up()
            await calling
            await asyncio.gather(alice.connected(), bob.connected())
            while min((await alice.counted()).received, (await bob.counted()).received) < PACKETS:
                await asyncio.sleep(0.02)
            assert await alice.loudest() == pytest.approx(PLAIN_TONE, abs=10)
            assert await bob.loudest() == pytest.approx(WEBRTC_TONE, abs=10)
            await bob.hang_up()
            await alice.ended()
        assert_nothing_left(relay)

    run(scenario)


@pytest.mark.parametrize("answers", ["browser", "desk phone"])
def test_a_user_with_a_browser_and_a_desk_phone_answers_on_either(
    relay: Relay, proxy: WebProxy, browser: Chromium, phones: Phones, answers: str
) -> None:
    async def scenario() -> None:
        desk = phones.new("alice", 23)
        desk.register()
        async with BrowserPhone(browser, proxy, desk.user) as web:
            call = phones.new("bob", 22).call(desk.user)
            call.media.saying = SAID
            at_desk = await asyncio.to_thread(desk.incoming)
            assert_plain(at_desk)
            await web.incoming()
            if answers == "browser":
                await web.pick_up()
                await asyncio.to_thread(at_desk.wait_for_cancel)
                await web.connected()
                await assert_talk(web, call)
                await web.hang_up()
                await asyncio.to_thread(call.wait_for_end)
            else:
                await pick_up(at_desk)
                await web.cancelled()
                await asyncio.to_thread(call.wait_for_answer)
                await asyncio.to_thread(assert_both_hear, call.media, at_desk.media)
                await asyncio.to_thread(at_desk.hang_up)
        assert_nothing_left(relay)

    run(scenario)


async def assert_app_talks(app: App, call: Call) -> None:
    """Two seconds each way: as many packets as there were, and the other's tone."""
    media = call.media
    heard, samples = media.heard(), sum(map(len, app.heard))
    sent, said = media.sent, app.said
    while media.sent < sent + PACKETS or app.said < said + PACKETS:
        await asyncio.sleep(0.02)
    assert media.heard() - heard >= ENOUGH * (app.said - said) - 1
    arrived = (sum(map(len, app.heard)) - samples) / app.rate * RATE / FRAME
    assert arrived >= ENOUGH * (media.sent - sent) - 1
    assert loudest(np.concatenate(app.heard)[-app.rate :], app.rate) == pytest.approx(PLAIN_TONE, abs=10)
    assert_hears(media, WEBRTC_TONE)
    assert_plain(call)


@pytest.fixture
def on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aioice.ice.get_host_addresses", lambda use_ipv4, use_ipv6: [HOST])


@pytest.mark.usefixtures("on_loopback")
def test_a_webrtc_app_calls_a_plain_phone(relay: Relay, phones: Phones) -> None:
    async def scenario() -> None:
        app = App()
        bob, alice = phones.new("bob", 22), phones.new("alice", 23, parameters=";webrtc")
        bob.register()
        await app.peer.setLocalDescription(await app.peer.createOffer())
        outgoing = alice.call(bob.user, sdp=only_pcmu(app.peer.localDescription.sdp))
        call = await asyncio.to_thread(bob.incoming)
        await pick_up(call)
        await asyncio.to_thread(outgoing.wait_for_answer)
        answer = aiortc.RTCSessionDescription(outgoing.remote.text, "answer")
        await app.peer.setRemoteDescription(answer)
        await connected(app.peer)
        await assert_app_talks(app, call)
        await asyncio.to_thread(call.hang_up)
        await asyncio.to_thread(outgoing.wait_for_end)
        await app.close()
        assert_nothing_left(relay)

    run(scenario)


@pytest.mark.usefixtures("on_loopback")
def test_a_plain_phone_calls_a_webrtc_app(relay: Relay, phones: Phones) -> None:
    async def scenario() -> None:
        app = App()
        bob, alice = phones.new("bob", 22), phones.new("alice", 23, parameters=";webrtc")
        alice.register()
        call = bob.call(alice.user)
        call.media.saying = SAID
        incoming = await asyncio.to_thread(alice.incoming)
        offer = aiortc.RTCSessionDescription(incoming.remote.text, "offer")
        await app.peer.setRemoteDescription(offer)
        await app.peer.setLocalDescription(await app.peer.createAnswer())
        await asyncio.to_thread(incoming.answer, app.peer.localDescription.sdp)
        await asyncio.to_thread(call.wait_for_answer)
        await connected(app.peer)
        await assert_app_talks(app, call)
        await asyncio.to_thread(call.hang_up)
        await asyncio.to_thread(incoming.wait_for_end)
        await app.close()
        assert_nothing_left(relay)

    run(scenario)


@pytest.mark.usefixtures("on_loopback")
def test_a_webrtc_app_that_starts_anew_in_mid_call_is_heard_again(relay: Relay, phones: Phones) -> None:
    """New ICE credentials, a new certificate, in a re-INVITE: what aiortc has in place of a restart."""

    async def scenario() -> None:
        bob, alice = phones.new("bob", 22), phones.new("alice", 23, parameters=";webrtc")
        bob.register()
        first = App()
        await first.peer.setLocalDescription(await first.peer.createOffer())
        outgoing = alice.call(bob.user, sdp=only_pcmu(first.peer.localDescription.sdp))
        call = await asyncio.to_thread(bob.incoming)
        await pick_up(call)
        await asyncio.to_thread(outgoing.wait_for_answer)
        await first.peer.setRemoteDescription(aiortc.RTCSessionDescription(outgoing.remote.text, "answer"))
        await connected(first.peer)
        await first.close()

        second = App()
        await second.peer.setLocalDescription(await second.peer.createOffer())
        outgoing.sdp = only_pcmu(second.peer.localDescription.sdp)
        answer = (await asyncio.to_thread(outgoing.reinvite)).text
        await second.peer.setRemoteDescription(aiortc.RTCSessionDescription(answer, "answer"))
        await connected(second.peer)
        await assert_app_talks(second, call)
        await asyncio.to_thread(outgoing.hang_up)
        await asyncio.to_thread(call.wait_for_end)
        await second.close()
        assert_nothing_left(relay)

    run(scenario)
