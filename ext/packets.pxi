# What happens to a datagram: which protocol, which rule, and where to.


# ---- what it is (RFC 7983, RFC 5761)

cdef inline uint32_t big_endian(const uint8_t *octets) noexcept nogil:
    cdef uint32_t value
    memcpy(&value, octets, 4)
    return ntohl(value)


cdef void classify(const uint8_t *data, uint32_t length, media *what) noexcept nogil:
    memset(what, 0, sizeof(media))
    what.length = length
    what.kind = UNKNOWN
    if length == 0:
        return
    if data[0] < 4:
        if is_stun(data, length):
            what.kind = STUN
    elif 20 <= data[0] < 64:
        if length >= 13:
            what.kind = DTLS
    elif 128 <= data[0] < 192:
        if length >= 8 and 192 <= data[1] < 224:
            what.kind = RTCP
        elif length >= 12:
            what.kind = RTP
            what.payload_type = data[1] & 127
            what.seq = (data[2] << 8) | data[3]
            what.timestamp = big_endian(data + 4)
            what.ssrc = big_endian(data + 8)


cdef inline bint is_stun(const uint8_t *data, uint32_t length) noexcept nogil:
    if length < 20 or big_endian(data + 4) != 0x2112A442:
        return False
    return <uint32_t>((data[2] << 8) | data[3]) + 20 == length and length % 4 == 0


# ---- in: to its rule

cdef inline uint32_t *rules_at(const worker *self, port_t *port) noexcept nogil:
    """``port.count`` of them."""
    return &port.rule if port.count < 2 else self.crowds[port - self.ports].rules


cdef inline bint is_source(const worker *self, const row *here, const address *source) noexcept nogil:
    cdef const address *sources = self.ice[here.rule.id].sources
    cdef int i
    for i in range(here.rule.source_count):
        if same_address(source, &sources[i]):
            return True
    return False


cdef inline bint is_peer(const worker *self, const row *here, const address *source) noexcept nogil:
    if here.rule.learn != NOBODY and here.latch.state != WAITING and same_address(source, &here.latch.peer):
        return True
    return is_source(self, here, source)


cdef inline bint is_signalled(const row *here, const address *source) noexcept nogil:
    return here.rule.learn != NOBODY and here.rule.remote.port and same_address(source, &here.rule.remote)


cdef row *find(worker *self, port_t *port, const address *source) noexcept nogil:
    """The rule this source belongs to: signalled there, else its peer, else wanted most there, else NULL."""
    cdef const uint32_t *rules = rules_at(self, port)
    cdef row *here
    cdef row *best = NULL
    cdef int i, wanted, most = 0
    for i in range(port.count):
        here = &self.rows[rules[i]]
        expire(self, here)
        if best == NULL and is_signalled(here, source):
            best = here
    if best != NULL:
        return best
    for i in range(port.count):
        here = &self.rows[rules[i]]
        if is_peer(self, here, source):
            return here
    for i in range(port.count):
        here = &self.rows[rules[i]]
        wanted = wish(here, source)
        if wanted > most:
            best, most = here, wanted
    return best


cdef void arrive(worker *self, uint32_t index, unsigned int slot) noexcept nogil:
    """One datagram in the inbox: pass it up, forward it, or count why not."""
    cdef port_t *port = &self.ports[index]
    cdef mmsghdr *message = &self.inbox[slot]
    cdef address source
    cdef media what
    cdef row *here
    message.msg_hdr.msg_namelen = sizeof(sockaddr_in6)
    if port.count == 0:
        BUMP(&self.no_rule, 1)
        return
    if message.msg_hdr.msg_flags & MSG_TRUNC:
        BUMP(&self.counters[rules_at(self, port)[0]].malformed, 1)
        return
    from_sockaddr(&self.in_names[slot], &source)
    classify(self.buffers[slot], message.msg_len, &what)
    if what.kind == STUN and wants_stun(self, port):
        if not answer_check(self, port, &source, slot, what.length):
            pass_up(self, STUN_ARRIVED, index, &source, slot, what.length)
        return
    here = find(self, port, &source)
    if here == NULL:
        BUMP(&self.counters[rules_at(self, port)[0]].stranger, 1)
    else:
        receive(self, index, here, &source, slot, &what)


