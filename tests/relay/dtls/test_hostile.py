"""Peers that lie, flood, or send noise: refused by reason, in bounded time and memory."""

from __future__ import annotations

import contextlib
import os
import random
import weakref
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL

from relay.dtls.handshake import (
    MAX_DATAGRAMS,
    MAX_EARLY,
    PATIENCE,
    Failed,
    Handshake,
    Keys,
    Output,
    Reason,
    Restart,
    Role,
    Send,
    State,
)
from relay.dtls.identity import Identity
from tests.relay.dtls.network import THEIRS, WALL, Network, active_end, bad_network, network, passive_end

STRANGER = Identity.create(WALL)


class Client:
    """OpenSSL as a DTLS client of the test's own making."""

    def __init__(self, key: ec.EllipticCurvePrivateKey | None = None, profiles: bytes = b"") -> None:
        context = SSL.Context(SSL.DTLS_METHOD)
        if key:
            self.identity = Identity.with_key(key, WALL)
            context.use_privatekey(key)
            context.use_certificate(x509.load_der_x509_certificate(self.identity.certificate))
        if profiles:
            context.set_tlsext_use_srtp(profiles)
        self.connection = SSL.Connection(context, None)
        self.connection.set_connect_state()

    def flight(self, *received: bytes) -> bytes:
        """What it sends after these have come."""
        for datagram in received:
            self.connection.bio_write(datagram)
        with contextlib.suppress(SSL.WantReadError):
            self.connection.do_handshake()
        return self.connection.bio_read(65536)


def sent(outputs: list[Output]) -> list[bytes]:
    return [output.datagram for output in outputs if isinstance(output, Send)]


def ends(outputs: list[Output]) -> list[Output]:
    return [output for output in outputs if not isinstance(output, Send)]


