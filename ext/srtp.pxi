# SRTP: packets through libsrtp, by address (relay/forward/srtp_library.py). No Python object, no GIL.

cdef enum:
    MAX_SSRCS = 128      # per direction; libsrtp makes a stream for each, and nothing may grow without end
    TAIL = 160           # room behind a packet for what protecting adds: srtp_library.TAIL, rounded up
    REPLAY_FAIL = 9      # libsrtp's status: seen before
    REPLAY_OLD = 10      # behind the replay window
    NOT_OPEN = -1        # ours: the keys were closed, there are none yet, or the SSRCs are too many

ctypedef int (*srtp_function)(void *context, void *packet, int *length) noexcept nogil

cdef struct srtp_functions:
    srtp_function protect, unprotect, protect_rtcp, unprotect_rtcp

cdef struct direction:
    void *context
    uint32_t count
    uint32_t latest      # index: audio has one SSRC, video changes rarely from one packet to the next
    uint32_t ssrcs[MAX_SSRCS]

cdef struct keys_t:
    uint32_t life        # 0: closed. Rules that still name closed keys look here while Python uses them again
    direction arriving, leaving


cdef inline bint knows(direction *keys, uint32_t ssrc) noexcept nogil:
    cdef uint32_t i
    if keys.count and keys.ssrcs[keys.latest] == ssrc:
        return True
    for i in range(keys.count):
        if keys.ssrcs[i] == ssrc:
            keys.latest = i
            return True
    return False


cdef int convert(
    direction *keys, srtp_function function, uint32_t ssrc, uint8_t *data, uint32_t *length
) noexcept nogil:
    """Protect or unprotect in place. Returns libsrtp's status; an SSRC is remembered if it worked."""
    cdef bint known = knows(keys, ssrc)
    cdef int size = length[0], status
    if not known and keys.count == MAX_SSRCS:
        return NOT_OPEN
    status = function(keys.context, data, &size)
    if status:
        return status
    length[0] = size
    if not known:
        keys.latest = keys.count
        keys.ssrcs[keys.count] = ssrc
        keys.count += 1
    return 0


cdef inline bint has_keys(const row *here) noexcept nogil:
    return here.rule.keys.life != 0


cdef inline bint is_secured(const row *here) noexcept nogil:
    """Whether media may pass protected only, be it that the keys are still to come."""
    return has_keys(here) or here.rule.dtls


cdef inline keys_t *keys_of(worker *self, const row *here) noexcept nogil:
    """NULL if there are none, or if they were closed."""
    cdef keys_t *keys = &self.keys[here.rule.keys.slot]
    return keys if has_keys(here) and LOAD32(&keys.life) == here.rule.keys.life else NULL


cdef int unlock(worker *self, const row *here, unsigned int slot, const media *what, uint32_t *length) noexcept nogil:
    """Open a packet of the inbox in place. On failure what it holds is no packet any more."""
    cdef keys_t *keys = keys_of(self, here)
    cdef uint8_t *data = self.buffers[slot]
    length[0] = what.length
    if keys == NULL:
        return NOT_OPEN
    if what.kind == RTCP:
        return convert(&keys.arriving, self.srtp.unprotect_rtcp, big_endian(data + 4), data, length)
    return convert(&keys.arriving, self.srtp.unprotect, what.ssrc, data, length)


cdef int seal(worker *self, const row *there, uint8_t *data, uint32_t *length, bint rtcp) noexcept nogil:
    """Protect a copy of a packet, behind which there is room."""
    cdef keys_t *keys = keys_of(self, there)
    if keys == NULL:
        return NOT_OPEN
    if rtcp:
        return convert(&keys.leaving, self.srtp.protect_rtcp, big_endian(data + 4), data, length)
    return convert(&keys.leaving, self.srtp.protect, big_endian(data + 8), data, length)


cdef row *opener(
    worker *self, port_t *port, row *first, const address *source, unsigned int slot, const media *what,
    uint32_t *length,
) noexcept nogil:
    """The rule whose keys open this packet; NULL if there is none, and it is counted.

    A source that is nobody's peer yet may belong to any rule of a forked
    call's port: the keys tell.
    """
    cdef bint others = port.count > 1 and not is_peer(self, first, source)
    cdef const uint32_t *rules = rules_at(self, port)
    cdef counters_t *counters = &self.counters[first.rule.id]
    cdef row *here
    cdef int i, status
    if others:
        memcpy(self.spare, self.buffers[slot], what.length)
    status = unlock(self, first, slot, what, length)
    if status == 0:
        return first
    for i in range(port.count if others else 0):
        here = &self.rows[rules[i]]
        if here == first or not has_keys(here) or here.rule.learn == NOBODY:
            continue
        memcpy(self.buffers[slot], self.spare, what.length)
        if unlock(self, here, slot, what, length) == 0:
            return here
    BUMP(&counters.replay if status == REPLAY_FAIL or status == REPLAY_OLD else &counters.auth, 1)
    return NULL


cdef find_srtp(srtp_functions *found):
    """Learn libsrtp's addresses, before the first rule that needs them is on its way to a worker."""
    if found.protect != NULL:
        return
    library = srtp_library.load()
    found.unprotect = <srtp_function><uintptr_t>library.unprotect
    found.protect_rtcp = <srtp_function><uintptr_t>library.protect_rtcp
    found.unprotect_rtcp = <srtp_function><uintptr_t>library.unprotect_rtcp
    found.protect = <srtp_function><uintptr_t>library.protect
