from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdp.dtls import (
    DIGEST_LENGTH,
    FINGERPRINTS,
    DtlsDescription,
    Fingerprint,
    Setup,
    answer_setup,
    offerer_role,
    read,
)
from sdp.session import SdpError, Session

CAPTURES = sorted((Path(__file__).parents[1] / "data" / "sdp").glob("*.sdp"))
SHA1 = ":".join(["4A", "AD", *["00"] * 18])
SHA256 = ":".join(["8F", "55", *["00"] * 30])


def described(media: str, session: str = "") -> DtlsDescription:
    parsed = Session.parse(f"v=0\r\n{session}m=audio 5000 UDP/TLS/RTP/SAVPF 0\r\n{media}")
    return read(parsed, parsed.medias[0])


def captured(name: str) -> DtlsDescription:
    session = Session.parse((CAPTURES[0].parent / f"{name}.sdp").read_bytes().decode())
    return read(session, session.medias[0])


# Fingerprints.


def test_a_fingerprint_is_read_in_parts() -> None:
    fingerprint = Fingerprint.parse(f"sha-1 {SHA1}")
    assert (fingerprint.hash, fingerprint.value) == ("sha-1", SHA1)
    assert fingerprint.digest == bytes([0x4A, 0xAD]) + bytes(18)


def test_letter_case_does_not_count_but_is_kept() -> None:
    value = f"SHA-256 {SHA256.lower()}"
    assert Fingerprint.parse(value) == Fingerprint("sha-256", SHA256)
    assert len({Fingerprint.parse(value), Fingerprint("sha-256", SHA256)}) == 1
    assert str(Fingerprint.parse(value)) == value


def test_different_digests_are_different() -> None:
    assert Fingerprint("sha-256", SHA256) != Fingerprint("sha-256", SHA256.replace("8F", "8E"))
    assert Fingerprint("sha-1", SHA1) != Fingerprint("sha-x", SHA1)


@given(st.sampled_from(list(DIGEST_LENGTH)), st.data())
def test_what_we_write_is_read_again(hash: str, data: st.DataObject) -> None:
    size = DIGEST_LENGTH[hash]
    digest = data.draw(st.binary(min_size=size, max_size=size))
    fingerprint = Fingerprint(hash, digest.hex(":"))
    again = Fingerprint.parse(str(fingerprint))
    assert again == fingerprint
    assert again.digest == digest


@given(st.text() | st.text("sha-1256 :AaFf09", max_size=70))
def test_any_text_is_a_fingerprint_that_comes_out_as_it_came_or_an_error(value: str) -> None:
    try:
        fingerprint = Fingerprint.parse(value)
    except SdpError:
        return
    assert str(fingerprint) == value


@pytest.mark.parametrize(
    "value",
    [
        "",
        "sha-256",
        SHA256,
        f"sha-256 {SHA256}:",
        f"sha-256 {SHA256.replace(':', '')}",
        f"sha-256 {SHA256.replace('8F', '8G')}",
        f"sha-256 {SHA1}",
        f"sha-256 {SHA256} {SHA256}",
    ],
)
def test_a_malformed_fingerprint_is_refused_with_its_line(value: str) -> None:
    with pytest.raises(SdpError) as caught:
        Fingerprint.parse(value)
    assert caught.value.line == f"a=fingerprint:{value}"


# Descriptions.


def test_a_browser_offers_one_fingerprint_and_either_role() -> None:
    dtls = captured("chromium-audio-offer")
    assert [fingerprint.hash for fingerprint in dtls.fingerprints] == ["sha-256"]
    assert (dtls.setup, dtls.tls_id) == (Setup.ACTPASS, None)


def test_all_fingerprints_of_a_peer_are_read() -> None:
    dtls = captured("aiortc-audio-offer")
    assert [fingerprint.hash for fingerprint in dtls.fingerprints] == ["sha-256", "sha-384", "sha-512"]


