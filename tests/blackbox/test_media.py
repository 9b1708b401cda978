"""Media flows: real packets through the daemon's ports."""

from collections.abc import Iterator

import pytest

from tests.blackbox.daemon import Daemon, wait_until
from tests.blackbox.description import Description, plain
from tests.blackbox.dialogue import Dialogue
from tests.blackbox.phone import Phone, Port, rtcp, rtp, told
from tests.ng import Address, Value

ALICE, BOB, CARA, STRANGER = "127.0.1.21", "127.0.1.22", "127.0.1.23", "127.0.1.66"


@pytest.fixture
def alice() -> Iterator[Phone]:
    with Phone(ALICE, "alice") as phone:
        yield phone


@pytest.fixture
def bob() -> Iterator[Phone]:
    with Phone(BOB, "bob") as phone:
        yield phone


@pytest.fixture
def cara() -> Iterator[Phone]:
    with Phone(CARA, "cara") as phone:
        yield phone


@pytest.fixture
def stranger() -> Iterator[Port]:
    port = Port(STRANGER)
    yield port
    port.close()


class Talk:
    """A call that is up: ``to_b`` is where bob sends, ``to_a`` where alice sends."""

    def __init__(self, call: Dialogue, alice: Phone, bob: Phone, **keys: Value) -> None:
        self.call, self.alice, self.bob = call, alice, bob
        self.offered = call.offer(alice.sdp(), **keys)
        self.answered = call.answer(bob.sdp())

    @property
    def to_a(self) -> Address:
        return told(self.answered)

    @property
    def to_b(self) -> Address:
        return told(self.offered)

    def both_hear_each_other(self) -> None:
        """A packet each way arrives unchanged, from the port that its receiver sends to."""
        assert_hears(self.bob, self.alice, self.to_a, self.to_b)
        assert_hears(self.alice, self.bob, self.to_b, self.to_a)


def assert_hears(listener: Phone, speaker: Phone, speaks_to: Address, heard_from: Address) -> None:
    packet = speaker.talk(speaks_to)
    assert listener.rtp.receive() == (packet, heard_from)


def dropped(daemon: Daemon) -> float:
    """Datagrams that were not forwarded, for whatever reason."""
    return daemon.metric("icerelay_dropped_packets_total")


def test_rtp_flows_both_ways_from_the_ports_that_were_told(call: Dialogue, alice: Phone, bob: Phone) -> None:
    talk = Talk(call, alice, bob)
    for _ in range(50):
        talk.both_hear_each_other()
    report = call.query()
    assert report["totals"]["RTP"]["packets"] == 100
    assert report["totals"]["RTP"]["bytes"] == 100 * 172
    first = report["tags"]["A"]["medias"][0]["streams"][0]
    assert first["stats"] == {"packets": 50, "bytes": 50 * 172, "errors": 0}
    assert first["SSRC"] == alice.rtp.address[1]


def test_what_was_lost_on_the_way_is_told_and_counted(
    daemon: Daemon, call: Dialogue, alice: Phone, bob: Phone
) -> None:
    names = "icerelay_rtp_skipped_packets_total", "icerelay_rtp_late_packets_total"
    before = [daemon.metric(name) for name in names]
    talk = Talk(call, alice, bob)
    talk.both_hear_each_other()
    ssrc = alice.rtp.address[1]
    for number in (2, 3, 7, 6, 8):
        alice.rtp.send(talk.to_a, rtp(number, ssrc=ssrc))
        bob.rtp.receive()
    report = call.query()
    stream = report["tags"]["A"]["medias"][0]["streams"][0]
    assert stream["SSRC"] == ssrc
    assert (stream["reception"]["lost"], stream["reception"]["packet loss"]) == (2, 25)
    assert stream["reception"]["jitter"] > 0  # the timestamps say 20 ms, and they came at once
    assert report["SSRC"][str(ssrc)] == {"packets": 6, "bytes": 6 * 172, "last RTP seq": 8}
    assert [daemon.metric(name) - value for name, value in zip(names, before, strict=True)] == [3, 1]
    assert daemon.metric("icerelay_rtp_jitter_seconds", "1.0") > 0


