# Addresses: sockaddr to rules.h and back.

cdef inline void from_sockaddr(const sockaddr_in6 *name, address *to) noexcept nogil:
    if name.sin6_family == AF_INET6:
        memcpy(to, &name.sin6_addr, 16)
    else:
        map_ipv4(&(<const sockaddr_in *>name).sin_addr, to)
    to.port = name.sin6_port


cdef inline void map_ipv4(const void *ip, address *to) noexcept nogil:
    cdef uint8_t *octets = <uint8_t *>to
    memset(octets, 0, 10)
    octets[10] = octets[11] = 0xFF
    memcpy(octets + 12, ip, 4)


cdef inline bint is_ipv4(const address *ip) noexcept nogil:
    cdef const uint8_t *octets = <const uint8_t *>ip
    return ip.high == 0 and octets[8] == octets[9] == 0 and octets[10] == octets[11] == 0xFF


cdef inline socklen_t to_sockaddr(const address *peer, bint v6, sockaddr_in6 *to) noexcept nogil:
    """Length of the name for a socket of this family, 0 if it cannot send there."""
    cdef const uint8_t *octets = <const uint8_t *>peer
    if is_ipv4(peer) == v6:
        return 0
    memset(to, 0, sizeof(sockaddr_in6))
    to.sin6_port = <uint16_t>peer.port
    if v6:
        to.sin6_family = AF_INET6
        memcpy(&to.sin6_addr, octets, 16)
        return sizeof(sockaddr_in6)
    to.sin6_family = AF_INET
    memcpy(&(<sockaddr_in *>to).sin_addr, octets + 12, 4)
    return sizeof(sockaddr_in)
