"""Profiles and master keys."""

import pytest

from relay.srtp.profiles import PROFILES, MasterKey, Profile, SrtpError, profile_named, profile_of_dtls

BOTH = bytes(range(30))


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_profiles_are_found_by_both_names(profile: Profile) -> None:
    assert profile_named(profile.name) is profile
    if profile.dtls is not None:
        assert profile_of_dtls(profile.dtls) is profile


@pytest.mark.parametrize("find", [profile_named, profile_of_dtls])
def test_unknown_profiles_are_named_in_the_error(find: object) -> None:
    with pytest.raises(SrtpError, match="F8_128"):
        find("F8_128_HMAC_SHA1_80")  # type: ignore[operator]


def test_the_short_tag_is_for_rtp_only() -> None:
    short = profile_named("AES_CM_128_HMAC_SHA1_32")
    assert (short.rtp_tag, short.rtcp_tag) == (4, 10)


def test_inline_key_is_key_then_salt() -> None:
    master = MasterKey.split(profile_named("AES_CM_128_HMAC_SHA1_80"), BOTH)
    assert (master.key, master.salt) == (BOTH[:16], BOTH[16:])


@pytest.mark.parametrize("length", [0, 16, 29, 31, 46])
def test_key_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(SrtpError, match="a key of 16 octets and a salt of 14"):
        MasterKey.split(profile_named("AES_CM_128_HMAC_SHA1_80"), bytes(length))


def test_key_and_salt_of_another_profile_are_refused() -> None:
    with pytest.raises(SrtpError, match="not 16 and 14"):
        MasterKey(BOTH[:16], BOTH[16:]).check(profile_named("AEAD_AES_128_GCM"))


def test_keys_are_not_shown() -> None:
    assert repr(MasterKey(b"secret key", b"salt")) == "MasterKey()"