def test_rtcp_flows_both_ways_on_its_own_ports(call: Dialogue, alice: Phone, bob: Phone) -> None:
    talk = Talk(call, alice, bob)
    alice.rtcp.send(told(talk.answered, rtcp_too=True), rtcp(1))
    assert bob.rtcp.receive() == (rtcp(1), told(talk.offered, rtcp_too=True))
    bob.rtcp.send(told(talk.offered, rtcp_too=True), rtcp(2))
    assert alice.rtcp.receive() == (rtcp(2), told(talk.answered, rtcp_too=True))
    assert call.query()["totals"]["RTCP"]["packets"] == 2


def test_a_muxed_phone_talks_with_one_that_is_not(call: Dialogue, alice: Phone, bob: Phone) -> None:
    offered = call.offer(alice.sdp("a=rtcp-mux"), rtcp_mux=["demux"])
    answered = call.answer(bob.sdp())
    assert answered.media.has("rtcp-mux")
    alice.rtp.send(told(answered), rtcp(1))
    assert bob.rtcp.receive() == (rtcp(1), told(offered, rtcp_too=True))
    bob.rtcp.send(told(offered, rtcp_too=True), rtcp(2))
    assert alice.rtp.receive() == (rtcp(2), told(answered))
    packet = alice.talk(told(answered))
    assert bob.rtp.receive() == (packet, told(offered))


def test_two_muxed_phones_use_one_port_each(call: Dialogue, alice: Phone, bob: Phone) -> None:
    offered, answered = call.offer(alice.sdp("a=rtcp-mux")), call.answer(bob.sdp("a=rtcp-mux"))
    alice.rtp.send(told(answered), rtcp(1))
    assert bob.rtp.receive() == (rtcp(1), told(offered))
    packet = bob.talk(told(offered))
    assert alice.rtp.receive() == (packet, told(answered))


def test_a_phone_behind_a_nat_is_answered_where_it_sends_from(
    call: Dialogue, alice: Phone, bob: Phone
) -> None:
    hidden = alice.sdp().replace(f"m=audio {alice.rtp.address[1]} ", "m=audio 9 ")
    offered = call.offer(hidden.replace(ALICE, "203.0.113.200"))
    answered = call.answer(bob.sdp())
    packet = alice.talk(told(answered))
    assert bob.rtp.receive() == (packet, told(offered))
    assert_hears(alice, bob, told(offered), told(answered))


def test_an_asymmetric_phone_is_sent_to_where_it_said(
    call: Dialogue, alice: Phone, bob: Phone, stranger: Port
) -> None:
    offered, answered = call.offer(alice.sdp(), flags=["asymmetric"]), call.answer(bob.sdp())
    for sequence in range(3):
        stranger.send(told(answered), rtp(sequence, ssrc=7))
        assert bob.rtp.receive()[0] == rtp(sequence, ssrc=7)
    assert_hears(alice, bob, told(offered), told(answered))
    assert stranger.waiting() == []


def test_a_stranger_is_not_heard_once_a_phone_is(
    daemon: Daemon, call: Dialogue, alice: Phone, bob: Phone, stranger: Port
) -> None:
    talk = Talk(call, alice, bob)
    talk.both_hear_each_other()
    before = dropped(daemon)
    for sequence in range(20):
        stranger.send(talk.to_a, rtp(sequence, ssrc=666))
    wait_until(lambda: dropped(daemon) == before + 20, "the stranger's packets are dropped")
    talk.both_hear_each_other()
    assert stranger.waiting() == []
    assert bob.rtp.waiting() == []


def test_a_stranger_that_came_first_gives_way_to_the_phone(
    call: Dialogue, alice: Phone, bob: Phone, stranger: Port
) -> None:
    talk = Talk(call, alice, bob)
    stranger.send(talk.to_a, rtp(1, ssrc=666))
    assert bob.rtp.receive()[0] == rtp(1, ssrc=666)
    talk.both_hear_each_other()
    assert stranger.waiting() == []


def test_what_is_not_rtp_is_dropped_and_counted(
    daemon: Daemon, call: Dialogue, alice: Phone, bob: Phone
) -> None:
    talk = Talk(call, alice, bob)
    before = dropped(daemon)
    junk = [b"", b"\0", b"x" * 11, b"\xff" * 200, b"OPTIONS sip:x SIP/2.0\r\n\r\n"]
    for datagram in junk:
        alice.rtp.send(talk.to_a, datagram)
    wait_until(lambda: dropped(daemon) >= before + len(junk) - 1, "the junk is dropped")
    talk.both_hear_each_other()
    assert bob.rtp.waiting() == []


