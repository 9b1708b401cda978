"""What peers report of the streams that they are sent: loss, jitter, and the round trip to them."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.forward._fastpath import NativePlane, ReportReader
from relay.forward.fake_rtcp import Reports, blocks
from relay.forward.plane import MAX_REPORTED, Reported
from relay.forward.rule import Address, Drop, Learn, Marks, Rule
from relay.srtp.profiles import PROFILES, Profile
from tests.relay.forward.conftest import LocalPorts, Phones
from tests.relay.forward.srtp_phone import Phone, name, rtp, until
from tests.rtcp import block, receiver_report, sender_report

MUSIC, SPEECH = 0x1234, 0x5678
NTP = 0xDDCC_BBAA


def test_what_a_peer_says_of_a_stream_is_summed_up() -> None:
    reader = ReportReader()
    reader.leaves(sender_report(MUSIC, NTP), 100.0)
    reader.comes(receiver_report(block(MUSIC, fraction=64, lost=10, jitter=80)), 101.0)
    reader.comes(receiver_report(block(MUSIC, fraction=0, lost=10, jitter=160)), 106.0)
    assert reader.told() == (Reported(MUSIC, 2, 64, 10, 240, 0, 0),)


def test_the_round_trip_is_what_is_left_when_the_peers_delay_is_taken_off() -> None:
    reader = ReportReader()
    reader.leaves(sender_report(MUSIC, NTP), 100.0)
    reader.comes(receiver_report(block(MUSIC, ntp=NTP, held=2.0)), 102.12)
    (found,) = reader.told()
    assert found.round_trips == 1
    assert found.round_trip == pytest.approx(120_000, abs=20)


def test_a_report_may_name_the_sender_report_before_the_last() -> None:
    reader = ReportReader()
    for number in range(3):
        reader.leaves(sender_report(MUSIC, NTP + number), 100.0 + number)
    for number, known in ((2, 1), (1, 2), (0, 2)):
        reader.comes(receiver_report(block(MUSIC, ntp=NTP + number, held=2.0 - number)), 102.1)
        assert reader.told()[0].round_trips == known


@pytest.mark.parametrize(
    ("held", "known"), [(2.0, 1), (2.009, 1), (2.02, 0), (65000.0, 0), (0.0, 1)], ids=str
)
def test_a_delay_that_is_longer_than_the_time_there_was_is_a_lie(held: float, known: int) -> None:
    """By some milliseconds, the clocks may differ."""
    reader = ReportReader()
    reader.leaves(sender_report(MUSIC, NTP), 100.0)
    reader.comes(receiver_report(block(MUSIC, ntp=NTP, held=held)), 102.0)
    assert reader.told()[0].round_trips == known


def test_a_round_trip_of_more_than_ten_seconds_is_a_lie_as_well() -> None:
    reader = ReportReader()
    reader.leaves(sender_report(MUSIC, NTP), 100.0)
    reader.comes(receiver_report(block(MUSIC, ntp=NTP)), 110.1)
    assert reader.told()[0].round_trips == 0


def test_more_found_twice_than_lost_is_no_loss_and_endless_jitter_has_an_end() -> None:
    reader = ReportReader()
    reader.leaves(sender_report(MUSIC, NTP), 100.0)
    reader.comes(receiver_report(block(MUSIC, lost=-3, jitter=0xFFFFFFFF)), 101.0)
    (found,) = reader.told()
    assert (found.lost, found.jitter) == (0, 1 << 20)


def test_a_stream_that_the_peer_was_not_sent_is_not_believed() -> None:
    reader = ReportReader()
    reader.comes(receiver_report(block(MUSIC, fraction=255)), 1.0)
    reader.leaves(sender_report(MUSIC, NTP), 2.0)
    reader.comes(receiver_report(block(SPEECH, fraction=255)), 3.0)
    assert reader.told() == ()


def test_the_streams_of_a_rule_are_few_and_the_oldest_makes_room() -> None:
    reader = ReportReader()
    for ssrc in range(MAX_REPORTED + 1):
        reader.leaves(sender_report(ssrc, NTP), float(ssrc))
        reader.comes(receiver_report(block(ssrc)), ssrc + 0.5)
    assert {found.ssrc for found in reader.told()} == {1, 2, 3, 4}


# The slow twin.

found_blocks = st.builds(
    block,
    st.integers(1, 6),
    st.integers(0, 255),
    st.integers(-(2**23), 2**23 - 1),
    st.sampled_from((0, 900, 2**20 + 1, 2**32 - 1)),
    st.integers(0, 3),
    st.sampled_from((0.0, 0.5, 1.0, 30000.0)),
)
compounds = st.lists(
    st.builds(lambda ssrc, ntp, of: sender_report(ssrc, ntp, *of), st.integers(1, 6), st.integers(0, 3),
              st.lists(found_blocks, max_size=2))
    | st.builds(lambda of: receiver_report(*of), st.lists(found_blocks, max_size=3))
    | st.binary(max_size=40),
    min_size=1,
    max_size=3,
).map(b"".join)  # fmt: skip
cuts = st.tuples(compounds, st.integers(0, 60)).map(lambda one: one[0][: max(0, len(one[0]) - one[1])])


@given(st.lists(st.tuples(st.booleans(), compounds | cuts, st.integers(0, 64)), max_size=20))
def test_twins_agree_on_any_compounds(history: list[tuple[bool, bytes, int]]) -> None:
    native, fake = ReportReader(), Reports()
    now = 1.0
    for leaves, compound, later in history:
        now += later / 16
        if leaves:
            native.leaves(compound, now)
            fake.note_sent(compound, now)
        else:
            native.comes(compound, now)
            for one in blocks(compound):
                fake.take(one, now)
        assert native.told() == fake.told()


# On the wire.


def connect(
    plane: NativePlane, phones: Phones, local_ports: LocalPorts, profiles: list[Profile | None]
) -> tuple[list[Phone], list[Address], list[int]]:
    """Two phones that hear each other, where each sends to, and the rules."""
    ends = [Phone(phones("127.0.0.2"), profile or PROFILES[0]) for profile in profiles]
    ports, ids = [local_ports(plane, "127.0.0.1") for _ in ends], [plane.allocate() for _ in ends]
    plane.apply(
        [
            Rule(
                id=ids[i],
                port=ports[i][0],
                remote=name(ends[i].sock),
                learn=Learn.WINDOW,
                rtp=(ids[1 - i],),
                rtcp=(ids[1 - i],),
                keys=ends[i].open_keys(plane) if profiles[i] else None,
            )
            for i in range(2)
        ]
    )
    return ends, [port[1] for port in ports], ids


@pytest.mark.parametrize("profiles", [[None, None], [PROFILES[0], None], [None, PROFILES[0]]])
def test_a_peer_with_or_without_keys_tells_its_round_trip(
    profiles: list[Profile | None], plane: NativePlane, phones: Phones, local_ports: LocalPorts
) -> None:
    ends, ports, ids = connect(plane, phones, local_ports, profiles)
    protected = [end.protected if profile else bytes for end, profile in zip(ends, profiles, strict=True)]
    begun = time.monotonic()
    ends[0].sock.sendto(protected[0](sender_report(MUSIC, NTP)), ports[0])
    heard = ends[1].hear() if profiles[1] else ends[1].sock.recv(2000)
    assert heard == sender_report(MUSIC, NTP)
    ends[1].sock.sendto(protected[1](receiver_report(block(MUSIC, 128, 5, 80, NTP))), ports[1])
    until(lambda: bool(plane.reports(ids[1])))
    (found,) = plane.reports(ids[1])
    assert found[:6] == (MUSIC, 1, 128, 5, 80, 1)
    assert 0 <= found.round_trip <= (time.monotonic() - begun) * 1e6
    assert plane.reports(ids[0]) == ()


def test_reports_of_a_dropped_rule_are_gone_with_it(phones: Phones, local_ports: LocalPorts) -> None:
    plane = NativePlane(rules=2)
    try:
        for _ in range(2):  # the second time with the same ids
            ends, ports, ids = connect(plane, phones, local_ports, [None, None])
            ends[0].sock.sendto(sender_report(MUSIC, NTP), ports[0])
            ends[1].sock.recv(2000)
            ends[1].sock.sendto(receiver_report(block(MUSIC)), ports[1])
            until(lambda: [found.blocks for found in plane.reports(1)] == [1])
            plane.apply([Drop(id) for id in ids])
            assert plane.reports(1) == ()
            until(lambda: plane.totals()["rtcp_packets"] > 0 == plane.row(1)["rtcp_packets"])
    finally:
        plane.stop()


def test_each_media_of_a_bundle_has_its_own(
    plane: NativePlane, phones: Phones, local_ports: LocalPorts
) -> None:
    """The peer reports of all of them in one packet, at the port that they share."""
    (browser, audio, video) = (phones("127.0.0.2") for _ in range(3))
    shared, audio_port, video_port = (local_ports(plane, "127.0.0.1") for _ in range(3))
    lead, follower, first, second = (plane.allocate() for _ in range(4))
    to_browser, marks = name(browser), Marks(lead)
    plane.apply(
        [
            Rule(lead, shared[0], to_browser, Learn.WINDOW, rtp=(first,), rtcp=(first,), marks=marks),
            Rule(follower, shared[0], to_browser, Learn.NOBODY, rtp=(second,), rtcp=(second,), marks=marks),
            Rule(first, audio_port[0], name(audio), Learn.WINDOW, rtp=(lead,), rtcp=(lead,)),
            Rule(second, video_port[0], name(video), Learn.WINDOW, rtp=(follower,), rtcp=(follower,)),
        ]
    )  # fmt: skip
    for phone, port, ssrc in ((audio, audio_port, MUSIC), (video, video_port, SPEECH)):
        phone.sendto(sender_report(ssrc, NTP), port[1])
        browser.recv(2000)
    both = receiver_report(block(MUSIC, fraction=1), block(SPEECH, fraction=2))
    browser.sendto(both, shared[1])
    until(lambda: bool(plane.reports(lead)) and bool(plane.reports(follower)))
    assert [(one.ssrc, one.fraction) for one in plane.reports(lead)] == [(MUSIC, 1)]
    assert [(one.ssrc, one.fraction) for one in plane.reports(follower)] == [(SPEECH, 2)]


def test_what_passes_encrypted_is_not_taken_for_a_report(
    plane: NativePlane, phones: Phones, local_ports: LocalPorts
) -> None:
    """Keys are end to end, so that only the head of each packet can be read here."""
    ends, ports, ids = connect(plane, phones, local_ports, [None, None])
    for number in range(50):
        ends[0].sock.sendto(ends[0].protected(sender_report(MUSIC, NTP + number)), ports[0])
        ends[1].sock.recv(2000)
        ends[1].sock.sendto(
            ends[1].protected(receiver_report(block(MUSIC, 255, 99, 99, NTP + number))), ports[1]
        )
        ends[0].sock.recv(2000)
    ends[1].sock.sendto(rtp(1), ports[1])
    until(lambda: plane.totals()["rtp_packets"] == 1)
    assert plane.reports(ids[1]) == ()
