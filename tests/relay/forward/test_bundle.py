"""Packets of a bundle find their media, in the slow twin that the native plane is compared with."""

from __future__ import annotations

import pytest

from relay.forward._fastpath import NativePlane
from relay.forward.fake_bundle import Sorter, extension
from relay.forward.rule import Change, Learn, Marks, Rule
from tests.relay.forward.conftest import LocalPorts, Phones

AUDIO, VIDEO = 1, 2
MARKS = {
    AUDIO: Marks(AUDIO, b"0", 4, frozenset({0, 111}), (1000,)),
    VIDEO: Marks(AUDIO, b"1", 4, frozenset({96}), (2000,)),
}


def rtp(ssrc: int, payload_type: int, extensions: bytes = b"", profile: int = 0xBEDE) -> bytes:
    head = bytes([0x90 if extensions else 0x80, payload_type]) + bytes(6) + ssrc.to_bytes(4, "big")
    if not extensions:
        return head + b"sound"
    padded = extensions + bytes(-len(extensions) % 4)
    return head + profile.to_bytes(2, "big") + (len(padded) // 4).to_bytes(2, "big") + padded + b"sound"


def media_of(sorter: Sorter, packet: bytes) -> int | None:
    return sorter.media_of(packet, AUDIO, MARKS)


@pytest.mark.parametrize(("profile", "element"), [(0xBEDE, b"\x401"), (0x1000, b"\x04\x011")])
def test_a_mid_tells_the_media_and_its_ssrc_is_remembered(profile: int, element: bytes) -> None:
    sorter = Sorter()
    assert media_of(sorter, rtp(5, 0, element, profile)) == VIDEO
    assert media_of(sorter, rtp(5, 0)) == VIDEO


def test_a_mid_of_no_media_is_of_none() -> None:
    assert media_of(Sorter(), rtp(1000, 0, b"\x40x")) is None


def test_an_announced_ssrc_tells_the_media_also_where_the_payload_type_says_otherwise() -> None:
    assert media_of(Sorter(), rtp(2000, 0)) == VIDEO


def test_a_payload_type_tells_the_media_of_a_new_ssrc() -> None:
    sorter = Sorter()
    assert media_of(sorter, rtp(7, 96)) == VIDEO
    assert media_of(sorter, rtp(7, 5)) == VIDEO
    assert media_of(sorter, rtp(8, 5)) is None


def test_another_extension_is_not_taken_for_the_mid() -> None:
    packet = rtp(7, 111, b"\x101" + b"\x00" + b"\x401")
    assert extension(packet, 4) == b"1"
    assert extension(packet, 1) == b"1"
    assert extension(packet, 5) is None


def report(kind: int, count: int, *ssrcs: int) -> bytes:
    body = b"".join(ssrc.to_bytes(4, "big") for ssrc in ssrcs)
    return bytes([0x80 | count, kind]) + (len(body) // 4).to_bytes(2, "big") + body


SENDER_INFO = (0, 0, 0, 0, 0)
BLOCK = (0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("packet", "media"),
    [
        (report(200, 0, 2000, *SENDER_INFO), VIDEO),
        (report(200, 1, 9, *SENDER_INFO, 77, *BLOCK), VIDEO),
        (report(201, 1, 9, 77, *BLOCK), VIDEO),
        (report(201, 0, 9) + report(206, 1, 9, 77), VIDEO),
        (report(205, 1, 9, 77, 0), VIDEO),
        (report(201, 0, 9), AUDIO),
        (report(206, 1, 9, 78), AUDIO),
        (report(206, 1, 9, 77)[:-4], AUDIO),
    ],
)
def test_reports_belong_to_the_media_of_their_sender_or_of_what_they_report_on(
    packet: bytes, media: int
) -> None:
    """77 is what the video's peer is sent; reports of nobody known go where the leader's go."""
    found = Sorter().media_of_reports(packet, AUDIO, MARKS, lambda ssrc: VIDEO if ssrc == 77 else None)
    assert found == media


def test_an_ssrc_is_not_known_to_be_of_the_media_that_took_over_a_rule(
    plane: NativePlane, phones: Phones, local_ports: LocalPorts
) -> None:
    """When the leader of a bundle is rejected, its rule goes on for the media that leads next."""
    browser, audio_phone, video_phone = phones("127.0.0.2"), phones("127.0.0.3"), phones("127.0.0.4")
    (shared, to_relay), (one, _), (other, _) = (local_ports(plane, "127.0.0.1") for _ in range(3))
    first, second, audio, video = (plane.allocate() for _ in range(4))

    def bundle(mids: tuple[bytes, bytes], outputs: tuple[int, int]) -> list[Change]:
        types = {b"0": frozenset({0}), b"1": frozenset({96})}
        marks = [Marks(first, mid, 4, types[mid]) for mid in mids]
        where = browser.getsockname()
        return [
            Rule(first, shared, where, Learn.NOBODY, sources=(where,), rtp=outputs[:1], marks=marks[0]),
            Rule(second, shared, where, Learn.NOBODY, rtp=outputs[1:], marks=marks[1]),
        ]

    plane.apply([Rule(audio, one, audio_phone.getsockname(), Learn.NOBODY)])
    plane.apply([Rule(video, other, video_phone.getsockname(), Learn.NOBODY)])
    plane.apply(bundle((b"0", b"1"), (audio, video)))
    browser.sendto(rtp(5, 0), to_relay)
    assert audio_phone.recv(2000) == rtp(5, 0)
    plane.apply(bundle((b"1", b"0"), (video, audio)))
    browser.sendto(rtp(5, 0), to_relay)
    assert audio_phone.recv(2000) == rtp(5, 0)
