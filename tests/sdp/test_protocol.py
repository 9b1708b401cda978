from __future__ import annotations

import pytest

from sdp.protocol import Profile, carries_dtls

PROFILES = {
    "RTP/AVP": Profile(secure=False, feedback=False),
    "RTP/AVPF": Profile(secure=False, feedback=True),
    "RTP/SAVP": Profile(secure=True, feedback=False),
    "RTP/SAVPF": Profile(secure=True, feedback=True),
    "UDP/TLS/RTP/SAVP": Profile(secure=True, feedback=False, dtls=True),
    "UDP/TLS/RTP/SAVPF": Profile(secure=True, feedback=True, dtls=True),
}


@pytest.mark.parametrize("name", PROFILES)
def test_the_six_profiles_are_read_and_written(name: str) -> None:
    assert Profile.of(name) == Profile.of(name.lower()) == PROFILES[name]
    assert str(PROFILES[name]) == name


@pytest.mark.parametrize(
    "name", ["", "RTP/AVP/", "UDP/TLS/RTP/AVP", "TCP/RTP/AVP", "udptl", "UDP/DTLS/SCTP", "TCP/TLS/RTP/SAVP"]
)
def test_other_protocols_are_no_profile(name: str) -> None:
    assert Profile.of(name) is None


def test_dtls_without_srtp_is_our_mistake() -> None:
    with pytest.raises(ValueError, match="DTLS without SRTP"):
        Profile(secure=False, feedback=True, dtls=True)


@pytest.mark.parametrize("profile", PROFILES.values())
def test_a_plain_profile_keeps_its_feedback(profile: Profile) -> None:
    assert profile.as_plain() == Profile(False, profile.feedback)
    assert Profile.of(str(profile)) == profile


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("UDP/TLS/RTP/SAVPF", True),
        ("UDP/DTLS/SCTP", True),
        ("dtls/sctp", True),
        ("RTP/SAVPF", False),
        ("udptl", False),
    ],
)
def test_some_protocols_say_dtls_themselves(name: str, expected: bool) -> None:
    assert carries_dtls(name) is expected
