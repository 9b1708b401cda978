from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from relay.dtls.identity import Identity
from relay.forward.rule import Learn, Rule
from relay.ice.agent import Agent as Peer
from relay.ice.credentials import Credentials
from relay.ice.outputs import Path, Send
from relay.ng.errors import NgError
from sdp.ice import IceDescription, read
from sdp.session import Session
from tests.relay.calls.desk import ALICE, BOB, ICE, PLAIN, RELAY, RELAY6, UNIX, Desk, sdp, told

WITH_ICE = sdp(ALICE, 10000, *ICE)
BOB_ICE = (
    "ice-ufrag:bbbb",
    "ice-pwd:bbbbbbbbbbbbbbbbbbbbbb",
    "candidate:1 1 udp 2130706431 10.0.0.6 50000 typ host",
)
ALICE_KEYS = Credentials("abcd", "abcdefghijklmnopqrstuv")
BOB_KEYS = Credentials("bbbb", "bbbbbbbbbbbbbbbbbbbbbb")
NAT = ("198.51.100.99", 61000)


def ice(session: Session) -> IceDescription:
    return read(session, session.medias[0])


@pytest.mark.parametrize(
    ("option", "offered", "wanted"),
    [
        (None, False, []),
        (None, True, ["host"]),
        ("default", True, ["host"]),
        ("force", False, ["host"]),
        ("force", True, ["host"]),
        ("remove", True, []),
        ("optional", False, ["host"]),
        ("optional", True, ["host", "host"]),
        ("force-relay", False, ["relay"]),
        ("force-relay", True, ["host", "relay"]),
        ("optimize", True, ["host"]),
    ],
)
def test_candidates_towards_the_callee(option: str | None, offered: bool, wanted: list[str]) -> None:
    options = {} if option is None else {"ICE": option}
    offer = Desk(PLAIN[:1]).offer(WITH_ICE if offered else sdp(), **options)
    found = ice(offer)
    assert [candidate.type for candidate in found.candidates if candidate.component == 1] == wanted
    assert found.offered == bool(wanted)
    assert told(offer)[0] == RELAY


def test_the_peers_own_candidates_are_above_ours_where_they_stay() -> None:
    candidates = ice(Desk(PLAIN[:1]).offer(WITH_ICE, ICE="optional")).candidates
    theirs, ours = candidates[0], candidates[1:]
    assert theirs.address == "10.0.0.5"
    assert all(candidate.priority < theirs.priority for candidate in ours)
    assert len({candidate.priority for candidate in candidates}) == len(candidates)


def test_credentials_are_ours_where_checks_end_here_and_the_peers_where_they_pass() -> None:
    assert ice(Desk().offer(WITH_ICE, ICE="force")).ufrag != "abcd"
    assert ice(Desk().offer(WITH_ICE, ICE="optional")).ufrag == "abcd"


def test_every_address_of_the_interface_is_offered_the_callers_family_first() -> None:
    found = [(c.component, c.address) for c in ice(Desk().offer(WITH_ICE)).candidates]
    assert found == [(1, RELAY), (2, RELAY), (1, RELAY6), (2, RELAY6)]


def test_required_mux_has_one_component() -> None:
    offer = Desk().offer(WITH_ICE, ICE="force", rtcp_mux=["require"])
    assert {candidate.component for candidate in ice(offer).candidates} == {1}


def test_the_callers_ice_is_answered_whatever_the_callee_does() -> None:
    desk = Desk()
    desk.offer(WITH_ICE, ICE="remove")
    answer = desk.answer(sdp(BOB))
    assert ice(answer).offered


def test_a_caller_without_ice_gets_none() -> None:
    desk = Desk()
    desk.offer(sdp(), ICE="force")
    answer = desk.answer(sdp(BOB, 20000, *BOB_ICE), ICE="force")
    assert not ice(answer).offered


def test_remove_in_the_answer_takes_the_callers_ice_away() -> None:
    desk = Desk()
    desk.offer(WITH_ICE, ICE="remove")
    answer = desk.answer(sdp(BOB), ICE="remove")
    assert not ice(answer).offered
    assert desk.box.rule_at(told(answer)[1]).learn is Learn.WINDOW


