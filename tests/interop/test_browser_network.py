"""A browser in a network of its own calls through a relay in another one, and changes its network."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.interop.chromium import WITH_MICROPHONE, Chromium, WebPhone
from tests.interop.network import Namespace, cable
from tests.interop.plain import (
    PLAIN_TONE,
    RATE,
    TO_PLAIN,
    TO_WEBRTC,
    WEBRTC_TONE,
    PlainPhone,
    destination,
    loudest,
)
from tests.interop.process import Process
from tests.ng import Address, NgClient, Value

LIMIT = 30.0
ENOUGH = 0.95
PACKETS = 60
LONG = 2000
"""Packets that the plain phone has to say: more than any test lasts."""
RELAY, PLAIN = "203.0.113.10", "203.0.113.20"


class Networks:
    """The relay and a plain phone in one network; a browser outside, reached over Wi-Fi or mobile."""

    def __init__(self) -> None:
        self.inside = Namespace()
        self.outside = Namespace(self.inside)
        self.inside.ip(f"addr add {RELAY}/32 dev lo", f"addr add {PLAIN}/32 dev lo")
        for name, host in (("wifi", "192.0.2"), ("mobile", "198.51.100")):
            cable(self.inside, f"to-{name}", self.outside, name)
            self.inside.ip(f"addr add {host}.1/24 dev to-{name}", f"link set to-{name} up")
        self.outside.ip(
            "addr add 192.0.2.7/24 dev wifi", "link set wifi up", "route add default via 192.0.2.1"
        )

    def move(self) -> None:
        """The browser's machine loses its Wi-Fi and gets a mobile network."""
        self.outside.ip(
            "link set wifi down", "addr flush dev wifi",
            "addr add 198.51.100.7/24 dev mobile", "link set mobile up", "route add default via 198.51.100.1",
        )  # fmt: skip

    def close(self) -> None:
        self.outside.close()
        self.inside.close()


class Far:
    """A relay in the inner network, and a way to ask it."""

    def __init__(self, networks: Networks) -> None:
        serve = [
            sys.executable, "-m", "relay.cli", "serve", f"--interface={RELAY}",
            "--listen-ng=127.0.0.1:2223", "--delete-delay=0",
        ]  # fmt: skip
        self._process = Process([*networks.inside.enter, *serve])
        self._process.wait_for_output("ready")
        self._client = NgClient(("127.0.0.1", 2223), own=networks.inside.bound("127.0.0.1"))

    def ask(self, command: str, **keys: Value) -> dict[str, Value]:
        reply = self._client.ask(command, call_id="moving", **keys)
        assert reply["result"] == "ok", reply
        return reply

    def stop(self) -> None:
        self._client.close()
        self._process.stop()


@pytest.fixture
def networks() -> Iterator[Networks]:
    networks = Networks()
    yield networks
    networks.close()


@pytest.fixture
def relay(networks: Networks) -> Iterator[Far]:
    relay = Far(networks)
    yield relay
    relay.stop()


@pytest.fixture
def options() -> Sequence[str]:
    return ()


@pytest.fixture
def browser(networks: Networks, tmp_path: Path, options: Sequence[str]) -> Iterator[Chromium]:
    browser = Chromium(tmp_path, networks.outside.enter, options)
    yield browser
    browser.stop()


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(LIMIT):
            await scenario()

    asyncio.run(limited())


@asynccontextmanager
async def talking(networks: Networks) -> AsyncIterator[tuple[PlainPhone, Callable[[Address], None]]]:
    """A plain phone, and what makes it say its tone to an address from now on."""
    plain = PlainPhone(networks.inside.bound(PLAIN))
    tasks: list[asyncio.Task[None]] = []
    yield plain, lambda to: tasks.append(asyncio.create_task(plain.talk(to, LONG)))
    for task in tasks:
        task.cancel()
    plain.close()


async def hear_again(web: WebPhone, plain: PlainPhone) -> None:
    """Until both have heard a fifth of a second more of each other."""
    received, packets = (await web.counted()).received, plain.packets
    while (await web.counted()).received < received + 10 or plain.packets < packets + 10:
        await asyncio.sleep(0.02)


async def assert_talk(web: WebPhone, plain: PlainPhone) -> None:
    """More than a second each way, all but a few packets arrive, and both hear the other's tone."""
    before, said, heard = await web.counted(), plain.sent, plain.packets
    while plain.sent < said + PACKETS or (await web.counted()).sent < before.sent + PACKETS:
        await asyncio.sleep(0.02)
    now_said, now = plain.sent, await web.counted()
    assert now.received - before.received >= ENOUGH * (now_said - said) - 1
    assert plain.packets - heard >= ENOUGH * (now.sent - before.sent) - 1
    assert plain.in_clear
    assert await web.loudest() == pytest.approx(PLAIN_TONE, abs=10)
    assert loudest(plain.heard[-RATE:], RATE) == pytest.approx(WEBRTC_TONE, abs=10)


def test_a_browser_that_calls_goes_on_talking_when_it_changes_its_network(
    networks: Networks, relay: Far, browser: Chromium
) -> None:
    """Without a word in SIP: its socket is bound to no address, and sends from the new one."""

    async def scenario() -> None:
        async with WebPhone(browser, codec="PCMU") as web, talking(networks) as (plain, talk_to):
            offer = relay.ask("offer", from_tag="A", sdp=await web.offer(), **TO_PLAIN)
            answer = relay.ask("answer", from_tag="A", to_tag="B", sdp=plain.sdp())
            await web.accept(str(answer["sdp"]))
            await web.connected()
            talk_to(destination(offer))
            await assert_talk(web, plain)
            networks.move()
            await hear_again(web, plain)
            await assert_talk(web, plain)

    run(scenario)


@pytest.mark.parametrize("options", [WITH_MICROPHONE], ids=["microphone"])
def test_a_browser_that_was_called_changes_its_network_and_restarts_ice(
    networks: Networks, relay: Far, browser: Chromium
) -> None:
    """With leave to use the microphone its sockets are bound to addresses, and die with them."""

    async def scenario() -> None:
        async with WebPhone(browser, microphone=True) as web, talking(networks) as (plain, talk_to):
            offer = relay.ask("offer", from_tag="A", sdp=plain.sdp(), **TO_WEBRTC)
            accepted = await web.answer(str(offer["sdp"]))
            assert "192.0.2.7" in accepted
            answer = relay.ask("answer", from_tag="A", to_tag="B", sdp=accepted)
            await web.connected()
            talk_to(destination(answer))
            await assert_talk(web, plain)
            networks.move()
            anew = await web.offer(restart=True)
            relay.ask("offer", from_tag="B", to_tag="A", sdp=anew, **TO_PLAIN)
            answer = relay.ask("answer", from_tag="B", to_tag="A", sdp=plain.sdp())
            await web.accept(str(answer["sdp"]))
            await hear_again(web, plain)
            await assert_talk(web, plain)

    run(scenario)
