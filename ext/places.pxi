# Python's side of the range socket (shared.pxi, raw.pxi): addresses of ours, and the sockets that their ports share.

cdef class _Places:
    """What workers share by local address. Without ``steering`` there is nothing to share, and no place."""

    cdef object _steering, _tables, _kept
    cdef place_t *_places
    cdef uint32_t _count

    def __cinit__(self, steering):
        self._steering = steering
        self._tables = [_Table(sizeof(place_t), PLACES)]
        self._kept = []
        self._places = <place_t *>(<_Table>self._tables[0]).start

    cdef join(self, worker *new):
        """Have a worker, whose epoll set there is, read its shared sockets."""
        cdef epoll_event interest
        cdef int family, i
        new.places, new.place_count = self._places, &self._count
        for family in range(2):
            new.shared[family] = new.tables[family] = -1
        for i in range(PLACES):
            new.raw[i] = -1
        if self._steering is None:
            return
        for family, sock in enumerate(self._steering.sockets[new.number - 1]):
            if sock is None:
                continue
            new.tables[family] = self._steering.tables[family]
            interest.events = EPOLLIN
            interest.data.u32 = SHARED + family
            if epoll_ctl(new.epoll, EPOLL_CTL_ADD, sock.fileno(), &interest):
                raise OSError("no epoll for a shared socket")
            new.shared[family] = sock.fileno()

    cdef prepare(self, worker **workers, int count):
        """Open what ports at the addresses that are known will share, so that no call has to."""
        cdef address local
        for host in () if self._steering is None else self._steering.addresses:
            parse(host, 1, &local)
            if self._count < PLACES and not is_wildcard(&local):
                self._new_place(host, &local, workers, count)

    cdef settle(self, port_t *port, sock, worker **workers, int number, int count):
        """Note where a port is, before its worker knows it. ``number`` is that of the worker.

        What counts belongs to whoever had the handle before, maybe another worker with a ring of its own.
        """
        cdef int i
        host, local_port = sock.getsockname()[:2]
        parse(host, local_port, &port.local)
        port.worker, port.place = number + 1, NO_PLACE
        port.tos, port.hops = marks_of(sock)
        port.apart_until = port.shared_since = 0
        port.shared = port.raised = 0
        port.mark = 0
        if self._steering is None or is_wildcard(&port.local):
            return
        for i in range(<int>self._count):
            if same_host(&self._places[i].host, &port.local):
                port.place = i
                return
        if self._count < PLACES:
            port.place = self._new_place(host, &port.local, workers, count)

    cdef int _new_place(self, host, const address *local, worker **workers, int count) except -1:
        cdef place_t *new = &self._places[self._count]
        table = _Table(sizeof(uint32_t), PORTS)
        self._tables.append(table)
        new.host, new.ports = local[0], <uint32_t *>(<_Table>table).start
        for number in range(count):
            sock = self._steering.raw(host)
            if sock is not None:
                self._kept.append(sock)
                STORE_RELEASE_FD(&workers[<int>number].raw[self._count], sock.fileno())
        STORE_RELEASE32(&self._count, self._count + 1)
        return self._count - 1

    cdef list(self, const port_t *port, uint32_t index):
        """Datagrams of a shared socket find the port from now on."""
        if port.place != NO_PLACE:
            STORE32(&self._places[port.place].ports[<uint16_t>port.local.port], index + 1)

    cdef overrun(self):
        """Datagrams that found a shared socket full."""
        return 0 if self._steering is None else self._steering.dropped()

    cdef close(self):
        for sock in self._kept:
            sock.close()
        if self._steering is not None:
            self._steering.close()


cdef inline bint is_wildcard(const address *ip) noexcept nogil:
    return ip.high == 0 and (ip.low == 0 or (is_ipv4(ip) and (<const uint32_t *>ip)[3] == 0))


def marks_of(sock):
    """The TOS byte and the hop limit of what a socket sends."""
    if sock.family == socket.AF_INET6:
        return (
            sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS),
            sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS),
        )
    return sock.getsockopt(socket.IPPROTO_IP, socket.IP_TOS), sock.getsockopt(socket.IPPROTO_IP, socket.IP_TTL)