def test_a_callee_that_refuses_ice_is_learnt_from_its_media() -> None:
    desk = Desk(PLAIN[:1])
    offer = desk.offer(sdp(), ICE="force")
    assert desk.box.rule_at(told(offer)[1]).stun
    desk.answer(sdp(BOB, 20000))
    rule = desk.box.rule_at(told(offer)[1])
    assert (rule.learn, rule.remote, rule.stun) == (Learn.WINDOW, (BOB, 20000), False)


def test_a_callee_that_refuses_ice_keeps_the_port_it_was_told_and_the_others_close() -> None:
    desk = Desk()
    offer = desk.offer(sdp(), ICE="force")
    assert len(desk.box.ports) == 6
    answer = desk.answer(sdp(BOB, 20000))
    assert desk.box.rule_at(told(offer)[1]).remote == (BOB, 20000)
    assert desk.box.number_of(desk.box.rule_at(told(answer)[1]).rtp[0]) == told(offer)[1]
    desk.tick(30)
    assert len(desk.box.ports) == 4


@pytest.mark.parametrize("with_credentials", [False, True])
def test_a_callee_that_finds_its_addresses_changed_is_not_checked_but_learnt_from_its_media(
    with_credentials: bool,
) -> None:
    desk = Desk(PLAIN[:1])
    offer = desk.offer(WITH_ICE, ICE="force")
    answer = sdp(BOB, 20000, "ice-mismatch", *(BOB_ICE if with_credentials else ()))
    outcome = desk.command("answer", sdp=answer, call_id="call", from_tag="A", to_tag="B")
    rule = desk.box.rule_at(told(offer)[1])
    assert (rule.learn, rule.remote, rule.stun) == (Learn.WINDOW, (BOB, 20000), False)
    assert ice(Session.parse(outcome.reply["sdp"])).offered
    assert "mismatch" not in outcome.reply["sdp"]
    assert [note.split(":")[0] for note in outcome.notes] == ["a=ice-mismatch"]
    assert desk.registry.ice_flaws == {"mismatch": 1, "bad-restart": 0}


@pytest.mark.parametrize("half", ["ufrag:abcd", "pwd:abcd"])
def test_a_phone_that_changes_half_of_its_credentials_is_taken_for_restarting_and_counted(half: str) -> None:
    desk = Desk(PLAIN[:1])
    desk.offer(WITH_ICE, ICE="force")
    answer = desk.answer(sdp(BOB, 20000, *BOB_ICE))
    new = half.replace("abcd", "efgh")
    outcome = desk.command("offer", sdp=WITH_ICE.replace(half, new), call_id="call", from_tag="A", to_tag="B")
    assert [note for note in outcome.notes if "ice-pwd" in note]
    assert desk.registry.ice_flaws["bad-restart"] == 1
    again = desk.answer(sdp(BOB, 20000, *BOB_ICE))
    assert ice(again).ufrag != ice(answer).ufrag
    assert told(again) == told(answer)


def test_a_whole_restart_and_none_are_no_flaw() -> None:
    desk = Desk(PLAIN[:1])
    desk.offer(WITH_ICE, ICE="force")
    desk.answer(sdp(BOB, 20000, *BOB_ICE))
    desk.offer(WITH_ICE, to_tag="B")
    desk.offer(WITH_ICE.replace("ufrag:abcd", "ufrag:efgh").replace("pwd:abcd", "pwd:efgh"), to_tag="B")
    assert not desk.registry.ice_flaws.total()


def test_an_offer_that_fails_has_no_flaws() -> None:
    desk = Desk(PLAIN[:1])
    desk.offer(WITH_ICE, ICE="force")
    desk.box.limit = 0
    bad = WITH_ICE.replace("ufrag:abcd", "ufrag:efgh") + "m=video 12000 RTP/AVP 96\r\n"
    with pytest.raises(NgError):
        desk.offer(bad, to_tag="B")
    assert not desk.registry.ice_flaws.total()


def test_end_to_end_without_ice_in_the_answer_has_none_on_either_leg() -> None:
    desk = Desk(PLAIN[:1])
    desk.offer(WITH_ICE, ICE="optional")
    answer = desk.answer(sdp(BOB, 20000), ICE="optional")
    assert not ice(answer).offered


