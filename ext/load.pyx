# cython: language_level=3, boundscheck=False, wraparound=False
"""The generator of ``icerelay bench``: phones that send on time and look closely at what arrives.

    slots of one interval     0  1  2  3  ...  n-1 | 0  1 ...      a slot is one stream's packet or burst
                              |  |  |  |                           due at start + slot * interval / n
    sleep until due -> write, stamp -> sendmmsg -> relay -> recvmmsg, every DRAIN -> compare, count

One thread does both, so that the generator needs one core and little of it.
When a packet came is what the kernel says (SO_TIMESTAMPNS), not when this
thread got round to it. Every packet carries its stream, number and time of
sending; every packet that arrives is held against what should arrive from
that port of the relay. Nothing here takes the GIL, allocates or logs while
a run lasts.
"""

import numpy as np

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset

include "system.pxi"

cdef extern from "<time.h>" nogil:
    int clock_nanosleep(int clock, int flags, const timespec *until, timespec *rest)
    enum: CLOCK_REALTIME, TIMER_ABSTIME

cdef extern from "<sys/prctl.h>" nogil:
    int prctl(int option, unsigned long value)
    enum: PR_SET_TIMERSLACK

cdef extern from "<sys/socket.h>" nogil:
    struct cmsghdr:
        size_t cmsg_len
        int cmsg_level, cmsg_type
    enum: SCM_TIMESTAMPNS


cdef inline uint32_t big_endian(const uint8_t *octets) noexcept nogil:
    cdef uint32_t value
    memcpy(&value, octets, 4)
    return ntohl(value)


include "sha1.pxi"
include "load_stun.pxi"

cdef enum:
    BATCH = 64             # datagrams of one system call
    CHUNK = 16             # stamped and sent at once: the last one waits for the others, not for the relay
    ROOM = 2048            # of a datagram, with what SRTP adds
    DRAIN = 500000         # ns between two looks at what has arrived
    QUIET = 300000000      # ns without a packet after which what is missing is lost
    PATIENCE = 2500000000  # ns after the last packet was sent at which the run ends anyway
    LATE = 5000000         # ns behind its time after which a packet counts as sent late
    RTP_HEADER = 12
    STAMP = 32             # where the octets that nobody may change end: magic, stream, number, time
    BUCKETS = 1280
    SECOND = 1000000000

cdef uint32_t MAGIC = 0x1CE0BE9C

ctypedef int (*srtp_function)(void *context, void *packet, int *length) noexcept nogil

cdef struct stream_t:
    sockaddr_in6 to        # these names are of either family: an IPv4 one takes the first 16 octets
    sockaddr_in6 source    # where what it sends arrives from
    uint32_t side          # which socket it is sent from
    uint32_t next          # number of the next packet; goes on from run to run
    uint32_t base          # number of the first packet of this run
    uint32_t highest       # that arrived, from base
    uint32_t received
    void *protect          # libsrtp's contexts; NULL: plain
    void *unprotect
    check_keys_t keys

cdef struct counts_t:
    uint64_t sent, send_errors, late, received, duplicates, reordered
    uint64_t misdelivered, damaged, strays, checks_answered, worst_lateness

cdef struct batch_t:
    mmsghdr messages[BATCH]
    iovec vectors[BATCH]
    sockaddr_in6 names[BATCH]
    uint8_t control[BATCH][64]
    uint8_t data[BATCH][ROOM]
    uint32_t count

cdef struct load_t:
    int fds[2]
    sockaddr_in6 own[2]
    stream_t *streams
    uint32_t count
    uint64_t *keys         # open addressing: side, address and port that something arrives from
    uint32_t *values       # which stream that should be
    uint32_t mask
    uint8_t *seen          # one bit for each packet of this run
    uint32_t expected      # packets of each stream in this run
    uint32_t size, burst
    bint stun, direct
    uint8_t pattern[ROOM]
    srtp_function protect, unprotect
    batch_t out[2]
    batch_t inbox
    counts_t counts
    uint64_t histogram[BUCKETS]
    int64_t last_arrival


cdef inline int64_t clock(int which) noexcept nogil:
    cdef timespec now
    clock_gettime(which, &now)
    return <int64_t>now.tv_sec * SECOND + now.tv_nsec


cdef inline uint32_t bucket_of(int64_t value) noexcept nogil:
    """Logarithmic, 32 buckets for each doubling; below 64 ns exact. ``relay.bench.figures`` reads them."""
    cdef uint32_t shift = 0
    if value < 0:
        return 0
    while (value >> shift) >= 64:
        shift += 1
    return min(shift * 32 + <uint32_t>(value >> shift), <uint32_t>BUCKETS - 1)


