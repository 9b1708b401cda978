# Medias of a bundle share a port: of which one is a packet? (RFC 9143, section 9.2)

cdef enum:
    ONE_BYTE = 0xBEDE    # header extensions (RFC 8285, section 4.2)
    TWO_BYTES = 0x1000   # and 4.3; the lowest four bits are the application's
    SENDER_REPORT = 200
    RECEIVER_REPORT = 201
    TRANSPORT_FEEDBACK = 205
    PAYLOAD_FEEDBACK = 206


cdef const uint8_t *extension(const uint8_t *data, uint32_t length, uint8_t id, uint32_t *size) noexcept nogil:
    """A header extension of an RTP packet; NULL if there is none with this id, or the packet is malformed."""
    cdef uint32_t at = 12 + 4 * (data[0] & 15), end, profile, head
    if not data[0] & 0x10 or at + 4 > length:
        return NULL
    profile, end = short_at(data + at), at + 4 + 4 * short_at(data + at + 2)
    if end > length or (profile != ONE_BYTE and profile & 0xFFF0 != TWO_BYTES):
        return NULL
    head = 1 if profile == ONE_BYTE else 2
    at += 4
    while at + head <= end:
        if data[at] == 0:
            at += 1
            continue
        if head == 1 and (data[at] >> 4 == 0 or data[at] >> 4 == 15):
            return NULL
        size[0] = (data[at] & 15) + 1 if head == 1 else data[at + 1]
        if at + head + size[0] > end:
            return NULL
        if id == (data[at] >> 4 if head == 1 else data[at]):
            return data + at + head
        at += head + size[0]
    return NULL


cdef row *of_media(
    worker *self, row *leader, const uint8_t *data, uint32_t length, const media *what
) noexcept nogil:
    """The rule of the media that a packet of the bundle's peer belongs to; NULL if it is of none."""
    cdef row *found = NULL
    cdef const uint8_t *mid = NULL
    cdef uint8_t mid_id = self.bundles[leader.rule.id].marks.mid_id
    cdef uint32_t size
    if what.kind == RTCP:
        return of_reports(self, leader, data, length)
    if what.kind != RTP:
        return NULL
    if mid_id:
        mid = extension(data, length, mid_id, &size)
    if mid != NULL:
        found = with_mid(self, leader, mid, size)
    else:
        found = with_ssrc(self, leader, what.ssrc)
        if found != NULL:
            return found
        found = with_payload_type(self, leader, what.payload_type)
    if found != NULL:
        learn_ssrc(&self.bundles[leader.rule.id], what.ssrc, found.rule.id)
    return found


cdef inline bint is_member(const row *leader, const row *here) noexcept nogil:
    return here.rule.leader == leader.rule.id + 1 and here.rule.port == leader.rule.port


cdef inline row *member(worker *self, const row *leader, int place) noexcept nogil:
    """A rule of the leader's port, if it is of the bundle; else NULL."""
    cdef row *here = &self.rows[rules_at(self, &self.ports[leader.rule.port])[place]]
    return here if is_member(leader, here) else NULL


cdef row *with_mid(worker *self, const row *leader, const uint8_t *mid, uint32_t size) noexcept nogil:
    cdef const marks_t *marks
    cdef row *here
    cdef int i
    for i in range(self.ports[leader.rule.port].count):
        here = member(self, leader, i)
        if here == NULL:
            continue
        marks = &self.bundles[here.rule.id].marks
        if marks.mid_length == size and memcmp(marks.mid, mid, size) == 0:
            return here
    return NULL


cdef row *with_ssrc(worker *self, const row *leader, uint32_t ssrc) noexcept nogil:
    """Learnt, else announced."""
    cdef const bundle_t *bundle = &self.bundles[leader.rule.id]
    cdef const marks_t *marks
    cdef row *here
    cdef uint32_t j
    cdef int i
    for j in range(min(bundle.learnt_count, <uint32_t>MAX_LEARNT)):
        if bundle.learnt[j].ssrc == ssrc and bundle.learnt[j].rule != NO_RULE:
            here = &self.rows[bundle.learnt[j].rule]
            if here.owner == self.number and is_member(leader, here):
                return here
    for i in range(self.ports[leader.rule.port].count):
        here = member(self, leader, i)
        if here != NULL:
            marks = &self.bundles[here.rule.id].marks
            for j in range(marks.ssrc_count):
                if marks.ssrcs[j] == ssrc:
                    return here
    return NULL


