"""What the tests say about media: who hears whom, how much of it, and from where."""

import time

from tests.interop.phone import Call
from tests.interop.process import wait_until
from tests.interop.relay import MEDIA_ADDRESS, PORT_MAX, PORT_MIN
from tests.interop.rtp import Media
from tests.ng import Address

ENOUGH = 0.95
"""Share of the packets that must arrive."""
SOME = 10
"""Packets after which someone is said to hear someone: a fifth of a second."""


def assert_names_relay(*calls: Call) -> None:
    """The SDP each phone was told last names the relay: address, port, and origin."""
    for call in calls:
        host, port = call.remote.address
        assert host == MEDIA_ADDRESS
        assert PORT_MIN <= port <= PORT_MAX
        assert call.remote.origin == MEDIA_ADDRESS


def assert_talk(one: Media, other: Media, seconds: float = 1.5) -> None:
    """Both talk for a while, and both hear more than 95 % of what the other says."""
    assert_hears_for(seconds, (one, other), (other, one))


def assert_hears_for(seconds: float, *pairs: tuple[Media, Media]) -> None:
    """For each (listener, speaker): the listener gets more than 95 % of the speaker's packets."""
    before = [(speaker.sent, listener.heard(speaker.ssrc)) for listener, speaker in pairs]
    time.sleep(seconds)
    after = [speaker.sent for _, speaker in pairs]
    for (listener, speaker), (sent_before, heard_before), sent_after in zip(
        pairs, before, after, strict=True
    ):
        sent = sent_after - sent_before
        assert sent >= 0.5 * seconds / 0.02, f"the speaker at {speaker.address} hardly spoke: {sent} packets"
        wait_until(
            lambda listener=listener, speaker=speaker, least=heard_before + ENOUGH * sent: (  # type: ignore[misc]
                listener.heard(speaker.ssrc) > least
            ),
            f"{listener.address} hears over 95 % of {sent} packets from {speaker.address}; told to send to"
            f" {listener.told}, it heard {listener.heard(speaker.ssrc) - heard_before},"
            f" refused {dict(listener.refused)}",
            timeout=0.5,
        )


def wait_until_heard(listener: Media, speaker: Media) -> None:
    """Until the listener has heard a fifth of a second more of the speaker."""
    start = listener.heard(speaker.ssrc)
    wait_until(
        lambda: listener.heard(speaker.ssrc) >= start + SOME,
        f"{listener.address}, told to send to {listener.told}, hears {speaker.address};"
        f" refused {dict(listener.refused)}",
    )


def assert_silence(listener: Media, seconds: float = 0.5) -> None:
    """Nothing arrives; what was on its way when the silence began has 0.1 s to arrive."""
    time.sleep(0.1)
    before = listener.heard() + listener.refused.total()
    time.sleep(seconds)
    assert listener.heard() + listener.refused.total() == before


def assert_heard_in_total(listener: Media, speaker: Media) -> None:
    """Over the whole call more than 95 % of the speaker's packets arrived."""
    wait_until(
        lambda: listener.heard(speaker.ssrc) > ENOUGH * speaker.sent,
        f"over 95 % of {speaker.sent} packets; heard {listener.heard(speaker.ssrc)}",
        timeout=0.5,
    )


def assert_heard_only_from(listener: Media, source: Address) -> None:
    """Every packet came from the very address and port the listener was told to send to."""
    assert listener.refused.total() == 0, f"refused {dict(listener.refused)}, told {listener.told}"
    assert listener.heard() == listener.heard(source=source)
