# STUN: checks of which the agent in Python need not hear are answered here (RFC 8489, RFC 8445).
# relay/forward/fake_stun.py says in Python which these are. Whatever is unusual goes up.

cdef enum:
    CHECKS_PER_SECOND = 50   # relay.forward.rule
    MAX_ATTRIBUTES = 16      # relay.forward.fake_stun; browsers send seven
    STUN_HEADER = 20
    INTEGRITY_SIZE = 24      # with its header
    FINGERPRINT_SIZE = 8
    LARGEST_ANSWER = 76      # with an IPv6 address
    SECOND = 1000000000

cdef enum:                   # attributes
    USERNAME = 0x0006
    MESSAGE_INTEGRITY = 0x0008
    XOR_MAPPED_ADDRESS = 0x0020
    PRIORITY = 0x0024
    USE_CANDIDATE = 0x0025
    SOFTWARE = 0x8022
    FINGERPRINT = 0x8028
    ICE_CONTROLLED = 0x8029
    ICE_CONTROLLING = 0x802A
    RESPONSE_ORIGIN = 0x802B
    OTHER_ADDRESS = 0x802C

cdef uint32_t FINGERPRINT_XOR = 0x5354554E

cdef struct check_t:
    const uint8_t *username
    uint32_t username_length
    uint32_t integrity       # where the attribute begins
    uint32_t fingerprint     # 0: there is none
    bint nominates, controlling, controlled


# ---- reading

cdef inline uint32_t short_at(const uint8_t *octets) noexcept nogil:
    return (<uint32_t>octets[0] << 8) | octets[1]


cdef bint read_check(const uint8_t *data, uint32_t length, check_t *found) noexcept nogil:
    """Take apart a Binding request in which nothing is unusual; ``classify`` has seen to its header."""
    cdef uint16_t seen[MAX_ATTRIBUTES]
    cdef uint32_t at = STUN_HEADER, count = 0, kind, size, after, i
    memset(found, 0, sizeof(check_t))
    if length > UP_BYTES or data[0] != 0 or data[1] != 1:
        return False
    while at < length:
        kind, size = short_at(data + at), short_at(data + at + 2)
        after = at + 4 + ((size + 3) & ~<uint32_t>3)
        if after > length:
            return False
        if found.integrity:
            if kind != FINGERPRINT or size != 4 or after != length:
                return False
            found.fingerprint = at
        elif kind == MESSAGE_INTEGRITY:
            if size != 20:
                return False
            found.integrity = at
        else:
            for i in range(count):
                if seen[i] == kind:
                    return False
            if count == MAX_ATTRIBUTES or not read_attribute(kind, data + at + 4, size, found):
                return False
            seen[count] = kind
            count += 1
        at = after
    return found.integrity != 0


cdef bint read_attribute(uint32_t kind, const uint8_t *value, uint32_t size, check_t *found) noexcept nogil:
    """Whether the attribute is one that a check may have, and well formed."""
    if kind == USERNAME:
        found.username, found.username_length = value, size
        return True
    if kind == PRIORITY:
        return size == 4
    if kind == USE_CANDIDATE:
        found.nominates = True
        return size == 0
    if kind == ICE_CONTROLLED:
        found.controlled = True
        return size == 8
    if kind == ICE_CONTROLLING:
        found.controlling = True
        return size == 8
    if kind == SOFTWARE:
        return is_ascii(value, size)
    return kind >= 0x8000 and kind != FINGERPRINT and kind != RESPONSE_ORIGIN and kind != OTHER_ADDRESS


cdef bint is_ascii(const uint8_t *text, uint32_t length) noexcept nogil:
    cdef uint32_t i
    cdef uint8_t bits = 0
    for i in range(length):
        bits |= text[i]
    return bits < 128


cdef int settled_place(const rule_t *rule, const ice_t *ice, const address *source) noexcept nogil:
    """Index of a source from which a check is no news; -1 if it may be."""
    cdef int i
    if not rule.stun or rule.settled == 0:
        return -1
    for i in range(rule.source_count):
        if same_address(source, &ice.sources[i]):
            return i if rule.settled >> i & 1 else -1
    return -1


cdef bint is_no_news(const stun_keys_t *keys, const address *source, const check_t *found) noexcept nogil:
    if found.username_length != keys.length or memcmp(found.username, keys.username, keys.length):
        return False
    if found.controlling == keys.controlling or found.controlled != keys.controlling:
        return False
    return not found.nominates or same_address(source, &keys.nominated)


cdef bint is_genuine(const stun_keys_t *keys, uint8_t *data, const check_t *found) noexcept nogil:
    """Verify FINGERPRINT and MESSAGE-INTEGRITY, the latter in a time that tells nothing."""
    cdef uint8_t digest[20]
    cdef uint8_t length[2]
    cdef uint8_t difference = 0
    cdef int i
    if found.fingerprint:
        if (crc32_of(data, found.fingerprint) ^ FINGERPRINT_XOR) != big_endian(data + found.fingerprint + 4):
            return False
    memcpy(length, data + 2, 2)
    set_body(data, found.integrity + INTEGRITY_SIZE)
    hmac(keys.inner, keys.outer, data, found.integrity, digest)
    memcpy(data + 2, length, 2)
    for i in range(20):
        difference |= digest[i] ^ data[found.integrity + 4 + i]
    return difference == 0