# ---- what arrives from where

cdef inline uint64_t key_of(uint32_t side, const sockaddr_in6 *name) noexcept nogil:
    """Never 0, which is an empty place. Of an IPv6 address there are 32 bits in it."""
    cdef uint32_t host[4]
    if name.sin6_family == AF_INET:
        host[0] = (<const sockaddr_in *>name).sin_addr.s_addr
    else:
        memcpy(host, &name.sin6_addr, sizeof(host))
        host[0] ^= host[1] ^ host[2] ^ host[3]
    return <uint64_t>(side + 1) << 48 | <uint64_t>host[0] << 16 | name.sin6_port


cdef inline socklen_t length_of(const sockaddr_in6 *name) noexcept nogil:
    return sizeof(sockaddr_in) if name.sin6_family == AF_INET else sizeof(sockaddr_in6)


cdef inline uint32_t place_of(const load_t *self, uint64_t key) noexcept nogil:
    cdef uint32_t place = <uint32_t>((key * <uint64_t>0x9E3779B97F4A7C15) >> 32) & self.mask
    while self.keys[place] != 0 and self.keys[place] != key:
        place = (place + 1) & self.mask
    return place


cdef stream_t *stream_from(load_t *self, uint32_t side, const sockaddr_in6 *name) noexcept nogil:
    cdef uint64_t key = key_of(side, name)
    cdef uint32_t place = place_of(self, key)
    cdef stream_t *found = &self.streams[self.values[place]]
    if self.keys[place] != key:
        return NULL
    if name.sin6_family != AF_INET and memcmp(&found.source.sin6_addr, &name.sin6_addr, sizeof(in6_addr)):
        return NULL
    return found


# ---- sending

