# The worker thread: everything from epoll to sendmmsg. No Python object, no GIL.

cdef enum:
    BATCH = 32           # datagrams taken from one port per turn: some 0.3 ms of work
    READY = 64           # ports served per turn
    OUTBOX = 64          # datagrams sent in one system call
    BUFFER = 9280        # a jumbo frame, or a fragmented video packet; not a power of two, for the cache's sake
    UP_BYTES = 1500      # largest datagram that goes up
    EVENTS = 2048        # events per worker that Python may be late with; a power of two
    UP_SHARE = 64        # of one port in the ring, so that a flood of STUN or DTLS does not shut out the others
    EVENTS_AT_ONCE = 256 # events per worker that Python is given in one call: some 20 ms of ICE
    COMMANDS = 4096      # batches per worker that may wait; a power of two
    PORTS = 65536
    PLACES = 64          # addresses of ours
    CONTROL_WORDS = 8    # room for what the kernel says about a datagram
    WAKE = 0xFFFFFFFF    # mark of the worker's own eventfd among the ports
    SHARED = 0xFFFFFFFD  # of its shared socket for IPv4; the one for IPv6 is next

cdef enum:               # what a datagram is
    STUN, DTLS, RTP, RTCP, UNKNOWN
cdef enum:               # what an event tells
    STUN_ARRIVED, DTLS_ARRIVED, PEER_LATCHED
cdef enum:               # what a command wants
    CHANGE, CLOSE, FORGET, LEND, STOP

cdef struct media:
    int kind
    uint32_t length
    uint32_t ssrc, timestamp
    uint16_t seq
    uint8_t payload_type

cdef struct change:
    bint drop
    whole_rule whole

cdef struct command:
    int kind
    uint32_t subject     # port of CLOSE, slot of FORGET, rule of LEND
    uint32_t count
    change *changes
    track_t *track       # of LEND

cdef struct event:
    int kind
    uint32_t subject     # port of STUN_ARRIVED and DTLS_ARRIVED, rule of PEER_LATCHED
    uint32_t length
    address source
    uint8_t data[UP_BYTES]

cdef struct worker:
    uint32_t number      # counted from 1: the mark of an owner
    int epoll, wake, news
    bint stopping, told
    int64_t now, window
    pace_t pace
    uint64_t beats       # turns so far
    row *rows
    fan_t *fans
    ice_t *ice
    bundle_t *bundles
    counters_t *counters
    reports_t *reports
    port_t *ports
    crowd_t *crowds
    keys_t *keys
    const srtp_functions *srtp
    command *commands
    event *events
    uint64_t no_rule, events_lost, by_shared
    bint shared_over                     # a shared socket was emptied when it was looked at
    place_t *places
    uint32_t *place_count
    int32_t raw[PLACES]                  # by address of ours: the socket that all its ports can send by, or -1
    uint8_t raw_tos[PLACES]              # as these sockets have it
    uint64_t raw_protocol[PROTOCOL_WORDS]  # for the kernel
    int shared[2]                        # IPv4 and IPv6: the shared sockets, or -1
    int tables[2]                        # which datagrams come by them, for the kernel; or -1
    int64_t refused                      # until then no new ones: a table was full
    uint64_t command_head, event_tail    # the worker's ends of the rings
    uint64_t apart[8]                    # on another cache line:
    uint64_t command_tail, event_head    # Python's ends
    uint64_t apart_again[8]
    unsigned int out_count
    uint32_t out_ports[OUTBOX]
    bint out_sent[OUTBOX]
    uint32_t out_from[OUTBOX]
    uint32_t out_to[OUTBOX]
    mmsghdr outbox[OUTBOX]
    iovec out_data[OUTBOX]
    sockaddr_in6 out_names[OUTBOX]
    mmsghdr raw_outbox[OUTBOX]
    sockaddr_in6 raw_names[OUTBOX]
    unsigned int raw_slots[OUTBOX]       # places of its messages in the outbox
    iovec raw_parts[OUTBOX][2]
    uint8_t headers[OUTBOX][IPV6_HEADERS]
    mmsghdr inbox[2 * BATCH]
    iovec in_data[2 * BATCH]
    sockaddr_in6 in_names[2 * BATCH]
    uint64_t in_control[BATCH][CONTROL_WORDS]
    epoll_event ready[READY]
    uint8_t buffers[2 * BATCH][BUFFER]   # the second half for shared sockets
    uint8_t spare[BUFFER]                # a packet, while several keys are tried on it
    uint8_t sealed[OUTBOX][BUFFER + TAIL]