# ---- answering

cdef inline void put_short(uint8_t *to, uint32_t value) noexcept nogil:
    to[0], to[1] = value >> 8 & 0xFF, value & 0xFF


cdef inline void set_body(uint8_t *message, uint32_t end) noexcept nogil:
    """Let the message end there, as the header says it."""
    put_short(message + 2, end - STUN_HEADER)


cdef uint32_t write_answer(
    const stun_keys_t *keys, const uint8_t *request, const address *source, uint8_t *to
) noexcept nogil:
    """A success response, as relay.ice.stun.success. Returns its length, ``LARGEST_ANSWER`` at most."""
    cdef const uint8_t *ip = <const uint8_t *>source
    cdef bint v4 = is_ipv4(source)
    cdef uint32_t size = 4 if v4 else 16, at = STUN_HEADER + 8 + size, i
    cdef uint16_t port = <uint16_t>source.port
    put_short(to, 0x0101)
    memcpy(to + 4, request + 4, 16)
    put_short(to + 20, XOR_MAPPED_ADDRESS)
    put_short(to + 22, 4 + size)
    put_short(to + 24, 1 if v4 else 2)
    put_short(to + 26, ntohs(port) ^ 0x2112)
    for i in range(size):
        to[28 + i] = ip[16 - size + i] ^ to[4 + i]
    set_body(to, at + INTEGRITY_SIZE)
    put_short(to + at, MESSAGE_INTEGRITY)
    put_short(to + at + 2, 20)
    hmac(keys.inner, keys.outer, to, at, to + at + 4)
    at += INTEGRITY_SIZE
    set_body(to, at + FINGERPRINT_SIZE)
    put_short(to + at, FINGERPRINT)
    put_short(to + at + 2, 4)
    put_big_endian(to + at + 4, crc32_of(to, at) ^ FINGERPRINT_XOR)
    return at + FINGERPRINT_SIZE


cdef bint answer_check(
    worker *self, port_t *port, const address *source, unsigned int slot, uint32_t length
) noexcept nogil:
    """Whether what is in the inbox needs no agent: a check that is answered here, or one too many."""
    cdef const uint32_t *rules = rules_at(self, port)
    cdef const ice_t *ice
    cdef check_t found
    cdef row *here
    cdef bint is_read = False
    cdef int i, place
    for i in range(port.count):
        here = &self.rows[rules[i]]
        ice = &self.ice[here.rule.id]
        place = settled_place(&here.rule, ice, source)
        if place < 0:
            continue
        if not is_read and not read_check(self.buffers[slot], length, &found):
            return False
        is_read = True
        if is_no_news(&ice.keys, source, &found):
            if not is_genuine(&ice.keys, self.buffers[slot], &found):
                continue
            answer(self, port, here, place, source, slot)
            return True
    return False


cdef void answer(
    worker *self, const port_t *port, row *here, int place, const address *source, unsigned int slot
) noexcept nogil:
    cdef counters_t *counters = &self.counters[here.rule.id]
    cdef ice_t *ice = &self.ice[here.rule.id]
    cdef uint8_t response[LARGEST_ANSWER]
    cdef uint32_t length
    cdef socklen_t name = sizeof(sockaddr_in6) if port.v6 else sizeof(sockaddr_in)
    STORE64(&counters.last_check, self.now)
    if not is_allowed(&ice.allowances[place], self.now):
        BUMP(&counters.stun_limited, 1)
        return
    length = write_answer(&ice.keys, self.buffers[slot], source, response)
    if sendto(
        port.fd, response, length, MSG_DONTWAIT | MSG_NOSIGNAL, <sockaddr *>&self.in_names[slot], name
    ) < 0:
        BUMP(&counters.send_error, 1)
    else:
        BUMP(&counters.stun_answered, 1)


# ---- how often

cdef inline bint is_allowed(allowance_t *allowance, int64_t now) noexcept nogil:
    """One more check of a source in this second."""
    if now - allowance.since >= SECOND:
        allowance.since, allowance.count = now, 0
    if allowance.count == CHECKS_PER_SECOND:
        return False
    allowance.count += 1
    return True


cdef void put_ice(worker *self, const row *here, const whole_rule *new) noexcept nogil:
    """The rule in the row is about to change, and sources with it: those that stay keep their counts."""
    cdef allowance_t kept[MAX_SOURCES]
    cdef ice_t *ice = &self.ice[new.rule.id]
    cdef int i, j
    if new.rule.source_count == 0:
        return
    memset(kept, 0, sizeof(kept))
    for i in range(new.rule.source_count):
        for j in range(here.rule.source_count if here.owner else 0):
            if same_address(&new.ice.sources[i], &ice.sources[j]):
                kept[i] = ice.allowances[j]
    memcpy(ice.allowances, kept, sizeof(kept))
    memcpy(ice.sources, new.ice.sources, new.rule.source_count * sizeof(address))
    ice.keys = new.ice.keys
