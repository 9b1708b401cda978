"""libsrtp by address."""

import pytest

from relay.forward.plane import SrtpUnavailable
from relay.forward.srtp_library import Context, Library, library, load, supported
from relay.srtp.profiles import PROFILES, MasterKey, Profile, SrtpError, profile_named
from tests.relay.forward.srtp_phone import end, master, rtcp, rtp

EVERY = pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)


def test_the_library_passes_its_test_and_has_every_profile() -> None:
    assert load().version.startswith("libsrtp2")
    assert supported() == PROFILES


@EVERY
def test_pointers_and_public_interface_make_the_same_packets(profile: Profile) -> None:
    key = master(profile)
    ours, theirs = Context(profile, key, inbound=False), end(profile, key, inbound=False)
    opener = end(profile, key, inbound=True)
    for seq in range(65500, 65600):
        protected = ours.protect(rtp(seq))
        assert protected == theirs.protect(rtp(seq))
        assert len(protected) == len(rtp(seq)) + profile.rtp_tag
        assert opener.unprotect(protected) == rtp(seq)
    assert len(ours.protect(rtcp(), rtcp=True)) == len(rtcp()) + 4 + profile.rtcp_tag
    ours.close()
    ours.close()


@EVERY
def test_only_the_null_cipher_leaves_the_payload_readable(profile: Profile) -> None:
    readable = rtp(1)[12:] in Context(profile, master(profile), inbound=False).protect(rtp(1))
    assert readable == profile.name.startswith("NULL")


def test_roll_over_counter_is_told_and_carried_on() -> None:
    profile = profile_named("AES_CM_128_HMAC_SHA1_80")
    key = master(profile)
    sender, receiver = Context(profile, key, inbound=False), Context(profile, key, inbound=True)
    for seq in range(65500, 65600):
        receiver.unprotect(sender.protect(rtp(seq)))
    assert (sender.roc(1), receiver.roc(1), receiver.roc(2)) == (1, 1, None)
    late = Context(profile, key, inbound=True, rocs={1: 1})
    assert late.unprotect(sender.protect(rtp(65600))) == rtp(65600)
    with pytest.raises(RuntimeError, match="authentication"):
        Context(profile, key, inbound=True).unprotect(sender.protect(rtp(65601)))


def test_keys_of_the_wrong_length_are_refused() -> None:
    with pytest.raises(SrtpError, match="a salt of 12"):
        Context(profile_named("AEAD_AES_128_GCM"), MasterKey(bytes(16), bytes(14)), inbound=True)


def test_profile_that_the_library_lacks_is_named() -> None:
    with pytest.raises(SrtpUnavailable, match=r"libsrtp2 .* has no F8"):
        Context(Profile("F8", None, 16, 14, 10, 10), MasterKey(bytes(16), bytes(14)), inbound=True)


def test_another_library_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Library, "_read_version", lambda _: "libsrtp3 3.0.0")
    library.cache_clear()
    try:
        with pytest.raises(SrtpUnavailable, match="libsrtp3"):
            library()
    finally:
        library.cache_clear()