# ---- down and up: commands and events

cdef void obey(worker *self) noexcept nogil:
    cdef uint64_t tail = LOAD_ACQUIRE(&self.command_tail)
    cdef command *order
    cdef uint32_t i
    if tail - self.command_head == COMMANDS:
        self.told = True  # there may be more, for which the ring had no room
    while self.command_head != tail:
        order = &self.commands[self.command_head % COMMANDS]
        if order.kind == STOP:
            self.stopping = True
        elif order.kind == CLOSE:
            close_port(self, order.subject)
        elif order.kind == FORGET:
            STORE32(&self.keys[order.subject].life, 0)
            self.told = True
        elif order.kind == LEND:
            lend(self, order.subject, order.track)
        else:
            for i in range(order.count):
                if order.changes[i].drop:
                    drop(self, order.changes[i].whole.rule.id)
                else:
                    put(self, &order.changes[i].whole)
        STORE_RELEASE(&self.command_head, self.command_head + 1)
    if self.told:
        tell(self)


cdef void put(worker *self, const whole_rule *new) noexcept nogil:
    cdef const rule_t *rule = &new.rule
    cdef row *here = &self.rows[rule.id]
    cdef bint present = here.owner != 0
    cdef bint linked = present and here.rule.port == rule.port
    if not linked:
        unlink(self, here)
    if not present or here.rule.generation != rule.generation:
        memset(&here.latch, 0, sizeof(latch_t))
    elif here.rule.described != rule.described:
        reopen(here, not same_host(&here.rule.hint, &rule.hint))
    if not present:
        memset(&here.track, 0, sizeof(track_t))
        here.lent = NULL
    put_ice(self, here, new)
    put_in_bundle(self, here, new)
    if rule.rtp_count > 1 or rule.rtcp_count > 1:
        self.fans[rule.id] = new.fan
    here.rule = rule[0]
    if not linked:
        link(self, here)
    STORE8(&self.counters[rule.id].state, here.latch.state)
    STORE32(&here.owner, self.number)
    publish(self, here)


cdef void lend(worker *self, uint32_t id, track_t *track) noexcept nogil:
    """Track a rule's stream there from now on, or, if it is NULL, where nobody else does."""
    cdef row *here = &self.rows[id]
    if here.owner != self.number:
        return
    if here.lent != NULL:
        here.track = here.lent[0]
    if track != NULL:
        track[0] = here.track
    here.lent = track


cdef void drop(worker *self, uint32_t id) noexcept nogil:
    cdef row *here = &self.rows[id]
    unlink(self, here)
    STORE32(&here.owner, 0)


cdef void link(worker *self, row *here) noexcept nogil:
    """Let a rule listen at its port, as the last one."""
    cdef port_t *port = &self.ports[here.rule.port]
    if port.count == 1:
        self.crowds[here.rule.port].rules[0] = port.rule
    port.count += 1
    rules_at(self, port)[port.count - 1] = here.rule.id


cdef void unlink(worker *self, row *here) noexcept nogil:
    """Take a rule from its port; the order of the others stays."""
    cdef port_t *port
    cdef uint32_t *rules
    cdef int i, kept = 0
    if here.owner == 0 or here.rule.port == NO_PORT:
        return
    unsteer(self, here)
    port = &self.ports[here.rule.port]
    rules = rules_at(self, port)
    for i in range(port.count):
        if rules[i] != here.rule.id:
            rules[kept] = rules[i]
            kept += 1
    port.count, port.rule = kept, rules[0]


