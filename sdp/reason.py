"""Why a line of a description was kept, removed, added or replaced: a fixed set of codes, a sentence each."""

from __future__ import annotations

import enum


class Reason(enum.StrEnum):
    """The value is the code, for programs; ``sentence`` is for people."""

    sentence: str

    def __new__(cls, code: str, sentence: str = "") -> Reason:
        member = str.__new__(cls, code)
        member._value_ = code
        member.sentence = sentence
        return member

    # candidates
    RELAY_INSERTED = "relay-inserted", "an address of the relay, which both phones reach"
    DIRECT_KEPT = "direct-kept", "a direct path that may be shorter than the one over the relay"
    HOST_USELESS = "host-useless", "an address of the phone's own network; the relay is reachable instead"
    SRFLX_USELESS = "srflx-useless", "the outside of the phone's NAT; the relay is reachable instead"
    PRFLX_USELESS = "prflx-useless", "an address seen in an earlier check; the relay is reachable instead"
    RELAY_REPLACED = "relay-replaced", "the phone's TURN server; our relay takes its place"
    TCP_USELESS = "tcp-useless", "a TCP address of the phone; the relay is reachable over UDP"
    MDNS_USELESS = "mdns-useless", "a .local name, which only the phone's own network resolves"
    NAME_USELESS = "name-useless", "a host name; candidates are never looked up"
    UNKNOWN_USELESS = "unknown-useless", "a candidate type or transport that the relay does not know"
    INVALID = "invalid", "not a candidate that anybody could send to"
    OWN_ADDRESS = "own-address", "the phone names a media port of the relay as its own"
    FQDN = "fqdn", "a host name that is no .local one; candidates are never looked up"
    UNKNOWN = "unknown", "neither type nor transport of a candidate that could be used directly"
    GENERATION = "generation", "belongs to another generation of the phone's ICE"
    COMPONENT = "component", "RTCP shares the port of RTP, so nothing is sent there"
    POLICY = "policy", "the operator's policy drops candidates of this kind"
    HOST_PRIVATE = "host-private", "an address of another network than that of the other phone"
    COST = "cost", "a mobile network, and the phone has a cheaper one as well"
    SYMMETRIC = "symmetric", "the outside of a NAT that serves no other phone, or one that is named already"
    DUPLICATE = "duplicate", "the same address and port as another candidate, which has the higher priority"
    LIMIT = "limit", "there are enough candidates that are more likely to work"
    # the rest of ICE
    ICE_REMOVED = "ice-removed", "this leg does without ICE"
    ICE_CREDENTIALS = "ice-credentials", "ICE ends at the relay, which has a user and password of its own"
    ICE_TERMINATED = "ice-terminated", "ICE ends at the relay; the line spoke of the other phone's ICE"
    ICE_MOVED = "ice-moved", "medias use ICE differently, so the session's line is written per media"
    ICE_LITE = "ice-lite", "says whether the ICE agent on this side is a lite one"
    ICE_OPTIONS = "ice-options", "without an ICE option that the relay, in the path, could not follow"
    TRICKLE = "trickle", "the relay knows trickle ICE and names all its candidates at once"
    # keys and profile
    KEYS = "keys", "encryption ends at the relay, which has keys of its own"
    KEYS_MOVED = "keys-moved", "medias are encrypted differently, so the session's line is written per media"
    FEEDBACK_REMOVED = "feedback-removed", "this leg's profile has no early RTCP feedback"
    # addresses
    ADDRESS = "address", "media goes through the relay"
    ADDRESS_KEPT = "address-kept", "this media does not go through the relay and keeps its own address"
    RTCP = "rtcp", "where the relay receives RTCP"
    RTCP_MUX = "rtcp-mux", "whether RTP and RTCP share a port on this leg"
    # the rest of the description
    ORIGIN = "origin", "the proxy asked to replace parts of o="
    SESSION_NAME = "session-name", "the proxy asked to keep the session name sent first"
    DIRECTION = "direction", "who sends and who receives on this leg"
    MID = "mid", "the media is given a name"
    BUNDLE_SPLIT = "bundle-split", "every media has a port of its own at the relay"
    BUNDLE = "bundle", "which medias share a port of the relay"
    LOOP = "loop", "marks the description as seen, to notice a loop"
