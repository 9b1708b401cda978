from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sdp.candidate import Candidate
from sdp.fragment import MAX_LENGTH, Addition, Fragment, rewritten, written
from sdp.session import SdpError
from tests.ng import split

RECORDINGS = Path(__file__).parents[1] / "data" / "ng"
HOST = "1 1 udp 2130706431 192.0.2.7 5000 typ host"
OTHER = "2 1 udp 2130706430 192.0.2.8 5000 typ host"


def fragment(*lines: str, newline: str = "\r\n") -> Fragment:
    return Fragment.parse("".join(line + newline for line in lines))


def recorded(scenario: str) -> str:
    """The fragment that Chromium's candidates became, as Kamailio passed it on."""
    for line in (RECORDINGS / f"{scenario}.jsonl").read_text().splitlines():
        datagram = json.loads(line)
        request = split(datagram["data"].encode())[1] if datagram["from"] == "proxy" else {}
        if request.get("flags") == ["fragment"]:
            return str(request["sdp"])
    raise AssertionError(f"no fragment in {scenario}")


@pytest.mark.parametrize(
    ("scenario", "ufrag"), [("chromium_trickle", "OEAF"), ("chromium_trickle_late", "24X9")]
)
def test_a_browsers_fragment_is_read(scenario: str, ufrag: str) -> None:
    found = Fragment.parse(recorded(scenario))
    (part,) = found.parts
    assert (part.mid, part.index, part.ufrag) == ("0", 0, ufrag)
    assert [candidate.extension("ufrag") for candidate in part.candidates] == [ufrag] * 5
    assert part.end_of_candidates
    assert found.invalid == ()


def test_each_m_line_has_its_own_candidates() -> None:
    audio, video = fragment(
        "a=ice-ufrag:all", "m=audio 9 RTP/AVP 0", "a=mid:a", f"a=candidate:{HOST}",
        "m=video 9 RTP/AVP 96", "a=mid:v", "a=ice-ufrag:own", f"a=candidate:{OTHER}", "a=end-of-candidates",
    ).parts  # fmt: skip
    assert (audio.mid, audio.index, audio.ufrag, audio.end_of_candidates) == ("a", 0, "all", False)
    assert (video.mid, video.index, video.ufrag, video.end_of_candidates) == ("v", 1, "own", True)
    assert [str(candidate) for candidate in (*audio.candidates, *video.candidates)] == [HOST, OTHER]


def test_the_end_of_candidates_of_the_session_level_ends_all() -> None:
    parts = fragment("a=end-of-candidates", "m=audio 9 RTP/AVP 0", "m=video 9 RTP/AVP 96").parts
    assert [part.end_of_candidates for part in parts] == [True, True]


def test_candidates_without_an_m_line_are_of_no_media_by_place() -> None:
    (part,) = fragment("a=ice-ufrag:abcd", "a=mid:0", f"a=candidate:{HOST}").parts
    assert (part.mid, part.index, part.ufrag, len(part.candidates)) == ("0", None, "abcd", 1)


def test_candidates_before_the_first_m_line_are_not_lost() -> None:
    parts = fragment(f"a=candidate:{HOST}", "m=audio 9 RTP/AVP 0", f"a=candidate:{OTHER}").parts
    assert [(part.index, [str(one) for one in part.candidates]) for part in parts] == [
        (None, [HOST]),
        (0, [OTHER]),
    ]


def test_a_candidate_that_cannot_be_read_is_left_out_and_the_others_stay() -> None:
    found = fragment("m=audio 9 RTP/AVP 0", "a=candidate:rubbish", f"a=candidate:{HOST}", "nonsense", "a=")
    assert found.invalid == ("rubbish",)
    assert [str(candidate) for candidate in found.parts[0].candidates] == [HOST]


def test_a_whole_description_says_the_same() -> None:
    (part,) = fragment("v=0", "o=- 1 1 IN IP4 192.0.2.7", "m=audio 9 RTP/AVP 0", f"a=candidate:{HOST}").parts
    assert (part.index, len(part.candidates)) == (0, 1)


def test_lines_may_end_in_a_bare_newline() -> None:
    (part,) = fragment("a=ice-ufrag:abcd", "m=audio 9 RTP/AVP 0", f"a=candidate:{HOST}", newline="\n").parts
    assert (part.ufrag, str(part.candidates[0])) == ("abcd", HOST)


def test_a_fragment_that_is_too_long_is_refused() -> None:
    assert Fragment.parse("x" * MAX_LENGTH).length == MAX_LENGTH
    with pytest.raises(SdpError, match="more than 16384 characters"):
        Fragment.parse("x" * (MAX_LENGTH + 1))


PIECES = st.sampled_from(
    ("m=", "m=audio 9 RTP/AVP 0", "a=mid", "a=mid:", "a=candidate", f"a=candidate:{HOST}", "a=ice-ufrag:x",
     "a=end-of-candidates", "v=0", "\r\n", "\n", "\r", "\0", ":", " ", "\u2028")
)  # fmt: skip


@given(st.lists(PIECES | st.text(max_size=8), max_size=40).map("".join))
@example("")
def test_nothing_that_a_peer_writes_does_harm(text: str) -> None:
    found = Fragment.parse(text)
    assert found.parts
    assert sum(len(part.candidates) for part in found.parts) + len(found.invalid) <= text.count("a=candidate")


def test_a_fragment_that_we_write_is_read_as_it_was_meant() -> None:
    ours = (Candidate.parse(HOST), Candidate.parse(OTHER))
    text = written([Addition("audio", None), Addition("video", "v", "user", "password", ours)])
    assert "a=ice-pwd:password\r\n" in text
    audio, video = Fragment.parse(text).parts
    assert (audio.candidates, audio.ufrag, audio.end_of_candidates) == ((), None, False)
    assert (video.mid, video.index, video.ufrag, video.candidates) == ("v", 1, "user", ours)
    assert video.end_of_candidates


def test_only_the_lines_of_candidates_are_written_anew() -> None:
    media = ["m=audio 9 RTP/AVP 0", "a=candidate: a ", "a=x", "m=odd", "a=candidate:b"]
    text = "\r\n".join(["a=ice-ufrag:x", "a=candidate:s", *media])
    asked: list[tuple[int | None, str]] = []

    def told(index: int | None, value: str) -> str | None:
        asked.append((index, value))
        return None if value == "s" else value.upper()

    expected = ["a=ice-ufrag:x", "m=audio 9 RTP/AVP 0", "a=candidate:A", "a=x", "m=odd", "a=candidate:B"]
    assert rewritten(text, told) == "\r\n".join(expected)
    assert asked == [(None, "s"), (0, "a"), (1, "b")]


@given(st.text(max_size=300))
def test_what_has_no_candidates_comes_out_as_it_came_in(text: str) -> None:
    assert rewritten(text, lambda index, value: value) == text or "a=candidate" in text
