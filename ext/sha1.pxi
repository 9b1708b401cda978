# SHA-1 (RFC 3174), HMAC with it (RFC 2104), and the CRC-32 of FINGERPRINT (RFC 8489, section 14.7).
# Keys are hashed once, when a rule comes: a check then costs five blocks of SHA-1.

cdef uint32_t SHA1_START[5]
SHA1_START[0], SHA1_START[1], SHA1_START[2] = 0x67452301, 0xEFCDAB89, 0x98BADCFE
SHA1_START[3], SHA1_START[4] = 0x10325476, 0xC3D2E1F0

cdef uint32_t crc_table[4][256]


cdef inline uint32_t rotate(uint32_t value, int bits) noexcept nogil:
    return (value << bits) | (value >> (32 - bits))


cdef inline void put_big_endian(uint8_t *to, uint32_t value) noexcept nogil:
    value = htonl(value)
    memcpy(to, &value, 4)


cdef void sha1_block(uint32_t *state, const uint8_t *block) noexcept nogil:
    cdef uint32_t w[80]
    cdef uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4], next
    cdef int i
    for i in range(16):
        w[i] = big_endian(block + 4 * i)
    for i in range(16, 80):
        w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1)
    for i in range(20):
        next = rotate(a, 5) + (d ^ (b & (c ^ d))) + e + w[i] + <uint32_t>0x5A827999
        e, d, c, b, a = d, c, rotate(b, 30), a, next
    for i in range(20, 40):
        next = rotate(a, 5) + (b ^ c ^ d) + e + w[i] + <uint32_t>0x6ED9EBA1
        e, d, c, b, a = d, c, rotate(b, 30), a, next
    for i in range(40, 60):
        next = rotate(a, 5) + ((b & c) | (d & (b | c))) + e + w[i] + <uint32_t>0x8F1BBCDC
        e, d, c, b, a = d, c, rotate(b, 30), a, next
    for i in range(60, 80):
        next = rotate(a, 5) + (b ^ c ^ d) + e + w[i] + <uint32_t>0xCA62C1D6
        e, d, c, b, a = d, c, rotate(b, 30), a, next
    state[0] += a
    state[1] += b
    state[2] += c
    state[3] += d
    state[4] += e


cdef void sha1(
    const uint32_t *start, uint32_t before, const uint8_t *data, uint32_t length, uint8_t *digest
) noexcept nogil:
    """Hash ``data`` to the end; ``start`` is the state after ``before`` octets, a multiple of 64."""
    cdef uint32_t state[5]
    cdef uint8_t tail[128]
    cdef uint32_t rest = length % 64, whole = length - rest, padded = 64 if rest < 56 else 128, at = 0
    cdef int i
    memcpy(state, start, sizeof(state))
    while at < whole:
        sha1_block(state, data + at)
        at += 64
    memcpy(tail, data + whole, rest)
    memset(tail + rest, 0, padded - rest)
    tail[rest] = 0x80
    put_big_endian(tail + padded - 4, 8 * (before + length))
    sha1_block(state, tail)
    if padded == 128:
        sha1_block(state, tail + 64)
    for i in range(5):
        put_big_endian(digest + 4 * i, state[i])


cdef void hmac_prepare(const uint8_t *key, uint32_t length, uint32_t *inner, uint32_t *outer) noexcept nogil:
    """The states after the first block, which depend on the key only."""
    cdef uint8_t block[64]
    cdef int i
    memset(block, 0, sizeof(block))
    if length > 64:
        sha1(SHA1_START, 0, key, length, block)
    else:
        memcpy(block, key, length)
    for i in range(64):
        block[i] ^= 0x36
    memcpy(inner, SHA1_START, 20)
    sha1_block(inner, block)
    for i in range(64):
        block[i] ^= 0x36 ^ 0x5C
    memcpy(outer, SHA1_START, 20)
    sha1_block(outer, block)


cdef void hmac(
    const uint32_t *inner, const uint32_t *outer, const uint8_t *data, uint32_t length, uint8_t *digest
) noexcept nogil:
    cdef uint8_t first[20]
    sha1(inner, 64, data, length, first)
    sha1(outer, 64, first, sizeof(first), digest)


cdef void fill_crc_table() noexcept:
    """Of an octet, and of an octet with one to three zeros behind it: four are taken at once."""
    cdef uint32_t i, value
    cdef int bit, zeros
    for i in range(256):
        value = i
        for bit in range(8):
            value = (value >> 1) ^ (<uint32_t>0xEDB88320 if value & 1 else 0)
        crc_table[0][i] = value
    for zeros in range(1, 4):
        for i in range(256):
            value = crc_table[zeros - 1][i]
            crc_table[zeros][i] = (value >> 8) ^ crc_table[0][value & 0xFF]


cdef uint32_t crc32_of(const uint8_t *data, uint32_t length) noexcept nogil:
    cdef uint32_t value = 0xFFFFFFFF, i = 0
    while i + 4 <= length:
        value ^= data[i] | <uint32_t>data[i + 1] << 8 | <uint32_t>data[i + 2] << 16 | <uint32_t>data[i + 3] << 24
        value = (
            crc_table[3][value & 0xFF] ^ crc_table[2][value >> 8 & 0xFF]
            ^ crc_table[1][value >> 16 & 0xFF] ^ crc_table[0][value >> 24]
        )
        i += 4
    while i < length:
        value = (value >> 8) ^ crc_table[0][(value ^ data[i]) & 0xFF]
        i += 1
    return value ^ <uint32_t>0xFFFFFFFF
