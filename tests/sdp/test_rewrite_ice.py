from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import FrameType

import pytest

from sdp.candidate import Candidate
from sdp.ice import read
from sdp.media import Connection, Origin, origin, rtcp
from sdp.reason import Reason
from sdp.rewrite import IceOut, Keep, MediaOut, Rewritten, SessionOut, rewrite
from sdp.session import Session

DATA = Path(__file__).parents[1] / "data" / "sdp"
RELAY = Connection("IP4", "203.0.113.1")
OURS = Candidate("OURS", 1, "udp", 2130706431, "203.0.113.1", 30000, "host")
OWN = IceOut("ourfrag", "ourpassword", (OURS,))
END_TO_END = IceOut(None, None, (OURS,), Keep.ALL)
WITH_ICE = MediaOut(30000, RELAY, None, ice=OWN)
WITHOUT_ICE = MediaOut(30000, RELAY, None)
PASSING = MediaOut(30000, RELAY, None, ice=END_TO_END)

HOST = "a=candidate:1 1 udp 2130706175 10.20.0.5 40001 typ host\r\n"
TURN = "a=candidate:8 1 udp 16775167 198.51.100.9 50001 typ relay raddr 0.0.0.0 rport 0\r\n"
CREDENTIALS = "a=ice-ufrag:theirs\r\na=ice-pwd:theirpassword\r\n"


def captured(name: str) -> str:
    return (DATA / f"{name}.sdp").read_bytes().decode()


def rewritten(text: str, *medias: MediaOut | None, out: SessionOut | None = None) -> Rewritten:
    return rewrite(Session.parse(text), out or SessionOut(), medias)


def described(*medias: str, session: str = "") -> str:
    head = "v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n"
    return head + session + "".join(f"m=audio 5000 UDP/TLS/RTP/SAVPF 0\r\n{media}" for media in medias)


def tail(text: str, index: int = 0) -> list[str]:
    """The lines after m= of one media, without endings."""
    return [line.rstrip("\r\n") for line in Session.parse(text).medias[index].lines[1:]]


# Compared with what rtpengine 10.5 made of the same offer.

KEYS = ("a=crypto:", "a=setup:", "a=fingerprint:")  # rtpengine ends DTLS here and offers SDES


def lines_of(text: str, ignored: tuple[str, ...]) -> Counter[str]:
    return Counter(line for line in text.split("\r\n") if not line.startswith(ignored))


def as_rtpengine_did(name: str, keep: Keep | None) -> tuple[str, str]:
    """What rtpengine made of the twelve candidates, and we, given its ports and candidates."""
    theirs = captured(f"twelve-candidates-{name}")
    session = Session.parse(theirs)
    media = session.medias[0]
    ice = read(session, media)
    own = tuple(candidate for candidate in ice.candidates if len(candidate.foundation) == 16)
    credentials = (None, None) if keep in (Keep.ALL, Keep.NOT_RELAY) else (ice.ufrag, ice.pwd)
    where = rtcp(media)
    out = MediaOut(
        media.port,
        Connection("IP4", "127.0.0.10"),
        where[0] if where else None,
        rtcp_mux=True,
        ice=None if keep is None else IceOut(*credentials, own, keep),
    )
    was = origin(session)
    assert isinstance(was, Origin)
    head = SessionOut(origin=was.connection, keep_bundle="BUNDLE" in theirs)
    return theirs, rewrite(Session.parse(captured("made-up-twelve-candidates-offer")), head, [out]).text


@pytest.mark.parametrize(
    ("name", "keep", "ignored"),
    [
        ("force", Keep.NONE, KEYS),
        ("no-flag", Keep.NONE, KEYS),
        ("remove", None, KEYS),
        ("optional", Keep.ALL, ("-",)),
        # force-relay of rtpengine leaves c=, m= and a=rtcp with the phone's TURN server, whose candidate
        # it has just removed. We name the relay there.
        ("force-relay", Keep.NOT_RELAY, ("m=", "c=", "a=rtcp:")),
    ],
)
def test_we_say_what_rtpengine_says(name: str, keep: Keep | None, ignored: tuple[str, ...]) -> None:
    theirs, ours = as_rtpengine_did(name, keep)
    assert lines_of(ours, ignored) == lines_of(theirs, ignored)


def test_with_force_relay_the_default_address_is_ours() -> None:
    ours = as_rtpengine_did("force-relay", Keep.NOT_RELAY)[1]
    assert "c=IN IP4 127.0.0.10\r\n" in ours
    assert "203.0.113.9" not in ours