cdef bint wants_stun(worker *self, port_t *port) noexcept nogil:
    cdef const uint32_t *rules = rules_at(self, port)
    cdef int i
    for i in range(port.count):
        if self.rows[rules[i]].rule.stun:
            return True
    return False


cdef void receive(
    worker *self, uint32_t index, row *here, const address *source, unsigned int slot, const media *what
) noexcept nogil:
    cdef counters_t *counters = &self.counters[here.rule.id]
    cdef rule_t *rule = &here.rule
    if not rule.opaque and what.kind == STUN:
        BUMP(&counters.stun, 1)
    elif not rule.opaque and what.kind == UNKNOWN and not is_peer(self, here, source):
        BUMP(&counters.malformed, 1)
    elif is_secured(here):
        receive_secured(self, index, here, source, slot, what)
    elif not is_source(self, here, source) and not learn_from(self, here, source, what):
        BUMP(&counters.stranger, 1)
    else:
        accept(self, here, slot, what, what.length)


cdef void receive_secured(
    worker *self, uint32_t index, row *here, const address *source, unsigned int slot, const media *what
) noexcept nogil:
    """Of a peer with SRTP, or soon with SRTP: without a valid tag, nothing is learnt or forwarded."""
    cdef counters_t *counters = &self.counters[here.rule.id]
    cdef uint32_t length
    cdef row *owner
    if what.kind == DTLS and here.rule.dtls:
        if accepts_dtls(self, here, source, what):
            pass_up(self, DTLS_ARRIVED, index, source, slot, what.length)
        else:
            BUMP(&counters.stranger, 1)
    elif what.kind != RTP and what.kind != RTCP:
        BUMP(&counters.malformed, 1)
    else:
        owner = opener(self, &self.ports[index], here, source, slot, what, &length)
        if owner != NULL:
            if not is_source(self, owner, source):
                follow(self, owner, source)
            accept(self, owner, slot, what, length)


cdef inline bint accepts_dtls(worker *self, row *here, const address *source, const media *what) noexcept nogil:
    """A handshake may show who the peer is; once there are keys, only they do."""
    if has_keys(here):
        return is_peer(self, here, source)
    return is_source(self, here, source) or learn_from(self, here, source, what)


cdef void accept(worker *self, row *here, unsigned int slot, const media *what, uint32_t length) noexcept nogil:
    """Count and forward a packet of the peer, of which ``length`` octets are left after opening it."""
    cdef int kind = UNKNOWN if here.rule.opaque else what.kind
    cdef row *leader = here
    cdef counters_t *counters
    cdef rule_t *rule
    if leader.rule.leader:
        here = of_media(self, leader, self.buffers[slot], length, what)
        if here == NULL:
            BUMP(&self.counters[leader.rule.id].no_media, 1)
            return
    counters, rule = &self.counters[here.rule.id], &here.rule
    STORE64(&counters.last_packet, self.now)
    if kind == RTCP:
        BUMP(&counters.rtcp_packets, 1)
        BUMP(&counters.rtcp_bytes, what.length)
        hear_reports(self, leader, self.buffers[slot], length)
        forward(self, here, rtcp_outputs(self, rule), rule.rtcp_count, slot, length, kind)
        return
    BUMP(&counters.rtp_packets, 1)
    BUMP(&counters.rtp_bytes, what.length)
    if kind == RTP:
        STORE32(&counters.ssrc, what.ssrc)
        STORE16(&counters.seq, what.seq)
        STORE8(&counters.payload_type, what.payload_type)
        track(self, here, what)
    forward(self, here, rtp_outputs(self, rule), rule.rtp_count, slot, length, kind)


cdef inline void track(worker *self, row *here, const media *what) noexcept nogil:
    """Loss and jitter."""
    cdef counters_t *counters = &self.counters[here.rule.id]
    cdef track_t *state = &here.track if here.lent == NULL else here.lent
    cdef uint8_t number = what.payload_type
    cdef uint32_t clock = here.rule.clock if here.rule.clocked[number >> 6] >> (number & 63) & 1 else 0
    cdef int skipped = track_packet(state, what.ssrc, what.seq, what.timestamp, clock, self.now)
    if skipped > 0:
        BUMP(&counters.rtp_skipped, skipped)
    elif skipped < 0:
        BUMP(&counters.rtp_late, 1)
    STORE32(&counters.jitter, state.jitter)
    STORE32(&counters.clock, state.clock)


