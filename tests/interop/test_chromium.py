"""A browser calls plain phones and other browsers: tones over ICE, DTLS and SRTP, SDP carried over ng."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest

from tests.interop.chromium import Chromium, WebPhone
from tests.interop.plain import (
    PACKETS,
    PLAIN_TONE,
    RATE,
    TO_PLAIN,
    TO_WEBRTC,
    WEBRTC_TONE,
    PlainPhone,
    destination,
    loudest,
)
from tests.interop.relay import Relay
from tests.ng import Value

LIMIT = 30.0
OTHER_TONE = 700.0
ENOUGH = 0.95
"""Of the packets sent, those that arrive."""

TO_BROWSER: dict[str, Value] = {"ICE": "force"}


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    browser = Chromium(tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.stop()


@pytest.fixture(autouse=True)
def hang_up(relay: Relay) -> Iterator[None]:
    yield
    relay.forget_calls()


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(LIMIT):
            await scenario()

    asyncio.run(limited())


async def assert_both_heard(web: WebPhone, plain: PlainPhone) -> None:
    """While or just after the plain phone has talked."""
    counted = await web.counted()
    assert await web.loudest() == pytest.approx(PLAIN_TONE, abs=10)
    assert counted.received >= ENOUGH * PACKETS
    assert plain.in_clear
    assert plain.packets >= ENOUGH * PACKETS
    assert loudest(plain.heard[RATE : 2 * RATE], RATE) == pytest.approx(WEBRTC_TONE, abs=10)


async def call_plain(
    relay: Relay,
    web: WebPhone,
    plain: PlainPhone | None = None,
    *,
    gathered: bool = True,
    rejects_video: bool = False,
) -> None:
    """The browser calls, the plain phone answers, both talk."""
    plain = plain or PlainPhone()
    sdp = await web.offer(gathered=gathered)
    told = relay.client.ask("offer", call_id="browser", from_tag="A", sdp=sdp, **TO_PLAIN)
    accepted = plain.sdp(rejects_video=rejects_video)
    answer = relay.client.ask("answer", call_id="browser", from_tag="A", to_tag="B", sdp=accepted)
    await web.accept(str(answer["sdp"]))
    await web.connected()
    await plain.talk(destination(told))
    await assert_both_heard(web, plain)
    plain.close()


def test_a_browser_calls_a_plain_phone(relay: Relay, browser: Chromium) -> None:
    async def scenario() -> None:
        async with WebPhone(browser, codec="PCMU") as web:
            await call_plain(relay, web)

    run(scenario)


def test_a_browser_that_bundles_all_it_has_calls_a_plain_phone(relay: Relay, browser: Chromium) -> None:
    async def scenario() -> None:
        async with WebPhone(browser, codec="PCMU", bundlePolicy="max-bundle") as web:
            await call_plain(relay, web)

    run(scenario)


def test_a_browser_with_a_camera_calls_a_plain_phone(relay: Relay, browser: Chromium) -> None:
    async def scenario() -> None:
        async with WebPhone(browser, codec="PCMU", video=True, bundlePolicy="max-bundle") as web:
            await call_plain(relay, web, rejects_video=True)

    run(scenario)


def test_a_browser_gets_its_own_video_back_from_a_plain_phone(relay: Relay, browser: Chromium) -> None:
    """The browser has one port for both medias, the plain phone two."""

    async def scenario() -> None:
        async with WebPhone(browser, codec="PCMU", video=True, bundlePolicy="max-bundle") as web:
            await call_plain(relay, web, PlainPhone(mirror=True))
            seen = await web.counted("video")
            assert seen.received >= 0.9 * seen.sent > 0

    run(scenario)


def test_a_browser_that_tells_no_candidate_calls_a_plain_phone(relay: Relay, browser: Chromium) -> None:
    async def scenario() -> None:
        async with WebPhone(browser, codec="PCMU") as web:
            await call_plain(relay, web, gathered=False)

    run(scenario)


@pytest.mark.parametrize("policy", ["balanced", "max-bundle"])
def test_a_plain_phone_calls_a_browser(relay: Relay, browser: Chromium, policy: str) -> None:
    async def scenario() -> None:
        plain = PlainPhone()
        async with WebPhone(browser, bundlePolicy=policy) as web:
            told = relay.client.ask("offer", call_id="plain", from_tag="A", sdp=plain.sdp(), **TO_WEBRTC)
            accepted = await web.answer(str(told["sdp"]))
            answer = relay.client.ask("answer", call_id="plain", from_tag="A", to_tag="B", sdp=accepted)
            await web.connected()
            await plain.talk(destination(answer))
            await assert_both_heard(web, plain)
        plain.close()

    run(scenario)


async def exchange(
    relay: Relay, caller: WebPhone, callee: WebPhone, sdp: str, options: dict[str, Value] = TO_BROWSER
) -> None:
    """The caller's offer reaches the callee, and the answer the caller."""
    offer = relay.client.ask("offer", call_id="browsers", from_tag="A", sdp=sdp, **options)
    accepted = await callee.answer(str(offer["sdp"]))
    answer = relay.client.ask("answer", call_id="browsers", from_tag="A", to_tag="B", sdp=accepted)
    await caller.accept(str(answer["sdp"]))


