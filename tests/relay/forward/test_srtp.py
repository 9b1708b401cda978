"""SRTP in the native plane, with pylibsrtp at the other ends of real sockets."""

import os
import resource
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import ModuleType

import pytest

from relay.forward import srtp_library
from relay.forward._fastpath import NativePlane
from relay.forward.fake import FakePlane
from relay.forward.fake_srtp import MAX_SSRCS
from relay.forward.plane import Dtls, Event, Latched, Plane, SrtpUnavailable
from relay.forward.rule import Address, Drop, Learn, Rule
from relay.srtp.profiles import PROFILES, MasterKey, Profile, SrtpError, profile_named
from tests.relay.forward.srtp_phone import Phone, master, name, rtcp, rtp, until

Phones = Callable[[str], socket.socket]
LocalPorts = Callable[[NativePlane, str], tuple[int, Address]]

CM, SHORT = profile_named("AES_CM_128_HMAC_SHA1_80"), profile_named("AES_CM_128_HMAC_SHA1_32")
GCM, LONG = profile_named("AEAD_AES_128_GCM"), profile_named("AEAD_AES_256_GCM")
DTLS = bytes([22, 254, 253]) + bytes(20)
EVERY = pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)


@dataclass
class Call:
    """``phone`` talks SRTP, ``other`` plain RTP; each has a port of the plane for itself."""

    plane: NativePlane
    phone: Phone
    other: socket.socket
    secure: Rule
    plain: Rule
    phone_side: Address
    other_side: Address

    def count(self, field: str, rule: Rule | None = None) -> int:
        return int(self.plane.counters()[field][(rule or self.secure).id])


Connect = Callable[..., Call]


@pytest.fixture
def connect(plane: NativePlane, phones: Phones, local_ports: LocalPorts) -> Connect:
    def connect(profile: Profile = CM, one: str = "127.0.0.2", other: str = "127.0.0.3") -> Call:
        phone, plain_phone = Phone(phones(one), profile), phones(other)
        port, side = local_ports(plane, "::1" if ":" in one else "127.0.0.1")
        other_port, other_side = local_ports(plane, "::1" if ":" in other else "127.0.0.1")
        first, second = plane.allocate(), plane.allocate()
        keys = phone.open_keys(plane)
        secure = Rule(first, port, name(phone.sock), Learn.WINDOW, rtp=(second,), rtcp=(second,), keys=keys)
        plain = Rule(second, other_port, name(plain_phone), Learn.WINDOW, rtp=(first,), rtcp=(first,))
        plane.apply([secure, plain])
        return Call(plane, phone, plain_phone, secure, plain, side, other_side)

    return connect


def secure_too(call: Call, profile: Profile) -> Phone:
    """Make the plain phone of a call a phone with SRTP."""
    phone = Phone(call.other, profile)
    call.plain = replace(call.plain, keys=phone.open_keys(call.plane))
    call.plane.apply([call.plain])
    return phone


def events(plane: Plane, count: int) -> list[Event]:
    found: list[Event] = []
    until(lambda: (found.extend(plane.events()) or len(found)) >= count)  # type: ignore[func-returns-value]
    return found


@EVERY
@pytest.mark.parametrize("packet", [rtp(1), rtcp()], ids=["rtp", "rtcp"])
def test_every_profile_becomes_plain_and_back(profile: Profile, packet: bytes, connect: Connect) -> None:
    call = connect(profile)
    call.phone.send(packet, call.phone_side)
    assert call.other.recvfrom(2000) == (packet, call.other_side)
    call.other.sendto(packet, call.other_side)
    assert call.phone.hear() == packet
    until(lambda: call.count("sent_packets") == 1)
    tag = profile.rtp_tag if packet == rtp(1) else profile.rtcp_tag + 4
    assert call.count("sent_bytes") == len(packet) + tag


@pytest.mark.parametrize(
    ("one", "other"), [(CM, GCM), (LONG, SHORT), (GCM, GCM), (CM, profile_named("AES_256_CM_HMAC_SHA1_32"))]
)
def test_srtp_is_protected_anew_for_the_other_phone(one: Profile, other: Profile, connect: Connect) -> None:
    call = connect(one)
    phone = secure_too(call, other)
    for seq in range(50):
        call.phone.send(rtp(seq), call.phone_side)
        assert phone.hear() == rtp(seq)
        phone.send(rtcp(9), call.other_side)
        assert call.phone.hear() == rtcp(9)


