"""SDES, opportunistic SRTP and profiles with and without feedback: real packets through the daemon."""

import struct

import pytest

from tests.blackbox.daemon import Daemon, wait_until
from tests.blackbox.dialogue import Dialogue
from tests.blackbox.phone import rtcp, rtp, told
from tests.blackbox.secure import CM, GCM, KeyedPhone
from tests.ng import Value

ALICE, BOB = "127.0.1.21", "127.0.1.22"
KEY_FRAME = struct.pack("!BBHII", 0x81, 206, 2, 1, 2)
"""A picture loss indication (RFC 4585, section 6.3.1)."""


class Talk:
    """A call that is up."""

    def __init__(self, call: Dialogue, alice: KeyedPhone, bob: KeyedPhone, **keys: Value) -> None:
        self.alice, self.bob = alice, bob
        self.offered = call.offer(alice.offer(), **keys)
        self.answered = call.answer(bob.answer(self.offered))
        alice.take(self.answered)

    def both_hear_each_other(self) -> None:
        for number in range(5):
            self.alice.say(rtp(number, 1), told(self.answered))
            assert self.bob.hear() == rtp(number, 1)
            self.bob.say(rtp(number, 2), told(self.offered))
            assert self.alice.hear() == rtp(number, 2)

    def reports_pass(self) -> None:
        """A report with feedback behind it each way; a side without feedback gets the report."""
        for speaker, listener, to in (
            (self.alice, self.bob, self.answered),
            (self.bob, self.alice, self.offered),
        ):
            passes = listener.protocol.endswith("F") or not speaker.protocol.endswith("F")
            speaker.say(rtcp() + KEY_FRAME, told(to, rtcp_too=True), rtcp=True)
            assert listener.hear(rtcp=True) == rtcp() + KEY_FRAME * passes


PAIRS = [
    (("RTP/AVP", None), ("RTP/SAVP", CM)),
    (("RTP/AVP", None), ("RTP/SAVPF", GCM)),
    (("RTP/AVPF", None), ("RTP/AVP", None)),
    (("RTP/AVPF", None), ("RTP/SAVP", GCM)),
    (("RTP/SAVP", CM), ("RTP/AVPF", None)),
    (("RTP/SAVP", GCM), ("RTP/SAVPF", CM)),
    (("RTP/SAVPF", CM), ("RTP/AVP", None)),
    (("RTP/SAVPF", GCM), ("RTP/SAVPF", CM)),
]


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_phones_of_different_profiles_hear_each_other(
    one: tuple[str, str | None], other: tuple[str, str | None], call: Dialogue
) -> None:
    with KeyedPhone(ALICE, *one) as alice, KeyedPhone(BOB, *other) as bob:
        talk = Talk(call, alice, bob, transport_protocol=other[0], DTLS="off", SDES=["lifetime"])
        assert talk.answered.media.protocol == one[0]
        assert (alice.keyed, bob.keyed) == (one[1] is not None, other[1] is not None)
        talk.both_hear_each_other()
        talk.reports_pass()


def test_feedback_alone_is_dropped_and_counted(daemon: Daemon, call: Dialogue) -> None:
    with KeyedPhone(ALICE, "RTP/AVP") as alice, KeyedPhone(BOB, "RTP/AVPF") as bob:
        talk = Talk(call, alice, bob, transport_protocol="RTP/AVPF")
        before = counted(daemon)
        bob.say(KEY_FRAME, told(talk.offered, rtcp_too=True), rtcp=True)
        wait_until(lambda: counted(daemon) == before + 1, "the packet is counted")
        bob.say(rtcp(), told(talk.offered, rtcp_too=True), rtcp=True)
        assert alice.hear(rtcp=True) == rtcp()


def counted(daemon: Daemon) -> float:
    return daemon.metric("icerelay_dropped_packets_total")


@pytest.mark.parametrize("suite", [CM, None])
def test_a_callee_decides_whether_opportunistic_media_is_encrypted(suite: str | None, call: Dialogue) -> None:
    with KeyedPhone(ALICE, "RTP/AVP") as alice, KeyedPhone(BOB, "RTP/AVP", suite) as bob:
        talk = Talk(call, alice, bob, OSRTP=["offer"])
        assert talk.offered.media.protocol == "RTP/AVP"
        assert talk.offered.media.has("crypto")
        assert talk.offered.media.has("fingerprint")
        assert bob.keyed == (suite is not None)
        talk.both_hear_each_other()
        talk.reports_pass()


@pytest.mark.parametrize(("words", "keyed"), [({}, False), ({"OSRTP": ["accept"]}, True)])
def test_a_callers_opportunistic_keys_beside_a_plain_callee(
    words: dict[str, Value], keyed: bool, call: Dialogue
) -> None:
    with KeyedPhone(ALICE, "RTP/AVP", CM) as alice, KeyedPhone(BOB, "RTP/AVP") as bob:
        talk = Talk(call, alice, bob, flags=["recrypt"], **words)
        assert alice.keyed == keyed
        assert not bob.keyed
        talk.both_hear_each_other()


def test_two_opportunistic_phones_are_encrypted_end_to_end(call: Dialogue) -> None:
    with KeyedPhone(ALICE, "RTP/AVP", GCM) as alice, KeyedPhone(BOB, "RTP/AVP", GCM) as bob:
        talk = Talk(call, alice, bob)
        assert len(talk.offered.media.attributes("crypto")) == 1
        assert (alice.keyed, bob.keyed) == (True, True)
        talk.both_hear_each_other()