cdef void close_port(worker *self, uint32_t index) noexcept nogil:
    cdef port_t *port = &self.ports[index]
    cdef const uint32_t *rules = rules_at(self, port)
    cdef int i
    epoll_ctl(self.epoll, EPOLL_CTL_DEL, port.fd, NULL)
    for i in range(port.count):
        unsteer(self, &self.rows[rules[i]])
        self.rows[rules[i]].rule.port = NO_PORT
    if port.place != NO_PLACE:
        STORE32(&self.places[port.place].ports[<uint16_t>port.local.port], 0)
    port.count = 0
    STORE_RELEASE_FD(&port.fd, -1)
    self.told = True


cdef void push_event(
    worker *self, int kind, uint32_t subject, const address *source, const uint8_t *data, uint32_t length
) noexcept nogil:
    cdef event *slot = &self.events[self.event_tail % EVENTS]
    if self.event_tail - LOAD_ACQUIRE(&self.event_head) == EVENTS:
        BUMP(&self.events_lost, 1)
        return
    slot.kind = kind
    slot.subject = subject
    slot.source = source[0]
    slot.length = length
    if length:
        memcpy(slot.data, data, length)
    STORE_RELEASE(&self.event_tail, self.event_tail + 1)
    self.told = True


cdef void pass_up(
    worker *self, int kind, uint32_t index, const address *source, unsigned int slot, uint32_t length
) noexcept nogil:
    """A datagram for Python, if this port has not had its share of the ring."""
    cdef port_t *port = &self.ports[index]
    if LOAD_ACQUIRE(&self.event_head) >= port.mark:
        port.mark = self.event_tail + 1
        port.raised = 0
    if length > UP_BYTES:
        BUMP(&self.counters[rules_at(self, port)[0]].malformed, 1)
    elif port.raised == UP_SHARE:
        BUMP(&self.events_lost, 1)
    else:
        port.raised += 1
        push_event(self, kind, index, source, self.buffers[slot], length)


cdef void tell(worker *self) noexcept nogil:
    cdef uint64_t one = 1
    self.told = False
    write(self.news, &one, sizeof(one))


# ---- the thread

cdef void run(worker *self) noexcept nogil:
    cdef int i, count, size
    cdef int64_t began = 0
    cdef uint64_t taken, rings, before
    cdef bint over = True
    prepare(self)
    while not self.stopping:
        if over:
            rest(self, began)
        count = epoll_wait(self.epoll, self.ready, READY, -1)
        BUMP(&self.beats, 1)
        self.now = monotonic()
        if over:
            began = self.now
        over = count < READY  # else there may be more ports
        taken, before = 0, self.by_shared
        self.shared_over = True
        obey(self)
        for i in range(count):
            if self.ready[i].data.u32 == WAKE:
                read(self.wake, &rings, sizeof(rings))
                obey(self)  # what came between the first look and the reading
            elif self.ready[i].data.u32 >= SHARED:
                serve_shared(self, self.ready[i].data.u32 - SHARED)
            else:
                size = serve(self, self.ready[i].data.u32, self.ready[i].events)
                taken += size
                over = over and size < BATCH  # else there may be more at this port
            if self.told:
                tell(self)
        over = over and self.shared_over
        keep_pace(&self.pace, taken + self.by_shared - before, self.now)
    open_buffers(self, 0)
    open_buffers(self, BATCH)


cdef void rest(worker *self, int64_t began) noexcept nogil:
    """Wait for company, or for a command, between two turns."""
    cdef pollfd command
    cdef timespec length
    cdef int64_t pause
    if not expects_company(&self.pace):
        return
    pause = pause_after(&self.pace, monotonic() - began)
    if pause == 0:
        return
    command.fd = self.wake
    command.events = POLLIN
    length.tv_sec = pause // 1000000000
    length.tv_nsec = pause % 1000000000
    ppoll(&command, 1, &length, NULL)