def test_the_answer_goes_back_under_the_option_of_the_offer() -> None:
    desk = Desk(PLAIN[:1])
    desk.offer(WITH_ICE, ICE="force-relay")
    answer = desk.answer(sdp(BOB, 20000, *BOB_ICE))
    found = ice(answer)
    assert found.ufrag == "bbbb"
    assert [c.type for c in found.candidates] == ["host", "relay", "relay"]


def test_trickle_says_that_all_our_candidates_are_there() -> None:
    found = ice(Desk().offer(WITH_ICE, ICE=["force", "trickle"]))
    assert found.trickle
    assert found.end_of_candidates


@pytest.mark.parametrize(
    ("value", "towards_callee", "towards_caller"),
    [("forward", True, False), ("backward", False, True), ("both", True, True), ("off", False, False)],
)
def test_we_are_lite_where_asked(value: str, towards_callee: bool, towards_caller: bool) -> None:
    desk = Desk()
    offer = desk.offer(WITH_ICE, ICE="force", ICE_lite=value)
    answer = desk.answer(sdp(BOB, 20000, *BOB_ICE))
    assert ("ice-lite" in str(offer), "ice-lite" in str(answer)) == (towards_callee, towards_caller)


def test_a_restart_of_one_party_does_not_touch_the_other() -> None:
    desk = Desk(PLAIN[:1])
    offer = desk.offer(WITH_ICE, ICE="force")
    answer = desk.answer(sdp(BOB, 20000, *BOB_ICE))
    restarted = WITH_ICE.replace("ufrag:abcd", "ufrag:efgh").replace("pwd:abcd", "pwd:efgh")
    again = desk.offer(restarted, to_tag="B", ICE="force")
    assert ice(again) == ice(offer)
    reply = desk.answer(sdp(BOB, 20000, *BOB_ICE))
    assert ice(reply).ufrag != ice(answer).ufrag
    assert told(reply) == told(answer)


def test_a_callee_that_restarts_in_its_answer_checks_with_the_credentials_it_was_told() -> None:
    desk = Desk(PLAIN[:1])
    desk.offer(WITH_ICE, ICE="force")
    desk.answer(sdp(BOB, 20000, *BOB_ICE))
    offer = desk.offer(WITH_ICE, to_tag="B", ICE="force")
    desk.answer(sdp(BOB, 20000, *BOB_ICE).replace("ufrag:bbbb", "ufrag:cccc"))
    bob = Phone(desk, ("203.0.113.200", 62000), Credentials("cccc", BOB_KEYS.pwd), False, offer)
    bob.check()
    assert desk.box.rule_at(told(offer)[1]).remote == bob.at


def test_an_offer_repeated_unchanged_is_answered_byte_for_byte() -> None:
    desk = Desk()
    first = desk.offer(WITH_ICE, ICE="force")
    assert str(desk.offer(WITH_ICE, ICE="force")) == str(first)


@dataclass
class Phone:
    """A peer with ICE at one address, whose datagrams are carried by hand."""

    desk: Desk
    at: tuple[str, int]
    keys: Credentials
    controlling: bool
    relay: Session

    def __post_init__(self) -> None:
        self.agent = Peer(self.keys, self.controlling, tie_breaker=1)
        said = ice(self.relay)
        assert said.ufrag is not None
        assert said.pwd is not None
        self.agent.set_remote(Credentials(said.ufrag, said.pwd), self.desk.now)
        number = told(self.relay)[1]
        self.port = next(h for h, port in self.desk.box.ports.items() if port.number == number)

    def check(self, delay: float = 0.0) -> None:
        """Check the relay until neither side has anything more to say, ``delay`` seconds after each word."""
        here = Path(0, (RELAY, told(self.relay)[1]))
        outgoing = self.agent.check(here, self.desk.now)
        while outgoing:
            sent_before = len(self.desk.box.sent)
            for output in outgoing:
                if isinstance(output, Send):
                    self.desk.registry.stun(self.port, self.at, output.datagram, self.desk.now)
            outgoing = []
            self.desk.now += delay
            for port, remote, datagram in self.desk.box.sent[sent_before:]:
                if (port, remote) == (self.port, self.at):
                    outgoing += self.agent.received(here, datagram, self.desk.now)


