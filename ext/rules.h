/* What the forwarding plane knows: ports, rules, latches, counters.
 *
 * Plain C structs. Addresses and their ports are in network byte order, everything else is in
 * the machine's. One worker thread owns a row and is the only one that writes
 * it; fields that Python reads while it does are written with the atomic
 * stores below, which are plain moves on x86-64 and arm64.
 */
#ifndef ICERELAY_RULES_H
#define ICERELAY_RULES_H

#include <stdint.h>
#include <string.h>

#include "track.h"

#define MAX_SOURCES 32       /* relay.forward.rule.MAX_SOURCES */
#define MAX_USERNAME 265     /* relay.forward.rule.MAX_USERNAME */
#define MAX_MID 32           /* relay.forward.rule.MAX_MID */
#define MAX_ANNOUNCED 16     /* relay.forward.rule.MAX_ANNOUNCED */
#define MAX_LEARNT 32        /* SSRCs of a bundle of which the media is known */
#define MAX_REPORTED 4       /* relay.forward.plane.MAX_REPORTED */
#define MAX_OUTPUTS 64       /* per rule and kind; also rules per port */
#define NO_PORT UINT32_MAX
#define NO_RULE UINT32_MAX
#define NO_PLACE UINT8_MAX

#define LOAD(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#define STORE(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define BUMP(p, v) STORE((p), LOAD(p) + (v)) /* one writer: no lock prefix */
#define LOAD_ACQUIRE(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define STORE_RELEASE(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)

/* A transport address. IPv4 is ::ffff:a.b.c.d, so there is one comparison.
 * Port 0 means "none". */
struct address {
    uint64_t high;
    uint64_t low;
    uint64_t port; /* as in sockaddr_in; wide, so that there is no padding */
};
_Static_assert(sizeof(struct address) == 24, "an address has no holes");

/* Where a rule's peer is sent to, readable by another thread: a sequence
 * lock. `version` is odd while the owner writes. */
struct shared_address {
    uint32_t version;
    struct address address;
};

/* The latest run of consistent packets of one source (relay/latching.py, Run). */
struct run {
    uint32_t ssrc;
    uint16_t seq;
    uint16_t length; /* counts to RUN_PROOF */
};

enum latch_state { WAITING, LATCHED, LOCKED };

/* relay/latching.py, Latch. */
struct latch {
    struct address peer;
    struct address challenger;
    int64_t until; /* end of the window, CLOCK_MONOTONIC, ns; 0: it opens with the next packet */
    struct run run;
    struct run challenge;
    uint32_t ssrc;  /* of the RTP that was accepted last */
    uint8_t heard;  /* whether there was any */
    uint8_t state;
    uint8_t opened; /* enum opened */
};

/* Another rule. Ids are used again: `life` tells one use from the next, so
 * that a stale output never reaches a stranger's call. */
struct output {
    uint32_t rule;
    uint32_t life;
};

/* SRTP keys, held by the worker outside of the rules. `life` as above; 0: none. */
struct keys_handle {
    uint32_t slot;
    uint32_t life;
};

/* What a worker has to know to answer a peer's checks (relay/forward/rule.py, StunKeys). */
struct stun_keys {
    uint32_t inner[5];  /* SHA-1 after the first block of HMAC (RFC 2104), inside and outside */
    uint32_t outer[5];
    uint16_t length;    /* of the username */
    uint8_t controlling;
    uint8_t username[MAX_USERNAME];
    struct address nominated;
};
_Static_assert(MAX_SOURCES <= 32, "every source has a bit");

/* How many checks of one source were answered in the second from `since` on. */
struct allowance {
    int64_t since; /* CLOCK_MONOTONIC, ns */
    uint32_t count;
};

/* What tells the medias of a bundle apart (relay/forward/rule.py, Marks). */
struct marks {
    uint8_t mid_id;
    uint8_t mid_length;
    uint8_t ssrc_count;
    uint8_t mid[MAX_MID];
    uint64_t payload_types[2]; /* a bit for each */
    uint32_t ssrcs[MAX_ANNOUNCED];
};

