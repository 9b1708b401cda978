"""RTCP feedback does not reach a peer whose profile has none; everything else of a compound does."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.forward._fastpath import NativePlane
from relay.forward.fake_rtcp import packets, without_feedback
from relay.forward.rule import Address, Learn, Rule
from relay.srtp.profiles import PROFILES, Profile
from tests.relay.forward.conftest import LocalPorts, Phones
from tests.relay.forward.srtp_phone import Phone, name, rtp, until

SSRC, MEDIA = 0x1234, 0x5678
SENDER_REPORT = struct.pack("!BBHIQIII", 0x80, 200, 6, SSRC, 1, 2, 3, 4)
RECEIVER_REPORT = struct.pack("!BBHI", 0x80, 201, 1, SSRC)
NAME = struct.pack("!BBHIBB", 0x81, 202, 3, SSRC, 1, 4) + b"a@bc\0\0"
BYE = struct.pack("!BBHI", 0x81, 203, 1, SSRC)
NACK = struct.pack("!BBHIIHH", 0x81, 205, 3, SSRC, MEDIA, 700, 0)
KEY_FRAME = struct.pack("!BBHII", 0x81, 206, 2, SSRC, MEDIA)
"""A picture loss indication (RFC 4585, section 6.3.1)."""

COMPOUNDS = [
    (SENDER_REPORT + NAME, SENDER_REPORT + NAME),
    (RECEIVER_REPORT + NAME + KEY_FRAME, RECEIVER_REPORT + NAME),
    (SENDER_REPORT + NACK + NAME + KEY_FRAME, SENDER_REPORT + NAME),
    (RECEIVER_REPORT + NACK + BYE, RECEIVER_REPORT + BYE),
    (KEY_FRAME, None),
    (NACK + KEY_FRAME, None),
    (KEY_FRAME + NAME, None),  # reduced size (RFC 5506): what is left would be no compound
    (NAME, NAME),
    (SENDER_REPORT + NACK[:-2], SENDER_REPORT + NACK[:-2]),
]


def connect(
    plane: NativePlane, phones: Phones, local_ports: LocalPorts, one: Profile | None, other: Profile | None
) -> tuple[Phone, Phone, Address]:
    """The phone with feedback, the one without, and where the first one sends to."""
    senders = [Phone(phones("127.0.0.2"), profile or PROFILES[0]) for profile in (one, other)]
    ports = [local_ports(plane, "127.0.0.1") for _ in senders]
    ids = [plane.allocate() for _ in senders]
    keys = [
        phone.open_keys(plane) if used else None for phone, used in zip(senders, (one, other), strict=True)
    ]
    plane.apply(
        [
            Rule(
                id=ids[i],
                port=ports[i][0],
                remote=name(senders[i].sock),
                learn=Learn.WINDOW,
                rtp=(ids[1 - i],),
                rtcp=(ids[1 - i],),
                keys=keys[i],
                plain_rtcp=i == 1,
            )
            for i in range(2)
        ]
    )
    return senders[0], senders[1], ports[0][1]


@pytest.mark.parametrize("other", [None, PROFILES[0], PROFILES[6]])
@pytest.mark.parametrize("one", [None, PROFILES[0], PROFILES[6]])
def test_a_peer_without_feedback_gets_the_rest_of_each_compound(
    one: Profile | None, other: Profile | None, plane: NativePlane, phones: Phones, local_ports: LocalPorts
) -> None:
    speaker, listener, to_relay = connect(plane, phones, local_ports, one, other)
    for sent, expected in COMPOUNDS:
        speaker.sock.sendto(speaker.protected(sent) if one else sent, to_relay)
        if expected is not None:
            heard = listener.hear() if other else listener.sock.recv(2000)
            assert heard == expected
    dropped = sum(expected is None for _, expected in COMPOUNDS)
    until(lambda: plane.totals()["rtcp_packets"] == len(COMPOUNDS))
    assert plane.totals()["feedback"] == dropped
    assert plane.totals()["send_error"] == 0


def test_media_is_not_touched(plane: NativePlane, phones: Phones, local_ports: LocalPorts) -> None:
    speaker, listener, to_relay = connect(plane, phones, local_ports, None, None)
    packet = rtp(1, payload=NACK + KEY_FRAME)
    speaker.sock.sendto(packet, to_relay)
    assert listener.sock.recv(2000) == packet


def test_the_phone_with_feedback_gets_everything(
    plane: NativePlane, phones: Phones, local_ports: LocalPorts
) -> None:
    speaker, listener, to_relay = connect(plane, phones, local_ports, None, None)
    speaker.sock.sendto(RECEIVER_REPORT, to_relay)
    _, relay = listener.sock.recvfrom(2000)
    listener.sock.sendto(RECEIVER_REPORT + KEY_FRAME, relay)
    assert speaker.sock.recv(2000) == RECEIVER_REPORT + KEY_FRAME


@given(st.binary(max_size=60) | st.lists(st.sampled_from([NAME, NACK, BYE, SENDER_REPORT])).map(b"".join))
def test_of_any_octets_only_whole_feedback_packets_are_missing(compound: bytes) -> None:
    found = without_feedback(compound)
    if found is not None:
        assert not {type for _, type in packets(found)} & {205, 206}
        assert [one for one in packets(compound) if one[1] not in (205, 206)] == list(packets(found))