def call_with_ice() -> tuple[Desk, Phone, Phone]:
    desk = Desk(PLAIN[:1])
    offer = desk.offer(WITH_ICE, ICE="force")
    answer = desk.answer(sdp(BOB, 20000, *BOB_ICE))
    alice = Phone(desk, NAT, ALICE_KEYS, True, answer)
    bob = Phone(desk, ("203.0.113.200", 62000), BOB_KEYS, False, offer)
    return desk, alice, bob


def test_with_ice_nobody_is_heard_or_sent_to_before_a_check() -> None:
    desk, alice, _ = call_with_ice()
    rule = desk.box.rule_at(told(alice.relay)[1])
    assert (rule.learn, rule.sources, rule.remote) == (Learn.NOBODY, (), None)


def test_a_check_opens_the_path_to_where_it_came_from() -> None:
    desk, alice, bob = call_with_ice()
    alice.check()
    bob.check()
    for phone in (alice, bob):
        rule = desk.box.rule_at(told(phone.relay)[1])
        assert rule.sources == (phone.at,)
        assert rule.remote == phone.at


@pytest.mark.parametrize(("kind", "stays"), [("relay", True), ("srflx", False)])
def test_media_does_not_go_by_a_turn_server_because_its_check_came_last(kind: str, stays: bool) -> None:
    """Some peers nominate every path that answers."""
    desk = Desk(PLAIN[:1])
    desk.offer(WITH_ICE + f"a=candidate:9 1 udp 5 192.0.2.53 4999 typ {kind}\r\n", ICE="force")
    answer = desk.answer(sdp(BOB, 20000, *BOB_ICE))
    short = Phone(desk, NAT, ALICE_KEYS, True, answer)
    short.check()
    desk.now += 0.3
    Phone(desk, ("192.0.2.53", 4999), ALICE_KEYS, True, answer).check()
    assert (desk.box.rule_at(told(short.relay)[1]).remote == NAT) is stays


RESTARTED = WITH_ICE.replace("ufrag:abcd", "ufrag:efgh").replace("pwd:abcd", "pwd:efgh")
NEW_KEYS = Credentials("efgh", ALICE_KEYS.pwd.replace("abcd", "efgh"))


def test_media_flows_on_the_old_path_until_a_restart_has_a_new_one() -> None:
    desk, alice, _ = call_with_ice()
    alice.check()
    desk.offer(RESTARTED, to_tag="B", ICE="force")
    assert desk.box.rule_at(told(alice.relay)[1]).remote == NAT
    again = desk.answer(sdp(BOB, 20000, *BOB_ICE))
    moved = Phone(desk, ("198.51.100.7", 7000), NEW_KEYS, True, again)
    moved.check()
    rule = desk.box.rule_at(told(alice.relay)[1])
    assert (rule.remote, rule.sources) == (moved.at, (moved.at,))


def webrtc(said: str, identity: Identity) -> str:
    """The description of a phone with ICE, with DTLS as well."""
    keys = f"a=fingerprint:{identity.fingerprint()}\r\na=setup:actpass\r\n"
    return said.replace("RTP/AVP", "UDP/TLS/RTP/SAVP") + keys


def test_a_caller_that_starts_anew_gets_its_handshake_where_it_is_now() -> None:
    desk = Desk(PLAIN[:1])
    plain = {"ICE": "remove", "transport_protocol": "RTP/AVP"}
    desk.offer(webrtc(WITH_ICE, Identity.create(UNIX)), **plain)
    alice = Phone(desk, NAT, ALICE_KEYS, True, desk.answer(sdp(BOB, 20000)))
    alice.check()
    assert desk.handshakes_to(alice.at) == 1
    desk.offer(webrtc(RESTARTED, Identity.create(UNIX)), to_tag="B", **plain)
    again = desk.answer(sdp(BOB, 20000))
    assert desk.handshakes_to(alice.at) == 1
    moved = Phone(desk, ("198.51.100.7", 7000), NEW_KEYS, True, again)
    moved.check()
    assert desk.handshakes_to(moved.at) == 1