cdef row *with_payload_type(worker *self, const row *leader, uint8_t number) noexcept nogil:
    cdef row *here
    cdef int i
    for i in range(self.ports[leader.rule.port].count):
        here = member(self, leader, i)
        if here != NULL and self.bundles[here.rule.id].marks.payload_types[number >> 6] >> (number & 63) & 1:
            return here
    return NULL


cdef void learn_ssrc(bundle_t *bundle, uint32_t ssrc, uint32_t rule) noexcept nogil:
    cdef uint32_t i
    for i in range(min(bundle.learnt_count, <uint32_t>MAX_LEARNT)):
        if bundle.learnt[i].ssrc == ssrc:
            bundle.learnt[i].rule = rule
            return
    bundle.learnt[bundle.learnt_count % MAX_LEARNT].ssrc = ssrc
    bundle.learnt[bundle.learnt_count % MAX_LEARNT].rule = rule
    bundle.learnt_count += 1


cdef void put_in_bundle(worker *self, const row *here, const whole_rule *new) noexcept nogil:
    """The rule in the row is about to change."""
    cdef bundle_t *bundle = &self.bundles[new.rule.id]
    cdef bint is_new = here.owner == 0 or here.rule.leader == 0
    if new.rule.leader == 0:
        return
    if is_new or here.rule.generation != new.rule.generation:
        bundle.learnt_count = 0
    if is_new or is_renamed(&bundle.marks, &new.marks):
        forget_learnt(self, &new.rule)
    bundle.marks = new.marks


cdef inline bint is_renamed(const marks_t *old, const marks_t *new) noexcept nogil:
    return old.mid_length != new.mid_length or memcmp(old.mid, new.mid, new.mid_length) != 0


cdef void forget_learnt(worker *self, const rule_t *rule) noexcept nogil:
    """A rule is another media's from now on: no SSRC is known to be of that one."""
    cdef const row *leader = &self.rows[rule.leader - 1]
    cdef bundle_t *bundle = &self.bundles[rule.leader - 1]
    cdef uint32_t i
    if leader.owner == self.number and leader.rule.leader:
        for i in range(min(bundle.learnt_count, <uint32_t>MAX_LEARNT)):
            if bundle.learnt[i].rule == rule.id:
                bundle.learnt[i].rule = NO_RULE


cdef row *of_reports(worker *self, row *leader, const uint8_t *data, uint32_t length) noexcept nogil:
    """Of the media whose sender writes, or else of which it writes first; else of the leader's, for all may."""
    cdef row *found = with_ssrc(self, leader, big_endian(data + 4))
    cdef uint32_t at = 0, size, about
    while found == NULL and at + 8 <= length:
        size = 4 * (short_at(data + at + 2) + 1)
        if at + size > length:
            break
        about = 0
        if data[at + 1] == TRANSPORT_FEEDBACK or data[at + 1] == PAYLOAD_FEEDBACK:
            about = 8
        elif data[at + 1] == RECEIVER_REPORT and data[at] & 31:
            about = 8
        elif data[at + 1] == SENDER_REPORT and data[at] & 31:
            about = 28
        if about and size >= about + 4:
            found = that_gets(self, leader, big_endian(data + at + about))
        at += size
    return leader if found == NULL else found


cdef row *that_gets(worker *self, const row *leader, uint32_t ssrc) noexcept nogil:
    """The media whose peer is sent this SSRC at the moment."""
    cdef row *here
    cdef const output *to
    cdef int i
    for i in range(self.ports[leader.rule.port].count):
        here = member(self, leader, i)
        if here == NULL or here.rule.rtp_count == 0:
            continue
        to = rtp_outputs(self, &here.rule)
        if LOAD32(&self.rows[to.rule].owner) != self.number or self.rows[to.rule].rule.life != to.life:
            continue
        if ssrc and self.counters[to.rule].ssrc == ssrc:
            return here
    return NULL
