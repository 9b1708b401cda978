/* Loss and jitter of what one rule receives (RFC 3550, sections 6.4.1 and A.1, A.3, A.8).
 *
 * Both planes do this, in user space and in the kernel, and on the same state: a
 * stream that changes planes goes on where it was. relay/forward/fake_track.py is
 * the same in Python. Nothing but C itself is needed here.
 *
 *   lost so far = numbers skipped - packets that came late or twice
 *
 * which is section A.3's expected less received, as two counters that only grow. */
#ifndef ICERELAY_TRACK_H
#define ICERELAY_TRACK_H

enum {
    MAX_DROPOUT = 3000,  /* a larger step is another beginning, once it has been confirmed (A.1) */
    MAX_MISORDER = 100,  /* steps back that are late packets */
    NO_SEQUENCE = 65536, /* no sequence number */
    MAX_ABSENT = 50,     /* packets of other SSRCs after which ours is gone: retransmissions have SSRCs of their own */
    MAX_SECONDS = 10,    /* of a step in the timestamps; a larger one is no jitter */
};

struct track {
    unsigned int ssrc;
    unsigned int transit;    /* of the packet before, in units of the RTP clock */
    unsigned int jitter;     /* 16 times of that of A.8, in the same units */
    unsigned int clock;      /* Hz, of the two; 0: neither is known */
    unsigned int next;       /* what would confirm another beginning, or NO_SEQUENCE */
    unsigned short highest;  /* sequence number */
    unsigned char absent;    /* packets of others since ours */
    unsigned char known;     /* whether there is an SSRC at all */
};
_Static_assert(sizeof(struct track) == 24, "a track has no holes");

static inline __attribute__((always_inline)) void measure(
    struct track *track, unsigned int timestamp, unsigned int clock, unsigned long long now)
{
    unsigned int transit, step;

    if (clock == 0)
        return;
    transit = (unsigned int)(now / 1000 * clock / 1000000) - timestamp;
    step = transit - track->transit;
    if (step >> 31)
        step = -step;
    if (track->clock != clock)
        track->jitter = 0;
    else if (step < MAX_SECONDS * clock)
        track->jitter += step - ((track->jitter + 8) >> 4);
    track->clock = clock;
    track->transit = transit;
}

/* Takes a packet down. `clock` is that of its payload type in Hz, 0 where it tells nothing about jitter; `now` is in ns.
 * Returns how many sequence numbers were skipped before it, or -1 if it was late or came twice. */
static inline __attribute__((always_inline)) int track_packet(
    struct track *track, unsigned int ssrc, unsigned short sequence, unsigned int timestamp, unsigned int clock,
    unsigned long long now)
{
    unsigned short step = sequence - track->highest;
    int skipped = 0;

    if (track->known && track->ssrc != ssrc && track->absent < MAX_ABSENT) {
        track->absent += 1;
        return 0;
    }
    if (!track->known || track->ssrc != ssrc) {
        track->known = 1;
        track->ssrc = ssrc;
        track->clock = track->jitter = 0;
        track->next = NO_SEQUENCE;
        track->highest = sequence;
    } else if (step >= MAX_DROPOUT && step <= NO_SEQUENCE - MAX_MISORDER) {
        if (sequence != track->next) {
            track->next = (sequence + 1) & (NO_SEQUENCE - 1);
            return 0;
        }
        track->next = NO_SEQUENCE;
        track->highest = sequence;
    } else if (step == 0 || step >= MAX_DROPOUT) {
        skipped = -1;
    } else {
        skipped = step - 1;
        track->highest = sequence;
    }
    track->absent = 0;
    measure(track, timestamp, clock, now);
    return skipped;
}

#endif