/* Of which media an SSRC of a bundle is. */
struct learnt {
    uint32_t ssrc;
    uint32_t rule;
};

enum opened { NOT_OPENED, FOR_HOST, FOR_ALL }; /* relay.latching.Opened */

enum learn { NOBODY, WINDOW }; /* relay.forward.rule.Learn */

/* relay/forward/rule.py, Rule, without what few rules have: that is in tables of
 * their own, at the same index. A page of those that no such rule touched costs
 * no memory, and a count or flag here says whether what is there means anything. */
struct rule {
    uint32_t id;
    uint32_t life;
    uint32_t port;       /* index of a struct port; NO_PORT after it was closed */
    uint32_t generation;
    uint32_t described;
    struct address remote;
    struct address hint; /* its port means nothing but "there is one" */
    struct keys_handle keys;
    struct output rtp;   /* if there is one; several are in struct fan */
    struct output rtcp;
    uint32_t settled;    /* a bit for each source from which checks are answered here */
    uint32_t leader;     /* of its bundle: rule id plus one; 0: the rule is in none */
    uint32_t clock;      /* of the payload types in `clocked`, Hz (relay/forward/rule.py, Clock); 0: none */
    uint64_t clocked[2]; /* a bit for each */
    uint8_t learn;
    uint8_t asymmetric;
    uint8_t stun;
    uint8_t opaque;
    uint8_t dtls;
    uint8_t plain_rtcp;
    uint8_t source_count;
    uint8_t rtp_count;
    uint8_t rtcp_count;
};

/* Of a rule with more than one output, of either kind. */
struct fan {
    struct output rtp[MAX_OUTPUTS];
    struct output rtcp[MAX_OUTPUTS];
};

/* Of a rule with sources. */
struct ice {
    struct address sources[MAX_SOURCES];
    struct allowance allowances[MAX_SOURCES]; /* of the sources */
    struct stun_keys keys;                    /* of a rule with settled sources */
};

/* Of a rule in a bundle. */
struct bundle {
    struct marks marks;
    uint32_t learnt_count; /* the leader's only; the oldest make room */
    struct learnt learnt[MAX_LEARNT];
};

/* A rule as a command brings it. */
struct whole_rule {
    struct rule rule;
    struct fan fan;
    struct ice ice;
    struct marks marks;
};

/* A rule in place. `owner` is the worker's number plus one, 0 for an empty
 * row; nothing else in a row may be touched by another worker. */
struct row {
    uint32_t owner;
    struct shared_address send_to;
    struct latch latch;
    struct address steered; /* the source whose datagrams come by a shared socket; port 0: none */
    struct rule rule;
    struct track track;
    struct track *lent; /* where the kernel tracks as well; NULL: nowhere, and `track` is up to date */
};
_Static_assert(sizeof(struct row) <= 320, "a rule of a plain call is a few cache lines");

/* A row of Plane.counters(): relay/forward/plane.py, COUNTERS. */
struct counters {
    uint64_t rtp_packets;
    uint64_t rtp_bytes;
    uint64_t rtcp_packets;
    uint64_t rtcp_bytes;
    uint64_t sent_packets;
    uint64_t sent_bytes;
    uint64_t stranger;
    uint64_t malformed;
    uint64_t no_output;
    uint64_t no_peer;
    uint64_t send_error;
    uint64_t stun;
    uint64_t auth;
    uint64_t replay;
    uint64_t stun_answered;
    uint64_t stun_limited;
    uint64_t no_media;
    uint64_t feedback;
    uint64_t rtp_skipped;
    uint64_t rtp_late;
    int64_t last_packet; /* CLOCK_MONOTONIC, ns; 0: never */
    int64_t last_check;
    uint32_t ssrc;
    uint16_t seq;
    uint8_t payload_type;
    uint8_t state;       /* enum latch_state */
    uint32_t jitter;     /* of struct track, as `clock` is */
    uint32_t clock;
};
_Static_assert(sizeof(struct counters) == 192, "three cache lines, shared with no other row");

/* One SSRC that a rule's peer is sent, and what the peer says of it
 * (RFC 3550, section 6.4.1): relay/forward/plane.py, Reported. */
