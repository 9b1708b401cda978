# What the worker computes, without its thread: for tests and measurements.


def hmac_sha1(bytes key, bytes data):
    """Twenty bytes."""
    cdef uint32_t inner[5]
    cdef uint32_t outer[5]
    cdef uint8_t digest[20]
    hmac_prepare(<const uint8_t *>key, len(key), inner, outer)
    hmac(inner, outer, <const uint8_t *>data, len(data), digest)
    return (<char *>digest)[:20]


def crc32(bytes data):
    return crc32_of(<const uint8_t *>data, len(data))


cdef class CheckAnswerer:
    """Answers the checks that a worker would, for one rule and without a limit."""

    cdef whole_rule whole

    def __cinit__(self, rule):
        encode(rule, {rule.id: 1}, &self.whole)

    def answer(self, source, bytes datagram):
        """The answer; None for what goes up. Nothing is sent."""
        cdef uint8_t data[BUFFER]
        cdef uint8_t response[LARGEST_ANSWER]
        cdef uint32_t length = len(datagram)
        cdef address at
        cdef check_t found
        cdef media what
        parse(source[0], source[1], &at)
        if length > BUFFER:
            return None
        memcpy(data, <const uint8_t *>datagram, length)
        classify(data, length, &what)
        if what.kind != STUN or settled_place(&self.whole.rule, &self.whole.ice, &at) < 0:
            return None
        if not read_check(data, length, &found):
            return None
        if not is_no_news(&self.whole.ice.keys, &at, &found):
            return None
        if not is_genuine(&self.whole.ice.keys, data, &found):
            return None
        length = write_answer(&self.whole.ice.keys, data, &at, response)
        return (<char *>response)[:length]


cdef class Pace:
    """When a worker that may wait for ``bound`` seconds does so."""

    cdef pace_t pace

    def __cinit__(self, double bound):
        self.pace.bound = <int64_t>(bound * 1e9)

    def took(self, int count, double now):
        """A turn that began at ``now``, in seconds, found so many datagrams."""
        keep_pace(&self.pace, count, <int64_t>(now * 1e9))

    def pause(self, double spent):
        """Seconds to wait after a turn of ``spent`` seconds."""
        return pause_after(&self.pace, <int64_t>(spent * 1e9)) / 1e9


cdef class ReportReader:
    """What a worker keeps of the RTCP of one rule."""

    cdef _Table memory
    cdef worker *self
    cdef row here
    cdef reports_t reports

    def __cinit__(self):
        self.memory = _Table(sizeof(worker), 1)
        self.self = <worker *>self.memory.start
        self.self.reports = &self.reports

    def leaves(self, bytes compound, double now):
        """Towards the peer, at ``now`` seconds."""
        note_sent(&self.reports, <const uint8_t *>compound, len(compound), <int64_t>(now * 1e9))

    def comes(self, bytes compound, double now):
        """From the peer."""
        self.self.now = <int64_t>(now * 1e9)
        hear_reports(self.self, &self.here, <const uint8_t *>compound, len(compound))

    def told(self):
        """See ``Plane.reports``."""
        return told(&self.reports)


cdef class Tracker:
    """Loss and jitter of one stream: relay/forward/fake_track.py."""

    cdef track_t state

    def packet(self, uint32_t ssrc, uint16_t sequence, uint32_t timestamp, uint32_t clock, uint64_t now):
        """Numbers skipped before it, or -1: it was late or came twice."""
        return track_packet(&self.state, ssrc, sequence, timestamp, clock, now)

    @property
    def jitter(self):
        """16 times that of section A.8."""
        return self.state.jitter

    @property
    def clock(self):
        """Hz."""
        return self.state.clock
