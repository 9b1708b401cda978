from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from cryptography import x509

from relay.dtls.identity import LIFETIME, Identities, Identity
from tests.relay.dtls.network import WALL, active_end, network, passive_end


def test_the_certificate_is_valid_now_and_long_enough_for_any_call() -> None:
    certificate = x509.load_der_x509_certificate(Identity.create(WALL).certificate)
    today = datetime.fromtimestamp(WALL, UTC)
    assert certificate.not_valid_before_utc < today
    assert (certificate.not_valid_after_utc - today).days > 300


def test_the_fingerprint_is_of_the_certificate() -> None:
    identity = Identity.create(WALL)
    assert identity.fingerprint().digest == hashlib.sha256(identity.certificate).digest()
    assert identity.fingerprint("sha-512").digest == hashlib.sha512(identity.certificate).digest()


def test_a_certificate_is_used_for_its_lifetime_and_then_replaced() -> None:
    identities = Identities(WALL)
    first = identities.current(WALL)
    assert identities.current(WALL + LIFETIME - 1) is first
    second = identities.current(WALL + LIFETIME)
    assert second.certificate != first.certificate
    assert identities.current(WALL + LIFETIME + 1) is second


def test_a_call_that_began_before_the_rotation_still_shakes_hands() -> None:
    identities = Identities(WALL)
    old = identities.current(WALL)
    new = identities.current(WALL + LIFETIME)
    pair = network(active_end(new, peer=old), passive_end(old, new)).run()
    assert pair.active.keys.local == pair.passive.keys.remote