async def call_browser(
    relay: Relay,
    caller: WebPhone,
    callee: WebPhone,
    *,
    gathered: bool = True,
    restart: bool = False,
    options: dict[str, Value] = TO_BROWSER,
) -> None:
    """An offer and its answer, both browsers connected."""
    await exchange(relay, caller, callee, await caller.offer(gathered=gathered, restart=restart), options)
    await asyncio.gather(caller.connected(), callee.connected())


async def passed(sender: WebPhone, receiver: WebPhone, kind: str = "audio", packets: int = 60) -> None:
    """So many more packets go from one browser to the other, and all but a few arrive."""
    there, before = await receiver.counted(kind), await sender.counted(kind)
    while (now := await sender.counted(kind)).sent < before.sent + packets:
        await asyncio.sleep(0.02)
    enough = there.received + ENOUGH * (now.sent - before.sent) - 3
    while (
        await receiver.counted(kind)
    ).received < enough:  # ends with the scenario's time, if packets are lost
        await asyncio.sleep(0.02)


async def assert_hear_each_other(caller: WebPhone, callee: WebPhone) -> None:
    await asyncio.gather(passed(caller, callee), passed(callee, caller))
    assert await caller.loudest() == pytest.approx(OTHER_TONE, abs=10)
    assert await callee.loudest() == pytest.approx(WEBRTC_TONE, abs=10)


@pytest.mark.parametrize("policy", ["balanced", "max-bundle", "max-compat"])
def test_browsers_call_each_other(relay: Relay, browser: Chromium, policy: str) -> None:
    async def scenario() -> None:
        async with (
            WebPhone(browser, bundlePolicy=policy) as caller,
            WebPhone(browser, frequency=OTHER_TONE, bundlePolicy=policy) as callee,
        ):
            await call_browser(relay, caller, callee)
            await assert_hear_each_other(caller, callee)

    run(scenario)


def test_browsers_that_tell_no_candidates_call_each_other(relay: Relay, browser: Chromium) -> None:
    async def scenario() -> None:
        async with WebPhone(browser) as caller, WebPhone(browser, frequency=OTHER_TONE) as callee:
            await call_browser(relay, caller, callee, gathered=False)
            await assert_hear_each_other(caller, callee)

    run(scenario)


async def assert_see_each_other(caller: WebPhone, callee: WebPhone) -> None:
    await asyncio.gather(
        passed(caller, callee, "video", packets=40),
        passed(callee, caller, "video", packets=40),
        assert_hear_each_other(caller, callee),
    )
    assert min((await caller.counted("video")).frames, (await callee.counted("video")).frames) >= 20


@pytest.mark.parametrize("policy", ["balanced", "max-bundle", "max-compat"])
def test_browsers_see_each_other_also_after_another_offer(
    relay: Relay, browser: Chromium, policy: str
) -> None:
    async def scenario() -> None:
        async with (
            WebPhone(browser, video=True, bundlePolicy=policy) as caller,
            WebPhone(browser, video=True, frequency=OTHER_TONE, bundlePolicy=policy) as callee,
        ):
            await call_browser(relay, caller, callee)
            await assert_see_each_other(caller, callee)
            await call_browser(relay, caller, callee)
            await assert_see_each_other(caller, callee)

    run(scenario)