def test_media_before_the_answer_waits_for_nobody(call: Dialogue, alice: Phone, bob: Phone) -> None:
    """Bob's early media reaches alice as soon as his answer says who he is."""
    offered = call.offer(alice.sdp())
    bob.talk(told(offered))
    answered = call.answer(bob.sdp())
    assert_hears(alice, bob, told(offered), told(answered))


def test_media_in_flight_survives_a_new_offer_of_the_same(call: Dialogue, alice: Phone, bob: Phone) -> None:
    talk = Talk(call, alice, bob)
    talk.both_hear_each_other()
    call.offer(alice.sdp(), to_tag="B")
    talk.both_hear_each_other()
    call.answer(bob.sdp())
    talk.both_hear_each_other()


def test_a_phone_that_moved_is_followed_by_its_new_offer(
    call: Dialogue, alice: Phone, bob: Phone, cara: Phone
) -> None:
    """Bob's call goes on at cara's phone."""
    talk = Talk(call, alice, bob)
    talk.both_hear_each_other()
    told_alice = call.offer(cara.sdp(), from_tag="B", to_tag="A", flags=["port-latching"])
    told_cara = call.answer(alice.sdp(), from_tag="B", to_tag="A")
    assert told(told_alice) == talk.to_a
    assert_hears(cara, alice, told(told_alice), told(told_cara))
    assert_hears(alice, cara, told(told_cara), told(told_alice))
    assert bob.rtp.waiting() == []


PRIVATE = "192.168.77.5"
"""What a phone behind a NAT says of itself."""


def behind_nat(*extra: str) -> str:
    return plain(PRIVATE, 40000, *extra, user="alice")


def says_something(speaker: Port, speaks_to: Address, listener: Phone, ssrc: int) -> list[bytes]:
    """What the listener hears of half a second of it."""
    said = [rtp(sequence, ssrc) for sequence in range(300, 325)]
    for packet in said:
        speaker.send(speaks_to, packet)
    heard = []
    while listener.rtp.is_readable(0.2):
        heard.append(listener.rtp.receive()[0])
    assert said[-len(heard) :] == heard or not heard
    return heard


@pytest.fixture
def mappings() -> Iterator[tuple[Port, Port]]:
    """Two ports that a NAT gives alice's phone, one after the other."""
    ports = Port(ALICE), Port(ALICE)
    yield ports
    for port in ports:
        port.close()


def test_a_phone_whose_nat_gives_it_another_port_is_heard_and_hears(
    call: Dialogue, bob: Phone, mappings: tuple[Port, Port]
) -> None:
    before, after = mappings
    to_b = told(call.offer(behind_nat(), received_from=["IP4", ALICE]))
    to_a = told(call.answer(bob.sdp()))
    assert says_something(before, to_a, bob, ssrc=1)
    assert says_something(after, to_a, bob, ssrc=1)
    packet = bob.talk(to_b)
    assert (after.receive()[0], before.waiting()) == (packet, [])


@pytest.mark.parametrize("resumed", [("a=sendrecv",), ()])
def test_a_phone_behind_nat_is_found_at_another_port_after_hold(
    call: Dialogue, bob: Phone, mappings: tuple[Port, Port], resumed: tuple[str, ...]
) -> None:
    before, after = mappings
    signalling = {"received_from": ["IP4", ALICE]}
    call.offer(behind_nat(), **signalling)
    to_a = told(call.answer(bob.sdp()))
    assert says_something(before, to_a, bob, ssrc=1)
    for words in (("a=inactive",), resumed):
        to_b = told(call.offer(behind_nat(*words), to_tag="B", **signalling))
        to_a = told(call.answer(bob.sdp(*words)))
    assert says_something(after, to_a, bob, ssrc=2)
    packet = bob.talk(to_b)
    assert (after.receive()[0], before.waiting()) == (packet, [])


def test_the_phone_is_heard_after_an_announcement_from_another_port(
    call: Dialogue, bob: Phone, mappings: tuple[Port, Port]
) -> None:
    announcement, phone = mappings
    to_a = told(call.offer(bob.sdp(), from_tag="A"))
    for ssrc, speaker in enumerate((announcement, phone), 1):  # 183 and 200 say the same
        to_b = told(call.answer(behind_nat(), received_from=["IP4", ALICE]))
        assert says_something(speaker, to_a, bob, ssrc)
    packet = bob.talk(to_b)
    assert (phone.receive()[0], announcement.waiting()) == (packet, [])


