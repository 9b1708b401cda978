"""The one place that names every deliberate difference between our replies and the recorded ones.

A difference that is not here fails the replay; an entry that no recording needs fails it as well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.blackbox.comparison import Values


@dataclass(frozen=True)
class Known:
    """Why some aspects of some replies differ."""

    name: str
    aspects: tuple[str, ...]
    reason: str
    scenarios: tuple[str, ...] = ()
    """Beginnings of scenario names; empty for all."""
    commands: tuple[str, ...] = ()
    """Empty for all."""
    holds: Callable[[object, object], bool] = lambda ours, recorded: True
    """Looks at both values; a difference of another kind is not explained."""

    def explains(self, scenario: str, command: str, aspect: str, values: Values) -> bool:
        """This entry is about this difference."""
        return (
            aspect in self.aspects
            and scenario.startswith(self.scenarios or ("",))
            and command in (self.commands or (command,))
            and self.holds(*values)
        )


def _without(*optional: str) -> Callable[[object, object], bool]:
    """Nested lists are equal once these words are left out."""

    def strip(value: object) -> object:
        if isinstance(value, dict):
            return {name: strip(item) for name, item in value.items()}
        if isinstance(value, list):
            return [strip(item) for item in value if item not in optional]
        return value

    return lambda ours, recorded: strip(ours) == strip(recorded)


def _without_feedback(ours: object, recorded: object) -> bool:
    """They differ only in what belongs to AVPF."""
    assert isinstance(ours, list)
    assert isinstance(recorded, list)
    feedback = ("a=rtcp-fb:", "a=rtcp-rsize")
    return ours == [[line for line in media if not line.startswith(feedback)] for media in recorded]


def _fewer(ours: object, recorded: object) -> bool:
    """We name fewer parties, and none that is not recorded."""
    if isinstance(ours, dict) and isinstance(recorded, dict):
        return all(set(ours[who]) <= set(recorded[who]) for who in ours)
    return isinstance(ours, list) and isinstance(recorded, list) and set(ours) < set(recorded)


def _only_null_rtcp(ours: object, recorded: object) -> bool:
    """They differ only where ``a=rtcp`` or the whole media says port 9, which is nobody's (RFC 8840)."""
    assert isinstance(ours, dict)
    assert isinstance(recorded, dict)
    return all(
        one == other or not other or other[-1] == 9
        for who in ours
        for one, other in zip(ours[who], recorded[who], strict=True)
    )


WEBRTC = ("aiortc", "chromium")
FORKS_UNDER_ONE_OFFER = ("fork", "late_")
END_TO_END = ("chromium_browsers", "ice_default", "ice_flags")