# ---- out

cdef inline const output *rtp_outputs(const worker *self, const rule_t *rule) noexcept nogil:
    return &rule.rtp if rule.rtp_count < 2 else self.fans[rule.id].rtp


cdef inline const output *rtcp_outputs(const worker *self, const rule_t *rule) noexcept nogil:
    return &rule.rtcp if rule.rtcp_count < 2 else self.fans[rule.id].rtcp


cdef void forward(
    worker *self, const row *here, const output *outputs, int count, unsigned int slot, uint32_t length, int kind
) noexcept nogil:
    cdef counters_t *counters = &self.counters[here.rule.id]
    cdef row *there
    cdef int i
    if count == 0:
        BUMP(&counters.no_output, 1)
    for i in range(count):
        there = &self.rows[outputs[i].rule]
        if LOAD32(&there.owner) != self.number or there.rule.life != outputs[i].life:
            BUMP(&counters.no_peer, 1)
        elif there.rule.port == NO_PORT or there.send_to.address.port == 0:
            BUMP(&counters.no_peer, 1)
        elif is_secured(there) and not has_keys(there):
            BUMP(&counters.no_peer, 1)
        elif not is_secured(there) or kind == RTP or kind == RTCP:
            queue(self, here.rule.id, there, slot, length, kind)
        else:
            BUMP(&counters.no_output, 1)


cdef void queue(
    worker *self, uint32_t origin, row *there, unsigned int slot, uint32_t length, int kind
) noexcept nogil:
    """Put a datagram of the inbox into the outbox, which holds datagrams of one socket.

    Others may get the same datagram, so what is changed for one peer is a copy.
    """
    cdef port_t *port = &self.ports[there.rule.port]
    cdef uint8_t *data = self.buffers[slot]
    cdef uint32_t whole = length
    cdef unsigned int i
    cdef socklen_t name
    if self.out_count == OUTBOX or (self.out_count and self.out_fd != port.fd):
        flush(self)
    i = self.out_count
    name = to_sockaddr(&there.send_to.address, port.v6, &self.out_names[i])
    if name == 0:
        BUMP(&self.counters[origin].send_error, 1)
        return
    if kind == RTCP and there.rule.plain_rtcp:
        data = self.sealed[i]
        length = without_feedback(self.buffers[slot], length, data)
        if length == 0:
            BUMP(&self.counters[origin].feedback, 1)
            return
    elif is_secured(there):
        data = self.sealed[i]
        memcpy(data, self.buffers[slot], length)
    if is_secured(there) and seal(self, there, data, &length, kind == RTCP):
        BUMP(&self.counters[origin].send_error, 1)
        return
    if kind == RTCP:
        note_sent(&self.reports[there.rule.id], self.buffers[slot], whole, self.now)
    self.out_fd = port.fd
    self.out_from[i] = origin
    self.out_to[i] = there.rule.id
    self.outbox[i].msg_hdr.msg_namelen = name
    self.out_data[i].iov_base = data
    self.out_data[i].iov_len = length
    self.out_count = i + 1


cdef void flush(worker *self) noexcept nogil:
    """Send the outbox. What the kernel refuses (EAGAIN, EPERM, EMSGSIZE...) is counted, and the rest goes on."""
    cdef unsigned int i, burst, done = 0
    cdef int count
    while done < self.out_count:
        burst = burst_from(self, done)
        if burst > 1 and send_burst(self, done, burst):
            count = burst
        elif self.out_count - done == 1:
            count = 1 if sendmsg(self.out_fd, &self.outbox[done].msg_hdr, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 else 0
        else:
            count = sendmmsg(self.out_fd, &self.outbox[done], self.out_count - done, MSG_DONTWAIT | MSG_NOSIGNAL)
        if count <= 0:
            BUMP(&self.counters[self.out_from[done]].send_error, 1)
            done += 1
            continue
        for i in range(done, done + count):
            BUMP(&self.counters[self.out_to[i]].sent_packets, 1)
            BUMP(&self.counters[self.out_to[i]].sent_bytes, self.out_data[i].iov_len)
        done += count
    self.out_count = 0