# ICE ends at the relay.


def test_every_candidate_of_a_browser_is_removed_for_a_reason() -> None:
    new = rewritten(captured("made-up-twelve-candidates-offer"), WITH_ICE)
    reasons = [change.reason for change in new.changes if change.line.startswith("a=candidate:")]
    assert reasons == (
        [Reason.HOST_USELESS] * 4
        + [Reason.SRFLX_USELESS] * 3
        + [Reason.RELAY_REPLACED] * 2
        + [Reason.TCP_USELESS] * 3
        + [Reason.RELAY_INSERTED]
    )


def test_hidden_addresses_are_removed_for_being_hidden() -> None:
    hidden = "a=candidate:1 1 udp 2113937151 9b36eaac-bb2e-49bb-bb78-21c41c499900.local 36917 typ host\r\n"
    new = rewritten(described(hidden + CREDENTIALS), WITH_ICE)
    assert [change.reason for change in new.changes if ".local" in change.line] == [Reason.MDNS_USELESS]


def test_our_ice_lines_come_last() -> None:
    text = described(CREDENTIALS + HOST + "a=ice-options:trickle\r\na=end-of-candidates\r\na=x\r\n")
    assert tail(rewritten(text, WITH_ICE).text) == [
        "a=x",
        "a=ice-ufrag:ourfrag",
        "a=ice-pwd:ourpassword",
        f"a=candidate:{OURS}",
    ]


def test_a_relay_that_trickles_says_that_it_is_done() -> None:
    out = replace(WITH_ICE, ice=replace(OWN, trickle=True))
    text = described(CREDENTIALS + "a=ice-options:ice2 trickle\r\n")
    assert tail(rewritten(text, out).text)[2:] == [
        "a=ice-options:trickle ice2",
        f"a=candidate:{OURS}",
        "a=end-of-candidates",
    ]


def test_lines_about_the_ice_of_the_other_side_are_removed() -> None:
    lines = "a=ice-mismatch\r\na=ice-pacing:20\r\na=remote-candidates:1 192.0.2.1 5000\r\n"
    for out in (WITH_ICE, WITHOUT_ICE):
        text = rewritten(described(CREDENTIALS + lines), out).text
        assert not any(line in text for line in lines.split("\r\n")[:-1])


def test_without_ice_every_ice_line_goes_for_that_reason() -> None:
    text = described(CREDENTIALS + HOST + "a=ice-options:trickle\r\na=end-of-candidates\r\na=x\r\n")
    new = rewritten(text, WITHOUT_ICE)
    assert tail(new.text) == ["a=x"]
    assert {change.reason for change in new.changes if change.action == "removed"} == {Reason.ICE_REMOVED}


def test_ice_is_given_to_a_phone_whose_peer_has_none() -> None:
    text = rewritten(captured("sipp-offer"), WITH_ICE).text
    assert text.endswith(f"a=ice-ufrag:ourfrag\r\na=ice-pwd:ourpassword\r\na=candidate:{OURS}\r\n")


# End-to-end mode.


def test_our_candidates_follow_the_kept_ones() -> None:
    text = described(HOST + TURN + "a=end-of-candidates\r\n" + CREDENTIALS)
    assert tail(rewritten(text, PASSING).text) == [
        HOST.strip(),
        TURN.strip(),
        f"a=candidate:{OURS}",
        "a=end-of-candidates",
        *CREDENTIALS.split("\r\n")[:2],
    ]


def test_our_candidates_come_before_the_end_of_candidates() -> None:
    text = described(CREDENTIALS + "a=end-of-candidates\r\n")
    assert tail(rewritten(text, PASSING).text)[2:] == [f"a=candidate:{OURS}", "a=end-of-candidates"]


def test_the_peers_turn_server_goes_where_ours_takes_its_place() -> None:
    out = replace(PASSING, ice=replace(END_TO_END, keep=Keep.NOT_RELAY))
    new = rewritten(described(HOST + TURN + "a=candidate:nonsense\r\n" + CREDENTIALS), out)
    found = [(change.action, change.reason) for change in new.changes if "candidate" in change.line]
    assert found == [
        ("kept", Reason.DIRECT_KEPT),
        ("removed", Reason.RELAY_REPLACED),
        ("kept", Reason.DIRECT_KEPT),
        ("added", Reason.RELAY_INSERTED),
    ]


def test_options_of_the_peer_stay_with_the_peers_credentials() -> None:
    options = "a=ice-options:ice2\r\na=ice-pacing:20\r\n"
    out = replace(PASSING, ice=replace(END_TO_END, trickle=True))
    text = rewritten(described(CREDENTIALS + options), out).text
    assert options in text
    assert "trickle" not in text


