from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdp.crypto import SUITES, Crypto, Mki, read
from sdp.session import Media, SdpError, Session

DATA = Path(__file__).parents[1] / "data" / "sdp"
KEY = "DZwgp04kJNQKVutxfntDiLbExxLGrJDPgaGXTeuj"
SHORT = "r+9PtlWiEOxX0GUyUkHcql62ONMYxQ0fhUCHfw"  # 28 bytes, whose text has two characters of padding
PLAIN = f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}"
RFC = (  # RFC 4568, section 10.2
    "2 F8_128_HMAC_SHA1_80 inline:MTIzNDU2Nzg5QUJDREUwMTIzNDU2Nzg5QUJjZGVm|2^20|1:4"
    ";inline:QUJjZGVmMTIzNDU2Nzg5QUJDREUwMTIzNDU2Nzg5|2^20|2:4 FEC_ORDER=FEC_SRTP"
)

words = st.text("ABCDEFGHIJ_0123456789=-", min_size=1, max_size=12)
keys_of_unknown_suites = st.binary(min_size=1, max_size=60)
mkis = st.integers(1, 128).flatmap(lambda n: st.builds(Mki, st.integers(0, 256**n - 1), st.just(n)))


@st.composite
def cryptos(draw: st.DrawFn) -> Crypto:
    suite = draw(st.sampled_from([*SUITES, "OTHER"]))
    size = SUITES[suite].length if suite in SUITES else draw(st.integers(1, 60))
    return Crypto(
        draw(st.integers(0, 999999999)),
        suite,
        draw(st.binary(min_size=size, max_size=size)),
        draw(st.none() | st.integers(0, 2**48)),
        draw(st.none() | mkis),
        tuple(draw(st.lists(words, max_size=3))),
        draw(st.booleans()),
    )


def test_a_line_is_read_in_parts() -> None:
    crypto = Crypto.parse(f"{PLAIN}|2^31|9:2 UNENCRYPTED_SRTCP WSH=64")
    assert (crypto.tag, crypto.suite) == (1, "AES_CM_128_HMAC_SHA1_80")
    assert crypto.key == base64.b64decode(KEY)
    assert (crypto.lifetime, crypto.mki) == (2**31, Mki(9, 2))
    assert crypto.parameters == ("UNENCRYPTED_SRTCP", "WSH=64")


def test_of_several_keys_the_first_is_read() -> None:
    crypto = Crypto.parse(RFC)
    assert crypto.key == b"123456789ABCDE0123456789ABcdef"
    assert (crypto.lifetime, crypto.mki) == (2**20, Mki(1, 4))
    assert crypto.parameters == ("FEC_ORDER=FEC_SRTP",)
    assert str(crypto) == RFC


def test_several_keys_need_an_mki_to_be_told_apart() -> None:
    with pytest.raises(SdpError, match="several keys"):
        Crypto.parse(f"{PLAIN};inline:{KEY}")


def test_several_keys_may_be_apart() -> None:
    crypto = Crypto.parse(RFC.replace(";", "; "))
    assert crypto.key == b"123456789ABCDE0123456789ABcdef"
    assert crypto.parameters == ("FEC_ORDER=FEC_SRTP",)


@pytest.mark.parametrize(
    ("text", "lifetime", "mki"),
    [
        ("", None, None),
        ("|2^20", 2**20, None),
        ("|1048576", 2**20, None),
        ("|1:4", None, Mki(1, 4)),
        ("|2^20|1:4", 2**20, Mki(1, 4)),
        ("||1:4", None, Mki(1, 4)),
    ],
)
def test_lifetime_and_mki_may_each_be_missing(text: str, lifetime: int | None, mki: Mki | None) -> None:
    crypto = Crypto.parse(PLAIN + text)
    assert (crypto.lifetime, crypto.mki) == (lifetime, mki)
    assert crypto.key == base64.b64decode(KEY)


@pytest.mark.parametrize("text", [SHORT, SHORT + "=", SHORT + "=="])
def test_padding_may_be_missing(text: str) -> None:
    crypto = Crypto.parse(f"1 AEAD_AES_128_GCM inline:{text}")
    assert crypto.key == base64.b64decode(SHORT + "==")
    assert str(crypto) == f"1 AEAD_AES_128_GCM inline:{text}"


def test_padding_is_written_on_request() -> None:
    key = base64.b64decode(SHORT + "==")
    assert str(Crypto(1, "AEAD_AES_128_GCM", key)) == f"1 AEAD_AES_128_GCM inline:{SHORT}"
    assert str(Crypto(1, "AEAD_AES_128_GCM", key, padding=True)) == f"1 AEAD_AES_128_GCM inline:{SHORT}=="


def test_a_changed_line_is_padded_like_the_old_one() -> None:
    padded = Crypto.parse(f"1 AEAD_AES_128_GCM inline:{SHORT}==|2^31")
    assert str(replace(padded, tag=7)) == f"7 AEAD_AES_128_GCM inline:{SHORT}==|2^31"
    assert str(replace(Crypto.parse(PLAIN), tag=7)) == PLAIN.replace("1 ", "7 ", 1)


