# Latching, as specified in relay/latching.py; compared with it on random packets.

cdef enum:
    RUN_PROOF = 5
    RUN_STEP = 10
    REOPENED = 3


cdef inline int rank(const row *here, const address *source) noexcept nogil:
    cdef const rule_t *rule = &here.rule
    if rule.remote.port and same_address(source, &rule.remote):
        return 3
    if rule.hint.port and same_host(source, &rule.hint):
        return 2
    return 2 if rule.remote.port and same_host(source, &rule.remote) else 1


cdef inline bint listens(const row *here, const address *source) noexcept nogil:
    """Whether a packet from a source that is not the peer counts as evidence, in the clear and after the first."""
    cdef const latch_t *latch = &here.latch
    cdef int ours = rank(here, source), theirs = rank(here, &latch.peer)
    if ours > theirs or ((latch.state == LOCKED or latch.opened) and same_host(source, &latch.peer)):
        return True
    if latch.state == LOCKED or ours < theirs:
        return False
    return ours > 1 or latch.opened != FOR_HOST


cdef inline int wish(const row *here, const address *source) noexcept nogil:
    """How much a rule wants a source that is not its peer: 0 not at all, above 8 at once."""
    cdef const latch_t *latch = &here.latch
    cdef int ours
    cdef bint at_once
    if here.rule.learn == NOBODY:
        return 0
    ours = rank(here, source)
    if latch.state == WAITING:
        at_once = True
    elif has_keys(here):
        at_once = latch.state != LOCKED
    elif listens(here, source):
        at_once = ours > rank(here, &latch.peer)
    else:
        return 0
    if latch.state == LOCKED and not at_once and not has_keys(here):
        return 1
    if ours == 3 or (ours == 2 and here.rule.hint.port and same_host(source, &here.rule.hint)):
        ours += 1
    return ours + 9 if at_once else ours + 1


cdef inline void count_run(run_t *run, const media *what, bint opaque) noexcept nogil:
    cdef uint16_t step = what.seq - run.seq
    cdef bint follows = run.length and what.ssrc == run.ssrc and 1 <= step <= RUN_STEP
    if opaque or what.kind == RTP:
        run.length = min(run.length + 1, RUN_PROOF) if opaque or follows else 1
    if not opaque and what.kind == RTP:
        run.ssrc, run.seq = what.ssrc, what.seq


cdef void publish(worker *self, row *here) noexcept nogil:
    """Say where the peer is sent to, here and to Python."""
    cdef const address *to = &here.rule.remote
    if here.rule.learn != NOBODY and not here.rule.asymmetric and here.latch.state != WAITING:
        to = &here.latch.peer
    share_address(&here.send_to, to)
    keep_steered(self, here)


cdef void settle(worker *self, row *here, uint8_t state) noexcept nogil:
    here.latch.state = state
    if state == LOCKED:
        here.latch.opened = NOT_OPENED
    STORE8(&self.counters[here.rule.id].state, state)
    if state == LOCKED:
        push_event(self, PEER_LATCHED, here.rule.id, &here.latch.peer, NULL, 0)


cdef inline void expire(worker *self, row *here) noexcept nogil:
    cdef const latch_t *latch = &here.latch
    if latch.state != LATCHED or latch.until == 0 or self.now < latch.until:
        return
    if latch.opened or rank(here, &latch.peer) > 1:
        settle(self, here, LOCKED)


cdef void reopen(row *here, bint elsewhere) noexcept nogil:
    """Latch.reopen: the peer has described itself again."""
    cdef latch_t *latch = &here.latch
    if has_keys(here) or not (latch.state == LOCKED or latch.opened):
        return
    latch.opened = FOR_ALL if elsewhere or latch.opened == FOR_ALL else FOR_HOST
    latch.state, latch.until = LATCHED, 0
    memset(&latch.challenger, 0, sizeof(address))
    memset(&latch.challenge, 0, sizeof(run_t))


cdef void adopt(row *here, const address *source, run_t run) noexcept nogil:
    here.latch.peer = source[0]
    here.latch.run = run
    here.latch.opened = NOT_OPENED
    memset(&here.latch.challenger, 0, sizeof(address))
    memset(&here.latch.challenge, 0, sizeof(run_t))


cdef bint is_of_its_stream(const row *here, const media *what) noexcept nogil:
    """Whether a packet has the SSRC of what the peer sends, wherever that is forwarded."""
    if what.kind != RTP or here.rule.opaque:
        return False
    if here.lent != NULL:
        return here.lent.known and here.lent.ssrc == what.ssrc
    return here.latch.heard and here.latch.ssrc == what.ssrc


cdef inline void open_window(worker *self, latch_t *latch) noexcept nogil:
    if latch.opened and latch.until == 0:
        latch.until = self.now + REOPENED * self.window


cdef bint proves_itself(worker *self, row *here, const address *source, const media *what) noexcept nogil:
    if not listens(here, source) or (here.latch.state == LOCKED and not is_of_its_stream(here, what)):
        return False
    open_window(self, &here.latch)
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
    if latch.state != LOCKED or not same_address(source, &latch.peer):
        if not judge(self, here, source, what):
            return False
    if what.kind == RTP and not here.rule.opaque:
        latch.ssrc, latch.heard = what.ssrc, True
    return True


cdef bint judge(worker *self, row *here, const address *source, const media *what) noexcept nogil:
    """The same of a packet that is not that of a peer who is settled."""
    cdef latch_t *latch = &here.latch
    cdef run_t none
    if latch.state != WAITING and same_address(source, &latch.peer):
        if latch.opened:
            open_window(self, latch)
            memset(&latch.challenger, 0, sizeof(address))
            memset(&latch.challenge, 0, sizeof(run_t))
        count_run(&latch.run, what, here.rule.opaque)
    elif wish(here, source) > 8:
        if latch.state == WAITING or latch.until == 0:
            latch.until = self.now + self.window
        memset(&none, 0, sizeof(run_t))
        adopt(here, source, none)
        count_run(&latch.run, what, here.rule.opaque)
    elif not proves_itself(self, here, source, what):
        return False
    if rank(here, source) == 3 or (latch.run.length >= RUN_PROOF and not latch.opened):
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
