"""What one handshake does, step by step, with itself as the peer."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from pylibsrtp import Policy, Session

from relay.dtls.fingerprint import HASHES
from relay.dtls.handshake import (
    AMPLIFICATION,
    PACKET_HEADERS,
    PATIENCE,
    Failed,
    Handshake,
    Keys,
    Reason,
    Restart,
    Role,
    Send,
    State,
)
from relay.dtls.identity import Identity
from relay.dtls.profile import PROFILES, Profile
from relay.dtls.records import MAX_DATAGRAM
from tests.relay.dtls.network import OURS, THEIRS, WALL, Network, active_end, network, never, passive_end

SRTP = {
    "AEAD_AES_256_GCM": Policy.SRTP_PROFILE_AEAD_AES_256_GCM,
    "AEAD_AES_128_GCM": Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
    "AES_CM_128_HMAC_SHA1_80": Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
    "AES_CM_128_HMAC_SHA1_32": Policy.SRTP_PROFILE_AES128_CM_SHA1_32,
}
ALERT = 21
"""First byte of a record with a goodbye."""
RTP = bytes.fromhex("8000000100000000deadbeef") + bytes(160)


def session(profile: Profile, key: bytes, direction: int) -> Session:
    return Session(policy=Policy(key=key, ssrc_type=direction, srtp_profile=SRTP[profile.suite]))


def protects(sender: Keys, receiver: Keys) -> bool:
    out = session(sender.profile, sender.local, Policy.SSRC_ANY_OUTBOUND)
    into = session(receiver.profile, receiver.remote, Policy.SSRC_ANY_INBOUND)
    return into.unprotect(out.protect(RTP)) == RTP


def identity_with(profile: Profile) -> Identity:
    """Of a peer that offers nothing else."""
    identity = Identity.create(WALL)
    identity.context.set_tlsext_use_srtp(profile.name.encode())
    return identity


def connected() -> Network:
    return network(active_end(), passive_end()).run()


def test_both_ends_get_the_same_keys_without_a_repeat() -> None:
    pair = connected()
    assert pair.active.keys.local == pair.passive.keys.remote
    assert pair.active.keys.remote == pair.passive.keys.local
    assert pair.active.keys.local != pair.active.keys.remote
    assert (len(pair.active.sent), len(pair.passive.sent)) == (2, 2)
    assert pair.active.handshake.deadline is pair.passive.handshake.deadline is None


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.suite)
def test_the_keys_of_every_profile_fit_srtp_in_both_directions(profile: Profile) -> None:
    peer = identity_with(profile)
    pair = network(active_end(OURS, peer), passive_end(peer, OURS)).run()
    assert pair.active.keys.profile == profile
    assert len(pair.active.keys.local) == profile.key + profile.salt
    assert protects(pair.active.keys, pair.passive.keys)
    assert protects(pair.passive.keys, pair.active.keys)


def test_the_profile_we_like_best_is_chosen() -> None:
    assert connected().passive.keys.profile.suite == "AEAD_AES_256_GCM"


@pytest.mark.parametrize("hash", HASHES)
def test_the_peer_may_use_any_hash_for_its_fingerprint(hash: str) -> None:
    active = Handshake(OURS, Role.ACTIVE, [THEIRS.fingerprint(hash)])
    pair = network(active, passive_end()).run()
    assert pair.active.keys


def test_keys_do_not_show_in_logs() -> None:
    keys = connected().active.keys
    assert repr(keys.local)[2:10] not in repr(keys)
    assert "local" not in repr(keys)


def test_a_passive_end_waits_for_as_long_as_the_phone_rings() -> None:
    passive = passive_end()
    assert passive.start(0.0) == []
    assert passive.deadline is None
    (hello,) = active_end().start(0.0)
    assert isinstance(hello, Send)
    assert passive.received(hello.datagram, 120.0)
    assert passive.state is State.SHAKING


def test_a_peer_that_never_answers_is_given_up() -> None:
    pair = network(active_end(), passive_end(), fate=never).run()
    assert pair.active.failure == Reason.TIMEOUT
    assert pair.now == 100.0 + PATIENCE
    assert 10 < len(pair.active.sent) < 25


def test_a_lost_last_flight_is_sent_again_when_the_peer_repeats_its_own() -> None:
    pair = connected()
    finished, last = pair.active.sent[-1], pair.passive.sent[-1]
    passive = pair.passive.handshake
    assert passive.received(finished, pair.now + 1.0) == [Send(last)]
    assert passive.received(finished, pair.now + 1.0) == []  # not once per copy
    assert passive.received(finished, pair.now + 2.0) == [Send(last)]


def test_the_last_flight_is_not_repeated_for_ever() -> None:
    pair = connected()
    again = [pair.passive.handshake.received(pair.active.sent[-1], pair.now + n) for n in range(1, 100)]
    assert 5 < sum(map(len, again)) < 50


def test_application_data_is_ignored() -> None:
    pair = connected()
    data = bytes([23, 0xFE, 0xFD, 0, 1, 0, 0, 0, 0, 0, 9, 0, 30]) + bytes(30)
    assert pair.passive.handshake.received(data, pair.now) == []
    assert pair.passive.handshake.state is State.DONE


def test_a_new_client_hello_is_reported_and_an_old_one_is_not() -> None:
    pair = connected()
    (fresh,) = active_end().start(pair.now)
    assert isinstance(fresh, Send)
    for end in (pair.active, pair.passive):
        assert end.handshake.received(fresh.datagram, pair.now) == [Restart()]
        assert end.handshake.state is State.DONE
    assert pair.passive.handshake.received(pair.active.sent[0], pair.now) == []


def test_a_foreign_client_hello_does_not_disturb_a_running_handshake() -> None:
    pair = network(active_end(), passive_end())
    pair.take(pair.active, pair.active.handshake.start(pair.now))
    (fresh,) = active_end().start(pair.now)
    assert isinstance(fresh, Send)
    pair.carry(pair.passive, fresh.datagram)
    pair.carry(pair.active, fresh.datagram)
    pair.run(start=False)
    assert Restart() in pair.passive.outputs
    assert Restart() in pair.active.outputs
    assert any(isinstance(output, Keys) for output in pair.active.outputs)


def test_an_rsa_certificate_of_4096_bits_goes_in_datagrams_of_1200_bytes() -> None:
    large = Identity.with_key(rsa.generate_private_key(65537, 4096), WALL)
    for pair in (
        network(active_end(OURS, large), passive_end(large, OURS)).run(),
        network(active_end(large, OURS), passive_end(OURS, large)).run(),
    ):
        assert pair.active.keys.local == pair.passive.keys.remote
        sent = pair.active.sent + pair.passive.sent
        assert max(map(len, sent)) <= MAX_DATAGRAM
        assert len(sent) == 5


def test_a_stranger_with_a_forged_address_gets_at_most_three_times_what_he_sends() -> None:
    passive = passive_end(validated=False)
    (hello,) = active_end().start(0.0)
    assert isinstance(hello, Send)
    outputs = passive.received(hello.datagram, 0.0)
    while (deadline := passive.deadline) is not None:
        outputs += passive.timeout(deadline)
    sent = [len(output.datagram) + PACKET_HEADERS for output in outputs if isinstance(output, Send)]
    assert 0 < sum(sent) <= AMPLIFICATION * (len(hello.datagram) + PACKET_HEADERS)
    assert outputs[-1] == Failed(Reason.TIMEOUT)


def test_an_honest_peer_without_ice_connects_without_a_repeat() -> None:
    pair = network(active_end(), passive_end(validated=False)).run()
    assert pair.active.keys.local == pair.passive.keys.remote
    assert (len(pair.active.sent), len(pair.passive.sent)) == (2, 2)


def test_a_timeout_that_comes_too_soon_does_nothing() -> None:
    active = active_end()
    assert active.timeout(0.0) == []
    active.start(0.0)
    assert active.timeout(0.1) == []
    assert active.start(0.1) == []
