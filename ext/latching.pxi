# Latching, as specified in relay/latching.py; compared with it on random packets.

cdef enum:
    RUN_PROOF = 5
    RUN_STEP = 10


cdef inline int rank(const row *here, const address *source) noexcept nogil:
    cdef const rule_t *rule = &here.rule
    if rule.remote.port and same_address(source, &rule.remote):
        return 3
    if rule.hint.port and same_host(source, &rule.hint):
        return 2
    return 2 if rule.remote.port and same_host(source, &rule.remote) else 1


cdef inline int wish(const row *here, const address *source) noexcept nogil:
    """How much a rule wants a source that is not its peer: 0 not at all, above 8 at once."""
    cdef int ours, theirs
    cdef bint at_once
    if here.rule.learn == NOBODY:
        return 0
    ours = rank(here, source)
    theirs = rank(here, &here.latch.peer) if here.latch.state != WAITING else 0
    if has_keys(here):
        at_once = here.latch.state != LOCKED
    elif ours < theirs or (here.latch.state == LOCKED and ours == theirs):
        return 0
    else:
        at_once = ours > theirs
    if ours == 3 or (ours == 2 and here.rule.hint.port and same_host(source, &here.rule.hint)):
        ours += 1
    return ours + 8 if at_once else ours


cdef inline void count_run(run_t *run, const media *what, bint opaque) noexcept nogil:
    cdef uint16_t step = what.seq - run.seq
    if opaque:
        run.length += 1
    elif what.kind == RTP:
        if run.length and what.ssrc == run.ssrc and 1 <= step <= RUN_STEP:
            run.length += 1
        else:
            run.length = 1
        run.ssrc = what.ssrc
        run.seq = what.seq


cdef void publish(worker *self, row *here) noexcept nogil:
    """Say where the peer is sent to, here and to Python."""
    cdef const address *to = &here.rule.remote
    if here.rule.learn != NOBODY and not here.rule.asymmetric and here.latch.state != WAITING:
        to = &here.latch.peer
    share_address(&here.send_to, to)
    keep_steered(self, here)


cdef void settle(worker *self, row *here, uint8_t state) noexcept nogil:
    here.latch.state = state
    STORE8(&self.counters[here.rule.id].state, state)
    if state == LOCKED:
        push_event(self, PEER_LATCHED, here.rule.id, &here.latch.peer, NULL, 0)


cdef inline void expire(worker *self, row *here) noexcept nogil:
    if here.latch.state == LATCHED and self.now >= here.latch.until and rank(here, &here.latch.peer) > 1:
        settle(self, here, LOCKED)


cdef void adopt(row *here, const address *source, run_t run) noexcept nogil:
    here.latch.peer = source[0]
    here.latch.run = run
    memset(&here.latch.challenger, 0, sizeof(address))
    memset(&here.latch.challenge, 0, sizeof(run_t))


cdef bint proves_itself(row *here, const address *source, const media *what) noexcept nogil:
    if rank(here, source) < rank(here, &here.latch.peer):
        return False
    if not same_address(source, &here.latch.challenger):
        here.latch.challenger = source[0]
        memset(&here.latch.challenge, 0, sizeof(run_t))
    count_run(&here.latch.challenge, what, here.rule.opaque)
    if here.latch.challenge.length < RUN_PROOF:
        return False
    adopt(here, source, here.latch.challenge)
    return True


cdef bint learn_from(worker *self, row *here, const address *source, const media *what) noexcept nogil:
    """Latch.packet: whether the packet is the peer's."""
    cdef latch_t *latch = &here.latch
    cdef run_t none
    if latch.state == LOCKED and wish(here, source) == 0:
        return same_address(source, &latch.peer)
    if latch.state != WAITING and same_address(source, &latch.peer):
        count_run(&latch.run, what, here.rule.opaque)
    elif wish(here, source) > 8:
        if latch.state == WAITING:
            latch.until = self.now + self.window
        memset(&none, 0, sizeof(run_t))
        adopt(here, source, none)
        count_run(&latch.run, what, here.rule.opaque)
    elif not proves_itself(here, source, what):
        return False
    if rank(here, source) == 3 or latch.run.length >= RUN_PROOF:
        settle(self, here, LOCKED)
    else:
        settle(self, here, LATCHED)
    publish(self, here)
    return True


cdef void follow(worker *self, row *here, const address *source) noexcept nogil:
    """Latch._follow: the packet was authenticated, so its source is the peer, perhaps moved."""
    cdef latch_t *latch = &here.latch
    cdef run_t none
    if latch.state == LOCKED:
        if same_address(source, &latch.peer):
            latch.challenger.port = 0
            return
        if not same_address(source, &latch.challenger):
            latch.challenger = source[0]
            return
    memset(&none, 0, sizeof(run_t))
    adopt(here, source, none)
    settle(self, here, LOCKED)
    publish(self, here)