cdef uint32_t write_packet(load_t *self, uint32_t index, uint8_t *data, int64_t now) noexcept nogil:
    """The next packet of a stream. Returns its length, 0 if libsrtp refused."""
    cdef stream_t *stream = &self.streams[index]
    cdef uint32_t number = stream.next
    cdef int length = self.size
    stream.next += 1
    if self.stun:
        return write_check(&stream.keys, index, number, <uint32_t>(now // 1000), data)
    memcpy(data, self.pattern, self.size)
    data[2], data[3] = number >> 8 & 0xFF, number & 0xFF
    put_big_endian(data + 4, number // self.burst * 160)
    put_big_endian(data + 8, 0x10000000 + index)
    put_big_endian(data + 16, index)
    put_big_endian(data + 20, number)
    memcpy(data + 24, &now, 8)
    if stream.protect != NULL and self.protect(stream.protect, data, &length):
        return 0
    return length


cdef void put(load_t *self, uint32_t index) noexcept nogil:
    """Into the batch of its side, which goes out when it is full."""
    cdef stream_t *stream = &self.streams[index]
    cdef batch_t *out = &self.out[stream.side]
    cdef int64_t now = clock(CLOCK_MONOTONIC)
    cdef uint32_t length
    cdef uint32_t i
    for i in range(self.burst):
        length = write_packet(self, index, out.data[out.count], now)
        if length == 0:
            self.counts.send_errors += 1
            continue
        out.vectors[out.count].iov_len = length
        out.messages[out.count].msg_hdr.msg_name = &stream.to
        out.messages[out.count].msg_hdr.msg_namelen = length_of(&stream.to)
        out.count += 1
        if out.count == BATCH:
            flush(self, stream.side)


cdef void flush(load_t *self, uint32_t side) noexcept nogil:
    cdef batch_t *out = &self.out[side]
    cdef uint32_t done = 0
    cdef int sent
    while done < out.count:
        sent = sendmmsg(self.fds[side], &out.messages[done], out.count - done, MSG_NOSIGNAL)
        if sent > 0:
            self.counts.sent += sent
            done += sent
        else:
            self.counts.send_errors += 1
            done += 1
    out.count = 0


# ---- receiving

cdef void arrived(load_t *self, uint32_t index, uint32_t number, int64_t latency) noexcept nogil:
    """An intact packet of a stream: for the first time, or again, in order or not."""
    cdef stream_t *stream = &self.streams[index]
    cdef uint32_t offset = number - stream.base
    cdef uint64_t bit = <uint64_t>index * self.expected + offset
    if offset >= self.expected:
        self.counts.strays += 1
        return
    if self.seen[bit >> 3] >> (bit & 7) & 1:
        self.counts.duplicates += 1
        return
    self.seen[bit >> 3] |= <uint8_t>(1 << (bit & 7))
    self.counts.received += 1
    stream.received += 1
    if offset < stream.highest:
        if not self.stun:  # the answer to a check stands for itself
            self.counts.reordered += 1
    else:
        stream.highest = offset
    self.histogram[bucket_of(latency)] += 1


cdef void take_media(load_t *self, stream_t *from_here, uint8_t *data, int length, int64_t when) noexcept nogil:
    cdef uint32_t index
    cdef int64_t stamp
    if from_here != NULL and from_here.unprotect != NULL and self.unprotect(from_here.unprotect, data, &length):
        self.counts.damaged += 1
        return
    if length != <int>self.size or big_endian(data + RTP_HEADER) != MAGIC:
        self.counts.damaged += 1
        return
    index = big_endian(data + 16)
    if index >= self.count or not is_whole(self, data):
        self.counts.damaged += 1
    elif not self.direct and from_here != &self.streams[index]:
        self.counts.misdelivered += 1
    else:
        memcpy(&stamp, data + 24, 8)
        arrived(self, index, big_endian(data + 20), when - stamp)


cdef bint is_whole(const load_t *self, const uint8_t *data) noexcept nogil:
    """Payload type, number and the rest of the payload are what was sent. A relay may choose the SSRC."""
    if data[0] != self.pattern[0] or (data[1] & 0x7F) != (self.pattern[1] & 0x7F):
        return False
    if data[2] != data[22] or data[3] != data[23]:
        return False
    return memcmp(data + STAMP, self.pattern + STAMP, self.size - STAMP) == 0


cdef void take_stun(
    load_t *self, uint32_t side, stream_t *from_here, uint8_t *data, uint32_t length, const sockaddr_in6 *name,
    int64_t when,
) noexcept nogil:
    """An answer to a check of ours, or the relay's own check, which a phone answers."""
    cdef uint8_t answer[LARGEST_STUN]
    cdef uint32_t index, size
    cdef int32_t took      # microseconds
    if from_here == NULL or length < STUN_HEADER:
        self.counts.strays += 1
    elif data[0] == 1 and data[1] == 1:
        index = big_endian(data + 8)
        if not is_our_answer(&from_here.keys, data, length, &self.own[side]):
            self.counts.damaged += 1
        elif index >= self.count or from_here != &self.streams[index]:
            self.counts.misdelivered += 1
        else:
            took = <int32_t>(<uint32_t>(when // 1000) - big_endian(data + 16))
            arrived(self, index, big_endian(data + 12), 1000 * <int64_t>took)
    elif data[0] == 0 and data[1] == 1:
        size = answer_to(&from_here.keys, data, length, name, answer)
        if size == 0:
            self.counts.damaged += 1
            return
        sendto(self.fds[side], answer, size, MSG_NOSIGNAL, <const sockaddr *>name, length_of(name))
        self.counts.checks_answered += 1


cdef void take(load_t *self, uint32_t side, uint32_t i, int64_t offset) noexcept nogil:
    cdef batch_t *inbox = &self.inbox
    cdef uint8_t *data = inbox.data[i]
    cdef uint32_t length = inbox.messages[i].msg_len
    cdef cmsghdr *control = <cmsghdr *>inbox.control[i]
    cdef stream_t *from_here = stream_from(self, side, &inbox.names[i])
    cdef int64_t when
    cdef timespec *stamp = <timespec *>(inbox.control[i] + sizeof(cmsghdr))
    if inbox.messages[i].msg_hdr.msg_controllen >= sizeof(cmsghdr) and control.cmsg_type == SCM_TIMESTAMPNS:
        when = <int64_t>stamp.tv_sec * SECOND + stamp.tv_nsec - offset
    else:
        when = clock(CLOCK_MONOTONIC)
    if length > 0 and data[0] < 4:
        take_stun(self, side, from_here, data, length, &inbox.names[i], when)
    elif from_here == NULL and not self.direct:
        self.counts.strays += 1
    elif not self.stun:
        take_media(self, from_here, data, length, when)


cdef int64_t clock_offset() noexcept nogil:
    """The kernel's time stamps less ours. Who is interrupted between the two clocks looks again."""
    cdef int64_t before, real, after, best = 0, gap = 0
    cdef int i
    for i in range(5):
        before = clock(CLOCK_MONOTONIC)
        real = clock(CLOCK_REALTIME)
        after = clock(CLOCK_MONOTONIC)
        if i == 0 or after - before < gap:
            best, gap = real - before, after - before
        if gap < 1000:
            break
    return best


cdef void drain(load_t *self, uint32_t side) noexcept nogil:
    """Everything that has arrived by now."""
    cdef batch_t *inbox = &self.inbox
    cdef int64_t offset
    cdef int count = BATCH
    cdef int i
    while count == BATCH:
        for i in range(BATCH):
            inbox.messages[i].msg_hdr.msg_namelen = sizeof(sockaddr_in6)
            inbox.messages[i].msg_hdr.msg_controllen = sizeof(inbox.control[i])
        count = recvmmsg(self.fds[side], inbox.messages, BATCH, MSG_DONTWAIT, NULL)
        if count <= 0:
            return
        offset = clock_offset()
        self.last_arrival = clock(CLOCK_MONOTONIC)
        for i in range(count):
            take(self, side, i, offset)


# ---- a run

cdef void sleep_until(int64_t when) noexcept nogil:
    cdef timespec until
    until.tv_sec = when // SECOND
    until.tv_nsec = when % SECOND
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL)


cdef int64_t perform(load_t *self, uint64_t slots, int64_t interval) noexcept nogil:
    """Send ``slots`` slots on time, and receive until all is there or nothing comes any more. Returns ns of sending."""
    cdef int64_t start = clock(CLOCK_MONOTONIC) + 1000000, now, due, drained = 0, ended
    cdef uint64_t done = 0, to_do, i
    while done < slots:
        now = clock(CLOCK_MONOTONIC)
        due = start + <int64_t>(done * interval // self.count)
        if now >= due:
            to_do = min(<uint64_t>((now - start) * <int64_t>self.count // interval) + 1, slots) - done
            to_do = min(to_do, <uint64_t>CHUNK)
            for i in range(to_do):
                put(self, <uint32_t>((done + i) % self.count))
            flush(self, 0)
            flush(self, 1)
            done += to_do
            self.counts.worst_lateness = max(self.counts.worst_lateness, <uint64_t>(now - due))
            if now - due > LATE:
                self.counts.late += to_do * self.burst
        if now - drained >= DRAIN:
            drain(self, 0)
            drain(self, 1)
            drained = now
        elif now < due:
            sleep_until(min(due, drained + DRAIN))
    ended = clock(CLOCK_MONOTONIC)
    collect(self, ended)
    return ended - start


cdef void collect(load_t *self, int64_t ended) noexcept nogil:
    cdef int64_t now = ended
    self.last_arrival = max(self.last_arrival, ended)
    while self.counts.received < self.counts.sent and now < ended + PATIENCE and now < self.last_arrival + QUIET:
        sleep_until(now + DRAIN)
        drain(self, 0)
        drain(self, 1)
        now = clock(CLOCK_MONOTONIC)


cdef int parse(address, sockaddr_in6 *to) except -1:
    """A numeric address and a port. Raises ``ValueError``."""
    cdef bytes host = address[0].encode()
    cdef void *place = &to.sin6_addr if b":" in host else <void *>&(<sockaddr_in *>to).sin_addr
    to.sin6_family, to.sin6_port = AF_INET6 if b":" in host else AF_INET, htons(address[1])
    if inet_pton(to.sin6_family, host, place) != 1:
        raise ValueError(f"{address[0]} is not an address")
    return 0


cdef void prepare(batch_t *batch, bint inbound) noexcept:
    cdef int i
    for i in range(BATCH):
        batch.vectors[i].iov_base, batch.vectors[i].iov_len = batch.data[i], ROOM
        batch.messages[i].msg_hdr.msg_iov, batch.messages[i].msg_hdr.msg_iovlen = &batch.vectors[i], 1
        batch.messages[i].msg_hdr.msg_name = &batch.names[i]
        if inbound:
            batch.messages[i].msg_hdr.msg_control = batch.control[i]


cdef class Load:
    """See ``_load.pyi``."""

    cdef load_t *load
    cdef object sockets, contexts

    def __cinit__(self, sockets, streams, *, size, burst, payload_type, direct, srtp):
        cdef uint32_t side, i
        if not STAMP <= size <= ROOM - 256 or not 1 <= burst <= BATCH:
            raise ValueError("size or burst out of range")
        self.load = <load_t *>calloc(1, sizeof(load_t))
        if self.load == NULL:
            raise MemoryError()
        self.sockets, self.contexts = sockets, srtp
        self.load.size, self.load.burst, self.load.direct = size, burst, direct
        if srtp is not None:
            self.load.protect = <srtp_function><uintptr_t>srtp.protect
            self.load.unprotect = <srtp_function><uintptr_t>srtp.unprotect
        for side in range(2):
            self.load.fds[side] = sockets[side].fileno()
            parse(sockets[side].getsockname(), &self.load.own[side])
            prepare(&self.load.out[side], False)
        prepare(&self.load.inbox, True)
        for i in range(size):
            self.load.pattern[i] = <uint8_t>(0xA5 ^ i)
        self.load.pattern[0], self.load.pattern[1] = 0x80, payload_type
        put_big_endian(self.load.pattern + RTP_HEADER, MAGIC)
        self._take(streams)

    def _take(self, streams):
        cdef load_t *load = self.load
        cdef uint32_t i = 0, capacity = 4
        while capacity < 4 * len(streams):
            capacity *= 2
        load.count, load.mask = len(streams), capacity - 1
        load.streams = <stream_t *>calloc(load.count, sizeof(stream_t))
        load.keys = <uint64_t *>calloc(capacity, sizeof(uint64_t))
        load.values = <uint32_t *>calloc(capacity, sizeof(uint32_t))
        if load.streams == NULL or load.keys == NULL or load.values == NULL:
            raise MemoryError()
        for i in range(load.count):
            self._take_one(i, streams[i])

    def _take_one(self, uint32_t index, stream):
        cdef stream_t *to = &self.load.streams[index]
        cdef uint64_t key
        cdef uint32_t place
        to.side = stream.side
        parse(stream.to, &to.to)
        to.protect, to.unprotect = <void *><uintptr_t>stream.protect, <void *><uintptr_t>stream.unprotect
        if stream.check is not None:
            self.load.stun = True
            take_keys(stream.check, &to.keys)
        parse(stream.arrives_from, &to.source)
        key = key_of(stream.side if stream.check is not None else 1 - stream.side, &to.source)
        place = place_of(self.load, key)
        if self.load.keys[place] != 0 and not self.load.direct:
            raise ValueError(f"two streams are to arrive from {stream.arrives_from}")
        self.load.keys[place], self.load.values[place] = key, index

    def run(self, double seconds, double interval):
        cdef load_t *load = self.load
        cdef uint32_t rounds = max(1, round(seconds / interval)), i
        cdef int64_t lasted
        load.expected = 0
        drain(load, 0)  # what came too late for the run before
        drain(load, 1)
        load.expected = rounds * load.burst
        load.seen = <uint8_t *>calloc(<size_t>load.count * load.expected // 8 + 1, 1)
        if load.seen == NULL:
            raise MemoryError()
        memset(&load.counts, 0, sizeof(counts_t))
        memset(load.histogram, 0, sizeof(load.histogram))
        for i in range(load.count):
            load.streams[i].base, load.streams[i].highest, load.streams[i].received = load.streams[i].next, 0, 0
        with nogil:
            prctl(PR_SET_TIMERSLACK, 1)
            lasted = perform(load, <uint64_t>rounds * load.count, <int64_t>(interval * SECOND))
        free(load.seen)
        load.seen = NULL
        return self._report(lasted)

    def _report(self, int64_t lasted):
        cdef load_t *load = self.load
        cdef counts_t counts = load.counts
        cdef uint32_t i
        received = np.zeros(load.count, np.uint32)
        for i in range(load.count):
            received[i] = load.streams[i].received
        histogram = np.zeros(BUCKETS, np.uint64)
        for i in range(BUCKETS):
            histogram[i] = load.histogram[i]
        return {
            "seconds": lasted / 1e9, "sent": counts.sent, "send_errors": counts.send_errors, "late": counts.late,
            "received": counts.received, "duplicates": counts.duplicates, "reordered": counts.reordered,
            "misdelivered": counts.misdelivered, "damaged": counts.damaged, "strays": counts.strays,
            "checks_answered": counts.checks_answered, "worst_lateness": counts.worst_lateness / 1e9,
            "silent_streams": int((received == 0).sum()), "histogram": histogram.tolist(),
        }

    def __dealloc__(self):
        if self.load != NULL:
            free(self.load.streams)
            free(self.load.keys)
            free(self.load.values)
            free(self.load.seen)
            free(self.load)


fill_crc_table()