def test_a_description_of_the_phone_lets_no_stranger_in(
    call: Dialogue, bob: Phone, mappings: tuple[Port, Port], stranger: Port
) -> None:
    phone, _ = mappings
    to_b = told(call.offer(behind_nat()))
    to_a = told(call.answer(bob.sdp()))
    assert says_something(phone, to_a, bob, ssrc=1)
    call.offer(behind_nat(), to_tag="B")
    call.answer(bob.sdp())
    assert says_something(stranger, to_a, bob, ssrc=1) == []
    packet = bob.talk(to_b)
    assert (phone.receive()[0], stranger.waiting()) == (packet, [])


def test_a_caller_goes_on_being_heard_on_his_old_port_until_he_answers(
    call: Dialogue, alice: Phone, bob: Phone, cara: Phone
) -> None:
    talk = Talk(call, alice, bob)
    talk.both_hear_each_other()
    told_alice = call.offer(cara.sdp(), from_tag="B", to_tag="A")
    assert told(told_alice) != talk.to_a
    packet = alice.talk(talk.to_a)
    assert cara.rtp.receive()[0] == packet
    told_cara = call.answer(alice.sdp(), from_tag="B", to_tag="A")
    assert_hears(cara, alice, told(told_alice), told(told_cara))
    assert_hears(alice, cara, told(told_cara), told(told_alice))


# Forks.


def test_each_phone_of_a_fork_under_one_offer_hears_from_the_port_it_was_told(
    call: Dialogue, alice: Phone, bob: Phone, cara: Phone
) -> None:
    offered = call.offer(alice.sdp())
    for phone, tag in ((bob, "T1"), (cara, "T2"), (bob, "T1"), (cara, "T2")):
        answered = call.answer(phone.sdp(), to_tag=tag)
        assert_hears(phone, alice, told(answered), told(offered))
        assert_hears(alice, phone, told(offered), told(answered))


def test_early_media_of_all_phones_of_a_fork_reaches_the_caller(
    call: Dialogue, alice: Phone, bob: Phone, cara: Phone
) -> None:
    offered = call.offer(alice.sdp())
    answered = [call.answer(phone.sdp(), to_tag=phone.user) for phone in (bob, cara)][-1]
    for phone in (bob, cara, bob, cara):
        assert_hears(alice, phone, told(offered), told(answered))


def test_only_the_branch_that_answered_last_hears_the_caller(
    call: Dialogue, alice: Phone, bob: Phone, cara: Phone
) -> None:
    to_bob, to_cara = (call.offer(alice.sdp(), via_branch=branch) for branch in ("b1", "b2"))
    call.answer(bob.sdp(), to_tag="T1", via_branch="b1")
    answered = call.answer(cara.sdp(), to_tag="T2", via_branch="b2")
    assert_hears(cara, alice, told(answered), told(to_cara))
    assert_hears(alice, bob, told(to_bob), told(answered))
    assert_hears(alice, cara, told(to_cara), told(answered))
    assert bob.rtp.waiting() == []


def test_the_winner_goes_on_talking_when_the_loser_is_deleted(
    call: Dialogue, alice: Phone, bob: Phone, cara: Phone
) -> None:
    to_bob = call.offer(alice.sdp(), via_branch="b1")
    call.offer(alice.sdp(), via_branch="b2")
    call.answer(cara.sdp(), to_tag="T2", via_branch="b2")
    answered = call.answer(bob.sdp(), to_tag="T1", via_branch="b1")
    assert_hears(bob, alice, told(answered), told(to_bob))
    call.ask("delete", from_tag="A", via_branch="b2")
    assert_hears(bob, alice, told(answered), told(to_bob))
    assert_hears(alice, bob, told(to_bob), told(answered))


def test_the_winner_is_heard_again_when_the_last_branch_to_answer_is_deleted(
    call: Dialogue, alice: Phone, bob: Phone, cara: Phone
) -> None:
    to_bob = call.offer(alice.sdp(), via_branch="b1")
    call.offer(alice.sdp(), via_branch="b2")
    call.answer(bob.sdp(), to_tag="T1", via_branch="b1")
    answered = call.answer(cara.sdp(), to_tag="T2", via_branch="b2")
    call.ask("delete", from_tag="A", via_branch="b2")
    assert_hears(bob, alice, told(answered), told(to_bob))