@pytest.mark.parametrize(("one", "other"), [("::1", "::1"), ("127.0.0.2", "::1"), ("::1", "127.0.0.2")])
def test_srtp_crosses_address_families(one: str, other: str, connect: Connect) -> None:
    call = connect(GCM, one, other)
    call.phone.send(rtp(1), call.phone_side)
    assert call.other.recv(2000) == rtp(1)
    call.other.sendto(rtp(2), call.other_side)
    assert call.phone.hear() == rtp(2)


def test_largest_datagram_is_protected(plane: NativePlane, connect: Connect) -> None:
    call = connect(profile_named("AES_256_CM_HMAC_SHA1_80"))
    large = rtp(1, payload=bytes(9280 - 12))
    call.other.sendto(large, call.other_side)
    assert call.phone.hear() == large


@EVERY
@pytest.mark.parametrize("packet", [rtp(1), rtcp()], ids=["rtp", "rtcp"])
def test_damaged_packets_go_nowhere_and_teach_nothing(
    profile: Profile, packet: bytes, connect: Connect
) -> None:
    call = connect(profile)
    whole = call.phone.protected(packet)
    flipped = [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(2, len(whole))]
    shortened = [whole[:length] for length in range(12, len(whole))]
    refused = ("auth", "replay", "malformed")
    for sent, damaged in enumerate(flipped + shortened, start=1):
        call.phone.sock.sendto(damaged, call.phone_side)
        if sent % 50 == 0:
            until(lambda sent=sent: sum(map(call.count, refused)) == sent)  # type: ignore[misc]
    call.phone.send(rtp(2), call.phone_side)
    assert call.other.recv(2000) == rtp(2)
    assert sum(map(call.count, refused)) == len(flipped + shortened)
    assert (call.count("rtp_packets"), call.count("rtcp_packets")) == (1, 0)


def test_stranger_without_the_keys_is_neither_heard_nor_followed(connect: Connect, phones: Phones) -> None:
    call = connect()
    stranger = Phone(phones("127.0.0.66"), CM)
    for seq in range(10):
        stranger.send(rtp(seq), call.phone_side)
        stranger.sock.sendto(rtp(seq), call.phone_side)
    until(lambda: call.count("auth") == 20)
    assert call.count("state") == 0
    assert call.plane.peer(call.secure.id) == name(call.phone.sock)
    call.phone.send(rtp(1), call.phone_side)
    assert call.other.recv(2000) == rtp(1)


@pytest.mark.parametrize("profile", [CM, LONG])
def test_replays_are_counted_apart_and_dropped(profile: Profile, connect: Connect) -> None:
    call = connect(profile)
    packets = [call.phone.protected(rtp(seq)) for seq in range(20)] + [call.phone.protected(rtcp())]
    for packet in (*packets, *packets):
        call.phone.sock.sendto(packet, call.phone_side)
    call.phone.send(rtp(20), call.phone_side)
    heard = [call.other.recv(2000) for _ in range(22)]
    assert heard == [*(rtp(seq) for seq in range(20)), rtcp(), rtp(20)]
    assert (call.count("replay"), call.count("auth"), call.count("rtp_packets")) == (21, 0, 21)


def test_retransmission_of_the_plain_side_passes_except_with_aead(connect: Connect) -> None:
    for profile, passed in ((CM, 2), (GCM, 1)):
        call = connect(profile)
        for _ in range(2):
            call.other.sendto(rtp(1), call.other_side)
        call.other.sendto(rtp(2), call.other_side)
        until(lambda call=call: call.count("rtp_packets", call.plain) == 3)  # type: ignore[misc]
        until(lambda call=call, passed=passed: call.count("sent_packets") == passed + 1)  # type: ignore[misc]
        assert call.count("send_error", call.plain) == 2 - passed


