from __future__ import annotations

from sdp.edit import Change, Edit, changes
from sdp.reason import Reason


def edit(lines: list[str]) -> Edit:
    return Edit(0, "\r\n", [], lines)


def test_a_replaced_line_keeps_its_own_ending() -> None:
    page = edit([])
    page.replace("a=rtcp:1\n", "a=rtcp:2", Reason.RTCP)
    page.replace("a=rtcp:1", "a=rtcp:2", Reason.RTCP)
    assert page.lines == ["a=rtcp:2\n", "a=rtcp:2"]
    assert changes(page.log) == (Change("replaced", 0, "a=rtcp:2", Reason.RTCP, "a=rtcp:1"),) * 2


def test_a_line_replaced_by_itself_is_no_change() -> None:
    page = edit([])
    page.replace("a=rtcp-mux\r\n", "a=rtcp-mux", Reason.RTCP_MUX)
    assert page.lines == ["a=rtcp-mux\r\n"]
    assert changes(page.log) == ()


def test_a_line_added_after_an_unfinished_one_finishes_it() -> None:
    page = edit(["m=audio 5000 RTP/AVP 0"])
    page.append([("a=rtcp:1", Reason.RTCP)])
    assert page.lines == ["m=audio 5000 RTP/AVP 0\r\n", "a=rtcp:1\r\n"]


def test_lines_are_added_before_the_empty_lines_at_the_end() -> None:
    page = edit(["m=audio 5000 RTP/AVP 0\n", "\n", "\r\n"])
    page.append([("a=rtcp:1", Reason.RTCP), ("a=rtcp-mux", Reason.RTCP_MUX)])
    assert page.lines == ["m=audio 5000 RTP/AVP 0\n", "a=rtcp:1\r\n", "a=rtcp-mux\r\n", "\n", "\r\n"]


def test_kept_and_removed_lines_are_recorded_without_their_ending() -> None:
    page = edit([])
    page.keep("b=AS:64\r\n")
    page.keep_because("a=candidate:x\r\n", Reason.DIRECT_KEPT)
    page.remove("a=candidate:y\r\n", Reason.INVALID)
    assert page.lines == ["b=AS:64\r\n", "a=candidate:x\r\n"]
    assert changes(page.log) == (
        Change("kept", 0, "a=candidate:x", Reason.DIRECT_KEPT),
        Change("removed", 0, "a=candidate:y", Reason.INVALID),
    )
