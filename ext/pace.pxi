# Pace: how long a worker waits for company before it looks at its ports again.
#
# Below some 50,000 packets/s a packet costs less than the wake-up for it. So a
# worker that expects several packets within ``bound`` begins its turns ``bound``
# apart: it sleeps for what its work has left of that time. With few packets it
# never sleeps, and neither does it when a turn takes longer, as batches form by
# themselves then.

cdef enum:
    COMPANY = 4          # packets that make up for the timer: less than two cost more than they save
    LOOKS = 10000000     # nanoseconds over which the rate is taken

cdef struct pace_t:
    int64_t bound        # nanoseconds between the beginnings of two turns; 0: never wait
    int64_t since        # when the count began
    uint64_t taken       # datagrams since then
    uint64_t rate        # datagrams per second, when it was last known


cdef void keep_pace(pace_t *pace, uint64_t taken, int64_t now) noexcept nogil:
    cdef int64_t elapsed = now - pace.since
    pace.taken += taken
    if elapsed >= LOOKS:
        pace.rate = pace.taken * 1000000000 // <uint64_t>elapsed
        pace.taken = 0
        pace.since = now


cdef inline bint expects_company(const pace_t *pace) noexcept nogil:
    return pace.rate * <uint64_t>pace.bound >= <uint64_t>COMPANY * 1000000000


cdef inline int64_t pause_after(const pace_t *pace, int64_t spent) noexcept nogil:
    """Nanoseconds to wait after a turn that took ``spent``; 0 for none."""
    if not expects_company(pace) or spent >= pace.bound:
        return 0
    return pace.bound - spent