def resident() -> int:
    """Bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def connected() -> Network:
    return network(active_end(), passive_end()).run()


def test_a_client_with_a_wrong_certificate_gets_no_keys_and_an_alert() -> None:
    pair = network(active_end(STRANGER), passive_end()).run()
    assert pair.passive.failure == Reason.FINGERPRINT
    assert pair.active.failure == Reason.REFUSED


def test_a_server_with_a_wrong_certificate_gets_no_keys_and_an_alert() -> None:
    pair = network(active_end(), passive_end(STRANGER)).run()
    assert pair.active.failure == Reason.FINGERPRINT
    assert pair.passive.failure == Reason.REFUSED


def test_an_sdp_without_a_usable_fingerprint_lets_nobody_in() -> None:
    pair = network(active_end(), Handshake(THEIRS, Role.PASSIVE, [])).run()
    assert pair.passive.failure == Reason.FINGERPRINT


def test_a_client_without_a_certificate_is_refused() -> None:
    client, passive = Client(profiles=b"SRTP_AES128_CM_SHA1_80"), passive_end()
    answer = sent(passive.received(client.flight(), 0.0))
    outputs = passive.received(client.flight(*answer), 0.1)
    assert ends(outputs) == [Failed(Reason.NO_CERTIFICATE)]
    assert passive.deadline is None


@pytest.mark.parametrize("profiles", [b"", b"SRTP_AES128_CM_SHA1_32"])
def test_a_client_without_a_profile_in_common_is_refused(profiles: bytes) -> None:
    client = Client(ec.generate_private_key(ec.SECP256R1()), profiles)
    ours = Identity.create(WALL)
    ours.context.set_tlsext_use_srtp(b"SRTP_AEAD_AES_128_GCM")
    passive = passive_end(ours, client.identity)
    answer = sent(passive.received(client.flight(), 0.0))
    outputs = passive.received(client.flight(*answer), 0.1)
    assert ends(outputs) == [Failed(Reason.NO_PROFILE)]


@pytest.mark.parametrize("seed", range(10))
def test_noise_is_never_answered_and_never_raises(seed: int) -> None:
    chance = random.Random(seed)
    pair = connected()
    active, passive = active_end(), passive_end()
    active.start(0.0)
    for _ in range(500):
        noise = bytes([chance.randrange(20, 64)]) + chance.randbytes(chance.randrange(200))
        for handshake in (active, passive, pair.active.handshake, pair.passive.handshake):
            assert handshake.received(noise, 0.1) == []
    assert passive.state is State.IDLE


@pytest.mark.parametrize("seed", range(100))
def test_wrong_bits_never_raise_and_never_make_different_keys(seed: int) -> None:
    pair = network(active_end(), passive_end(), bad_network(seed, errors=0.4)).run()
    outputs = pair.active.outputs + pair.passive.outputs
    keys = [output for output in outputs if isinstance(output, Keys)]
    assert len(keys) < 2 or (keys[0].local, keys[0].remote) == (keys[1].remote, keys[1].local)
    assert pair.now <= 100.0 + PATIENCE + 1.0


def test_a_flood_of_datagrams_ends_the_handshake() -> None:
    passive = passive_end()
    (hello,) = sent(active_end().start(0.0))
    outputs = [output for _ in range(MAX_DATAGRAMS + 10) for output in passive.received(hello, 0.0)]
    assert ends(outputs) == [Failed(Reason.FLOOD)]
    assert len(sent(outputs)) == 1
    assert passive.deadline is None


def test_records_that_come_before_their_time_are_taken_in_small_numbers() -> None:
    passive = passive_end()
    (hello,) = sent(active_end().start(0.0))
    passive.received(hello, 0.0)
    early = b"".join(
        bytes([22, 0xFE, 0xFD, 0, 1]) + number.to_bytes(6) + bytes([0, 40]) + bytes(40)
        for number in range(MAX_EARLY + 1)
    )
    assert passive.received(early, 0.0) == [Failed(Reason.FLOOD)]


def test_forged_alerts_and_goodbyes_after_the_handshake_are_not_believed() -> None:
    pair = connected()
    for epoch in (0, 1):
        for number in range(100):
            alert = bytes([21, 0xFE, 0xFD, 0, epoch]) + number.to_bytes(6) + bytes([0, 26]) + bytes(26)
            assert pair.passive.handshake.received(alert, pair.now) == []
    assert pair.passive.handshake.state is State.DONE


def test_a_goodbye_of_the_peer_changes_nothing() -> None:
    """When a call is over, signalling says so; a goodbye may come after the next handshake has begun."""
    client = Client(ec.generate_private_key(ec.SECP256R1()), b"SRTP_AES128_CM_SHA1_80")
    passive = passive_end(peer=client.identity)
    answer = sent(passive.received(client.flight(), 0.0))
    answer = sent(passive.received(client.flight(*answer), 0.1))
    with pytest.raises(SSL.WantReadError):
        client.flight(*answer)
    client.connection.shutdown()
    assert passive.received(client.connection.bio_read(65536), 0.2) == []
    assert passive.state is State.DONE


def test_connected_peers_hold_no_openssl() -> None:
    """A connection of OpenSSL takes 50 kB or more."""
    kept = [connected() for _ in range(100)]
    before = resident()
    kept += [connected() for _ in range(500)]
    assert resident() - before < 500 * 2 * 10_000
    assert all(pair.passive.handshake.state is State.DONE for pair in kept)


def test_a_flood_of_client_hellos_costs_one_handshake() -> None:
    passive = passive_end()
    hellos = [sent(active_end().start(0.0))[0] for _ in range(100)]
    outputs = [output for hello in hellos for output in passive.received(hello, 0.0)]
    assert len(sent(outputs)) == 1
    assert ends(outputs) == [Restart()] * 99


def test_a_handshake_that_nobody_holds_is_gone_at_once() -> None:
    pair = connected()
    remains = weakref.ref(pair.passive.handshake)
    del pair.passive.handshake
    assert remains() is None


def test_a_thousand_refused_peers_leave_no_memory_behind() -> None:
    """One handshake has 65 kB."""

    def refuse(number: int) -> None:
        for _ in range(number):
            network(active_end(STRANGER), passive_end()).run()
            network(active_end(), passive_end(), bad_network(0, loss=1.0)).run()

    refuse(100)
    before = resident()
    refuse(500)
    assert resident() - before < 8_000_000
