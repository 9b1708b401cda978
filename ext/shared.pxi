# The range socket: datagrams of settled peers, whatever port they are for, come to one socket per worker,
# so that one system call finds those of many streams. The kernel asks a program of ours (ext/steer.bpf.c)
# which datagrams these are; its tables are written here, by the worker that owns the port. They choose the
# queue and nothing else: what comes by a shared socket is treated as if it had come by its port's own.

cdef extern from *:
    """
    #include <linux/bpf.h>
    #include <netinet/in.h>
    #include <sys/socket.h>
    #include <sys/syscall.h>
    #include <unistd.h>
    #include "rules.h"

    #define LARGEST_KEY 36

    /* struct ipv4_key or struct ipv6_key of ext/steer.bpf.c. */
    static inline void write_key(int v6, const struct address *local, const struct address *remote, uint8_t *key)
    {
        const int skip = v6 ? 0 : 12, length = 16 - skip;
        const uint16_t ports[2] = {(uint16_t)local->port, (uint16_t)remote->port};

        memcpy(key, (const uint8_t *)local + skip, length);
        memcpy(key + length, (const uint8_t *)remote + skip, length);
        memcpy(key + 2 * length, ports, sizeof(ports));
    }

    static inline int change_table(int command, int table, const uint8_t *key, const uint32_t *value)
    {
        union bpf_attr about;

        memset(&about, 0, sizeof(about));
        about.map_fd = table;
        about.key = (uintptr_t)key;
        about.value = (uintptr_t)value;
        return syscall(SYS_bpf, command, &about, sizeof(about));
    }

    /* Where a datagram was sent to; NULL if the kernel did not say. */
    static inline const struct sockaddr_in6 *destination_of(struct msghdr *message)
    {
        const struct cmsghdr *told = CMSG_FIRSTHDR(message);

        if (!told)
            return NULL;
        if (told->cmsg_level == IPPROTO_IP && told->cmsg_type == IP_ORIGDSTADDR)
            return (const struct sockaddr_in6 *)CMSG_DATA(told);
        if (told->cmsg_level == IPPROTO_IPV6 && told->cmsg_type == IPV6_ORIGDSTADDR)
            return (const struct sockaddr_in6 *)CMSG_DATA(told);
        return NULL;
    }
    """
    enum: LARGEST_KEY, BPF_MAP_UPDATE_ELEM, BPF_MAP_DELETE_ELEM
    void write_key(bint v6, const address *local, const address *remote, uint8_t *key) nogil
    int change_table(int command, int table, const uint8_t *key, const uint32_t *value) nogil
    const sockaddr_in6 *destination_of(msghdr *message) nogil

cdef enum:
    ROUNDS = 8              # batches taken from a shared socket per turn: it has the streams of many ports
    REFUSED = 1000000000    # nanoseconds without another try after the kernel's table was full
    SHARE = 500             # datagrams of one port in the time below; a key frame has some 200
    SHARE_TIME = 20000000   # nanoseconds
    APART = 1000000000      # nanoseconds for which a port with more has its own queue only


# ---- which datagrams

cdef inline const address *settled_peer(const worker *self, const row *here) noexcept nogil:
    """The one source whose datagrams may share a queue with those of others; NULL if it is not certain yet."""
    if here.rule.learn != NOBODY:
        return &here.latch.peer if here.latch.state == LOCKED else NULL
    return &here.rule.remote if here.rule.remote.port and is_source(self, here, &here.rule.remote) else NULL


cdef bint steer(worker *self, uint32_t index) noexcept nogil:
    """Have the settled peers of a port come by the shared socket. Returns whether one does that did not."""
    cdef port_t *port = &self.ports[index]
    cdef uint8_t key[LARGEST_KEY]
    cdef uint32_t value = 2 * (self.number - 1) + port.v6
    cdef const address *peer
    cdef row *here
    cdef bint more = False
    cdef int i
    if self.tables[port.v6] < 0 or port.place == NO_PLACE:
        return False
    if self.now < self.refused or self.now < port.apart_until:
        return False
    for i in range(port.count):
        here = &self.rows[rules_at(self, port)[i]]
        peer = settled_peer(self, here)
        if peer == NULL or same_address(peer, &here.steered) or is_ipv4(peer) == port.v6:
            continue
        unsteer(self, here)
        write_key(port.v6, &port.local, peer, key)
        if change_table(BPF_MAP_UPDATE_ELEM, self.tables[port.v6], key, &value):
            self.refused = self.now + REFUSED
            return more
        here.steered = peer[0]
        more = True
    return more


