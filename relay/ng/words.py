"""The vocabulary of the ng protocol: which spellings mean the same.

All look-ups are by ``canonical`` spelling: lower case, hyphens. The tables hold
what remains different after that. Words of rtpengine that we understand but do
not act on yet are listed apart, so that the log can tell them from typing
errors; giving one of them a meaning begins with moving it.
"""

from __future__ import annotations

from functools import lru_cache


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


@lru_cache(maxsize=256)
def canonical(word: str) -> str:
    """
    >>> canonical("Delete_Delay"), canonical("trickle ICE")
    ('delete-delay', 'trickle-ice')
    """
    return word.strip().lower().replace(" ", "-").replace("_", "-")


KEY_SYNONYMS = {
    "codecs": "codec",
    "digit": "code",
    "from-label": "label",
    "output-destination": "recording-file",
    "output-file": "recording-file",
    "recording-dest": "recording-file",
    "recording-destination": "recording-file",
    "output-dir": "recording-dir",
    "output-folder": "recording-dir",
    "output-path": "recording-dir",
    "recording-folder": "recording-dir",
    "recording-path": "recording-dir",
    "output-pattern": "recording-pattern",
    "reverse-ptime": "ptime-reverse",
    "sip-response-code": "sip-code",
    "t38": "t.38",
}

KEYS_NOT_YET = _set(
    """
    address alias-key all audio-player blob blob64 bundle code codec db-id delay-buffer drop-traffic
    dtmf-delay dtmf-log-dest dtmf-security dtmf-security-trigger
    dtmf-security-trigger-end duration endpoint-learning extmap file frequencies frequency from-tags
    generate-rtcp media-echo moh pause ptime
    ptime-reverse record-call recording-dir recording-file recording-pattern repacketize repeat-duration
    repeat-times sdp-attr sdp-media-remove set-label start-pos t.38 template to-label trigger trigger-end
    trigger-end-digits trigger-end-time volume xmlrpc-callback
    """
)

SHOWN_NOT_YET = _set("bundle codec extmap generate-rtcp media-echo ptime ptime-reverse record-call t.38")
"""Those of which the log shows the value as well: it names nobody."""

FLAG_SYNONYMS = {
    "pad-crypto": "sdes-pad",
    "reject-ice": "ice-reject",
    "trickle": "trickle-ice",
}

FLAGS = _set(
    """
    asymmetric fast fatal fragment full-rtcp-attribute generate-mid ice-optimize ice-reject loop-protect
    media-handover new-branch no-port-latching no-rtcp-attribute no-tls-id original-sendrecv port-latching
    provisional recrypt reset
    sip-source-address strict-source to-tag trickle-ice trust-address webrtc
    """
)
"""Words of ``flags`` that reach the call."""

FLAGS_WITHOUT_EFFECT = _set("asymmetric-codecs reorder-codecs symmetric symmetric-codecs")
"""What they ask for is what happens anyway; old scripts send them."""

FLAGS_NOT_YET = _set(
    """
    all allow-asymmetric-codecs allow-no-codec-media allow-transcoding always-transcode audio-player
    bidirectional block-dtmf block-egress block-short debug detect-dtmf directional discard-recording
    early-media egress exclude-recording force-transcoding generate-rtcp inactive inject-dtmf mirror-rtcp mix
    nat-wait no-jitter-buffer no-passthrough no-player no-redis-update passthrough pause
    pierce-nat record-call recording-announcement recording-vsc reuse-codecs single-codec siprec
    skip-recording-db static-codecs strip-extmap unidirectional unsubscribe
    """
)

FAMILIES = ("osrtp", "replace", "rtcp-mux", "sdes")
"""Keys whose words may stand in ``flags`` behind the key: ``replace-origin``."""

FAMILIES_NOT_YET = (
    "bundle",
    "codec",
    "endpoint-learning",
    "from-tags",
    "sdp-attr",
    "t.38",
    "t38",
    "transcode",
)

