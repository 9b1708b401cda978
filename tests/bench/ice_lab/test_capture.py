"""What the lab takes for a check and for media."""

import struct

import pytest

from bench.ice_lab.capture import TCP, UDP, Kind, Seen, seen

RTP = b"\x80\x00" + struct.pack("!HII", 4711, 160, 0xABCD) + bytes(160)
MEDIA = Seen(Kind.MEDIA, 0xABCD, 4711)
RTCP = b"\x80\xc8" + bytes(26)
DTLS = b"\x16\xfe\xfd" + bytes(60)


def stun(kind: int, *attributes: tuple[int, bytes]) -> bytes:
    body = b"".join(
        struct.pack("!HH", number, len(value)) + value + bytes(-len(value) % 4)
        for number, value in attributes
    )
    return struct.pack("!HHI12s", kind, len(body), 0x2112A442, b"transaction.") + body


CHECK = stun(0x0001, (0x0006, b"them:us"), (0x0024, bytes(4)))
ASKS_SERVER = stun(0x0001)


def channel(data: bytes) -> bytes:
    return struct.pack("!HH", 0x4001, len(data)) + data


def packet(protocol: int, payload: bytes) -> bytes:
    over = bytes(8) if protocol == UDP else bytes(12) + b"\x50" + bytes(7)
    length = 20 + len(over) + len(payload)
    return struct.pack("!BBHIBBH8s", 0x45, 0, length, 0, 64, protocol, 0, bytes(8)) + over + payload


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        (CHECK, Kind.CHECK),
        (ASKS_SERVER, Kind.OTHER),
        (stun(0x0101, (0x0006, b"them:us")), Kind.OTHER),
        (RTP, Kind.MEDIA),
        (RTCP, Kind.OTHER),
        (DTLS, Kind.OTHER),
        (b"", Kind.OTHER),
        (channel(RTP), Kind.MEDIA),
        (stun(0x0016, (0x0012, bytes(8)), (0x0013, CHECK)), Kind.CHECK),
        (stun(0x0017, (0x0012, bytes(8)), (0x0013, RTP)), Kind.MEDIA),
    ],
    ids=[
        "check",
        "to server",
        "answer",
        "rtp",
        "rtcp",
        "dtls",
        "empty",
        "channel",
        "sent by turn",
        "got by turn",
    ],
)
def test_checks_and_media_are_told_from_the_rest_also_inside_of_turn(payload: bytes, kind: Kind) -> None:
    (found,) = seen(packet(UDP, payload))
    assert found.kind is kind
    assert kind is not Kind.MEDIA or found == MEDIA


def test_frames_that_share_a_tcp_segment_are_all_seen() -> None:
    segment = channel(RTP[:13]) + bytes(3) + stun(0x0016, (0x0013, CHECK)) + channel(RTP)
    assert list(seen(packet(TCP, segment))) == [MEDIA, Seen(Kind.CHECK), MEDIA]


@pytest.mark.parametrize("length", range(40))
def test_pieces_of_packets_are_nothing_to_fail_at(length: int) -> None:
    for whole in (packet(UDP, CHECK), packet(TCP, channel(RTP))):
        assert all(one.kind is not Kind.MEDIA for one in seen(whole[:length]))
