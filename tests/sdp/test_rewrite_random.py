"""Random descriptions: rewriting never fails but for a reason, and holds what it promises."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from sdp import crypto, dtls
from sdp.bundle import bundled, groups, mid
from sdp.candidate import Candidate
from sdp.crypto import Crypto
from sdp.dtls import Fingerprint
from sdp.extmap import mid_extension_id, payload_types, ssrcs
from sdp.ice import read
from sdp.media import Connection, connection, direction, origin, rtcp, rtcp_mux
from sdp.osrtp import opportunistic
from sdp.protocol import Profile, carries_dtls
from sdp.rewrite import IceOut, Keep, MediaOut, SecurityOut, SessionOut, rewrite
from sdp.session import Media, SdpError, Session

RELAY = Connection("IP4", "203.0.113.1")
RELAY6 = Connection("IP6", "2001:db8::1")
OURS = Candidate("OURS", 1, "udp", 2130706431, "203.0.113.1", 30000, "host")

FINGERPRINT = Fingerprint("sha-1", ":".join(["CC"] * 20))
CRYPTO = Crypto(1, "NULL_HMAC_SHA1_80", bytes(30))

GOOD_LINES = [
    "o=- 1 1 IN IP4 192.0.2.7",
    "s=-",
    "i=x",
    "c=IN IP4 192.0.2.7",
    "c=IN IP6 2001:db8::7",
    "b=AS:64",
    "a=sendonly",
    "a=recvonly",
    "a=rtcp:5001",
    "a=rtcp:9 IN IP4 0.0.0.0",
    "a=rtcp-mux",
    "a=rtcp-mux-only",
    "a=mid:0",
    "a=mid:1",
    "a=group:BUNDLE 0 1",
    "a=group:LS 0 1",
    "a=bundle-only",
    "a=rtcp-fb:* nack",
    "a=rtcp-rsize",
    "a=fingerprint:sha-1 " + ":".join(["11"] * 20),
    "a=setup:actpass",
    "a=setup:passive",
    "a=tls-id:theirs",
    "a=identity:signed",
    "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:DZwgp04kJNQKVutxfntDiLbExxLGrJDPgaGXTeuj",
    "a=ice-lite",
    "a=ice-ufrag:xxxx",
    "a=ice-pwd:yyyyyyyyyyyyyyyyyyyyyy",
    "a=ice-options:trickle",
    "a=end-of-candidates",
    "a=candidate:1 1 udp 1 10.20.0.5 9 typ host",
    "a=candidate:2 1 udp 1 198.51.100.9 9 typ relay raddr 0.0.0.0 rport 0",
    "a=rtpengine:here",
    "m=audio 5000 RTP/AVP 0",
    "m=video 0 RTP/AVP 96",
    "m=video 5002 UDP/TLS/RTP/SAVPF 96",
    "m=message 2855 TCP/MSRP *",
]
ODD_LINES = [
    *("m=", "c=", "o=", "a=candidate", "a=candidate:x", "a=rtcp", "a=", "", "garbage", "a=group:", "a=group"),
    *("a=crypto", "a=crypto:1 A inline:b", "a=fingerprint:x", "a=setup", "a=setup:x", "a=tls-id", "a=mid"),
    *("a=extmap", "a=ssrc", "a=direction:active", "a=feedback", "a=mid :x"),
]
ENDINGS = st.sampled_from(["\r\n", "\n"])
CONNECTIONS = st.sampled_from([RELAY, RELAY6])


def documents(lines: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    body = st.lists(st.tuples(lines, ENDINGS).map("".join), max_size=25).map("".join)
    return st.tuples(body, st.sampled_from(["", "a=last", "m=audio 7 RTP/AVP 0"])).map(
        lambda parts: "v=0\r\n" + "".join(parts)
    )


GOOD = documents(st.sampled_from(GOOD_LINES))
ANY = documents(st.sampled_from([*GOOD_LINES, *ODD_LINES]) | st.text(max_size=12)) | st.text().map(
    "v=".__add__
)

ICE = st.builds(
    IceOut,
    ufrag=st.sampled_from([None, "ufrag"]),
    pwd=st.just("p" * 22),
    candidates=st.sampled_from([(), (OURS,)]),
    keep=st.sampled_from(Keep),
    trickle=st.booleans(),
)
SECURITY = st.builds(
    SecurityOut,
    crypto=st.sampled_from([(), (CRYPTO,)]),
    fingerprint=st.sampled_from([None, FINGERPRINT]),
    setup=st.sampled_from([None, "active"]),
    tls_id=st.sampled_from([None, "ours"]),
)
MEDIA_OUT = st.builds(
    MediaOut,
    port=st.integers(1, 65535),
    connection=CONNECTIONS,
    rtcp=st.none() | st.integers(1, 65535),
    rtcp_connection=st.none() | CONNECTIONS,
    rtcp_mux=st.booleans(),
    direction=st.sampled_from([None, "sendrecv", "inactive"]),
    protocol=st.sampled_from([None, "RTP/AVP", "RTP/SAVPF", "UDP/TLS/RTP/SAVP"]),
    mid=st.sampled_from([None, "m"]),
    ice=st.none() | ICE,
    security=st.none() | SECURITY,
    bundle_only=st.booleans(),
)
SESSION_OUT = st.builds(
    SessionOut,
    origin=st.none() | CONNECTIONS,
    username=st.sampled_from([None, "bob"]),
    session_name=st.sampled_from([None, "name"]),
    version=st.none() | st.integers(0, 9),
    loop=st.sampled_from([None, "here"]),
    ice_lite=st.booleans(),
    keep_bundle=st.booleans(),
    bundle=st.sampled_from([None, (), (("0",),), (("1", "0"),), (("m",), ("0",))]),
)


Wanted = tuple[SessionOut, list[MediaOut | None]]


def wanted(data: st.DataObject, session: Session) -> Wanted:
    """What a caller that makes no mistakes wants said."""
    medias: list[MediaOut | None] = []
    for media in session.medias:
        each = data.draw(st.none() | MEDIA_OUT)
        medias.append(each and without_sdes(each, media))
    names = {(each and each.mid) or mid(media) for media, each in zip(session.medias, medias, strict=True)}
    out = data.draw(SESSION_OUT)
    if out.bundle and not all(names.issuperset(group) for group in out.bundle):
        out = replace(out, bundle=())
    return out, medias


def without_sdes(out: MediaOut, media: Media) -> MediaOut:
    """No SDES where the protocol, ours or theirs, says DTLS or cannot be read."""
    words = media.lines[0].split()
    if out.security is None or not carries_dtls(out.protocol or (words[2] if len(words) > 2 else "DTLS")):
        return out
    return replace(out, security=replace(out.security, crypto=()))


@given(ANY, st.data())
def test_nothing_but_sdp_error_is_raised(text: str, data: st.DataObject) -> None:
    session = Session.parse(text)
    try:
        new = rewrite(session, *wanted(data, session))
    except SdpError:
        return
    finally:
        assert str(session) == text
    assert len(Session.parse(new.text).medias) == len(session.medias)


@given(ANY)
def test_reading_raises_nothing_but_sdp_error(text: str) -> None:
    session = Session.parse(text)
    for media in session.medias:
        for view in (connection, direction, read, dtls.read, opportunistic, mid_extension_id):
            try:
                view(session, media)
                rtcp(media)
                rtcp_mux(media)
                origin(session)
                bundled(session, 0)
                crypto.read(media)
                payload_types(media)
                ssrcs(media)
            except SdpError:
                continue


@given(GOOD, st.data())
def test_every_media_is_reached_where_it_shall_be(text: str, data: st.DataObject) -> None:
    old = Session.parse(text)
    out, medias = wanted(data, old)
    new = Session.parse(rewrite(old, out, medias).text)
    for was, media, ours in zip(old.medias, new.medias, medias, strict=True):
        if ours is None:
            check_foreign(old, was, new, media)
        else:
            check_ours(new, media, ours)
            check_keys(old, was, new, media, ours.security)
            check_profile(was, media)


@given(GOOD, st.data())
def test_bundles_are_as_wanted(text: str, data: st.DataObject) -> None:
    old = Session.parse(text)
    out, medias = wanted(data, old)
    new = Session.parse(rewrite(old, out, medias).text)
    if out.bundle is not None:
        assert sorted(groups(new)) == sorted(out.bundle)
    else:
        assert groups(new) == (groups(old) if out.keep_bundle else ())
    for was, media, ours in zip(old.medias, new.medias, medias, strict=True):
        assert mid(media) == ((ours.mid if ours else None) or mid(was))
        if ours is not None and not (out.keep_bundle and out.bundle is None):
            assert media.attributes("bundle-only") == [""] * ours.bundle_only


def check_foreign(old: Session, was: Media, new: Session, media: Media) -> None:
    if was.port != 0:
        assert connection(new, media) == connection(old, was)
        if was.attribute("candidate") is not None:
            then, now = read(old, was), read(new, media)
            assert (now.ufrag, now.pwd, now.options) == (then.ufrag, then.pwd, then.options)
        assert dtls.read(new, media) == dtls.read(old, was)
    kept = [line.rstrip("\r\n") for line in media.lines]
    assert all(line.rstrip("\r\n") in kept for line in was.lines)


def check_ours(new: Session, media: Media, ours: MediaOut) -> None:
    assert connection(new, media) == ours.connection
    assert media.port == ours.port
    assert rtcp(media) == (None if ours.rtcp is None else (ours.rtcp, ours.rtcp_connection))
    assert rtcp_mux(media) is ours.rtcp_mux
    if ours.direction is not None:
        assert direction(new, media) == ours.direction
    ice = read(new, media)
    if ours.ice is None:
        assert (ice.ufrag, ice.pwd, ice.candidates, ice.options) == (None, None, (), ())
    elif ours.ice.ufrag is not None:
        assert (ice.ufrag, ice.pwd) == (ours.ice.ufrag, ours.ice.pwd)
        assert ice.candidates[len(ice.candidates) - len(ours.ice.candidates) :] == ours.ice.candidates
        assert ice.end_of_candidates is ours.ice.trickle


def check_keys(old: Session, was: Media, new: Session, media: Media, ours: SecurityOut | None) -> None:
    found = dtls.read(new, media)
    if ours is None:
        assert found == dtls.read(old, was)
        assert media.attributes("crypto") == was.attributes("crypto")
    else:
        assert found.fingerprints == (() if ours.fingerprint is None else (ours.fingerprint,))
        assert (found.setup, found.tls_id) == (ours.setup, ours.tls_id)
        assert crypto.read(media) == ours.crypto
        assert new.attribute("identity") is None


def check_profile(was: Media, media: Media) -> None:
    then, now = Profile.of(was.protocol), Profile.of(media.protocol)
    lost = then is not None and now is not None and then.feedback and not now.feedback
    for name in ("rtcp-fb", "rtcp-rsize"):
        assert media.attributes(name) == ([] if lost else was.attributes(name))


@given(GOOD, st.data())
def test_the_changes_tell_the_whole_difference(text: str, data: st.DataObject) -> None:
    old = Session.parse(text)
    new = rewrite(old, *wanted(data, old))
    lines = [line.rstrip("\r\n") for line in text.split("\n") if line]
    for change in new.changes:
        if change.action in ("removed", "replaced"):
            lines.remove(change.was or change.line)
        if change.action in ("added", "replaced"):
            lines.append(change.line)
    assert sorted(lines) == sorted(line.rstrip("\r\n") for line in new.text.split("\n") if line)
