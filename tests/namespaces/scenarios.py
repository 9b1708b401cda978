"""What happens to a call. Each scenario may be played over any plane, and has to come to the same there."""

from __future__ import annotations

import random
from collections.abc import Callable

from relay.forward.fake_srtp import Keys
from relay.forward.rule import Learn, StunKeys
from relay.srtp.profiles import MasterKey, profile_named
from tests.namespaces.calls import BINDING, DTLS, RTCP, rtp
from tests.namespaces.stage import Stage
from tests.relay.forward import checks

FEEDBACK = bytes([0x81, 206, 0, 2]) + bytes(8)


def voice(count: int, first: int = 0) -> list[bytes]:
    return [rtp(seq) for seq in range(first, first + count)]


def a_conversation(stage: Stage) -> None:
    stage.exchange(voice(10))
    stage.exchange([RTCP])
    stage.exchange([rtp(seq, payload=bytes(range(256)) * 6)[: 12 + seq] for seq in (10, 11, 12, 500, 1400)])


def packets_that_come_in_pieces(stage: Stage) -> None:
    stage.exchange(voice(3))
    stage.exchange([rtp(seq, payload=b"video" * size) for seq, size in ((3, 500), (4, 30), (5, 1600))])
    stage.exchange(voice(3, first=6))


def noise_in_a_call(stage: Stage) -> None:
    stage.exchange(voice(3))
    for datagram in (BINDING, DTLS, b"", rtp(3)[:11], bytes([64]) + bytes(30), RTCP[:7]):
        stage.says("caller", datagram)
        stage.says("stranger", datagram, to="caller")
    stage.says("stranger", rtp(3), to="caller")
    stage.exchange(voice(3, first=3))


def hold_and_resume(stage: Stage) -> None:
    stage.exchange(voice(3))
    to_callee = stage.rules["caller"].rtp
    stage.change(caller={"rtp": ()})
    stage.exchange(voice(3, first=3))
    stage.change(caller={"rtp": to_callee})
    stage.exchange(voice(3, first=6))


def signalling_moves_the_callee(stage: Stage) -> None:
    stage.exchange(voice(3))
    stage.change(callee={"remote": stage.address("third"), "generation": 1})
    for packet in voice(3, first=3):
        stage.says("caller", packet)
        stage.says("third", packet, to="callee")
    stage.says("callee", rtp(6))
    stage.says("caller", rtp(6))


def the_callee_moves_by_himself(stage: Stage) -> None:
    """He is behind a NAT at first, and then where he said. Whoever is behind the NAT is a stranger then."""
    stage.says("caller", rtp(0))
    for packet in voice(7):
        stage.says("behind", packet, to="callee")
        stage.says("caller", packet)
    stage.exchange(voice(3, first=7))
    stage.says("behind", rtp(10), to="callee")
    stage.exchange(voice(2, first=11))


def a_nat_gives_the_callee_another_port(stage: Stage) -> None:
    """He is known by his SSRC; a neighbour behind the same NAT is not."""
    stage.exchange(voice(3))
    for seq in range(3, 10):
        stage.says("third", rtp(seq, ssrc=2), to="callee")
    for packet in voice(7, first=3):
        stage.says("behind", packet, to="callee")
        stage.says("caller", packet)


def the_callee_describes_himself_again(stage: Stage) -> None:
    """And is at another port since, with another SSRC. Before that he would be a stranger."""
    stage.exchange(voice(3))
    for packet in voice(6, first=3):
        stage.says("behind", rtp(packet[3], ssrc=2), to="callee")
    stage.change(callee={"described": 1})
    for seq in range(9, 16):
        stage.says("behind", rtp(seq, ssrc=2), to="callee")
        stage.says("caller", rtp(seq))
    stage.says("stranger", rtp(16, ssrc=2), to="callee")


def a_caller_who_hears_where_he_said(stage: Stage) -> None:
    """Flag ``asymmetric``: he talks from elsewhere."""
    stage.change(callee={"asymmetric": True})
    for packet in voice(7):
        stage.says("behind", packet, to="callee")
        stage.says("caller", packet)


def ice_says_who_the_peers_are(stage: Stage) -> None:
    for phone in ("caller", "callee"):
        stage.change(**{phone: {"learn": Learn.NOBODY, "sources": (stage.address(phone),)}})
    stage.exchange(voice(3))
    stage.says("behind", rtp(3), to="callee")
    stage.exchange(voice(3, first=4))


