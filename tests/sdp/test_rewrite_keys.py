"""Keys, profiles and bundles of a description that is rewritten."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from sdp import crypto, dtls, ice
from sdp.bundle import bundled, groups, leaders
from sdp.candidate import Candidate
from sdp.crypto import Crypto
from sdp.dtls import Fingerprint, Setup
from sdp.media import Connection, origin, rtcp
from sdp.reason import Reason
from sdp.rewrite import IceOut, MediaOut, Rewritten, SecurityOut, SessionOut, rewrite
from sdp.session import Session

CAPTURES = sorted((Path(__file__).parents[1] / "data" / "sdp").glob("*.sdp"))
RELAY = Connection("IP4", "203.0.113.1")
AUDIO = MediaOut(30000, RELAY, None)

FINGERPRINT = Fingerprint("sha-256", ":".join(["CC"] * 32))
CRYPTO = Crypto(1, "AES_CM_128_HMAC_SHA1_80", bytes(range(30)))
GCM = Crypto(2, "AEAD_AES_128_GCM", bytes(range(28)))
NO_KEYS = SecurityOut()
DTLS = SecurityOut((), FINGERPRINT, Setup.ACTPASS)
SDES = SecurityOut((CRYPTO, GCM))

THEIR_SHA1 = "a=fingerprint:sha-1 " + ":".join(["11"] * 20)
THEIR_SHA256 = "a=fingerprint:sha-256 " + ":".join(["22"] * 32)
THEIR_CRYPTO = "a=crypto:7 AES_CM_128_HMAC_SHA1_32 inline:DZwgp04kJNQKVutxfntDiLbExxLGrJDPgaGXTeuj"


def captured(name: str) -> str:
    return (CAPTURES[0].parent / f"{name}.sdp").read_bytes().decode()


def described(*medias: str, session: str = "", protocol: str = "RTP/AVP") -> str:
    head = "v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n"
    return head + session + "".join(f"m=audio 5000 {protocol} 0\r\n{media}" for media in medias)


def rewritten(text: str, *medias: MediaOut | None, out: SessionOut | None = None) -> Rewritten:
    return rewrite(Session.parse(text), out or SessionOut(), medias)


def tail(text: str, index: int = 0) -> list[str]:
    """The lines after m= of one media, without endings."""
    return [line.rstrip("\r\n") for line in Session.parse(text).medias[index].lines[1:]]


# Compared with what rtpengine 10.5 made of the same descriptions.


def lines_of(text: str, ignored: tuple[str, ...] = ("-",)) -> Counter[str]:
    return Counter(line for line in text.split("\r\n") if not line.startswith(ignored))


def as_told(text: str) -> tuple[SessionOut, MediaOut]:
    """What rtpengine wanted said, read from what it wrote."""
    session = Session.parse(text)
    media, was = session.medias[0], origin(session)
    said, keys, where = ice.read(session, media), dtls.read(session, media), rtcp(media)
    assert was is not None
    return SessionOut(origin=was.connection), MediaOut(
        media.port,
        was.connection,
        where[0] if where else None,
        rtcp_mux=media.attribute("rtcp-mux") is not None,
        protocol=media.protocol,
        mid=media.attribute("mid"),
        ice=IceOut(said.ufrag, said.pwd, said.candidates) if said.offered else None,
        security=SecurityOut((), next(iter(keys.fingerprints), None), keys.setup),
    )


@pytest.mark.parametrize(
    "name", ["chromium-audio-offer", "chromium-audio-max-bundle-offer", "aiortc-audio-offer"]
)
def test_a_plain_phone_is_told_what_rtpengine_tells_it(name: str) -> None:
    theirs = captured(f"{name}-as-plain")
    out, media = as_told(theirs)
    ours = rewritten(captured(name), media, out=out).text
    # rtpengine leaves feedback, which RTP/AVP has not, and half of the ICE lines.
    ignored = ("a=rtcp-fb:", "a=rtcp-rsize", "a=end-of-candidates")
    assert lines_of(ours) == lines_of(theirs, ignored)


PHONE = (  # the plain phone of the acceptance kit, as recorded with the two captures below
    "v=0\r\no=- 1 1 IN IP4 127.0.0.21\r\ns=-\r\nc=IN IP4 127.0.0.21\r\nt=0 0\r\n"
    "m=audio 27924 RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n"
    "a=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n"
)


@pytest.mark.parametrize("name", ["chromium", "aiortc"])
def test_a_browser_is_offered_what_rtpengine_offers_it(name: str) -> None:
    theirs = captured(f"{name}-audio-incoming-offered-to-it")
    out, media = as_told(theirs)
    assert lines_of(rewritten(PHONE, media, out=out).text) == lines_of(theirs)


@pytest.mark.parametrize("name", ["force", "no-flag"])
def test_from_browser_to_browser_we_say_what_rtpengine_says_but_for_sdes(name: str) -> None:
    theirs = captured(f"twelve-candidates-{name}")
    out, media = as_told(theirs)
    ours = rewritten(captured("made-up-twelve-candidates-offer"), media, out=out).text
    assert lines_of(ours) == lines_of(theirs, ("a=crypto:",))


def test_what_rtpengine_offers_beside_dtls_is_a_mistake_to_us() -> None:
    offered = crypto.read(Session.parse(captured("twelve-candidates-no-flag")).medias[0])
    media = replace(AUDIO, security=SecurityOut(offered, FINGERPRINT, Setup.ACTPASS))
    with pytest.raises(ValueError, match="a=crypto under UDP/TLS/RTP/SAVPF"):
        rewritten(captured("made-up-twelve-candidates-offer"), media)


# Our keys in place of the peer's.


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.stem)
@pytest.mark.parametrize("security", [NO_KEYS, DTLS, SecurityOut((), FINGERPRINT, "active", "x" * 20)])
def test_nothing_of_a_captured_peers_keys_is_left(path: Path, security: SecurityOut) -> None:
    session = Session.parse(path.read_bytes().decode())
    outs = [replace(AUDIO, security=security)] * len(session.medias)
    new = Session.parse(rewrite(session, SessionOut(), outs).text)
    for media in new.medias:
        found = dtls.read(new, media)
        assert found.fingerprints == ((FINGERPRINT,) if security.fingerprint else ())
        assert (found.setup, found.tls_id) == (security.setup, security.tls_id)
        assert media.attributes("crypto") == []


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.stem)
def test_a_captured_description_that_names_our_keys_already_is_not_changed(path: Path) -> None:
    session = Session.parse(path.read_bytes().decode())
    names = tuple(filter(None, (media.attribute("mid") for media in session.medias)))
    outs = [
        replace(AUDIO, protocol="RTP/SAVP", security=replace(DTLS, crypto=(CRYPTO, GCM)), bundle_only=True)
    ]
    outs *= len(session.medias)
    out = SessionOut(bundle=(names,))
    once = rewrite(session, out, outs)
    assert rewrite(Session.parse(once.text), out, outs) == Rewritten(once.text, ())


def test_our_keys_take_the_place_of_the_peers() -> None:
    text = described(f"{THEIR_SHA1}\r\na=x\r\n{THEIR_SHA256}\r\na=setup:active\r\na=tls-id:theirs\r\n")
    new = rewritten(text, replace(AUDIO, security=DTLS))
    assert tail(new.text) == [f"a=fingerprint:{FINGERPRINT}", "a=x", "a=setup:actpass"]
    keys = [change for change in new.changes if change.reason is Reason.KEYS]
    assert [change.action for change in keys] == ["replaced", "removed", "replaced", "removed"]


def test_new_keys_come_after_rtcp_and_before_ice_and_in_order() -> None:
    own = IceOut("ourfrag", "ourpasswordourpassword", ())
    both = SecurityOut((CRYPTO, GCM), FINGERPRINT, "passive", "us")
    out = replace(AUDIO, rtcp=30001, rtcp_mux=True, ice=own, security=both, protocol="RTP/SAVP")
    assert tail(rewritten(described("a=x\r\n"), out).text) == [
        "a=x",
        "a=rtcp:30001",
        "a=rtcp-mux",
        f"a=crypto:{CRYPTO}",
        f"a=crypto:{GCM}",
        "a=setup:passive",
        f"a=fingerprint:{FINGERPRINT}",
        "a=tls-id:us",
        "a=ice-ufrag:ourfrag",
        "a=ice-pwd:ourpasswordourpassword",
    ]


def test_keys_of_the_peer_that_we_pass_on_are_no_change() -> None:
    text = described(THEIR_CRYPTO + "\r\n", protocol="RTP/SAVP")
    theirs = crypto.read(Session.parse(text).medias[0])
    new = rewritten(text, replace(AUDIO, security=SecurityOut((*theirs, GCM))))
    assert tail(new.text) == [THEIR_CRYPTO, f"a=crypto:{GCM}"]
    assert [change.line for change in new.changes if change.reason is Reason.KEYS] == [f"a=crypto:{GCM}"]


def test_without_a_word_on_security_keys_stay_as_they_are() -> None:
    keys = f"{THEIR_CRYPTO}\r\n{THEIR_SHA1}\r\na=setup:active\r\na=tls-id:theirs\r\n"
    text = described(keys, session=keys)
    new = rewritten(text, AUDIO).text
    assert new.count(keys) == 2


@pytest.mark.parametrize("protocol", ["UDP/TLS/RTP/SAVPF", "udp/tls/rtp/savp", "UDP/DTLS/SCTP"])
def test_sdes_under_a_protocol_that_says_dtls_is_our_mistake(protocol: str) -> None:
    with pytest.raises(ValueError, match="a=crypto under"):
        rewritten(described(""), replace(AUDIO, protocol=protocol, security=SDES))
    with pytest.raises(ValueError, match="a=crypto under"):
        rewritten(described("", protocol=protocol), replace(AUDIO, security=SDES))
    bridged = rewritten(described("", protocol=protocol), replace(AUDIO, security=SDES, protocol="RTP/SAVP"))
    assert tail(bridged.text) == [f"a=crypto:{CRYPTO}", f"a=crypto:{GCM}"]


# Keys at the session level.

SHARED = f"{THEIR_SHA1}\r\n{THEIR_SHA256}\r\na=setup:actpass\r\na=tls-id:theirs\r\n"


def test_keys_of_the_session_go_where_every_media_has_ours() -> None:
    text = described("", "", session=SHARED + THEIR_CRYPTO + "\r\na=identity:signed\r\n")
    new = rewritten(text, replace(AUDIO, security=DTLS), replace(AUDIO, security=NO_KEYS))
    without = described().replace("c=IN IP4 192.0.2.7", f"c={RELAY}")
    assert Session.parse(new.text).lines == Session.parse(without).lines
    assert {change.reason for change in new.changes if change.media is None} == {Reason.ADDRESS, Reason.KEYS}
    assert tail(new.text, 1) == []


def test_keys_of_the_session_move_to_the_medias_that_keep_them() -> None:
    text = described("", "", THEIR_SHA256 + "\r\n", session=SHARED)
    new = rewritten(text, replace(AUDIO, security=NO_KEYS), AUDIO, AUDIO)
    assert tail(new.text, 0) == []
    assert tail(new.text, 1) == SHARED.split("\r\n")[:-1]
    assert tail(new.text, 2) == [THEIR_SHA256, "a=setup:actpass", "a=tls-id:theirs"]
    moved = [change for change in new.changes if change.reason is Reason.KEYS_MOVED]
    assert Counter(change.action for change in moved) == {"removed": 4, "added": 6}


def test_a_media_that_is_not_ours_keeps_the_keys_of_the_session() -> None:
    text = described("", session=SHARED) + "m=message 2855 TCP/TLS/MSRP *\r\nc=IN IP4 192.0.2.7\r\n"
    old, new = Session.parse(text), Session.parse(rewritten(text, replace(AUDIO, security=DTLS), None).text)
    assert dtls.read(new, new.medias[1]) == dtls.read(old, old.medias[1])
    assert dtls.read(new, new.medias[0]).fingerprints == (FINGERPRINT,)


def test_a_rejected_media_needs_no_keys() -> None:
    rejected = "m=video 0 RTP/SAVPF 96\r\n"
    new = rewritten(described("", session=SHARED) + rejected, replace(AUDIO, security=DTLS), None)
    assert new.text.endswith(rejected)
    assert Reason.KEYS_MOVED not in {change.reason for change in new.changes}


def test_a_signature_over_the_peers_fingerprints_does_not_outlive_them() -> None:
    text = described(THEIR_SHA1 + "\r\n", "", session="a=identity:signed\r\n")
    assert "identity" not in rewritten(text, replace(AUDIO, security=DTLS), AUDIO).text
    assert "identity" in rewritten(text, AUDIO, AUDIO).text


def test_a_flood_of_session_lines_is_not_written_for_every_media() -> None:
    text = described(*[""] * 50, session=SHARED * 50)
    new = rewritten(text, replace(AUDIO, security=DTLS), *[AUDIO] * 49)
    assert len(tail(new.text, 1)) <= dtls.FINGERPRINTS + 2


# Feedback.

KEPT = ["a=rtcp-xr:rcvr-rtt=all", "a=ssrc-group:FID 1 2"]
FEEDBACK = ["a=rtcp-fb:0 nack", "a=rtcp-rsize", "a=rtcp-fb:* ccm fir"]
BOTH = "".join(f"{line}\r\n" for line in (FEEDBACK[0], KEPT[0], *FEEDBACK[1:], KEPT[1]))


@pytest.mark.parametrize("offered", ["RTP/AVPF", "RTP/SAVPF", "UDP/TLS/RTP/SAVPF"])
@pytest.mark.parametrize("told", ["RTP/AVP", "RTP/SAVP", "UDP/TLS/RTP/SAVP"])
def test_feedback_is_removed_where_the_other_side_has_none(offered: str, told: str) -> None:
    new = rewritten(described(BOTH, protocol=offered), replace(AUDIO, protocol=told))
    assert tail(new.text) == KEPT
    assert [change.line for change in new.changes if change.reason is Reason.FEEDBACK_REMOVED] == FEEDBACK


@pytest.mark.parametrize(
    ("offered", "told"),
    [
        ("RTP/AVPF", None),
        ("RTP/AVPF", "UDP/TLS/RTP/SAVPF"),
        ("RTP/AVP", "RTP/SAVP"),
        ("RTP/AVP", "RTP/AVPF"),
        ("udptl", "RTP/AVP"),
    ],
)
def test_feedback_is_otherwise_as_offered(offered: str, told: str | None) -> None:
    new = rewritten(described(BOTH, protocol=offered), replace(AUDIO, protocol=told)).text
    assert tail(new) == BOTH.split("\r\n")[:-1]
    assert tail(rewritten(described("", protocol=offered), replace(AUDIO, protocol=told)).text) == []


def test_attributes_named_like_our_own_words_pass() -> None:
    odd = ["a=direction:active", "a=feedback:1", "a=keys:2"]
    text = described("".join(line + "\r\n" for line in odd), protocol="RTP/AVPF")
    new = rewritten(text, replace(AUDIO, protocol="RTP/AVP", direction="sendonly", security=DTLS)).text
    assert tail(new)[:3] == odd


# Bundles.

TWO = described("a=mid:a\r\n", "a=mid:b\r\n", session="a=group:BUNDLE a b\r\na=group:LS a b\r\n")
VIDEO = replace(AUDIO, port=30002)


def test_our_groups_take_the_place_of_the_peers() -> None:
    new = rewritten(TWO, AUDIO, VIDEO, out=SessionOut(bundle=(("a",), ("b",))))
    assert groups(Session.parse(new.text)) == (("a",), ("b",))
    assert "a=group:BUNDLE a\r\na=group:LS a b\r\na=group:BUNDLE b\r\n" in new.text
    assert {change.line for change in new.changes if change.reason is Reason.BUNDLE} == {
        "a=group:BUNDLE a",
        "a=group:BUNDLE b",
    }


def test_a_group_that_stays_is_no_change() -> None:
    new = rewritten(TWO, AUDIO, VIDEO, out=SessionOut(bundle=(("a", "b"),)))
    assert "a=group:BUNDLE a b\r\na=group:LS a b\r\n" in new.text
    assert {change.reason for change in new.changes} == {Reason.ADDRESS}


@pytest.mark.parametrize("keep", [False, True])
def test_no_groups_of_ours_means_no_groups(keep: bool) -> None:
    new = rewritten(TWO, AUDIO, VIDEO, out=SessionOut(bundle=(), keep_bundle=keep))
    assert groups(Session.parse(new.text)) == ()
    assert "a=group:LS a b" in new.text
    assert Reason.BUNDLE_SPLIT in {change.reason for change in new.changes}


def test_a_bundle_towards_a_browser_names_the_mids_that_we_give() -> None:
    outs = [replace(AUDIO, mid="1"), replace(AUDIO, mid="2", bundle_only=True)]
    new = Session.parse(rewritten(described("", ""), *outs, out=SessionOut(bundle=(("1", "2"),))).text)
    assert leaders(new) == (0, 0)
    assert new.medias[1].attribute("bundle-only") == ""


def test_a_mid_without_a_name_is_given_one() -> None:
    new = rewritten(described("a=mid:\r\n"), replace(AUDIO, mid="1"), out=SessionOut(bundle=(("1",),)))
    assert tail(new.text) == ["a=mid:1"]


def test_a_bundle_only_media_with_port_zero_is_reached_through_its_leader() -> None:
    own = IceOut(
        "ourfrag", "ourpasswordourpassword", (Candidate("OURS", 1, "udp", 1, "203.0.113.1", 30000, "host"),)
    )
    leader = replace(AUDIO, mid="1", ice=own, security=DTLS, rtcp_mux=True, protocol="UDP/TLS/RTP/SAVPF")
    follower = replace(leader, port=0, mid="2", ice=None, security=NO_KEYS, rtcp_mux=False, bundle_only=True)
    keys = "a=ice-ufrag:theirs\r\na=ice-pwd:theirpasswordtheirpassword\r\n" + SHARED
    out = SessionOut(bundle=(("1", "2"),))
    new = Session.parse(rewritten(described("", keys, session=keys), leader, follower, out=out).text)
    assert bundled(new, 1) == 0
    assert tail(str(new), 1) == ["a=mid:2", "a=bundle-only"]
    assert ice.read(new, new.medias[0]).ufrag == "ourfrag"
    assert not ice.read(new, new.medias[1]).offered


def test_a_bundle_of_a_browser_keeps_its_mids_and_what_tells_its_medias_apart() -> None:
    text = captured("chromium-audio-video-trickle-offer")
    out = SessionOut(bundle=(("0", "1"),))
    new = rewritten(text, AUDIO, replace(AUDIO, mid="1"), out=out).text
    names = ("a=mid:", "a=group:", "a=msid", "a=ssrc", "a=extmap", "a=rtpmap:", "a=rtcp-fb:")
    passed = [line for line in text.split("\r\n") if line.startswith(names)]
    assert [line for line in new.split("\r\n") if line.startswith(names)] == passed


def test_bundle_only_goes_with_the_bundle() -> None:
    text = described("a=mid:a\r\na=bundle-only\r\n", session="a=group:BUNDLE a\r\n")
    assert tail(rewritten(text, AUDIO).text) == ["a=mid:a"]
    assert tail(rewritten(text, AUDIO, out=SessionOut(keep_bundle=True)).text) == ["a=mid:a", "a=bundle-only"]
    only = replace(AUDIO, bundle_only=True)
    new = rewritten(text, only, out=SessionOut(bundle=(("a",),)))
    assert tail(new.text) == ["a=mid:a", "a=bundle-only"]
    assert {change.reason for change in new.changes} == {Reason.ADDRESS}


def test_a_bundle_of_a_media_that_does_not_exist_is_our_mistake() -> None:
    with pytest.raises(ValueError, match="do not exist: a c"):
        rewritten(TWO, AUDIO, VIDEO, out=SessionOut(bundle=(("a", "c"),)))