struct reported {
    uint64_t ssrc;
    uint64_t blocks;      /* report blocks about it */
    uint64_t fraction;    /* sum of their fractions lost, in 1/256 */
    uint64_t lost;        /* cumulative, as said last */
    uint64_t jitter;      /* sum, in units of the RTP timestamp */
    uint64_t round_trips; /* how many of the blocks tell the round trip to the peer */
    uint64_t round_trip;  /* their sum, in microseconds */
};

/* A sender report on its way to the peer, by which the peer's next report tells the round trip. */
struct sender_report {
    int64_t at;   /* CLOCK_MONOTONIC, ns; 0: none */
    uint32_t ntp; /* the middle 32 bits of its NTP timestamp */
};

/* Of a rule whose peer is sent RTCP. `version` is odd while the owner writes `of`. */
struct reports {
    uint32_t version;
    uint32_t used; /* SSRCs so far; the oldest one makes room */
    struct reported of[MAX_REPORTED];
    struct sender_report sent[MAX_REPORTED][2]; /* the latest first */
};

/* A local port and the rules that listen at it, oldest first. */
struct port {
    int32_t fd; /* -1: closed */
    uint32_t worker;     /* its owner's number plus one */
    struct address local;
    uint8_t place;       /* of its address among ours; NO_PLACE: it has none, and nothing is shared */
    uint8_t v6;
    uint8_t tos;
    uint8_t hops;
    uint8_t count;
    uint32_t shared;     /* datagrams that came by the shared socket since `shared_since` */
    int64_t shared_since;
    int64_t apart_until; /* they come by its own one, for there were too many */
    uint32_t rule;       /* if there is one; several are in struct crowd */
    uint32_t raised;     /* datagrams passed up since the mark, and the place in the event ring */
    uint64_t mark;       /* up to which Python must have read before counting anew */
};

/* Of a port with more than one rule. */
struct crowd {
    uint32_t rules[MAX_OUTPUTS];
};

/* An address of ours. */
struct place {
    struct address host; /* its port means nothing */
    uint32_t *ports;     /* by port number, as on the wire: index of a struct port plus one; 0: none */
};

static inline int same_host(const struct address *a, const struct address *b)
{
    return a->high == b->high && a->low == b->low;
}

static inline int same_address(const struct address *a, const struct address *b)
{
    return same_host(a, b) && a->port == b->port;
}

static inline void share_address(struct shared_address *shared, const struct address *value)
{
    STORE(&shared->version, shared->version + 1);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    STORE(&shared->address.high, value->high);
    STORE(&shared->address.low, value->low);
    STORE(&shared->address.port, value->port);
    STORE_RELEASE(&shared->version, shared->version + 1);
}

static inline struct address read_address(struct shared_address *shared)
{
    struct address value;
    uint32_t before, after;

    do {
        before = LOAD_ACQUIRE(&shared->version);
        value.high = LOAD(&shared->address.high);
        value.low = LOAD(&shared->address.low);
        value.port = LOAD(&shared->address.port);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        after = LOAD(&shared->version);
    } while (before != after || before & 1);
    return value;
}

/* The owner is about to write what another thread may read by read_reports. */
static inline void begin_reports(struct reports *reports)
{
    STORE(&reports->version, reports->version + 1);
    __atomic_thread_fence(__ATOMIC_RELEASE);
}

static inline void end_reports(struct reports *reports)
{
    STORE_RELEASE(&reports->version, reports->version + 1);
}

/* Copies `of`; returns how many SSRCs there were so far. */
static inline uint32_t read_reports(struct reports *reports, struct reported *of)
{
    uint64_t *from = (uint64_t *)reports->of, *to = (uint64_t *)of;
    uint32_t before, after, used;
    unsigned int i;

    do {
        before = LOAD_ACQUIRE(&reports->version);
        used = LOAD(&reports->used);
        for (i = 0; i < sizeof(reports->of) / sizeof(*from); i++)
            to[i] = LOAD(&from[i]);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        after = LOAD_ACQUIRE(&reports->version);
    } while (before != after || before & 1);
    return used;
}

#endif