def test_moved_phone_is_followed_after_two_packets_and_a_replay_moves_nothing(
    connect: Connect, phones: Phones
) -> None:
    call = connect()
    recorded = [call.phone.protected(rtp(seq)) for seq in range(10)]
    for packet in recorded:
        call.phone.sock.sendto(packet, call.phone_side)
    stranger, old = phones("127.0.0.66"), call.phone.sock
    for packet in recorded:
        stranger.sendto(packet, call.phone_side)
    until(lambda: call.count("replay") == 10)
    assert call.plane.peer(call.secure.id) == name(old)
    call.phone.sock = phones("127.0.0.77")
    call.phone.send(rtp(10), call.phone_side)
    until(lambda: call.count("rtp_packets") == 11)
    assert call.plane.peer(call.secure.id) == name(old)
    call.phone.send(rtp(11), call.phone_side)
    until(lambda: call.plane.peer(call.secure.id) == name(call.phone.sock))
    assert [call.other.recv(2000) for _ in range(12)] == [rtp(seq) for seq in range(12)]
    call.other.sendto(rtp(1), call.other_side)
    assert call.phone.hear() == rtp(1)
    moves = [
        event for event in call.plane.events() if isinstance(event, Latched) and event.rule == call.secure.id
    ]
    assert [event.peer for event in moves] == [name(old), name(call.phone.sock)]


def test_forked_phones_behind_nats_are_told_apart_by_their_keys(
    plane: NativePlane, phones: Phones, local_ports: LocalPorts, connect: Connect
) -> None:
    call = connect(GCM)
    second = Phone(phones("127.0.0.8"), LONG)
    rule = Rule(
        plane.allocate(),
        call.secure.port,
        None,
        Learn.WINDOW,
        rtp=(call.plain.id,),
        keys=second.open_keys(plane),
    )
    plane.apply([rule, replace(call.secure, remote=("127.0.0.9", 9), generation=1)])
    for seq in range(3):
        second.send(rtp(seq, ssrc=2), call.phone_side)
        assert call.other.recv(2000) == rtp(seq, ssrc=2)
    call.phone.send(rtp(1), call.phone_side)
    assert call.other.recv(2000) == rtp(1)
    assert plane.peer(rule.id) == name(second.sock)
    assert plane.peer(call.secure.id) == name(call.phone.sock)
    assert call.count("auth") == 0


def test_one_frame_leaves_under_several_keys_and_in_the_clear(
    plane: NativePlane, phones: Phones, connect: Connect
) -> None:
    call = connect(CM)
    listeners = [Phone(phones("127.0.0.8"), profile) for profile in (GCM, SHORT)]
    clear = phones("127.0.0.9")
    outputs = [
        Rule(plane.allocate(), call.secure.port, name(phone.sock), Learn.NOBODY, keys=phone.open_keys(plane))
        for phone in listeners
    ]
    open_output = Rule(plane.allocate(), call.plain.port, name(clear), Learn.NOBODY)
    everyone = (call.secure.id, *(rule.id for rule in outputs), open_output.id)
    plane.apply([*outputs, open_output, replace(call.plain, rtp=everyone)])
    for seq in range(200):
        call.other.sendto(rtp(seq), call.other_side)
        assert [phone.hear() for phone in (call.phone, *listeners)] == [rtp(seq)] * 3
        assert clear.recv(2000) == rtp(seq)


def test_numbers_roll_over_amid_loss_and_reordering(connect: Connect) -> None:
    call = connect(CM)
    phone = secure_too(call, GCM)
    order = list(range(65530, 65530 + 12000))
    del order[4], order[6:9]  # 65534 and some after the wrap are lost, by others some are overtaken
    for first in (1, 3, 20, 40, 5000):
        order[first], order[first + 2] = order[first + 2], order[first]
    for seq in order:
        call.phone.send(rtp(seq), call.phone_side)
        assert phone.hear() == rtp(seq)
    assert (call.count("rtp_packets"), call.count("auth"), call.count("replay")) == (len(order), 0, 0)


def test_late_packet_from_before_the_wrap_is_opened(connect: Connect) -> None:
    call = connect(CM)
    packets = {seq: call.phone.protected(rtp(seq)) for seq in range(65500, 65600)}
    order = [65500, *range(65502, 65600), 65501]
    for seq in order:
        call.phone.sock.sendto(packets[seq], call.phone_side)
    assert [call.other.recv(2000) for _ in order] == [rtp(seq) for seq in order]