def test_a_phone_may_say_it_all_at_the_session_level() -> None:
    dtls = captured("baresip-ice-dtls-offer")
    assert [fingerprint.hash for fingerprint in dtls.fingerprints] == ["sha-256"]
    assert dtls.setup is Setup.ACTPASS


def test_a_plain_phone_offers_no_dtls() -> None:
    assert captured("baresip-plain-offer") == DtlsDescription((), None, None)
    assert not captured("baresip-plain-offer").offered


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.stem)
def test_every_captured_fingerprint_is_read(path: Path) -> None:
    session = Session.parse(path.read_bytes().decode())
    for media in session.medias:
        dtls = read(session, media)
        assert dtls.invalid == ()
        assert dtls.offered is media.protocol.startswith("UDP/TLS/")


def test_each_attribute_of_the_media_wins_over_the_session() -> None:
    session = f"a=fingerprint:sha-1 {SHA1}\r\na=setup:actpass\r\na=tls-id:all\r\n"
    both = described(f"a=fingerprint:sha-256 {SHA256}\r\na=setup:Active \r\n", session)
    assert both == DtlsDescription((Fingerprint("sha-256", SHA256),), Setup.ACTIVE, "all")


def test_a_fingerprint_that_cannot_be_read_is_listed_and_not_replaced_by_another() -> None:
    dtls = described("a=fingerprint:sha-256 00\r\n", f"a=fingerprint:sha-1 {SHA1}\r\n")
    assert (dtls.fingerprints, dtls.invalid, dtls.offered) == ((), ("sha-256 00",), False)


@pytest.mark.parametrize("value", ["a=setup\r\n", "a=setup:both\r\n", "a=setup:\r\na=tls-id:\r\n"])
def test_a_role_that_nobody_knows_is_none(value: str) -> None:
    assert described(value) == DtlsDescription((), None, None)


def test_no_more_fingerprints_are_read_than_anybody_needs() -> None:
    assert len(described(f"a=fingerprint:sha-1 {SHA1}\r\n" * 3000).fingerprints) == FINGERPRINTS


# Roles.


@pytest.mark.parametrize(
    ("offered", "active", "passive"),
    [
        (Setup.ACTPASS, Setup.ACTIVE, Setup.PASSIVE),
        (Setup.ACTIVE, Setup.PASSIVE, Setup.PASSIVE),
        (Setup.PASSIVE, Setup.ACTIVE, Setup.ACTIVE),
        (Setup.HOLDCONN, Setup.HOLDCONN, Setup.HOLDCONN),
        (None, Setup.PASSIVE, Setup.PASSIVE),
    ],
)
def test_an_answer_takes_the_role_that_the_offer_leaves(
    offered: Setup | None, active: Setup, passive: Setup
) -> None:
    assert answer_setup(offered) is active
    assert answer_setup(offered, passive=True) is passive


@pytest.mark.parametrize("passive", [False, True])
def test_a_new_offer_of_either_role_does_not_change_ours(passive: bool) -> None:
    assert answer_setup(Setup.ACTPASS, Setup.PASSIVE, passive) is Setup.PASSIVE
    assert answer_setup(Setup.ACTPASS, Setup.ACTIVE, passive) is Setup.ACTIVE
    assert answer_setup(Setup.ACTPASS, Setup.HOLDCONN) is Setup.ACTIVE


def test_a_new_offer_of_our_own_role_takes_it_from_us() -> None:
    assert answer_setup(Setup.ACTIVE, Setup.ACTIVE) is Setup.PASSIVE


@pytest.mark.parametrize(
    ("answered", "ours"),
    [
        (Setup.ACTIVE, Setup.PASSIVE),
        (Setup.PASSIVE, Setup.ACTIVE),
        (Setup.ACTPASS, Setup.ACTIVE),
        (Setup.HOLDCONN, Setup.HOLDCONN),
        (None, Setup.ACTIVE),
    ],
)
def test_after_our_offer_we_take_the_role_that_the_answer_leaves(answered: Setup | None, ours: Setup) -> None:
    assert offerer_role(answered) is ours
