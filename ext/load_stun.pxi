# STUN as the phones of the generator speak it: checks and answers, signed and verified (RFC 8489, RFC 8445).

cdef enum:
    STUN_HEADER = 20
    LARGEST_STUN = 256
    LARGEST_MAPPED = 20    # XOR-MAPPED-ADDRESS of an IPv6 address
    MAX_USERNAME = 96
    USERNAME = 0x0006
    MESSAGE_INTEGRITY = 0x0008
    XOR_MAPPED_ADDRESS = 0x0020
    PRIORITY = 0x0024
    USE_CANDIDATE = 0x0025
    FINGERPRINT = 0x8028
    ICE_CONTROLLED = 0x8029
    ICE_CONTROLLING = 0x802A

cdef uint32_t STUN_COOKIE = 0x2112A442
cdef uint32_t FINGERPRINT_XOR = 0x5354554E
cdef uint32_t PEER_PRIORITY = 1853817087

cdef struct check_keys_t:
    uint8_t username[MAX_USERNAME]
    uint32_t length
    bint controlling
    uint32_t theirs[2][5]  # the states of HMAC after the password of the relay, with which it signs and we ask
    uint32_t ours[2][5]    # and after our own, with which its checks come


cdef take_keys(check, check_keys_t *to):
    """Raises ``ValueError`` for a username that is too long."""
    cdef bytes username = check.username.encode(), theirs = check.their_password.encode()
    cdef bytes ours = check.our_password.encode()
    if len(username) > MAX_USERNAME:
        raise ValueError("the username is too long")
    memcpy(to.username, <const uint8_t *>username, len(username))
    to.length, to.controlling = len(username), check.controlling
    hmac_prepare(<const uint8_t *>theirs, len(theirs), to.theirs[0], to.theirs[1])
    hmac_prepare(<const uint8_t *>ours, len(ours), to.ours[0], to.ours[1])


cdef inline void put_pair(uint8_t *to, uint32_t first, uint32_t second) noexcept nogil:
    """Two numbers of 16 bits, as at the head of every attribute."""
    put_big_endian(to, first << 16 | second)


cdef uint32_t seal_stun(uint8_t *message, uint32_t at, uint32_t keys[2][5]) noexcept nogil:
    """Append MESSAGE-INTEGRITY and FINGERPRINT. Returns the length of the whole."""
    put_pair(message, message[0] << 8 | message[1], at + 24 - STUN_HEADER)
    put_pair(message + at, MESSAGE_INTEGRITY, 20)
    hmac(keys[0], keys[1], message, at, message + at + 4)
    at += 24
    put_pair(message, message[0] << 8 | message[1], at + 8 - STUN_HEADER)
    put_pair(message + at, FINGERPRINT, 4)
    put_big_endian(message + at + 4, crc32_of(message, at) ^ FINGERPRINT_XOR)
    return at + 8


cdef uint32_t write_check(
    check_keys_t *keys, uint32_t stream, uint32_t number, uint32_t stamp, uint8_t *to
) noexcept nogil:
    """A Binding request; the transaction says which it is and when it was sent. Returns its length."""
    cdef uint32_t padded = (keys.length + 3) & ~<uint32_t>3, at = STUN_HEADER
    put_pair(to, 0x0001, 0)
    put_big_endian(to + 4, STUN_COOKIE)
    put_big_endian(to + 8, stream)
    put_big_endian(to + 12, number)
    put_big_endian(to + 16, stamp)
    put_pair(to + at, USERNAME, keys.length)
    memset(to + at + 4, 0, padded)
    memcpy(to + at + 4, keys.username, keys.length)
    at += 4 + padded
    put_pair(to + at, PRIORITY, 4)
    put_big_endian(to + at + 4, PEER_PRIORITY)
    at += 8
    put_pair(to + at, ICE_CONTROLLING if keys.controlling else ICE_CONTROLLED, 8)
    put_big_endian(to + at + 4, 0x1CE0BE9C)
    put_big_endian(to + at + 8, stream)
    at += 12
    if keys.controlling:
        put_pair(to + at, USE_CANDIDATE, 0)
        at += 4
    return seal_stun(to, at, keys.theirs)


cdef uint32_t attribute(const uint8_t *data, uint32_t length, uint32_t wanted) noexcept nogil:
    """Where its value begins; 0 if it is not there whole."""
    cdef uint32_t at = STUN_HEADER, size
    while at + 4 <= length:
        size = big_endian(data + at) & 0xFFFF
        if at + 4 + size > length:
            return 0
        if big_endian(data + at) >> 16 == wanted:
            return at + 4
        at += 4 + ((size + 3) & ~<uint32_t>3)
    return 0


cdef bint is_signed(uint8_t *data, uint32_t length, uint32_t keys[2][5]) noexcept nogil:
    cdef uint8_t digest[20]
    cdef uint8_t header[4]
    cdef uint32_t integrity = attribute(data, length, MESSAGE_INTEGRITY)
    cdef uint32_t fingerprint = attribute(data, length, FINGERPRINT)
    if integrity == 0 or integrity + 20 > length:
        return False
    if fingerprint and (crc32_of(data, fingerprint - 4) ^ FINGERPRINT_XOR) != big_endian(data + fingerprint):
        return False
    memcpy(header, data, 4)
    put_pair(data, data[0] << 8 | data[1], integrity + 20 - STUN_HEADER)
    hmac(keys[0], keys[1], data, integrity - 4, digest)
    memcpy(data, header, 4)
    return memcmp(digest, data + integrity, 20) == 0


cdef bint is_our_answer(check_keys_t *keys, uint8_t *data, uint32_t length, const sockaddr_in6 *own) noexcept nogil:
    """Signed with the relay's password, and it names the address that we sent from."""
    cdef uint32_t at = attribute(data, length, XOR_MAPPED_ADDRESS)
    cdef uint8_t expected[LARGEST_MAPPED]
    cdef uint32_t size = write_mapped(own, data, expected)
    if at == 0 or at + size > length or not is_signed(data, length, keys.theirs):
        return False
    return memcmp(data + at, expected, size) == 0


cdef uint32_t write_mapped(const sockaddr_in6 *name, const uint8_t *message, uint8_t *to) noexcept nogil:
    """The value of XOR-MAPPED-ADDRESS in answer to a message (RFC 8489, section 14.2). Returns its length."""
    cdef const uint8_t *host
    cdef uint32_t size = 4, family = 1, i
    if name.sin6_family == AF_INET:
        host = <const uint8_t *>&(<const sockaddr_in *>name).sin_addr
    else:
        host, size, family = <const uint8_t *>&name.sin6_addr, 16, 2
    put_pair(to, family, ntohs(name.sin6_port) ^ 0x2112)
    for i in range(size):
        to[4 + i] = host[i] ^ message[4 + i]  # the cookie, and the transaction behind it
    return 4 + size


cdef uint32_t answer_to(
    check_keys_t *keys, uint8_t *data, uint32_t length, const sockaddr_in6 *name, uint8_t *to
) noexcept nogil:
    """The success response to a check of the relay; 0 if the check is not signed with our password."""
    cdef uint32_t size
    if not is_signed(data, length, keys.ours):
        return 0
    put_pair(to, 0x0101, 0)
    memcpy(to + 4, data + 4, 16)
    size = write_mapped(name, data, to + STUN_HEADER + 4)
    put_pair(to + STUN_HEADER, XOR_MAPPED_ADDRESS, size)
    return seal_stun(to, STUN_HEADER + 4 + size, keys.ours)