def checks_before_and_after_ice_has_settled(stage: Stage) -> None:
    check = checks.honest(random.Random(7)).write()
    stage.change(caller={"stun": True})
    stage.exchange(voice(3))
    stage.says("caller", check)
    here = stage.address("caller")
    keys = StunKeys(checks.KEYS.ufrag, checks.KEYS.pwd, checks.KEYS.remote_ufrag, False, (here,), here)
    stage.change(caller={"sources": (here,), "stun_keys": keys})
    for packet in voice(3, first=3):
        stage.says("caller", check)
        stage.exchange([packet])
    stage.says("stranger", check, to="caller")


def one_leg_ends(stage: Stage) -> None:
    stage.exchange(voice(3))
    stage.drop("callee")
    for packet in voice(3, first=3):
        stage.says("caller", packet)
        stage.says("callee", packet)
    stage.add_rule("third", "callee", rtp=(stage.rules["caller"].id,))
    for packet in voice(3, first=6):
        stage.says("caller", packet)
        stage.says("third", packet, to="callee")


def two_hear_the_caller(stage: Stage) -> None:
    stage.exchange(voice(3))
    stage.add_rule("third", "callee", rtp=(stage.rules["caller"].id,))
    stage.change(caller={"rtp": (stage.rules["callee"].id, stage.rules["third"].id)})
    for packet in voice(3, first=3):
        stage.says("caller", packet, outputs=2)
        stage.says("third", packet, to="callee")
        stage.says("callee", packet)
    stage.drop("third")
    stage.change(caller={"rtp": (stage.rules["callee"].id,)})
    stage.exchange(voice(3, first=6))


def a_fax(stage: Stage) -> None:
    """Not RTP: all of it passes. Before and after, they speak."""
    stage.exchange(voice(3))
    stage.change(caller={"opaque": True}, callee={"opaque": True})
    stage.exchange([b"T.38", bytes(40), BINDING, DTLS, rtp(3)])
    stage.change(caller={"opaque": False}, callee={"opaque": False})
    stage.exchange(voice(3, first=4))


def feedback_for_a_phone_without(stage: Stage) -> None:
    stage.change(callee={"plain_rtcp": True})
    stage.exchange(voice(3))
    stage.exchange([RTCP + FEEDBACK, FEEDBACK])
    stage.exchange(voice(3, first=3))


def srtp_of_the_caller_ends_here(stage: Stage) -> None:
    profile = profile_named("AES_CM_128_HMAC_SHA1_80")
    ours, theirs = (
        MasterKey.split(profile, bytes([n]) * (profile.key_length + profile.salt_length)) for n in (1, 2)
    )
    phone = Keys.open(profile, ours, theirs)
    stage.exchange(voice(3))
    stage.change(caller={"keys": stage.plane.open_keys(profile, theirs, ours)})
    for packet in voice(3, first=3):
        protected = phone.leaving.protect(packet, rtcp=False) or b""
        stage.says("caller", protected)
        stage.says("callee", packet)
        stage.says("caller", protected)
    stage.says("caller", rtp(6))


def a_long_talk(stage: Stage) -> None:
    """Mostly RTP, of two SSRCs, whose numbers wrap; some of all else, and a stranger."""
    dice = random.Random(20)
    stage.exchange(voice(1))
    for seq in range(200):
        who = dice.choice(("caller", "callee", "caller", "callee", "stranger"))
        noise = (RTCP, DTLS, BINDING, rtp(seq)[: dice.randrange(12)], dice.randbytes(dice.randrange(60)))
        payload = dice.randbytes(dice.randrange(200))
        spoken = rtp(65_450 + seq & 0xFFFF, ssrc=dice.choice((1, 2)), payload=payload)
        typed = spoken[:1] + bytes([dice.randrange(256)]) + spoken[2:]
        side = "caller" if who == "stranger" else who
        stage.says(who, dice.choice((spoken, spoken, typed, dice.choice(noise))), to=side)
    for rule in stage.rules.values():
        assert int(stage.plane.row(rule.id)["rtp_skipped"]) > 10


SCENARIOS: dict[Callable[[Stage], None], int] = {
    a_conversation: 20,
    packets_that_come_in_pieces: 8,
    noise_in_a_call: 8,
    hold_and_resume: 8,
    signalling_moves_the_callee: 6,
    a_nat_gives_the_callee_another_port: 1,
    the_callee_describes_himself_again: 1,
    the_callee_moves_by_himself: 10,
    ice_says_who_the_peers_are: 8,
    checks_before_and_after_ice_has_settled: 8,
    one_leg_ends: 4,
    two_hear_the_caller: 6,
    a_fax: 6,
    feedback_for_a_phone_without: 8,
    srtp_of_the_caller_ends_here: 3,
    a_caller_who_hears_where_he_said: 0,
    a_long_talk: 100,
}
"""And how many packets the kernel forwards at least, where a plane has a share in it; 0 is none at all."""