# Families and interfaces.


@pytest.mark.parametrize(("caller", "callee", "family"), [(ALICE, "::1", "IP6"), ("::1", BOB, "IP4")])
def test_media_crosses_between_ipv4_and_ipv6(
    roaming: Dialogue, caller: str, callee: str, family: str
) -> None:
    with Phone(caller, "alice") as alice, Phone(callee, "bob") as bob:
        talk = Talk(roaming, alice, bob, address_family=family)
        for _ in range(5):
            talk.both_hear_each_other()
        alice.rtcp.send(told(talk.answered, rtcp_too=True), rtcp(1))
        assert bob.rtcp.receive() == (rtcp(1), told(talk.offered, rtcp_too=True))


def test_each_side_is_served_from_its_own_interface(roaming: Dialogue, alice: Phone, bob: Phone) -> None:
    talk = Talk(roaming, alice, bob, direction=["priv", "pub"])
    assert (talk.to_a[0], talk.to_b[0]) == ("127.0.1.12", "127.0.1.11")
    talk.both_hear_each_other()


# Hold and time.


def test_the_held_phone_still_hears_music(call: Dialogue, alice: Phone, bob: Phone) -> None:
    talk = Talk(call, alice, bob)
    talk.both_hear_each_other()
    call.offer(alice.sdp("a=sendonly"), to_tag="B")
    call.answer(bob.sdp("a=recvonly"))
    assert_hears(bob, alice, talk.to_a, talk.to_b)
    call.offer(alice.sdp("a=sendrecv"), to_tag="B")
    call.answer(bob.sdp())
    talk.both_hear_each_other()


def test_nothing_is_sent_to_a_phone_on_hold_by_zero_address(
    daemon: Daemon, call: Dialogue, alice: Phone, bob: Phone
) -> None:
    talk = Talk(call, alice, bob)
    talk.both_hear_each_other()
    call.offer(alice.sdp().replace(f"c=IN IP4 {ALICE}", "c=IN IP4 0.0.0.0"), to_tag="B")
    call.answer(bob.sdp("a=recvonly"))
    before = dropped(daemon)
    bob.talk(talk.to_b)
    wait_until(lambda: dropped(daemon) == before + 1, "bob's packet is dropped")
    assert alice.rtp.waiting() == []
    assert_hears(bob, alice, talk.to_a, talk.to_b)
    call.offer(alice.sdp(), to_tag="B")
    call.answer(bob.sdp())
    talk.both_hear_each_other()


def test_a_call_with_media_outlives_its_timeout(
    brisk: Daemon, call_id: str, alice: Phone, bob: Phone
) -> None:
    speaking, silent = (Dialogue(brisk.client, f"{call_id} {name}") for name in ("speaking", "silent"))
    talk = Talk(speaking, alice, bob)
    silent.offer(alice.sdp())
    silent.answer(bob.sdp())

    def silent_ended() -> bool:
        talk.alice.talk(talk.to_a)
        return not silent.exists

    wait_until(silent_ended, "the silent call has ended")
    assert speaking.exists


def test_media_goes_on_during_the_delete_delay_and_stops_with_the_call(
    daemon: Daemon, call: Dialogue, alice: Phone, bob: Phone
) -> None:
    talk = Talk(call, alice, bob)
    call.ask("delete", from_tag="A", delete_delay=30)
    talk.both_hear_each_other()
    call.ask("delete", from_tag="A", delete_delay=0)
    wait_until(lambda: daemon.metric("rtpengine_ports_used") == 0, "the ports are closed")
    assert alice.rtp.refused_by(talk.to_a)
    assert bob.rtp.waiting() == []


def test_opaque_datagrams_pass_as_they_are(call: Dialogue, alice: Phone, bob: Phone) -> None:
    def fax(phone: Phone) -> str:
        head = phone.sdp().partition("m=")[0]
        return head + f"m=image {phone.rtp.address[1]} udptl t38\r\n"

    offered, answered = call.offer(fax(alice)), call.answer(fax(bob))
    assert isinstance(offered, Description)
    for datagram in (b"\0\1\2", b"x", b"\x80" * 500):
        alice.rtp.send(told(answered), datagram)
        assert bob.rtp.receive() == (datagram, told(offered))
        bob.rtp.send(told(offered), datagram)
        assert alice.rtp.receive() == (datagram, told(answered))
