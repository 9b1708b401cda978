from __future__ import annotations

import pytest

from relay.dtls.fingerprint import HASHES, DtlsError, Fingerprint, matches

CERTIFICATE = b"in DER"
OTHER = b"also in DER"


@pytest.mark.parametrize("hash", HASHES)
def test_a_fingerprint_comes_out_as_it_came_in(hash: str) -> None:
    text = str(Fingerprint.of(CERTIFICATE, hash))
    assert text.startswith(f"{hash} ")
    assert str(Fingerprint.parse(text)) == text


def test_letter_case_does_not_matter() -> None:
    fingerprint = Fingerprint.of(CERTIFICATE)
    assert Fingerprint.parse(str(fingerprint).lower()) == fingerprint
    assert Fingerprint.parse(str(fingerprint).upper()) == fingerprint


@pytest.mark.parametrize(
    "text", ["", "sha-256", "sha-256 AA:BB", "md5 " + ":".join(["AA"] * 16), "sha-1 xx:yy"]
)
def test_what_is_no_fingerprint_is_refused_with_its_text(text: str) -> None:
    with pytest.raises(DtlsError) as refused:
        Fingerprint.parse(text)
    assert refused.value.text == text


def test_one_of_several_fingerprints_is_enough() -> None:
    assert matches(CERTIFICATE, [Fingerprint.of(OTHER), Fingerprint.of(CERTIFICATE)])
    assert not matches(CERTIFICATE, [Fingerprint.of(OTHER)])
    assert not matches(CERTIFICATE, [])


def test_a_weak_hash_does_not_help_where_a_strong_one_is_wrong() -> None:
    assert not matches(CERTIFICATE, [Fingerprint.of(CERTIFICATE, "sha-1"), Fingerprint.of(OTHER, "sha-256")])
    assert matches(CERTIFICATE, [Fingerprint.of(OTHER, "sha-1"), Fingerprint.of(CERTIFICATE, "sha-256")])
