# Output by a raw socket: datagrams of different ports leave in one system call, with headers of our own.
# A socket is bound to each local address, so that the kernel chooses the way as for the ports' own sockets.

cdef enum:
    LARGEST_RAW = 1200      # octets: a raw socket does not fragment, and this goes through wherever IPv6 does


cdef inline bint send_raw(worker *self, unsigned int first) noexcept nogil:
    """Send one of the outbox, and those behind it that leave from the same address with the same TOS byte.

    Returns whether it has left. The others are of other streams, and may leave later. The order of one stream is kept:
    what has to leave by the port's own socket stops those behind it.
    """
    cdef const port_t *port = &self.ports[self.out_ports[first]]
    cdef uint8_t place = port.place, tos = LOAD8(&port.tos)
    cdef const port_t *other
    cdef unsigned int i, count = 0
    cdef int sent
    if place == NO_PLACE or self.raw[place] < 0:
        return False
    for i in range(first, self.out_count):
        other = &self.ports[self.out_ports[i]]
        if self.out_sent[i] or other.place != place or LOAD8(&other.tos) != tos:
            continue
        if self.out_data[i].iov_len > LARGEST_RAW or (count and begins_burst(self, i)):
            break
        wrap(self, count, i)
        count += 1
    if count < 2 or not has_tos(self, place, port.v6, tos):
        return False
    sent = sendmmsg(self.raw[place], self.raw_outbox, count, MSG_DONTWAIT | MSG_NOSIGNAL)
    for i in range(max(sent, 0)):
        count_sent(self, self.raw_slots[i])
    return sent > 0


cdef inline bint has_tos(worker *self, uint8_t place, bint v6, uint8_t tos) noexcept nogil:
    """Its headers bear the TOS byte already; the route and the queue of the device go by the socket's."""
    if self.raw_tos[place] != tos:
        if set_raw_tos(self.raw[place], v6, tos):
            return False
        self.raw_tos[place] = tos
    return True


cdef inline bint begins_burst(const worker *self, unsigned int slot) noexcept nogil:
    return slot + 1 < self.out_count and same_way(self, slot, slot + 1)


cdef inline void wrap(worker *self, unsigned int message, unsigned int slot) noexcept nogil:
    """Make a datagram of the outbox a message for a raw socket."""
    cdef const port_t *port = &self.ports[self.out_ports[slot]]
    cdef iovec *parts = self.raw_parts[message]
    cdef msghdr *head = &self.raw_outbox[message].msg_hdr
    parts[1] = self.out_data[slot]
    parts[0].iov_base = self.headers[message]
    parts[0].iov_len = write_headers(
        self.headers[message], port.v6, &port.local, &self.out_names[slot],
        LOAD8(&port.tos), port.hops, <const uint8_t *>parts[1].iov_base, <uint32_t>parts[1].iov_len,
    )
    self.raw_names[message] = self.out_names[slot]
    self.raw_names[message].sin6_port = htons(IPPROTO_UDP) if port.v6 else 0  # a raw IPv6 socket's protocol
    head.msg_control = NULL if port.v6 else self.raw_protocol
    head.msg_controllen = 0 if port.v6 else sizeof(self.raw_protocol)
    head.msg_namelen = self.outbox[slot].msg_hdr.msg_namelen
    self.raw_slots[message] = slot