def test_video_wraps_more_than_once(connect: Connect) -> None:
    call = connect(GCM)
    for seq in range(65000, 65000 + 3 * 65536, 100):
        call.phone.send(rtp(seq), call.phone_side)
        assert call.other.recv(2000) == rtp(seq)
        call.other.sendto(rtp(seq), call.other_side)
        assert call.phone.hear() == rtp(seq)


def test_several_ssrcs_have_counters_of_their_own(connect: Connect) -> None:
    call = connect(CM)
    phone = secure_too(call, SHORT)
    for seq in range(65500, 65700):
        for ssrc in (1, 2, 0xDEADBEEF):
            call.phone.send(rtp(seq + 1000 * (ssrc & 3), ssrc), call.phone_side)
            assert phone.hear() == rtp(seq + 1000 * (ssrc & 3), ssrc)


def test_ssrcs_of_a_direction_are_limited(connect: Connect) -> None:
    call = connect(CM)
    for ssrc in range(1, MAX_SSRCS + 50):
        call.other.sendto(rtp(1, ssrc), call.other_side)
        call.phone.send(rtp(1, ssrc), call.phone_side)
    until(lambda: call.count("send_error", call.plain) == 49 and call.count("auth") == 49)
    call.phone.send(rtp(2, 7), call.phone_side)
    until(lambda: call.count("rtp_packets") == MAX_SSRCS + 1)


def test_plain_rules_beside_srtp_pass_anything_untouched(connect: Connect, plane: NativePlane) -> None:
    call = connect()
    plane.apply([replace(call.plain, rtp=(call.plain.id,))])
    for packet in (rtp(1), DTLS):
        call.other.sendto(packet, call.other_side)
        assert call.other.recv(2000) == packet


def test_what_is_neither_rtp_nor_rtcp_never_passes_a_peer_with_keys(connect: Connect) -> None:
    call = connect()
    call.phone.send(rtp(1), call.phone_side)
    call.phone.sock.sendto(DTLS, call.phone_side)
    call.phone.sock.sendto(bytes([100]) * 20, call.phone_side)
    call.other.sendto(rtp(1), call.other_side)
    call.other.sendto(DTLS, call.other_side)
    until(lambda: call.count("malformed") == 2 and call.count("no_output", call.plain) == 1)


def test_dtls_goes_up_from_accepted_sources_only(connect: Connect, phones: Phones) -> None:
    call, stranger = connect(), phones("127.0.0.66")
    handshake = replace(
        call.secure, keys=None, dtls=True, learn=Learn.NOBODY, sources=(name(call.phone.sock),)
    )
    call.plane.apply([handshake])
    stranger.sendto(DTLS, call.phone_side)
    call.phone.sock.sendto(DTLS, call.phone_side)
    assert events(call.plane, 1) == [Dtls(call.secure.port, name(call.phone.sock), DTLS)]
    call.plane.apply([replace(handshake, keys=call.secure.keys)])
    call.phone.sock.sendto(DTLS + b"again", call.phone_side)
    assert events(call.plane, 1) == [Dtls(call.secure.port, name(call.phone.sock), DTLS + b"again")]
    assert (call.count("stranger"), call.count("rtp_packets")) == (1, 0)


def test_without_ice_the_handshake_shows_the_peer_until_there_are_keys(
    connect: Connect, phones: Phones
) -> None:
    call = connect()
    moved = phones("127.0.0.77")
    handshake = replace(call.secure, keys=None, dtls=True, generation=1)
    call.plane.apply([handshake])
    moved.sendto(DTLS, call.phone_side)
    assert events(call.plane, 1) == [Dtls(call.secure.port, name(moved), DTLS)]
    assert call.plane.peer(call.secure.id) == name(moved)
    call.plane.apply([replace(handshake, keys=call.secure.keys)])
    phones("127.0.0.66").sendto(DTLS, call.phone_side)
    until(lambda: call.count("stranger") == 1)