REPLACE = _set(
    """
    force-increment-sdp-ver origin origin-full sdp-version session-connection session-name username
    zero-address
    """
)

RTCP_MUX = frozenset(("offer", "require", "demux", "accept", "reject"))

ICE = frozenset(("remove", "force", "optional", "force-relay", "default", "optimize"))

ICE_ADVICE = {
    **dict.fromkeys(("yes", "on", "true", "1"), "yes"),
    **dict.fromkeys(("no", "off", "false", "0"), "no"),
}

SIP_TRANSPORT = {word: word for word in ("udp", "tcp", "tls", "sctp", "ws", "wss")}

ACTIONS = {word: word for word in ("on", "off", "rotate", "reload")}
"""Of the command ``memory``."""

FEEDBACK = ("tag", "ok", "kind", "ms", "wifi/cell", "lost", "rtt")
"""Keys that only the command ``feedback`` has. Elsewhere they stand in ``ice-feedback``."""

MAY_BRING_FEEDBACK = frozenset(("offer", "answer", "delete"))
"""Commands that may have ``ice-feedback``."""

ICE_FLAGS = {"trickle": "trickle-ice", "trickle-ice": "trickle-ice", "reject": "ice-reject"}
"""Words that may stand in a list beside the ICE mode, and the flag they mean."""

ICE_LITE = {
    **dict.fromkeys(("forward", "fwd", "fw", "offer"), "forward"),
    **dict.fromkeys(("backward", "back", "backwards", "bkw", "bk", "reverse", "answer"), "backward"),
    "both": "both",
    **dict.fromkeys(("off", "no", "none"), "off"),
}

DTLS = {
    **dict.fromkeys(("off", "no", "disable", "disabled"), "off"),
    "passive": "passive",
    "active": "active",
}

DTLS_HASHES = {hash: hash for hash in ("sha-1", "sha-256", "sha-384", "sha-512")}

SDES_OFF = _set("off no disable disabled")
SDES_PREFIXES = ("no-", "only-", "order:", "offerer-pref:")
"""Before the name of a suite, or before several with semicolons."""
SDES_PLAIN = _set("lifetime nonew pad prefer")
SDES_WITHOUT_EFFECT = _set("on static encrypted-srtp encrypted-srtcp authenticated-srtp")
"""What they ask for is what happens anyway."""
SDES_NOT_YET = _set("unencrypted-srtp unencrypted-srtcp unauthenticated-srtp")

OSRTP = {
    **dict.fromkeys(("offer", "offer-rfc"), "offer"),
    **dict.fromkeys(("accept", "accept-rfc"), "accept"),
}
OSRTP_NOT_YET = _set("offer-legacy accept-legacy")
"""Two m= lines for one media, which RFC 8643 did away with."""

ADDRESS_FAMILY = {"ip4": "IP4", "ip6": "IP6"}

SIP_MESSAGE_TYPE = {
    **dict.fromkeys(("request", "sip-request"), "request"),
    **dict.fromkeys(("reply", "sip-reply", "response", "sip-response"), "reply"),
}

TRANSPORT = (
    "RTP/AVP",
    "RTP/SAVP",
    "RTP/AVPF",
    "RTP/SAVPF",
    "UDP/TLS/RTP/SAVP",
    "UDP/TLS/RTP/SAVP",
    "UDP/TLS/RTP/SAVP",
    "UDP/TLS/RTP/SAVPF",
)
"""Index: 1 encrypted, 2 with feedback, 4 with DTLS."""

TRANSPORT_WORDS = {"rtp": (0, 1), "srtp": (1, 0), "avp": (0, 2), "avpf": (2, 0), "dtls": (4, 0)}
"""Bits of the index that the short words of ``rtpp-flags`` set and clear."""

WEBRTC_FLAGS = frozenset(("trickle-ice", "no-rtcp-attribute", "generate-mid"))
WEBRTC_RTCP_MUX = frozenset(("offer", "require"))
"""What the flag ``webrtc`` stands for, beside ``ICE=force`` and ``UDP/TLS/RTP/SAVPF``."""