def test_a_handshake_follows_a_phone_that_moves_before_it_has_answered() -> None:
    desk = Desk(PLAIN[:1])
    desk.offer(webrtc(WITH_ICE, Identity.create(UNIX)), ICE="remove", transport_protocol="RTP/AVP")
    alice = Phone(desk, NAT, ALICE_KEYS, True, desk.answer(sdp(BOB, 20000)))
    alice.check()
    moved = Phone(desk, ("198.51.100.7", 7000), ALICE_KEYS, True, alice.relay)
    desk.now += 2.0
    moved.check()
    desk.registry.check(desk.now)
    assert (desk.handshakes_to(alice.at), desk.handshakes_to(moved.at)) == (1, 1)


def test_a_restart_that_is_refused_leaves_the_old_credentials_in_force() -> None:
    desk, alice, _ = call_with_ice()
    alice.check()
    desk.offer(RESTARTED, to_tag="B", ICE="force")
    alice.check()
    assert desk.registry.refused_stun["integrity"] == 0
    desk.offer(WITH_ICE, to_tag="B", ICE="force")
    assert ice(desk.answer(sdp(BOB, 20000, *BOB_ICE))).ufrag == ice(alice.relay).ufrag


def test_a_stranger_with_a_wrong_password_opens_nothing() -> None:
    desk, alice, _ = call_with_ice()
    alice.keys = ALICE_KEYS
    stranger = Phone(desk, ("192.0.2.66", 6666), ALICE_KEYS, True, alice.relay)
    stranger.agent.set_remote(Credentials(ice(alice.relay).ufrag or "", "guess" * 5), desk.now)
    stranger.check()
    assert desk.box.rule_at(told(alice.relay)[1]).sources == ()
    assert desk.registry.refused_stun["integrity"] == 1


def test_a_replayed_check_does_not_move_media() -> None:
    desk, alice, _ = call_with_ice()
    alice.check()
    desk.now += 1.0
    replayed = alice.agent.check(Path(0, ("192.0.2.1", 9)), desk.now)
    assert isinstance(replayed[0], Send)
    desk.registry.stun(alice.port, ("192.0.2.66", 6666), replayed[0].datagram, desk.now)
    assert desk.box.rule_at(told(alice.relay)[1]).remote == NAT


def test_early_checks_are_answered_before_the_answer_comes() -> None:
    desk = Desk(PLAIN[:1])
    offer = desk.offer(WITH_ICE, ICE="force")
    bob = Phone(desk, ("203.0.113.200", 62000), BOB_KEYS, False, offer)
    bob.check()
    assert desk.box.rule_at(told(offer)[1]).sources == (bob.at,)
    desk.answer(sdp(BOB, 20000, *BOB_ICE))
    assert desk.box.sent[-1][1] == bob.at


def test_a_check_is_repeated_while_it_is_not_answered() -> None:
    desk = Desk(PLAIN[:1])
    offer = desk.offer(WITH_ICE, ICE="force")
    Phone(desk, ("203.0.113.200", 62000), BOB_KEYS, False, offer).check()
    desk.answer(sdp(BOB, 20000, *BOB_ICE))
    sent = len(desk.box.sent)
    due = desk.registry.next_check()
    assert due is not None
    desk.registry.check(due)
    assert len(desk.box.sent) == sent + 1
    for _ in range(10):
        due = desk.registry.next_check()
        if due is not None:
            desk.registry.check(due)
    assert desk.registry.next_check() is None