KNOWN = (
    Known(
        "fragments",
        ("keys",),
        "We say whether anything of a fragment is for the other party; rtpengine leaves that to the proxy.",
        ("chromium_trickle",),
        ("offer",),
        _without("ice-fragment"),
    ),
    Known(
        "feedback",
        ("other attributes",),
        "rtpengine leaves a=rtcp-fb and a=rtcp-rsize under RTP/AVP, which has no feedback (RFC 4585).",
        WEBRTC,
        ("offer",),
        _without_feedback,
    ),
    Known(
        "crypto",
        ("crypto",),
        "rtpengine offers SDES beside DTLS under UDP/TLS, which browsers refuse; we do not.",
        END_TO_END,
        ("offer",),
        lambda ours, recorded: ours == [False] and recorded == [True],
    ),
    Known(
        "bundle",
        ("bundle",),
        "rtpengine takes every bundle out, which browsers with bundlePolicy max-bundle refuse; we end them "
        "on the leg of the party that bundles.",
        (*WEBRTC, "ice_flags"),
        (),
        lambda ours, recorded: recorded == [] and str(ours).count("BUNDLE ") == 1,
    ),
    Known(
        "tls-id",
        ("tls-id",),
        "We name the DTLS association that an offer is about (RFC 8842), rtpengine 10.5 does not.",
        (*WEBRTC, "ice_flags"),
        ("offer",),
        lambda ours, recorded: ours == [True] and recorded == [False],
    ),
    Known(
        "telephone-event",
        ("formats", "other attributes"),
        "Payload types pass unchanged; rtpengine drops telephone-event/8000 where the offer had it at "
        "another clock rate only in its own codec list.",
        WEBRTC,
        ("answer",),
        lambda ours, recorded: str(ours).count("101") > str(recorded).count("101"),
    ),
    Known(
        "ptime",
        ("other attributes",),
        "rtpengine writes a=ptime:20 into an answer that has none; we do not repacketise.",
        WEBRTC,
        ("answer",),
        _without("a=ptime:20"),
    ),
    Known(
        "end of no candidates",
        ("ice attributes",),
        "rtpengine leaves aiortc's a=end-of-candidates in a description that it took all ICE out of.",
        ("aiortc",),
        (),
        lambda ours, recorded: ours == [[]] and recorded == [["end-of-candidates"]],
    ),
    Known(
        "force-relay names the relay",
        ("address", "origin", "rtcp"),
        "Under ICE=force-relay rtpengine leaves c= and o= naming the candidate that it removed; "
        "ours name the relay, and a=rtcp goes with them.",
        END_TO_END,
        ("offer", "answer"),
        lambda ours, recorded: "the relay" in str(ours) or "another port with address" in str(recorded),
    ),
    Known(
        "one port towards the caller",
        ("port",),
        "rtpengine gives the caller new ports with each further answer, which a caller that keeps to the "
        "first answer never uses; all branches of ours share the caller's port.",
        FORKS_UNDER_ONE_OFFER,
    ),
    Known(
        "deleted branches are gone",
        ("parties", "party subscriptions"),
        "rtpengine goes on listing a branch that was deleted.",
        ("fork_branch", "failures", "late_also_branch", "late_three"),
        ("delete",),
        _fewer,
    ),
    Known(
        "timed out meanwhile",
        ("keys", "warning", "totals keys", "parties", *(
            f"party {name}" for name in (
                "keys", "via-branch", "subscriptions", "subscribers", "media keys", "media", "codec",
                "media flags", "streams", "stream keys", "stream flags", "stats keys", "signalled",
            )
        )),
        "The recording took 13 s in which the call timed out; the replay takes none.",
        ("silent_relay",),
        ("delete",),
    ),
    Known(
        "codec of silent calls",
        ("party codec", "party media keys"),
        "rtpengine names the codec that was heard last, we the first of the description; "
        "no media is replayed.",
        (),
        ("delete",),
        lambda ours, recorded: "codec" in str(ours) or "/" in str(ours),
    ),
    Known(
        "SSRC and crypto suite",
        ("party stream keys",),
        "SSRC is there once media was heard, the crypto suite once a handshake is over; none is replayed.",
        (),
        ("delete",),
        _without("SSRC", "crypto suite"),
    ),
    Known(
        "flags of DTLS and ICE roles",
        ("party media flags",),
        "The recorded calls finished DTLS. rtpengine says 'ICE controlling' of legs without ICE too, and "
        "calls a media initialized after its first answer only; ours is as soon as it has ports.",
        (),
        ("delete",),
        _without(
            "DTLS-SRTP", "DTLS role active", "DTLS role passive", "ICE controlling", "trickle ICE",
            "initialized", "SDES",
        ),
    ),
    Known(
        "mux that nobody agreed to",
        ("party media flags",),
        "rtpengine says rtcp-mux of a media whose offer was not answered yet.",
        ("ice_",),
        ("delete",),
        _without(
            "DTLS-SRTP", "DTLS role active", "DTLS role passive", "ICE controlling", "trickle ICE",
            "initialized", "SDES", "rtcp-mux",
        ),
    ),
    Known(
        "flags of ICE and RTCP",
        ("party stream flags",),
        "The recorded calls finished ICE and DTLS, a replay sends no checks; rtpengine also says of every "
        "RTP stream that may be muxed that it is RTCP.",
        (),
        ("delete",),
        _without("ICE", "DTLS fingerprint verified", "fallback RTCP", "confirmed", "filled", "RTCP"),
    ),
    Known(
        "nobody's RTCP port",
        ("party signalled",),
        "a=rtcp:9 IN IP4 0.0.0.0 is nobody's address; rtpengine reports port 9 of the c= address, we "
        "nothing, or under rtcp-mux the address of RTP.",
        (*WEBRTC, "ice_"),
        ("delete",),
        _only_null_rtcp,
    ),
)  # fmt: skip
"""In the order of an SDP, then of a report."""


def explanation(scenario: str, command: str, aspect: str, values: Values) -> Known | None:
    """The entry that explains a difference."""
    return next((known for known in KNOWN if known.explains(scenario, command, aspect, values)), None)