def options_left(session: str, *medias: str) -> list[str]:
    text = rewritten(
        described(*(CREDENTIALS + media for media in medias), session=session), *[PASSING] * len(medias)
    ).text
    return [line for line in text.split("\r\n") if line.startswith("a=ice-options")]


def test_an_option_that_the_relay_cannot_follow_does_not_pass_between_peers() -> None:
    three = "a=ice-options:trickle renomination ice2\r\n"
    assert options_left("", three, "a=ice-options:renomination\r\n") == ["a=ice-options:trickle ice2"]
    assert options_left(three, "") == ["a=ice-options:trickle ice2"]
    assert options_left("a=ice-options:renomination\r\n", "") == []


def test_an_option_that_moves_to_the_medias_goes_without_what_the_relay_cannot_follow() -> None:
    text = described(HOST, HOST, session=CREDENTIALS + "a=ice-options:renomination ice2\r\n")
    new = Session.parse(rewritten(text, WITHOUT_ICE, PASSING).text)
    assert read(new, new.medias[1]).options == ("ice2",)


# ICE at the session level.


def test_credentials_of_the_session_are_replaced_by_ours_per_media() -> None:
    text = captured("baresip-ice-dtls-offer")
    new = Session.parse(rewritten(text, WITH_ICE).text)
    assert new.attribute("ice-ufrag") is None
    assert new.attribute("fingerprint") is not None
    ice = read(new, new.medias[0])
    assert (ice.ufrag, ice.pwd, ice.candidates) == ("ourfrag", "ourpassword", (OURS,))


def test_credentials_of_the_session_stay_if_all_medias_keep_them() -> None:
    new = rewritten(described(HOST, HOST, session=CREDENTIALS), PASSING, PASSING)
    assert CREDENTIALS + "m=" in new.text
    assert new.text.count("a=ice-ufrag") == 1


def test_credentials_of_the_session_move_to_the_medias_that_keep_them() -> None:
    text = described(HOST, HOST, HOST + "a=ice-ufrag:x\r\n", session=CREDENTIALS + "a=ice-options:ice2\r\n")
    new = Session.parse(rewritten(text, WITHOUT_ICE, PASSING, PASSING).text)
    assert new.attribute("ice-ufrag") is None
    found = [read(new, media) for media in new.medias]
    assert [ice.ufrag for ice in found] == [None, "theirs", "x"]
    assert [ice.pwd for ice in found] == [None, "theirpassword", "theirpassword"]
    assert [ice.options for ice in found] == [(), ("ice2",), ("ice2",)]


def test_an_end_of_candidates_that_moves_stays_the_end() -> None:
    text = described("", "", session="a=end-of-candidates\r\n" + CREDENTIALS)
    lines = tail(rewritten(text, WITH_ICE, PASSING).text, 1)
    assert lines[-2:] == [f"a=candidate:{OURS}", "a=end-of-candidates"]


def test_a_media_that_is_not_ours_keeps_the_credentials_of_the_session() -> None:
    text = described("", HOST, session=CREDENTIALS)
    new = Session.parse(rewritten(text, WITH_ICE, None).text)
    assert [read(new, media).ufrag for media in new.medias] == ["ourfrag", "theirs"]


@pytest.mark.parametrize("lite", [True, False])
@pytest.mark.parametrize("was", ["a=ice-lite\r\n", ""])
def test_lite_is_what_we_say(was: str, lite: bool) -> None:
    text = described(HOST, session=was + CREDENTIALS)
    for media in (WITH_ICE, WITHOUT_ICE, PASSING):
        new = Session.parse(rewritten(text, media, out=SessionOut(ice_lite=lite)).text)
        assert new.attributes("ice-lite") == [""] * lite


# Work.


def calls_made(candidates: int, out: MediaOut) -> int:
    """How many functions run, Python's and C's, for an offer with that many candidates."""
    text = described(CREDENTIALS + HOST * candidates)
    count = 0

    def counted(frame: FrameType, event: str, arg: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(counted)
    try:
        session = Session.parse(text)
        read(session, session.medias[0])
        rewrite(session, SessionOut(), [out])
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("out", [WITH_ICE, WITHOUT_ICE, PASSING], ids=["own", "without", "end-to-end"])
def test_ten_thousand_candidates_are_ten_times_the_work_of_a_thousand(out: MediaOut) -> None:
    assert calls_made(10_000, out) < 10.5 * calls_made(1_000, out)