def test_checks_pass_between_the_peers_end_to_end() -> None:
    desk = Desk(PLAIN[:1])
    offer = desk.offer(WITH_ICE, ICE="optional")
    answer = desk.answer(sdp(BOB, 20000, *BOB_ICE), ICE="optional")
    alice = Peer(ALICE_KEYS, True, tie_breaker=1)
    alice.set_remote(BOB_KEYS, desk.now)
    bob = Peer(BOB_KEYS, False, tie_breaker=2)
    bob.set_remote(ALICE_KEYS, desk.now)
    bob_at = ("203.0.113.200", 62000)
    handles = {port.number: handle for handle, port in desk.box.ports.items()}
    first = alice.check(Path(0, (RELAY, told(answer)[1])), desk.now)
    second = bob.check(Path(0, (RELAY, told(offer)[1])), desk.now)
    assert isinstance(first[0], Send)
    assert isinstance(second[0], Send)
    desk.registry.stun(handles[told(answer)[1]], NAT, first[0].datagram, desk.now)
    assert desk.box.sent == []
    desk.registry.stun(handles[told(offer)[1]], bob_at, second[0].datagram, desk.now)
    assert (handles[told(offer)[1]], bob_at, first[0].datagram) in desk.box.sent
    assert (handles[told(answer)[1]], NAT, second[0].datagram) in desk.box.sent
    assert desk.box.rule_at(told(answer)[1]).sources == (NAT,)
    assert desk.box.rule_at(told(offer)[1]).remote == bob_at


def until(desk: Desk, seconds: float, heard: Callable[[Rule], bool] = lambda _: False) -> None:
    """Let the relay check and tick for a while; rules that are ``heard`` get packets all the time."""
    end = desk.now + seconds
    while desk.now < end:
        desk.last_packet.update((id, desk.now) for id, rule in desk.box.rules.items() if heard(rule))
        desk.tick(1.0)
        due = desk.registry.next_check()
        while due is not None and due <= desk.now:
            desk.registry.check(due)
            due = desk.registry.next_check()


def test_media_is_not_sent_without_consent_but_still_received() -> None:
    desk, alice, _ = call_with_ice()
    alice.check()
    until(desk, 40.0)
    rule = desk.box.rule_at(told(alice.relay)[1])
    assert (rule.remote, rule.sources) == (None, (NAT,))
    alice.check()
    assert desk.box.rule_at(told(alice.relay)[1]).remote == NAT


def test_a_peer_that_sends_media_and_answers_no_checks_is_not_cut_off() -> None:
    desk, alice, _ = call_with_ice()
    alice.check()
    until(desk, 50.0, heard=lambda _: True)
    assert desk.box.rule_at(told(alice.relay)[1]).remote == NAT


def test_a_peer_of_whose_bundle_only_the_second_media_comes_is_not_cut_off() -> None:
    desk = Desk(PLAIN[:1])
    medias = f"{WITH_ICE}a=mid:a\r\na=rtcp-mux\r\nm=video 10000 RTP/AVP 31\r\na=mid:v\r\na=rtcp-mux\r\n"
    desk.offer(medias.replace("t=0 0", "t=0 0\r\na=group:BUNDLE a v"), ICE="remove", rtcp_mux=["demux"])
    answer = desk.answer(sdp(BOB, 20000) + "m=video 20002 RTP/AVP 31\r\n")
    alice = Phone(desk, NAT, ALICE_KEYS, True, answer)
    alice.check()
    until(desk, 50.0, heard=lambda rule: rule.marks is not None and rule.marks.mid == b"v")
    assert {rule.remote for rule in desk.box.rules_at(told(answer)[1])} == {NAT}


def test_media_on_a_path_without_consent_makes_us_check_it() -> None:
    desk, alice, _ = call_with_ice()
    alice.check()
    until(desk, 40.0)
    sent = len(desk.box.sent)
    until(desk, 5.0, heard=lambda _: True)
    assert {remote for _, remote, _ in desk.box.sent[sent:]} == {NAT}


def test_a_peer_that_moved_is_no_longer_received_from_where_it_was() -> None:
    desk, alice, _ = call_with_ice()
    alice.check()
    desk.now += 5.0
    moved = Phone(desk, ("198.51.100.7", 7000), ALICE_KEYS, True, alice.relay)
    moved.check()
    rule = desk.box.rule_at(told(alice.relay)[1])
    assert (rule.remote, set(rule.sources)) == (moved.at, {NAT, moved.at})
    until(desk, 3.0)
    assert desk.box.rule_at(told(alice.relay)[1]).sources == (moved.at,)


def test_a_lite_caller_is_checked_again_when_it_has_the_answer() -> None:
    desk = Desk(PLAIN[:1])
    desk.offer(WITH_ICE.replace("m=audio", "a=ice-lite\r\nm=audio"), ICE="force")
    until(desk, 120.0)
    desk.box.sent.clear()
    desk.answer(sdp(BOB, 20000, *BOB_ICE))
    assert [remote for _, remote, _ in desk.box.sent] == [("10.0.0.5", 40000)]