def test_no_media_passes_before_the_keys_of_a_handshake(connect: Connect) -> None:
    call = connect()
    call.plane.apply([replace(call.secure, keys=None, dtls=True)])
    call.phone.send(rtp(1), call.phone_side)
    call.other.sendto(rtp(2), call.other_side)
    until(lambda: call.count("auth") == 1 and call.count("no_peer", call.plain) == 1)
    call.plane.apply([replace(call.secure, dtls=True)])
    call.phone.send(rtp(3), call.phone_side)
    assert call.other.recv(2000) == rtp(3)


def test_keys_change_in_mid_call_while_media_flows(connect: Connect) -> None:
    call = connect(CM)
    seq = 0
    for _ in range(50):
        old = call.secure.keys
        call.phone.new_keys()
        call.secure = replace(call.secure, keys=call.phone.open_keys(call.plane))
        for _ in range(20):  # the plain side does not wait for anybody
            seq += 1
            call.other.sendto(rtp(seq), call.other_side)
        call.plane.apply([call.secure])
        assert old is not None
        call.plane.close_keys(old)
        call.phone.send(rtp(seq), call.phone_side)
        assert call.other.recv(2000) == rtp(seq)
    until(lambda: call.count("sent_packets") == seq)
    assert (call.count("auth"), call.count("send_error", call.plain)) == (0, 0)


@pytest.mark.parametrize("name", ["AES_CM_128_HMAC_SHA1_80", "AEAD_AES_128_GCM"])
def test_a_direction_whose_key_stays_goes_on_with_its_roll_over_counter(name: str, connect: Connect) -> None:
    """The other one gets a new key, as in a re-offer of one party."""
    call = connect(profile_named(name))
    for seq in range(65500, 65600):
        call.phone.send(rtp(seq), call.phone_side)
        assert call.other.recv(2000) == rtp(seq)
        call.other.sendto(rtp(seq), call.other_side)
        assert call.phone.hear() == rtp(seq)
    packet = call.phone.protected(rtp(65600))
    for _ in range(2):
        old = call.secure.keys
        assert old is not None
        kept, kept_key = call.phone.leaving, call.phone.out_key
        call.phone.new_keys()
        call.phone.leaving, call.phone.out_key = kept, kept_key
        call.secure = replace(call.secure, keys=call.phone.open_keys(call.plane, after=old))
        call.plane.apply([call.secure])
        call.plane.close_keys(old)
        call.phone.sock.sendto(packet, call.phone_side)
    assert call.other.recv(2000) == rtp(65600)
    call.other.sendto(rtp(1), call.other_side)
    assert call.phone.hear() == rtp(1)
    until(lambda: call.count("replay") == 1)  # what was heard before the change is not heard again
    assert call.count("auth") == 0


def test_rule_with_closed_keys_receives_and_sends_nothing(connect: Connect) -> None:
    call = connect()
    assert call.secure.keys is not None
    call.plane.close_keys(call.secure.keys)
    call.phone.send(rtp(1), call.phone_side)
    call.other.sendto(rtp(1), call.other_side)
    until(lambda: call.count("auth") == 1 and call.count("send_error", call.plain) == 1)
    stranger = Phone(call.phone.sock, CM)  # its keys come to lie where the old ones were
    stranger.open_keys(call.plane)
    stranger.send(rtp(1), call.phone_side)
    until(lambda: call.count("auth") == 2)


def test_opening_and_closing_under_load_loses_no_memory_and_no_descriptors(connect: Connect) -> None:
    call = connect(CM)

    def cycle(count: int) -> None:
        for seq in range(count):
            for _ in range(5):
                call.other.sendto(rtp(seq), call.other_side)
                call.phone.sock.sendto(rtp(seq), call.phone_side)
            old = call.secure.keys
            assert old is not None
            call.plane.close_keys(old)
            call.secure = replace(call.secure, keys=call.phone.open_keys(call.plane))
            call.plane.apply([call.secure])
            call.plane.events()

    cycle(300)
    memory, descriptors = resident(), len(os.listdir("/proc/self/fd"))
    cycle(1000)
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert resident() - memory < 1_000_000  # 1,000 pairs of contexts are eight times that
    assert call.count("auth") > 0
    assert call.count("sent_packets") > 0


def resident() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


