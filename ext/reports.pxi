# What peers report of the streams that they are sent (RFC 3550, section 6.4.1); relay/forward/fake_rtcp.py does the same.

cdef enum:
    SR_HEAD = 28         # octets of a sender report before its blocks
    RR_HEAD = 8          # the same of a receiver report
    BLOCK = 24
    LONGEST_JITTER = 1 << 20               # timestamp units, 12 s of video: more is a mistake, or a lie
    LONGEST_TRIP = 10000000                # microseconds; the same
    DRIFT = 10000                          # microseconds by which a peer's clock may be wrong on a short way


cdef void note_sent(reports_t *reports, const uint8_t *data, uint32_t length, int64_t now) noexcept nogil:
    """The sender reports of a compound that leaves now: the peer will name the latest one of each SSRC."""
    cdef uint32_t at = 0, size
    while at < length:
        size = rtcp_size(data + at, length - at)
        if size == 0:
            return
        if data[at + 1] == SR and size >= SR_HEAD:
            note_sender_report(reports, big_endian(data + at + 4), big_endian(data + at + 10), now)
        at += size


cdef void note_sender_report(reports_t *reports, uint32_t ssrc, uint32_t ntp, int64_t now) noexcept nogil:
    cdef int place = place_of(reports, ssrc)
    if place < 0:
        place = reports.used % MAX_REPORTED
        begin_reports(reports)
        clear_reported(&reports.of[place], ssrc)
        STORE32(&reports.used, reports.used + 1)
        end_reports(reports)
        reports.sent[place][0].at = 0
    reports.sent[place][1] = reports.sent[place][0]
    reports.sent[place][0].at = now if ntp else 0  # 0: the sender has no clock
    reports.sent[place][0].ntp = ntp


cdef inline void clear_reported(reported_t *about, uint32_t ssrc) noexcept nogil:
    STORE_COUNT(&about.ssrc, ssrc)
    STORE_COUNT(&about.blocks, 0)
    STORE_COUNT(&about.fraction, 0)
    STORE_COUNT(&about.lost, 0)
    STORE_COUNT(&about.jitter, 0)
    STORE_COUNT(&about.round_trips, 0)
    STORE_COUNT(&about.round_trip, 0)


cdef inline int place_of(const reports_t *reports, uint32_t ssrc) noexcept nogil:
    """Where an SSRC is that the peer was sent a report of; -1: it was not."""
    cdef int place
    for place in range(<int>min(reports.used, <uint32_t>MAX_REPORTED)):
        if reports.of[place].ssrc == ssrc:
            return place
    return -1


cdef void hear_reports(worker *self, const row *at_port, const uint8_t *data, uint32_t length) noexcept nogil:
    """A compound came from the peer of this rule, which may lead a bundle."""
    cdef uint32_t at = 0, size, block
    while at < length:
        size = rtcp_size(data + at, length - at)
        if size == 0:
            return
        if data[at + 1] == SR or data[at + 1] == RR:
            block = SR_HEAD if data[at + 1] == SR else RR_HEAD
            for _ in range(data[at] & 31):
                if block + BLOCK > size:
                    break
                hear_block(self, at_port, data + at + block)
                block += BLOCK
        at += size


cdef void hear_block(worker *self, const row *at_port, const uint8_t *block) noexcept nogil:
    """Believed if it is about an SSRC that the peer was sent a report of: also what is encrypted never is."""
    cdef uint32_t ssrc = big_endian(block)
    cdef const row *here
    cdef int i
    if not at_port.rule.leader:
        take_block(&self.reports[at_port.rule.id], ssrc, block, self.now)
        return
    for i in range(self.ports[at_port.rule.port].count):
        here = member(self, at_port, i)
        if here != NULL and take_block(&self.reports[here.rule.id], ssrc, block, self.now):
            return


cdef bint take_block(reports_t *reports, uint32_t ssrc, const uint8_t *block, int64_t now) noexcept nogil:
    cdef int place = place_of(reports, ssrc)
    cdef reported_t *about
    cdef int64_t trip
    if place < 0:
        return False
    about = &reports.of[place]
    trip = round_trip(&reports.sent[place][0], block, now)
    begin_reports(reports)
    BUMP(&about.blocks, 1)
    BUMP(&about.fraction, block[4])
    # Signed: duplicates may outnumber what was lost.
    STORE_COUNT(&about.lost, 0 if block[5] & 0x80 else big_endian(block + 4) & 0xFFFFFF)
    BUMP(&about.jitter, min(big_endian(block + 12), <uint32_t>LONGEST_JITTER))
    if trip >= 0:
        BUMP(&about.round_trips, 1)
        BUMP(&about.round_trip, <uint64_t>trip)
    end_reports(reports)
    return True


cdef int64_t round_trip(const sender_report *sent, const uint8_t *block, int64_t now) noexcept nogil:
    """Microseconds to the peer and back; -1 if the block does not tell."""
    cdef uint32_t ntp = big_endian(block + 16)
    cdef int64_t held = (<int64_t>big_endian(block + 20) * 1000000) >> 16, trip
    cdef int i
    for i in range(2):
        if sent[i].at and sent[i].ntp == ntp:
            trip = (now - sent[i].at) // 1000 - held
            return max(trip, <int64_t>0) if -DRIFT <= trip <= LONGEST_TRIP else -1
    return -1


cdef tuple told(reports_t *reports):
    """As Python has it; with the GIL, from any thread."""
    cdef reported_t of[MAX_REPORTED]
    used = read_reports(reports, of)
    return tuple([
        Reported(
            of[i].ssrc, of[i].blocks, of[i].fraction, of[i].lost, of[i].jitter, of[i].round_trips,
            of[i].round_trip,
        )
        for i in range(min(used, <uint32_t>MAX_REPORTED)) if of[i].blocks
    ])