def test_a_rejected_callers_ice_is_as_if_it_had_not_been_offered() -> None:
    desk = Desk()
    offer = desk.offer(WITH_ICE, flags=["ICE-reject"])
    assert not ice(offer).offered
    answer = desk.answer(sdp(BOB, 20000))
    assert not ice(answer).offered
    rule = desk.box.rule_at(told(answer)[1])
    assert (rule.stun, rule.remote) == (False, (ALICE, 10000))


def test_the_callee_may_have_ice_where_the_callers_is_rejected() -> None:
    desk = Desk()
    assert ice(desk.offer(WITH_ICE, ICE="force", flags=["ICE-reject"])).offered
    assert not ice(desk.answer(sdp(BOB, 20000, *BOB_ICE))).offered


@pytest.mark.parametrize(("flags", "offered"), [([], False), (["reset"], True)])
def test_a_reset_forgets_that_the_callee_did_without_ice(flags: list[str], offered: bool) -> None:
    desk = Desk()
    desk.offer(WITH_ICE, ICE="remove")
    desk.answer(sdp(BOB, 20000))
    assert ice(desk.offer(WITH_ICE, to_tag="B", flags=flags)).offered is offered


def test_a_reset_forgets_the_protocol_of_the_callee() -> None:
    desk = Desk()
    desk.offer(sdp(), transport_protocol="RTP/AVPF")
    desk.answer(sdp(BOB, protocol="RTP/AVPF"))
    assert desk.offer(sdp(), to_tag="B").medias[0].protocol == "RTP/AVPF"
    assert desk.offer(sdp(), to_tag="B", flags=["reset"]).medias[0].protocol == "RTP/AVP"


def with_candidates(*candidates: str) -> str:
    lines = [f"candidate:{number} 1 udp {candidate}" for number, candidate in enumerate(candidates)]
    return sdp(ALICE, 10000, "ice-ufrag:abcd", "ice-pwd:abcdefghijklmnopqrstuv", *lines)


def test_a_caller_in_the_open_is_checked_while_the_phone_rings() -> None:
    """Its answers are all we need to talk to it the moment that the callee answers."""
    desk = Desk(PLAIN[:1])
    desk.offer(with_candidates("900 198.51.100.7 7000 typ host"), ICE="force")
    ((_, to, check),) = desk.box.sent
    assert to == ("198.51.100.7", 7000)
    answer = desk.answer(sdp(BOB, 20000, *BOB_ICE))
    caller = Peer(ALICE_KEYS, controlling=True, tie_breaker=9)
    (reply,) = (one for one in caller.received(Path(0, (RELAY, 1)), check, desk.now) if isinstance(one, Send))
    number = told(answer)[1]
    desk.registry.stun(desk.box.sent[0][0], to, reply.datagram, desk.now)
    assert desk.box.rule_at(number).remote == to


def test_of_a_callers_candidates_only_a_few_that_may_be_reached_are_checked() -> None:
    desk = Desk(PLAIN[:1])
    offer = with_candidates(
        "999 10.0.0.5 7000 typ host",
        "998 fe80::1 7000 typ host",
        "997 0b5c7b9e-4a8f.local 7000 typ host",
        "1 192.0.2.80 7000 typ relay raddr 10.0.0.5 rport 7000",
        *(f"{number} 198.51.100.{number} 7000 typ srflx raddr 0.0.0.0 rport 9" for number in range(1, 9)),
    )
    desk.offer(offer, ICE="force")
    until(desk, 2.0)
    checked = dict.fromkeys(host for _, (host, _), _ in desk.box.sent)
    assert list(checked) == ["198.51.100.8", "198.51.100.7", "198.51.100.6", "198.51.100.5"]


def test_a_caller_behind_a_nat_is_not_looked_for() -> None:
    desk = Desk(PLAIN[:1])
    desk.offer(WITH_ICE, ICE="force")
    until(desk, 2.0)
    assert desk.box.sent == []