def test_the_letter_case_of_a_suite_does_not_matter() -> None:
    value = f"1 aes_cm_128_hmac_sha1_80 INLINE:{KEY}"
    assert Crypto.parse(value) == Crypto.parse(PLAIN)
    assert str(Crypto.parse(value)) == value


@given(cryptos())
def test_what_we_write_is_read_again(crypto: Crypto) -> None:
    again = Crypto.parse(str(crypto))
    assert again == crypto
    assert str(again) == str(crypto)


@given(st.text() | st.text(" 1A=|:;^2inle", max_size=40).map(lambda text: PLAIN + text))
def test_any_text_is_a_line_that_comes_out_as_it_came_or_an_error(value: str) -> None:
    try:
        crypto = Crypto.parse(value)
    except SdpError:
        return
    assert str(crypto) == value


@pytest.mark.parametrize(
    "value",
    [
        "",
        "1",
        "1 AES_CM_128_HMAC_SHA1_80",
        f"x AES_CM_128_HMAC_SHA1_80 inline:{KEY}",
        f"1234567890 AES_CM_128_HMAC_SHA1_80 inline:{KEY}",
        f"1 AES_CM_128_HMAC_SHA1_80 prompt:{KEY}",
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY[:-4]}",
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}AAAA",
        f"1 AES_256_CM_HMAC_SHA1_80 inline:{KEY}",
        "1 OTHER inline:A",
        f"1 OTHER inline:{KEY[:-1]}?",
        f"{PLAIN}|x",
        f"{PLAIN}|2^200",
        f"{PLAIN}|" + "9" * 5000,
        f"{PLAIN}|1:0",
        f"{PLAIN}|1:129",
        f"{PLAIN}|256:1",
        f"{PLAIN}|" + "9" * 5000 + ":4",
        f"{PLAIN}|1:4|2^20",
        f"{PLAIN}|2^20|1:4|5",
    ],
)
def test_a_malformed_line_is_refused(value: str) -> None:
    with pytest.raises(SdpError, match="a=crypto with"):
        Crypto.parse(value)


@pytest.mark.parametrize("value", [f"1 inline:{KEY}x", f"inline:{KEY}", f"{PLAIN}|x"])
def test_no_key_is_shown_in_an_error(value: str) -> None:
    with pytest.raises(SdpError) as caught:
        Crypto.parse(value)
    assert KEY not in str(caught.value)
    assert caught.value.line.startswith("a=crypto:")


def test_no_key_is_shown_by_repr() -> None:
    crypto = Crypto.parse(PLAIN)
    assert KEY not in repr(crypto)
    assert repr(crypto.key) not in repr(crypto)


def test_the_table_knows_the_twelve_suites_that_rtpengine_offers() -> None:
    session = Session.parse((DATA / "twelve-candidates-no-flag.sdp").read_bytes().decode())
    offered = read(session.medias[0])
    assert [crypto.suite for crypto in offered] == list(SUITES)
    assert [len(crypto.key) for crypto in offered] == [suite.length for suite in SUITES.values()]
    assert [f"{crypto}" for crypto in offered] == session.medias[0].attributes("crypto")
    unsupported = [crypto.suite for crypto in offered if not crypto.supported]
    assert unsupported == ["F8_128_HMAC_SHA1_80", "F8_128_HMAC_SHA1_32", "NULL_HMAC_SHA1_32"]


@pytest.mark.parametrize("name", SUITES)
def test_short_tags_are_for_rtp_only(name: str) -> None:
    suite = SUITES[name]
    assert suite.tag_length == (4 if name.endswith("_32") else 16 if "GCM" in name else 10)
    assert suite.rtcp_tag_length == (16 if "GCM" in name else 10)


@pytest.mark.parametrize(
    ("parameters", "supported"),
    [
        ("", True),
        (" KDR=0 WSH=64 FEC_ORDER=FEC_SRTP", True),
        ("|2^20", True),
        ("|1:4", False),
        ("|2^20|1:4", False),
        (" UNENCRYPTED_SRTP", False),
        (" UNENCRYPTED_SRTCP", False),
        (" UNAUTHENTICATED_SRTP", False),
        (" -KDR=3 -NEWS", True),
        (" KDR=3", False),
        (" FEC_ORDER=SRTP_FEC", False),
        (" FEC_KEY=inline:AAAA", False),
        (" NEWS", False),
    ],
)
def test_a_parameter_that_we_cannot_honour_must_be_optional(parameters: str, supported: bool) -> None:
    assert Crypto.parse(PLAIN + parameters).supported is supported


def test_an_unknown_suite_is_read_but_not_supported() -> None:
    crypto = Crypto.parse("3 AES_CM_1024 inline:AAAA")
    assert (crypto.suite, crypto.key) == ("AES_CM_1024", bytes(3))
    assert not crypto.supported


def test_lines_that_cannot_be_read_are_as_if_not_there() -> None:
    lines = ["m=audio 5000 RTP/SAVP 0\r\n", "a=crypto:nonsense\r\n", "a=crypto\r\n", f"a=crypto:{PLAIN}\r\n"]
    assert read(Media(lines, "\r\n")) == (Crypto.parse(PLAIN),)
