from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdp.bundle import bundle_only, bundled, groups, leaders, mid
from sdp.session import SdpError, Session

DATA = Path(__file__).parents[1] / "data" / "sdp"
ONLY = "a=bundle-only\r\n"


def described(group: str, *medias: tuple[int, str, str]) -> Session:
    """Medias by port, mid and further lines."""
    sections = (f"m=video {port} RTP/AVP 96\r\na=mid:{mid}\r\n{lines}" for port, mid, lines in medias)
    return Session.parse(f"v=0\r\n{group}" + "".join(sections))


def captured(name: str) -> Session:
    return Session.parse((DATA / f"{name}.sdp").read_bytes().decode())


def test_a_browser_bundles_everything() -> None:
    session = captured("chromium-audio-video-offer")
    assert groups(session) == (("0", "1"),)
    assert [mid(media) for media in session.medias] == ["0", "1"]
    assert leaders(session) == (0, 0)


def test_a_media_may_be_a_bundle_of_its_own() -> None:
    session = captured("chromium-audio-max-bundle-offer")
    assert groups(session) == (("0",),)
    assert bundled(session, 0) == 0


def test_without_a_group_there_is_no_bundle() -> None:
    session = captured("baresip-ice-dtls-offer")
    assert groups(session) == ()
    assert bundled(session, 0) is None


def test_groups_of_other_kinds_are_no_bundles() -> None:
    session = described("a=group:LS a b\r\na=group:BUNDLE b\r\na=group:BUNDLE\r\na=group\r\n", (1, "a", ""))
    assert groups(session) == (("b",), ())
    assert leaders(session) == (None,)


def test_the_group_says_who_leads_and_not_the_order_of_the_medias() -> None:
    session = described("a=group:BUNDLE c a\r\n", (1, "a", ""), (2, "b", ""), (3, "c", ""))
    assert leaders(session) == (2, None, 2)


def test_several_bundles_have_several_leaders() -> None:
    group = "a=group:BUNDLE a c\r\na=group:BUNDLE b d\r\n"
    session = described(group, (1, "a", ""), (2, "b", ""), (3, "c", ""), (4, "d", ""))
    assert leaders(session) == (0, 1, 0, 1)


def test_a_bundle_only_media_is_not_rejected_and_never_leads() -> None:
    session = described("a=group:BUNDLE a b\r\n", (0, "a", ONLY), (2, "b", ""))
    assert [bundle_only(media) for media in session.medias] == [True, False]
    assert leaders(session) == (1, 1)


def test_bundle_only_says_nothing_beside_a_port() -> None:
    assert not bundle_only(described("", (5000, "a", ONLY)).medias[0])


def test_a_rejected_media_leaves_its_bundle_to_the_next() -> None:
    session = described("a=group:BUNDLE a b c\r\n", (0, "a", ""), (2, "b", ""), (3, "c", ""))
    assert leaders(session) == (None, 1, 1)


def test_a_bundle_that_nobody_leads_is_none() -> None:
    session = described("a=group:BUNDLE a b\r\n", (0, "a", ONLY), (0, "b", ""))
    assert leaders(session) == (None, None)


def test_of_medias_with_one_name_and_groups_with_one_media_the_first_counts() -> None:
    group = "a=group:BUNDLE a b a\r\na=group:BUNDLE c a\r\n"
    session = described(group, (1, "a", ""), (2, "b", ""), (3, "a", ""), (4, "c", ""))
    assert leaders(session) == (0, 0, None, 3)


def test_a_name_is_read_without_the_blanks_around_it() -> None:
    session = Session.parse("v=0\r\nm=audio 1 RTP/AVP 0\r\na=mid: x \r\nm=audio 1 RTP/AVP 0\r\na=mid:\r\n")
    assert [mid(media) for media in session.medias] == ["x", None]


def test_a_malformed_m_line_is_an_error_only_within_a_group() -> None:
    text = "v=0\r\na=group:BUNDLE a\r\nm=audio 1 RTP/AVP 0\r\na=mid:a\r\nm=odd\r\na=mid:b\r\n"
    assert leaders(Session.parse(text)) == (0, None)
    with pytest.raises(SdpError):
        leaders(Session.parse(text.replace("BUNDLE a", "BUNDLE a b")))


NAMES = st.sampled_from(["a", "b", "c", "d"])


@given(
    st.lists(st.lists(NAMES, max_size=4), max_size=3),
    st.lists(st.tuples(st.sampled_from([0, 5000]), NAMES, st.sampled_from(["", ONLY])), max_size=5),
)
def test_a_leader_leads_itself_and_has_a_port(
    group: list[list[str]], medias: list[tuple[int, str, str]]
) -> None:
    lines = "".join(f"a=group:{' '.join(['BUNDLE', *names])}\r\n" for names in group)
    session = described(lines, *medias)
    assert groups(session) == tuple(map(tuple, group))
    found = leaders(session)
    for index, leader in enumerate(found):
        assert bundled(session, index) == leader
        if leader is not None:
            assert found[leader] == leader
            assert session.medias[leader].port != 0
            assert session.medias[index].port != 0 or bundle_only(session.medias[index])
