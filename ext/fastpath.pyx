# cython: language_level=3, boundscheck=False, wraparound=False
"""The native plane: worker threads that forward datagrams by rules.

    Python (one thread)                        worker thread, never takes the GIL
      apply, close --- command ring, eventfd ---> obey
                                                    |  epoll: ports that have something
                                                    |  recvmmsg -> classify
                                                    |    STUN: answer what is no news
                                                    |    else: find -> unprotect
                                                    |    -> latch -> count -> protect -> sendmmsg
      events <------- event ring, eventfd ------- tell

Between the two lie two rings, each with one writer and one reader, and tables
of which a row is written by its worker only. Nothing on the packet path
allocates, locks, logs or calls Python (libsrtp allocates for the first packet of
an SSRC, ``MAX_SSRCS`` times per direction at most). Epoll is level-triggered and every ready
port gets one bounded batch per turn: a port that was overrun comes back by
itself, and a flooded one does not starve the others.
"""

import mmap
import os
import socket
import threading
from collections import deque

import numpy as np

from relay.forward import plane as interface, rule as specified, srtp_library
from relay.forward.plane import COUNTERS, PLANE_WIDE, SUMS, Dtls, Latched, PlaneFull, Reported, Stun
from relay.forward.rule import Drop
from relay.forward.sockets import set_tos
from relay.latching import PROOF, STEP, WINDOW as LEARN_WINDOW

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset
from cpython.ref cimport Py_INCREF
from posix.unistd cimport read, usleep, write

include "rules.pxi"
include "system.pxi"
include "srtp.pxi"
include "rtcp.pxi"
include "pace.pxi"
include "raw_headers.pxi"
include "worker.pxi"
include "addresses.pxi"
include "tables.pxi"
include "shared.pxi"
include "latching.pxi"
include "sha1.pxi"
include "stun.pxi"
include "bundle.pxi"
include "reports.pxi"
include "burst.pxi"
include "raw.pxi"
include "packets.pxi"
include "encoding.pxi"
include "places.pxi"
include "orders.pxi"
include "unused.pxi"
include "keys.pxi"
include "probes.pxi"

assert (PROOF, STEP, specified.MAX_SOURCES) == (RUN_PROOF, RUN_STEP, MAX_SOURCES)
assert specified.MAX_OUTPUTS == MAX_OUTPUTS
assert (specified.MAX_USERNAME, specified.CHECKS_PER_SECOND) == (MAX_USERNAME, CHECKS_PER_SECOND)
assert (COUNTERS.itemsize, interface.MAX_REPORTED) == (sizeof(counters_t), MAX_REPORTED)
assert srtp_library.TAIL <= TAIL

LONGEST_WAIT = 0.01  # seconds; more would be heard

# As numbers: the properties of Python's sockets make a member of an enumeration each time.
family_of, type_of = socket.SocketType.family.__get__, socket.SocketType.type.__get__

fill_crc_table()