cdef int serve(worker *self, uint32_t index, uint32_t events) noexcept nogil:
    """One bounded batch from one port, unless it was closed since epoll named it. Returns its size."""
    cdef int fd = LOAD_ACQUIRE_FD(&self.ports[index].fd)
    cdef int count, more
    if fd < 0:
        return 0
    if events & EPOLLERR:
        discard_errors(fd)
    count = take(self, index, True)
    if 0 < count < BATCH and steer(self, index):
        for _ in range(ROUNDS):  # what waits here still is older than what is shared from now on
            more = take(self, index, False)
            count += more
            if more < BATCH:
                break
    return count


cdef inline int take(worker *self, uint32_t index, bint after_shared) noexcept nogil:
    """Otherwise what a settled peer sent first comes first: somebody may be sending copies of it."""
    cdef port_t *port = &self.ports[index]
    cdef int slot, count
    open_buffers(self, 0)
    count = recvmmsg(LOAD_ACQUIRE_FD(&port.fd), self.inbox, BATCH, MSG_DONTWAIT, NULL)
    wall_off(self, 0, count)
    if count > 0 and after_shared and self.shared[port.v6] >= 0:
        serve_shared(self, port.v6)
    obey(self)  # what was commanded before the last of them was sent
    for slot in range(count):
        arrive(self, index, slot)
    flush(self)
    return max(count, 0)


cdef inline void open_buffers(worker *self, int first) noexcept nogil:
    """A batch of them, to the kernel, which writes into them, or to whoever gets this memory next."""
    cdef int i
    for i in range(first, first + BATCH):
        ALLOW_ALL(self.buffers[i], BUFFER)


cdef inline void wall_off(worker *self, int first, int count) noexcept nogil:
    """What stands behind a datagram is an older one's: nobody is to read it."""
    cdef int i
    for i in range(first, first + count):
        FORBID_BEHIND(self.buffers[i], self.inbox[i].msg_len, BUFFER)


cdef void discard_errors(int fd) noexcept nogil:
    """Read what epoll reports as an error, for it would report it again and again."""
    cdef msghdr message
    cdef int error, i
    cdef socklen_t length = sizeof(error)
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length)
    memset(&message, 0, sizeof(message))
    for i in range(BATCH):
        if recvmsg(fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0:
            return


cdef int64_t monotonic() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <int64_t>now.tv_sec * 1000000000 + now.tv_nsec


cdef void prepare(worker *self) noexcept nogil:
    """Leave signals to Python's thread, but for faults of this one; point the headers at their buffers."""
    cdef sigset_t others
    cdef int[5] faults = [SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV]
    cdef int i
    sigfillset(&others)
    for i in range(5):
        sigdelset(&others, faults[i])
    pthread_sigmask(SIG_BLOCK, &others, NULL)
    for i in range(2 * BATCH):
        self.in_data[i].iov_base = self.buffers[i]
        self.in_data[i].iov_len = BUFFER
        self.inbox[i].msg_hdr.msg_iov = &self.in_data[i]
        self.inbox[i].msg_hdr.msg_iovlen = 1
        self.inbox[i].msg_hdr.msg_name = &self.in_names[i]
        self.inbox[i].msg_hdr.msg_namelen = sizeof(sockaddr_in6)
    for i in range(BATCH):
        self.inbox[BATCH + i].msg_hdr.msg_control = self.in_control[i]
        self.inbox[BATCH + i].msg_hdr.msg_controllen = 8 * CONTROL_WORDS
    for i in range(OUTBOX):
        self.outbox[i].msg_hdr.msg_iov = &self.out_data[i]
        self.outbox[i].msg_hdr.msg_iovlen = 1
        self.outbox[i].msg_hdr.msg_name = &self.out_names[i]
        self.raw_outbox[i].msg_hdr.msg_iov = self.raw_parts[i]
        self.raw_outbox[i].msg_hdr.msg_iovlen = 2
        self.raw_outbox[i].msg_hdr.msg_name = &self.raw_names[i]
    write_protocol(self.raw_protocol, sizeof(self.raw_protocol))
