"""A WebRTC phone (aiortc) and a plain SIP phone hear each other: a tone each way, over ICE, DTLS, SRTP."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aiortc
import numpy as np
import pytest

from tests.interop.aiortc_phone import HOST, WebPhone, connected, only_pcmu
from tests.interop.plain import (
    FRAME,
    PACKETS,
    PLAIN_TONE,
    RATE,
    TO_PLAIN,
    TO_WEBRTC,
    WEBRTC_TONE,
    PlainPhone,
    SdesPhone,
    destination,
    loudest,
)
from tests.interop.relay import Relay
from tests.ng import Value

LIMIT = 40.0


def run(scenario: Callable[[], Awaitable[None]], monkeypatch: pytest.MonkeyPatch) -> None:
    """aioice leaves loopback out of its own host addresses; here it is the only network needed."""
    monkeypatch.setattr("aioice.ice.get_host_addresses", lambda use_ipv4, use_ipv6: [HOST])

    async def limited() -> None:
        async with asyncio.timeout(LIMIT):
            await scenario()

    asyncio.run(limited())


def assert_both_heard(web: WebPhone, plain: PlainPhone) -> None:
    assert plain.in_clear
    assert plain.packets >= 0.6 * PACKETS
    assert plain.share >= 0.95
    middle = plain.heard[RATE // 2 : RATE // 2 + RATE]
    assert loudest(middle, RATE) == pytest.approx(WEBRTC_TONE, abs=10)
    heard = np.concatenate(web.heard)
    assert len(heard) >= 0.9 * PACKETS * FRAME * web.rate / RATE
    assert loudest(heard[web.rate : 2 * web.rate], web.rate) == pytest.approx(PLAIN_TONE, abs=10)


async def answered(web: WebPhone, relay: Relay, call_id: str, told: dict[str, Value]) -> dict[str, Value]:
    """The WebRTC phone picks up: what the caller is told."""
    await web.peer.setRemoteDescription(aiortc.RTCSessionDescription(str(told["sdp"]), "offer"))
    await web.peer.setLocalDescription(await web.peer.createAnswer())
    sdp = web.peer.localDescription.sdp
    return relay.client.ask("answer", call_id=call_id, from_tag="A", to_tag="B", sdp=sdp)


def test_a_webrtc_phone_calls_a_plain_one(relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        web, plain = WebPhone(), PlainPhone()
        await web.peer.setLocalDescription(await web.peer.createOffer())
        offer = only_pcmu(web.peer.localDescription.sdp)
        told = relay.client.ask("offer", call_id="web", from_tag="A", sdp=offer, **TO_PLAIN)
        answer = relay.client.ask("answer", call_id="web", from_tag="A", to_tag="B", sdp=plain.sdp())
        await web.peer.setRemoteDescription(aiortc.RTCSessionDescription(str(answer["sdp"]), "answer"))
        await connected(web.peer)
        await plain.talk(destination(told))
        assert_both_heard(web, plain)
        await web.close()
        plain.close()
        relay.client.ask("delete", call_id="web", from_tag="A")

    run(scenario, monkeypatch)


@pytest.mark.parametrize("words", [TO_WEBRTC, {"flags": ["webrtc"]}, {"rtpp-flags": "WebRTC"}])
def test_a_plain_phone_calls_a_webrtc_one(
    words: dict[str, Value], relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        web, plain = WebPhone(), PlainPhone()
        told = relay.client.ask("offer", call_id="plain", from_tag="A", sdp=plain.sdp(), **words)
        answer = await answered(web, relay, "plain", told)
        await connected(web.peer)
        await plain.talk(destination(answer))
        assert_both_heard(web, plain)
        await web.close()
        plain.close()
        relay.client.ask("delete", call_id="plain", from_tag="A")

    run(scenario, monkeypatch)


def test_a_phone_with_keys_in_its_sdp_calls_a_webrtc_one(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        web, phone = WebPhone(), SdesPhone()
        told = relay.client.ask("offer", call_id="sdes", from_tag="A", sdp=phone.sdp(), **TO_WEBRTC)
        assert "a=crypto" not in str(told["sdp"])
        answer = await answered(web, relay, "sdes", told)
        phone.take(answer)
        await connected(web.peer)
        await phone.talk(destination(answer))
        assert_both_heard(web, phone)
        await web.close()
        phone.close()
        relay.client.ask("delete", call_id="sdes", from_tag="A")

    run(scenario, monkeypatch)


def test_both_are_heard_on_when_their_sequence_numbers_wrap_around(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SRTP counts the wraps at both ends; who loses count hears nothing more (RFC 3711, section 3.3.1)."""
    begin = 65536 - PACKETS // 2
    monkeypatch.setattr("aiortc.rtcrtpsender.random_sequence_number", lambda: begin)

    async def scenario() -> None:
        web, plain = WebPhone(), PlainPhone()
        plain.first = begin
        await web.peer.setLocalDescription(await web.peer.createOffer())
        offer = only_pcmu(web.peer.localDescription.sdp)
        told = relay.client.ask("offer", call_id="wrap", from_tag="A", sdp=offer, **TO_PLAIN)
        answer = relay.client.ask("answer", call_id="wrap", from_tag="A", to_tag="B", sdp=plain.sdp())
        await web.peer.setRemoteDescription(aiortc.RTCSessionDescription(str(answer["sdp"]), "answer"))
        await connected(web.peer)
        await plain.talk(destination(told))
        assert_both_heard(web, plain)
        assert plain.last < begin
        await web.close()
        plain.close()
        relay.client.ask("delete", call_id="wrap", from_tag="A")

    run(scenario, monkeypatch)


def test_what_two_webrtc_phones_report_of_each_other_is_in_the_report_of_the_call(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys end here on both legs, so that RTCP is read on its way."""

    async def scenario() -> None:
        caller, callee = WebPhone(), WebPhone()
        await caller.peer.setLocalDescription(await caller.peer.createOffer())
        told = relay.client.ask(
            "offer", call_id="both", from_tag="A", sdp=caller.peer.localDescription.sdp, ICE="force",
            flags=["recrypt"],
        )  # fmt: skip
        answer = await answered(callee, relay, "both", told)
        await caller.peer.setRemoteDescription(aiortc.RTCSessionDescription(str(answer["sdp"]), "answer"))
        streams: dict[str, Any] = {}
        while len(streams) < 2 or not all(
            "round-trip time" in one.get("average MOS", {}) for one in streams.values()
        ):
            await asyncio.sleep(0.1)
            report: Any = relay.client.ask("query", call_id="both")
            streams = report["SSRC"]
        sent = {media["medias"][0]["streams"][0]["SSRC"] for media in report["tags"].values()}
        assert set(streams) == {str(ssrc) for ssrc in sent}
        for one in streams.values():
            found = one["average MOS"]
            assert (one["cumulative loss"], found["packet loss"], found["MOS"]) == (0, 0, 44)
            assert found["jitter"] < 50
            assert 0 < found["round-trip time leg"] < found["round-trip time"] < 500_000
        await caller.close()
        await callee.close()
        relay.client.ask("delete", call_id="both", from_tag="A")

    run(scenario, monkeypatch)
