# Commands on their way to a worker: Python's end of the ring, and what finds no room in it.

cdef enum:
    PATIENCE = 250000000     # nanoseconds; a proxy repeats a command after 0.5 to 1 s
    LONGEST_END = 5          # seconds for a worker to end


cdef class _Orders:
    """The commands of one worker, numbered from 0 on.

    A worker that hangs costs nobody more than one wait: what finds no room in the ring stays here, in
    order, and who has waited in vain for an answer is not waited for again before it has moved.
    """

    cdef worker *to
    cdef object _waiting     # what found the ring full, oldest first
    cdef uint64_t _given_up  # how many it had done, plus one, when it was waited for in vain
    cdef dict _changing      # the latest change of rules, by id, that may not be in place yet
    cdef uint64_t owed       # so many are to be done before a proxy gets its reply

    def __cinit__(self):
        self._waiting, self._changing = deque(), {}

    cdef uint64_t change(self, _Batch batch) except? 0:
        """As ``queue``, for a batch of changes, which has to stay until they are in place."""
        cdef uint64_t number = self.queue(CHANGE, 0, batch.changes, batch.count, 0)
        cdef size_t i
        for i in range(batch.count):
            self._changing[batch.changes[i].whole.rule.id] = number
        return number

    cdef are_in_place(self, uint64_t number, _Batch batch):
        """The worker has done it."""
        cdef size_t i
        for i in range(batch.count):
            if self._changing.get(batch.changes[i].whole.rule.id) == number:
                del self._changing[batch.changes[i].whole.rule.id]

    cdef bint is_changing(self, uint32_t rule) except -1:
        return rule in self._changing

    cdef uint64_t queue(self, int kind, uint32_t subject, change *changes, uint32_t count, uintptr_t track) except? 0:
        """Returns its number. The worker need not look before ``wake``."""
        self.catch_up()
        if self.is_full():
            self._waiting.append((kind, subject, <uintptr_t>changes, count, track))
        else:
            self._write(kind, subject, changes, count, track)
        return self.to.command_tail + len(self._waiting) - 1

    cdef void _write(self, int kind, uint32_t subject, change *changes, uint32_t count, uintptr_t track) noexcept:
        cdef command *slot = &self.to.commands[self.to.command_tail % COMMANDS]
        slot.kind, slot.subject, slot.changes, slot.count = kind, subject, changes, count
        slot.track = <track_t *>track
        STORE_RELEASE(&self.to.command_tail, self.to.command_tail + 1)

    cdef bint _has_room(self) noexcept:
        return self.to.command_tail - LOAD_ACQUIRE(&self.to.command_head) < COMMANDS

    cdef bint is_full(self) except -1:
        return len(self._waiting) > 0 or not self._has_room()

    cdef catch_up(self):
        """Fill the ring with what waits; its worker says when it has emptied a full one."""
        if not self._waiting or not self._has_room():
            return
        while self._waiting and self._has_room():
            kind, subject, changes, count, track = self._waiting.popleft()
            self._write(kind, subject, <change *><uintptr_t>changes, count, track)
        self.wake()

    cdef wake(self):
        cdef uint64_t one = 1
        write(self.to.wake, &one, sizeof(one))

    cdef uint64_t done(self) noexcept:
        return LOAD_ACQUIRE(&self.to.command_head)

    cdef uint64_t given(self) except? 0:
        return self.to.command_tail + len(self._waiting)

    cdef bint follows(self, uint64_t count) except -1:
        """Wait until the worker has done so many commands. False if it does not."""
        cdef uint64_t done = self.done()
        cdef int64_t end
        if done >= count:
            return True
        if done + 1 == self._given_up:
            return False
        self.wake()
        end = monotonic() + PATIENCE
        while done < count:
            if monotonic() > end:
                self._given_up = done + 1
                return False
            with nogil:
                usleep(20)
            self.catch_up()
            done = self.done()
        return True


cdef bint have_ended(list all_orders, list threads) except -1:
    """Whether all workers end, soon."""
    cdef _Orders orders
    cdef int64_t end = monotonic() + <int64_t>LONGEST_END * 1000000000
    for orders, thread in zip(all_orders, threads):
        orders.wake()
        while thread.is_alive() and monotonic() < end:
            orders.catch_up()
            thread.join(0.05)
    return not any([thread.is_alive() for thread in threads])
