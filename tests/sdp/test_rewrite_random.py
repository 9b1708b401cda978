"""Random descriptions: rewriting never fails but for a reason, and holds what it promises."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sdp.candidate import Candidate
from sdp.ice import read
from sdp.media import Connection, connection, direction, origin, rtcp, rtcp_mux
from sdp.rewrite import IceOut, Keep, MediaOut, SessionOut, rewrite
from sdp.session import Media, SdpError, Session

RELAY = Connection("IP4", "203.0.113.1")
RELAY6 = Connection("IP6", "2001:db8::1")
OURS = Candidate("OURS", 1, "udp", 2130706431, "203.0.113.1", 30000, "host")

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
    "a=group:BUNDLE 0 1",
    "a=ice-lite",
    "a=ice-ufrag:x",
    "a=ice-pwd:y",
    "a=ice-options:trickle",
    "a=end-of-candidates",
    "a=candidate:1 1 udp 1 10.20.0.5 9 typ host",
    "a=candidate:2 1 udp 1 198.51.100.9 9 typ relay raddr 0.0.0.0 rport 0",
    "a=rtpengine:here",
    "m=audio 5000 RTP/AVP 0",
    "m=video 0 RTP/AVP 96",
    "m=message 2855 TCP/MSRP *",
]
ODD_LINES = ["m=", "c=", "o=", "a=candidate", "a=candidate:x", "a=rtcp", "a=", "", "garbage", "a=group:"]
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
    pwd=st.just("pwd"),
    candidates=st.sampled_from([(), (OURS,)]),
    keep=st.sampled_from(Keep),
    trickle=st.booleans(),
)
MEDIA_OUT = st.builds(
    MediaOut,
    port=st.integers(1, 65535),
    connection=CONNECTIONS,
    rtcp=st.none() | st.integers(1, 65535),
    rtcp_connection=st.none() | CONNECTIONS,
    rtcp_mux=st.booleans(),
    direction=st.sampled_from([None, "sendrecv", "inactive"]),
    protocol=st.sampled_from([None, "RTP/SAVPF"]),
    mid=st.sampled_from([None, "m"]),
    ice=st.none() | ICE,
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
)


def outs(data: st.DataObject, session: Session) -> list[MediaOut | None]:
    size = len(session.medias)
    return data.draw(st.lists(st.none() | MEDIA_OUT, min_size=size, max_size=size))


@given(ANY, SESSION_OUT, st.data())
def test_nothing_but_sdp_error_is_raised(text: str, out: SessionOut, data: st.DataObject) -> None:
    session = Session.parse(text)
    try:
        new = rewrite(session, out, outs(data, session))
    except SdpError:
        return
    finally:
        assert str(session) == text
    assert len(Session.parse(new.text).medias) == len(session.medias)


@given(ANY)
def test_reading_raises_nothing_but_sdp_error(text: str) -> None:
    session = Session.parse(text)
    for media in session.medias:
        for view in (connection, direction, read):
            try:
                view(session, media)
                rtcp(media)
                rtcp_mux(media)
                origin(session)
            except SdpError:
                continue


@given(GOOD, SESSION_OUT, st.data())
def test_every_media_is_reached_where_it_shall_be(text: str, out: SessionOut, data: st.DataObject) -> None:
    old = Session.parse(text)
    wanted = outs(data, old)
    new = Session.parse(rewrite(old, out, wanted).text)
    for was, media, ours in zip(old.medias, new.medias, wanted, strict=True):
        if ours is None:
            check_foreign(old, was, new, media)
        else:
            check_ours(new, media, ours)


def check_foreign(old: Session, was: Media, new: Session, media: Media) -> None:
    if was.port != 0:
        assert connection(new, media) == connection(old, was)
        if was.attribute("candidate") is not None:
            then, now = read(old, was), read(new, media)
            assert (now.ufrag, now.pwd, now.options) == (then.ufrag, then.pwd, then.options)
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


@given(GOOD, SESSION_OUT, st.data())
def test_the_changes_tell_the_whole_difference(text: str, out: SessionOut, data: st.DataObject) -> None:
    old = Session.parse(text)
    new = rewrite(old, out, outs(data, old))
    lines = [line.rstrip("\r\n") for line in text.split("\n") if line]
    for change in new.changes:
        if change.action in ("removed", "replaced"):
            lines.remove(change.was or change.line)
        if change.action in ("added", "replaced"):
            lines.append(change.line)
    assert sorted(lines) == sorted(line.rstrip("\r\n") for line in new.text.split("\n") if line)