cdef void unsteer(worker *self, row *here) noexcept nogil:
    """The steered peer of a rule comes by the port's own socket from now on."""
    cdef port_t *port
    cdef uint8_t key[LARGEST_KEY]
    cdef row *other
    cdef int i
    if here.steered.port == 0:
        return
    port = &self.ports[here.rule.port]
    write_key(port.v6, &port.local, &here.steered, key)
    change_table(BPF_MAP_DELETE_ELEM, self.tables[port.v6], key, NULL)
    for i in range(port.count):
        other = &self.rows[rules_at(self, port)[i]]
        if other != here and same_address(&other.steered, &here.steered):
            other.steered.port = 0
    here.steered.port = 0


cdef inline void keep_steered(worker *self, row *here) noexcept nogil:
    """The peer of a rule may be another one, or not certain any more."""
    cdef const address *peer
    if here.steered.port:
        peer = settled_peer(self, here)
        if peer == NULL or not same_address(peer, &here.steered):
            unsteer(self, here)


cdef inline bint exceeds_share(worker *self, port_t *port) noexcept nogil:
    """Count a datagram. A port with too many gets its own queue back, and True is returned once.

    So a peer that floods, or somebody who writes its address on what he sends, fills no queue but his port's.
    """
    cdef int i
    if self.now - port.shared_since > SHARE_TIME:
        port.shared_since, port.shared = self.now, 0
    port.shared += 1
    if port.shared != SHARE:
        return False
    port.apart_until = self.now + APART
    for i in range(port.count):
        unsteer(self, &self.rows[rules_at(self, port)[i]])
    return True


# ---- receiving them

cdef uint32_t port_of(const worker *self, mmsghdr *message) noexcept nogil:
    """The port a datagram of a shared socket was sent to, if it is one of this worker's, or NO_PORT."""
    cdef const sockaddr_in6 *name = destination_of(&message.msg_hdr)
    cdef address to
    cdef uint32_t index, i
    if name == NULL:
        return NO_PORT
    from_sockaddr(name, &to)
    for i in range(LOAD_ACQUIRE32(self.place_count)):
        if same_host(&to, &self.places[i].host):
            index = LOAD32(&self.places[i].ports[<uint16_t>to.port])
            if index and LOAD32(&self.ports[index - 1].worker) == self.number:
                return index - 1
            return NO_PORT
    return NO_PORT


cdef void serve_shared(worker *self, bint v6) noexcept nogil:
    """Some batches from a shared socket."""
    cdef mmsghdr *inbox = &self.inbox[BATCH]
    cdef int count, slot, i
    cdef uint32_t index
    cdef bint more
    for i in range(ROUNDS):
        open_buffers(self, BATCH)
        count = recvmmsg(self.shared[v6], inbox, BATCH, MSG_DONTWAIT, NULL)
        wall_off(self, BATCH, count)
        BUMP(&self.by_shared, max(count, 0))
        more = count == BATCH
        obey(self)  # what was commanded before the last of them was sent
        for slot in range(count):
            index = port_of(self, &inbox[slot])
            inbox[slot].msg_hdr.msg_controllen = 8 * CONTROL_WORDS
            if index == NO_PORT:
                inbox[slot].msg_hdr.msg_namelen = sizeof(sockaddr_in6)
                BUMP(&self.no_rule, 1)
            elif exceeds_share(self, &self.ports[index]):
                more = True  # older than what comes by its own socket from now on
            if index != NO_PORT:
                arrive(self, index, BATCH + slot)
        flush(self)
        if not more:
            return
    self.shared_over = False