def test_dropped_rules_and_closed_keys_come_and_go_together(connect: Connect) -> None:
    call = connect(GCM)
    for seq in range(200):
        phone = Phone(call.phone.sock, GCM)
        keys = phone.open_keys(call.plane)
        extra = Rule(call.plane.allocate(), call.secure.port, ("127.0.0.9", 9), Learn.NOBODY, keys=keys)
        call.plane.apply([extra, replace(call.plain, rtp=(call.secure.id, extra.id))])
        call.other.sendto(rtp(seq), call.other_side)
        call.plane.apply([call.plain, Drop(extra.id)])
        call.plane.close_keys(keys)
        assert call.phone.hear() == rtp(seq)


def test_every_worker_has_keys_of_its_own(phones: Phones) -> None:
    plane = NativePlane(3, rules=16)
    try:
        for worker in range(3):
            sock, phone = phones("127.0.0.1"), Phone(phones("127.0.0.2"), PROFILES[worker])
            side, echo = name(sock), plane.allocate()
            port, keys = plane.open(sock, worker), phone.open_keys(plane)
            plane.apply([Rule(echo, port, name(phone.sock), Learn.WINDOW, rtp=(echo,), keys=keys)])
            phone.send(rtp(1), side)
            assert phone.hear() == rtp(1)
            plane.close_keys(keys)
            plane.close_keys(phone.open_keys(plane))
    finally:
        plane.stop()


@pytest.mark.parametrize("build", [lambda: NativePlane(2, rules=8), lambda: FakePlane(2, rules=8)])
def test_wrong_keys_are_refused(build: Callable[[], Plane]) -> None:
    plane = build()
    socks = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
    for sock in socks:
        sock.bind(("127.0.0.1", 0))
    ports = [plane.open(sock, worker) for worker, sock in enumerate(socks)]
    first, second = plane.allocate(), plane.allocate()
    keys = plane.open_keys(CM, master(CM), master(CM))
    plane.apply([Rule(first, ports[0], None, Learn.WINDOW, keys=keys)])
    try:
        for wrong, why in (
            (Rule(second, ports[0], None, Learn.WINDOW, keys=keys + 77), "not open"),
            (Rule(second, ports[1], None, Learn.WINDOW, keys=keys), "belong to worker 0"),
            (Rule(second, ports[0], None, Learn.WINDOW, keys=keys, opaque=True), "not RTP"),
            (Rule(second, ports[0], None, Learn.WINDOW, dtls=True, opaque=True), "not RTP"),
        ):
            with pytest.raises(ValueError, match=why):
                plane.apply([wrong])
        with pytest.raises(ValueError, match="not open"):
            plane.close_keys(keys + 77)
        with pytest.raises(SrtpError, match="needs a key of 16"):
            plane.open_keys(CM, master(CM), master(GCM))
        with pytest.raises(SrtpUnavailable, match="no F8"):
            plane.open_keys(
                Profile("F8_128", None, 16, 14, 10, 10), MasterKey(bytes(16), bytes(14)), master(CM)
            )
        plane.close_keys(keys)
        with pytest.raises(ValueError, match="not open"):
            plane.close_keys(keys)
    finally:
        plane.stop()


def test_plane_without_the_library_refuses_keys_and_forwards_the_rest(
    monkeypatch: pytest.MonkeyPatch, plane: NativePlane, phones: Phones, local_ports: LocalPorts
) -> None:
    monkeypatch.setitem(sys.modules, "pylibsrtp._binding", ModuleType("pylibsrtp._binding"))
    srtp_library.library.cache_clear()
    srtp_library.load.cache_clear()
    srtp_library.supported.cache_clear()
    try:
        with pytest.raises(SrtpUnavailable, match="is not built as expected"):
            plane.open_keys(CM, master(CM), master(CM))
        assert srtp_library.supported() == ()
    finally:
        srtp_library.supported.cache_clear()
    phone, (port, side) = phones("127.0.0.2"), local_ports(plane, "127.0.0.1")
    echo = plane.allocate()
    plane.apply([Rule(echo, port, name(phone), Learn.WINDOW, rtp=(echo,))])
    phone.sendto(rtp(1), side)
    assert phone.recv(2000) == rtp(1)