cdef class NativePlane:
    """Implements ``Plane`` with ``workers`` threads. One Python thread may use it at a time.

    At most ``rules`` rules, as many pairs of keys, and 65,536 ports exist at once. ``on_close`` is
    called with the address and port of a socket after it was closed, from
    within ``events`` and others: ``PortPool.release`` fits. ``window`` is the
    learn window in seconds, ``coalesce`` the time that a busy worker may wait for
    company, 0 (never) to 0.01 seconds. ``steering`` (relay.forward.offload.steering), for as many
    workers, makes them share sockets, and is closed by ``stop``.
    """

    cdef readonly int workers
    cdef object _on_close, _threads, _tables, _counters, _shown
    cdef int _news
    cdef bint _stopped
    cdef row *_rows
    cdef fan_t *_fans
    cdef ice_t *_ice
    cdef bundle_t *_bundles
    cdef counters_t *_native_counters
    cdef reports_t *_reports
    cdef port_t *_ports
    cdef crowd_t *_crowds
    cdef keys_t *_native_keys
    cdef srtp_functions _srtp
    cdef worker **_workers
    cdef dict _open, _at_port, _place, _life, _keys, _totals
    cdef object _free_ports, _free_rules, _free_keys
    cdef uint32_t _lives
    cdef list _pending, _orders
    cdef _Places _places

    def __cinit__(
        self, int workers=1, *, uint32_t rules=262144, double window=LEARN_WINDOW, double coalesce=0, on_close=None,
        steering=None,
    ):
        if workers < 1 or rules < 1:
            raise ValueError("a plane needs a worker and room for a rule")
        if not 0 <= coalesce <= LONGEST_WAIT:
            raise ValueError(f"no wait for company of {coalesce} s")
        self.workers = workers
        self._on_close = on_close
        self._tables = [
            _Table(sizeof(row), rules), _Table(sizeof(counters_t), rules), _Table(sizeof(port_t), PORTS),
            _Table(sizeof(keys_t), rules), _Table(sizeof(fan_t), rules), _Table(sizeof(ice_t), rules),
            _Table(sizeof(bundle_t), rules), _Table(sizeof(crowd_t), PORTS), _Table(sizeof(reports_t), rules),
        ]
        self._rows = <row *>(<_Table>self._tables[0]).start
        self._native_counters = <counters_t *>(<_Table>self._tables[1]).start
        self._ports = <port_t *>(<_Table>self._tables[2]).start
        self._native_keys = <keys_t *>(<_Table>self._tables[3]).start
        self._fans = <fan_t *>(<_Table>self._tables[4]).start
        self._ice = <ice_t *>(<_Table>self._tables[5]).start
        self._bundles = <bundle_t *>(<_Table>self._tables[6]).start
        self._crowds = <crowd_t *>(<_Table>self._tables[7]).start
        self._reports = <reports_t *>(<_Table>self._tables[8]).start
        self._counters = np.frombuffer((<_Table>self._tables[1]).memory, COUNTERS)
        self._shown = self._counters.view()
        self._shown.flags.writeable = False
        self._free_ports, self._free_rules, self._free_keys = _Unused(PORTS), _Unused(rules), _Unused(rules)
        self._open, self._at_port, self._place, self._life, self._keys = {}, {}, {}, {}, {}
        self._totals = dict.fromkeys((*SUMS, *PLANE_WIDE), 0)
        self._pending = [deque() for _ in range(workers)]
        self._orders = [_Orders() for _ in range(workers)]
        self._news = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._places = _Places(steering)
        self._workers = <worker **>calloc(workers, sizeof(worker *))
        if self._workers == NULL:
            raise MemoryError
        for number in range(workers):
            self._workers[number] = self._new_worker(number, <int64_t>(window * 1e9))
            self._workers[number].pace.bound = <int64_t>(coalesce * 1e9)
            (<_Orders>self._orders[number]).to = self._workers[number]
        self._places.prepare(self._workers, workers)
        self._threads = [
            threading.Thread(target=self._work, args=(number,), name=f"forward-{number}", daemon=True)
            for number in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    def __dealloc__(self):
        free(self._workers)

    cdef worker *_new_worker(self, int number, int64_t window) except NULL:
        tables = [_Table(sizeof(worker), 1), _Table(sizeof(command), COMMANDS), _Table(sizeof(event), EVENTS)]
        self._tables.extend(tables)
        cdef worker *new = <worker *>(<_Table>tables[0]).start
        cdef epoll_event interest
        new.commands = <command *>(<_Table>tables[1]).start
        new.events = <event *>(<_Table>tables[2]).start
        new.rows, new.counters, new.ports = self._rows, self._native_counters, self._ports
        new.fans, new.ice, new.bundles, new.crowds = self._fans, self._ice, self._bundles, self._crowds
        new.reports, new.keys, new.srtp = self._reports, self._native_keys, &self._srtp
        new.number = number + 1
        new.window = window
        new.news = self._news
        new.epoll = epoll_create1(EPOLL_CLOEXEC)
        new.wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        interest.events = EPOLLIN
        interest.data.u32 = WAKE
        if new.epoll < 0 or epoll_ctl(new.epoll, EPOLL_CTL_ADD, new.wake, &interest):
            raise OSError("no epoll set for a worker")
        self._places.join(new)
        return new

    def _work(self, int number):
        name = b"forward-%d" % number  # for top -H
        pthread_setname_np(pthread_self(), name)
        with nogil:
            run(self._workers[number])

    def fileno(self):
        return self._news

    def open(self, sock, int worker):
        """Raises ``ValueError`` for anything but a UDP socket and an existing worker, ``PlaneFull`` if it is behind."""
        cdef epoll_event interest
        cdef port_t *port
        self._reclaim()
        if self._stopped or not 0 <= worker < self.workers:
            raise ValueError(f"no worker {worker}")
        cdef int family = family_of(sock)
        if type_of(sock) != SOCK_DGRAM or family not in (AF_INET, AF_INET6):
            raise ValueError(f"not a UDP socket: {sock}")
        if self.is_behind(worker):
            raise PlaneFull(f"worker {worker} does not follow")
        handle = self._free_ports.take("ports")
        port = &self._ports[<uint32_t>handle]
        port.v6 = family == AF_INET6
        self._places.settle(port, sock, self._workers, worker, self.workers)
        STORE_RELEASE_FD(&port.fd, sock.fileno())
        interest.events = EPOLLIN
        interest.data.u32 = handle
        self._open[handle] = (sock, worker)
        self._at_port[handle] = ()
        if epoll_ctl(self._workers[worker].epoll, EPOLL_CTL_ADD, port.fd, &interest):
            STORE_RELEASE_FD(&port.fd, -1)
            del self._open[handle], self._at_port[handle]
            self._free_ports.give_back(handle)
            raise OSError(f"no epoll for port {sock.getsockname()}")
        self._places.list(port, handle)
        return handle

    def close(self, *ports):
        """The rules at these ports end to receive and to be sent to; drop them before or after."""
        self._reclaim()
        if self._stopped:
            return
        workers = set()
        for port in ports:
            sock, worker = self._open.pop(port)
            for id in self._at_port.pop(port):
                self._place[id] = (worker, None)
            ticket = self._order(worker, CLOSE, port, True)
            self._pending[worker].append((ticket, None, (), (port, sock), None))
            workers.add(worker)
        for worker in workers:
            (<_Orders>self._orders[worker]).wake()

    def retag(self, port, tos):
        set_tos(self._open[port][0], tos)
        STORE8(&self._ports[<uint32_t>port].tos, tos)

    def open_keys(self, profile, receive, send, after=None):
        cdef keys_t *keys
        self._reclaim()
        if self._stopped:
            raise ValueError("the plane has stopped")
        find_srtp(&self._srtp)
        slot = self._free_keys.take("pairs of keys")
        try:
            new = _Keys(slot, profile, receive, send, self._keys.get(after))
        except BaseException:
            self._free_keys.give_back(slot)
            raise
        self._lives += 1
        keys = &self._native_keys[<uint32_t>slot]
        memset(&keys.arriving, 0, sizeof(direction))
        memset(&keys.leaving, 0, sizeof(direction))
        keys.arriving.context = <void *><uintptr_t>new.arriving.address
        keys.leaving.context = <void *><uintptr_t>new.leaving.address
        STORE32(&keys.life, self._lives)
        self._keys[self._lives] = new
        return self._lives

    def close_keys(self, keys):
        """The memory is freed once the worker has let go of it. Raises ``ValueError`` for unknown ones."""
        self._reclaim()
        if self._stopped:
            return
        if keys not in self._keys:
            raise ValueError(f"keys {keys} are not open")
        closed = self._keys.pop(keys)
        if closed.worker is None:
            self._free(closed)
            return
        ticket = self._order(closed.worker, FORGET, closed.slot, False)
        (<_Orders>self._orders[closed.worker]).wake()
        self._pending[closed.worker].append((ticket, None, (), None, closed))

    def allocate(self):
        self._reclaim()
        id = self._free_rules.take("rules")
        self._lives += 1
        self._life[id] = self._lives
        return id

    def apply(self, changes):
        """Raises ``ValueError``, before anything is changed, for a rule that cannot be.

        An output means the rule that its id was allocated for when the rule
        that names it was applied: allocate first, then apply. A worker looks for
        commands before it looks at what it has received, so it is not woken for
        rules that are new: they matter to packets only.
        """
        self._reclaim()
        if self._stopped:
            return
        staged, users = {}, {}
        batches = self._sort(changes, staged, users)
        native = [(worker, batch, self._encode(batch)) for worker, batch in batches.items()]
        changing = {self._place[id][0] for id in staged if id in self._place}
        self._believe(staged)
        for keys, worker in users.items():
            self._keys[keys].worker = worker
        for worker, batch, encoded in native:
            ticket = self._order(worker, CHANGE, 0, worker in changing, encoded)
            if worker in changing:
                (<_Orders>self._orders[worker]).wake()
            dropped = [change.id for change in batch if isinstance(change, Drop)]
            self._pending[worker].append((ticket, encoded, dropped, None, None))

    def lend(self, rule, track):
        """Keep the state of what ``rule`` receives in ``track`` (``kernel.COUNT``), where the kernel has it
        as well; None: here again. With a track it returns when the worker does so. False, and nothing is
        done, if the worker does not follow.
        """
        cdef uintptr_t where = 0 if track is None else track.ctypes.data
        cdef _Orders orders
        place = self._place.get(rule)
        if self._stopped or place is None:
            return False
        orders = self._orders[place[0]]
        if track is not None and not orders.follows(orders.given()):
            return False
        orders.queue(LEND, rule, NULL, 0, where)
        orders.wake()
        if track is not None:
            orders.follows(orders.given())
        return True

    def is_behind(self, worker):
        """Whether so much waits for a worker that it is to have no more: no port, and no change but ends."""
        return (<_Orders>self._orders[worker]).is_full()

    def settle(self):
        """What was changed or ended so far holds for all that is sent from now on, unless a worker hangs."""
        cdef _Orders orders
        for orders in self._orders:
            orders.follows(orders.owed)

    def send(self, port, remote, bytes datagram):
        """Raises ``ValueError`` if ``remote`` is not a numeric address."""
        cdef address to
        cdef sockaddr_in6 name
        cdef socklen_t length
        parse(remote[0], remote[1], &to)
        cdef ssize_t sent = -1
        if port in self._open:
            length = to_sockaddr(&to, self._ports[<uint32_t>port].v6, &name)
            if length:
                sent = sendto(
                    self._ports[<uint32_t>port].fd, <const char *>datagram, len(datagram),
                    MSG_DONTWAIT | MSG_NOSIGNAL, <sockaddr *>&name, length,
                )
        self._totals["own_sent" if sent >= 0 else "own_send_error"] += 1

    def events(self):
        """Oldest first for each worker, and not all at once if there are many."""
        cdef uint64_t count, one = 1
        if self._stopped:
            return []
        read(self._news, &count, sizeof(count))
        found = []
        more = False
        for number in range(self.workers):
            more |= self._collect(self._workers[number], found)
        if more:
            write(self._news, &one, sizeof(one))
        self._reclaim()
        return found

    def counters(self):
        """Dropping a rule zeroes its row a little later: read what matters before."""
        return self._shown

    def row(self, rule):
        return self._shown[rule]

    def reports(self, uint32_t rule):
        return told(&self._reports[rule]) if rule in self._life else ()

    def totals(self):
        self._reclaim()
        sums = dict(self._totals)
        used = self._counters[: self._free_rules.touched]
        for name in SUMS:
            sums[name] += int(used[name].sum())
        for number in range(self.workers):
            sums["no_rule"] += LOAD(&self._workers[number].no_rule)
            sums["events_lost"] += LOAD(&self._workers[number].events_lost)
        sums["overrun"] = self._places.overrun()
        return sums

    def by_shared(self):
        """Datagrams that came by sockets which ports share."""
        return sum(LOAD(&self._workers[number].by_shared) for number in range(self.workers))

    def peer(self, uint32_t rule):
        """Waits, for a fraction of a millisecond, until the worker has seen the latest changes.

        None as well where it hangs, and a change of this rule is not in place.
        """
        cdef address value
        cdef _Orders orders
        if rule not in self._place:
            return None
        orders = self._orders[self._place[rule][0]]
        if not orders.follows(orders.given()):
            self._reclaim()
            if orders.is_changing(rule):
                return None
        value = read_address(&self._rows[rule].send_to)
        return text(&value) if value.port else None

    def beats(self):
        """Turns of each worker so far; asks each for another one, which it takes at once unless it hangs."""
        cdef _Orders orders
        if self._stopped:
            return [0] * self.workers
        found = []
        for orders in self._orders:
            found.append(LOAD(&orders.to.beats))
            orders.wake()
        return found

    def stop(self):
        """What a worker that hangs may touch is left to the end of the process."""
        if self._stopped:
            return
        for number in range(self.workers):
            self._order(number, STOP, 0, False)
        if not have_ended(self._orders, self._threads):
            self._stopped = True
            Py_INCREF(self)
            return
        self._reclaim()
        self._stopped = True
        for sock, _ in self._open.values():
            self._close_socket(sock)
        self._open.clear()
        for keys in self._keys.values():
            keys.close()
        self._keys.clear()
        for number in range(self.workers):
            os.close(self._workers[number].epoll)
            os.close(self._workers[number].wake)
        os.close(self._news)
        self._places.close()

    # -- changes, on their way to a worker

    cdef dict _sort(self, changes, dict staged, dict users):
        """Check every change, and sort them by worker.

        ``staged`` gets the places of the rules afterwards, ``users`` the workers of the keys.
        """
        batches = {}
        joining = {}
        for change in changes:
            place = staged.get(change.id, self._place.get(change.id))
            if change.id not in self._life or (change.id in staged and place is None):
                raise ValueError(f"rule {change.id} was not allocated")
            if isinstance(change, Drop):
                staged[change.id] = None
                if place is not None:
                    batches.setdefault(place[0], []).append(change)
                continue
            staged[change.id] = self._new_place(change, place, joining)
            batches.setdefault(staged[change.id][0], []).append(change)
            if change.keys is not None:
                self._give_keys(change, staged[change.id][0], users)
        return batches

    cdef _give_keys(self, rule, worker, dict users):
        """Keys belong to the worker of the first rule that names them."""
        if rule.keys not in self._keys:
            raise ValueError(f"rule {rule.id}: keys {rule.keys} are not open")
        owner = self._keys[rule.keys].worker
        owner = users.setdefault(rule.keys, worker if owner is None else owner)
        if owner != worker:
            raise ValueError(f"rule {rule.id}: keys {rule.keys} belong to worker {owner}, not {worker}")

    cdef tuple _new_place(self, rule, place, dict joining):
        if rule.port not in self._open:
            raise ValueError(f"rule {rule.id}: port {rule.port} is not open")
        worker = self._open[rule.port][1]
        if place is not None and place[0] != worker:
            raise ValueError(f"rule {rule.id} belongs to worker {place[0]}, port {rule.port} to {worker}")
        company = joining.setdefault(rule.port, set(self._at_port[rule.port]))
        company.add(rule.id)
        if len(company) > MAX_OUTPUTS:
            raise ValueError(f"port {rule.port} has {MAX_OUTPUTS} rules already")
        return worker, rule.port

    cdef _Batch _encode(self, list batch):
        cdef _Batch encoded = _Batch(len(batch))
        for index, change in enumerate(batch):
            if isinstance(change, Drop):
                encoded.changes[<size_t>index].drop = True
                encoded.changes[<size_t>index].whole.rule.id = change.id
            else:
                encode(change, self._life, &encoded.changes[<size_t>index].whole)
                if change.keys is not None:
                    encoded.changes[<size_t>index].whole.rule.keys.slot = self._keys[change.keys].slot
                    encoded.changes[<size_t>index].whole.rule.keys.life = change.keys
        return encoded

    cdef _believe(self, dict staged):
        for id, place in staged.items():
            before = self._place.pop(id, None)
            if before is not None and before[1] is not None:
                self._at_port[before[1]] = tuple([other for other in self._at_port[before[1]] if other != id])
            if place is not None:
                self._place[id] = place
                self._at_port[place[1]] += (id,)
            else:
                del self._life[id]
                if before is None:
                    self._free_rules.give_back(id)

    # -- the rings

    cdef _order(self, int number, int kind, uint32_t subject, bint owed, _Batch batch=None):
        """Returns the ticket: the command is done when the worker has done more than so many.

        ``owed``: ``settle`` waits for it. The worker need not look before it is woken.
        """
        cdef _Orders orders = self._orders[number]
        ticket = orders.queue(kind, subject, NULL, 0, 0) if batch is None else orders.change(batch)
        if owed:
            orders.owed = ticket + 1
        return ticket

    cdef bint _collect(self, worker *of, list found) except -1:
        """Returns whether there is more."""
        cdef uint64_t last = LOAD_ACQUIRE(&of.event_tail)
        cdef uint64_t tail = min(last, of.event_head + EVENTS_AT_ONCE)
        cdef event *slot
        while of.event_head != tail:
            slot = &of.events[of.event_head % EVENTS]
            if slot.kind == PEER_LATCHED and slot.subject in self._place:
                found.append(Latched(slot.subject, text(&slot.source)))
            elif slot.kind != PEER_LATCHED and slot.subject in self._open:
                arrived = Stun if slot.kind == STUN_ARRIVED else Dtls
                found.append(arrived(slot.subject, text(&slot.source), (<char *>slot.data)[: slot.length]))
            STORE_RELEASE(&of.event_head, of.event_head + 1)
        return last != tail

    cdef _reclaim(self):
        """Free what the workers have let go of: batches, rule ids, sockets, keys."""
        cdef uint64_t head
        cdef _Orders orders
        for orders, waiting in zip(self._orders, self._pending):
            orders.catch_up()
            head = orders.done()
            while waiting and waiting[0][0] < head:
                ticket, batch, dropped, closed, keys = waiting.popleft()
                if batch is not None:
                    orders.are_in_place(ticket, batch)
                for id in dropped:
                    self._retire(id)
                if closed is not None:
                    self._free_ports.give_back(closed[0])
                    self._close_socket(closed[1])
                if keys is not None:
                    self._free(keys)

    cdef _free(self, keys):
        keys.close()
        STORE32(&self._native_keys[<uint32_t>keys.slot].life, 0)
        self._free_keys.give_back(keys.slot)

    cdef _retire(self, uint32_t id):
        """The row of a dropped rule lives on in the totals."""
        cdef uint64_t *sums = <uint64_t *>&self._native_counters[id]
        for index, name in enumerate(SUMS):
            self._totals[name] += sums[<int>index]
        memset(&self._native_counters[id], 0, sizeof(counters_t))
        if self._reports[id].used:  # else its page may still cost nothing
            memset(&self._reports[id], 0, sizeof(reports_t))
        self._free_rules.give_back(id)

    cdef _close_socket(self, sock):
        address = sock.getsockname()[:2]
        sock.close()
        if self._on_close is not None:
            self._on_close(*address)