@pytest.mark.parametrize("policy", ["balanced", "max-bundle"])
def test_browsers_add_their_cameras_to_a_call(relay: Relay, browser: Chromium, policy: str) -> None:
    async def scenario() -> None:
        async with (
            WebPhone(browser, bundlePolicy=policy) as caller,
            WebPhone(browser, frequency=OTHER_TONE, bundlePolicy=policy) as callee,
        ):
            await call_browser(relay, caller, callee)
            await assert_hear_each_other(caller, callee)
            await asyncio.gather(caller.add_camera(), callee.add_camera())
            await call_browser(relay, caller, callee)
            await assert_see_each_other(caller, callee)

    run(scenario)


def test_a_browser_falls_silent_and_is_still_seen(relay: Relay, browser: Chromium) -> None:
    """The media that leads the bundle is inactive; its port, ICE and keys stay in use."""

    async def scenario() -> None:
        async with (
            WebPhone(browser, video=True, bundlePolicy="max-bundle") as caller,
            WebPhone(browser, video=True, frequency=OTHER_TONE, bundlePolicy="max-bundle") as callee,
        ):
            await call_browser(relay, caller, callee)
            await assert_see_each_other(caller, callee)
            await caller.fall_silent()
            await call_browser(relay, caller, callee)
            await asyncio.gather(
                passed(caller, callee, "video", packets=40), passed(callee, caller, "video", packets=40)
            )

    run(scenario)


@pytest.mark.parametrize("policy", ["balanced", "max-compat"])
def test_browsers_with_a_data_channel_beside_the_sound(relay: Relay, browser: Chromium, policy: str) -> None:
    async def scenario() -> None:
        async with (
            WebPhone(browser, data=True, bundlePolicy=policy) as caller,
            WebPhone(browser, frequency=OTHER_TONE, bundlePolicy=policy) as callee,
        ):
            await call_browser(relay, caller, callee)
            await assert_hear_each_other(caller, callee)
            assert await caller.ask_over_data_channel("hello") == "hello"

    run(scenario)


def test_browsers_that_bundle_all_see_each_other_end_to_end(relay: Relay, browser: Chromium) -> None:
    async def scenario() -> None:
        async with (
            WebPhone(browser, video=True, bundlePolicy="max-bundle") as caller,
            WebPhone(browser, video=True, frequency=OTHER_TONE, bundlePolicy="max-bundle") as callee,
        ):
            await call_browser(relay, caller, callee, options={"ICE": "optional"})
            await assert_see_each_other(caller, callee)

    run(scenario)


@pytest.mark.parametrize("legs", ["hq,hq", "hq,branch"], ids=["assist", "relay"])
def test_browsers_see_each_other_wherever_they_are(relay: Relay, browser: Chromium, legs: str) -> None:
    options: dict[str, Value] = {"ICE": "optimize", "network-legs": legs}

    async def scenario() -> None:
        async with (
            WebPhone(browser, video=True, bundlePolicy="max-bundle") as caller,
            WebPhone(browser, video=True, frequency=OTHER_TONE, bundlePolicy="max-bundle") as callee,
        ):
            await call_browser(relay, caller, callee, options=options)
            await assert_see_each_other(caller, callee)
            await call_browser(relay, caller, callee, options=options)
            await assert_see_each_other(caller, callee)

    run(scenario)


def with_another_fingerprint(sdp: str) -> str:
    """One octet of the certificate's hash is another one."""
    head, _, tail = sdp.partition("a=fingerprint:sha-256 ")
    octet = f"{int(tail[:2], 16) ^ 1:02X}"
    return f"{head}a=fingerprint:sha-256 {octet}{tail[2:]}"


def test_a_browser_that_shows_another_certificate_is_not_heard(relay: Relay, browser: Chromium) -> None:
    async def scenario() -> None:
        async with WebPhone(browser) as caller, WebPhone(browser) as callee:
            await exchange(relay, caller, callee, with_another_fingerprint(await caller.offer()))
            with pytest.raises(AssertionError, match="failed, ICE is connected"):
                await caller.connected()
            await callee.connected()
            assert (await callee.counted()).received == 0
            assert (await caller.counted()).received == 0

    run(scenario)


def test_browsers_restart_ice_in_the_middle_of_a_call(relay: Relay, browser: Chromium) -> None:
    async def scenario() -> None:
        async with WebPhone(browser) as caller, WebPhone(browser, frequency=OTHER_TONE) as callee:
            await call_browser(relay, caller, callee)
            await assert_hear_each_other(caller, callee)
            await call_browser(relay, caller, callee, restart=True)
            await assert_hear_each_other(caller, callee)

    run(scenario)
