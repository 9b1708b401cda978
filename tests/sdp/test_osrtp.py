from __future__ import annotations

from pathlib import Path

import pytest

from sdp.osrtp import opportunistic
from sdp.session import SdpError, Session

CAPTURES = sorted((Path(__file__).parents[1] / "data" / "sdp").glob("*.sdp"))
CRYPTO = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:DZwgp04kJNQKVutxfntDiLbExxLGrJDPgaGXTeuj\r\n"
FINGERPRINT = "a=fingerprint:sha-1 " + ":".join(["00"] * 20) + "\r\n"


def is_opportunistic(protocol: str, media: str = "", session: str = "") -> bool:
    parsed = Session.parse(f"v=0\r\n{session}m=audio 5000 {protocol} 0\r\n{media}")
    return opportunistic(parsed, parsed.medias[0])


@pytest.mark.parametrize("protocol", ["RTP/AVP", "RTP/AVPF"])
def test_a_plain_profile_with_keys_is_opportunistic(protocol: str) -> None:
    assert is_opportunistic(protocol, CRYPTO)
    assert is_opportunistic(protocol, FINGERPRINT)
    assert is_opportunistic(protocol, session=FINGERPRINT)


def test_a_plain_profile_without_usable_keys_is_plain() -> None:
    assert not is_opportunistic("RTP/AVP")
    assert not is_opportunistic(
        "RTP/AVP", "a=crypto:1 nonsense\r\na=fingerprint:sha-1 00\r\na=setup:active\r\n"
    )


@pytest.mark.parametrize("protocol", ["RTP/SAVP", "RTP/SAVPF", "UDP/TLS/RTP/SAVPF", "UDP/DTLS/SCTP"])
def test_a_secure_profile_is_not_opportunistic(protocol: str) -> None:
    assert not is_opportunistic(protocol, CRYPTO + FINGERPRINT)


def test_a_malformed_m_line_is_an_error() -> None:
    parsed = Session.parse("v=0\r\nm=audio\r\n")
    with pytest.raises(SdpError):
        opportunistic(parsed, parsed.medias[0])


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.stem)
def test_nobody_we_captured_was_opportunistic(path: Path) -> None:
    session = Session.parse(path.read_bytes().decode())
    assert not any(opportunistic(session, media) for media in session.medias)
