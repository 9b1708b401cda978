# IP and UDP headers, for raw sockets.

cdef extern from *:
    """
    #include <netinet/in.h>
    #include <sys/socket.h>
    #include <string.h>
    #include "rules.h"

    #define PROTOCOL_WORDS 3
    #define IPV4_HEADERS 28
    #define IPV6_HEADERS 48
    #define DO_NOT_FRAGMENT 0x4000

    static inline uint64_t sum_of(uint64_t sum, const void *data, uint32_t length)
    {
        const uint8_t *octets = data;
        uint32_t word;
        uint16_t half;

        for (; length >= 4; octets += 4, length -= 4) {
            memcpy(&word, octets, 4);
            sum += word;
        }
        if (length >= 2) {
            memcpy(&half, octets, 2);
            sum += half;
            octets += 2;
            length -= 2;
        }
        if (length) {
            half = 0;
            memcpy(&half, octets, 1);
            sum += half;
        }
        return sum;
    }

    /* The UDP checksum (RFC 768) of what is summed up so far; 0 is sent as its other form. */
    static inline uint16_t folded(uint64_t sum)
    {
        while (sum >> 16)
            sum = (sum & 0xFFFF) + (sum >> 16);
        return sum == 0xFFFF ? 0xFFFF : (uint16_t)~sum;
    }

    #ifndef IP_PROTOCOL
    #define IP_PROTOCOL 52
    #endif

    /* What tells an IPv4 socket for which protocol to look for a route; IPv6 has it in the address. */
    static inline void write_protocol(uint64_t *control, size_t size)
    {
        struct cmsghdr *told = (struct cmsghdr *)control;

        _Static_assert(CMSG_SPACE(sizeof(int)) <= 8 * PROTOCOL_WORDS, "there is room");
        memset(control, 0, size);
        told->cmsg_level = IPPROTO_IP;
        told->cmsg_type = IP_PROTOCOL;
        told->cmsg_len = CMSG_LEN(sizeof(int));
        *(int *)CMSG_DATA(told) = IPPROTO_UDP;
    }

    /* Have a raw socket look for routes, and fill queues, as sockets with this TOS byte do. */
    static inline int set_raw_tos(int fd, int v6, int tos)
    {
        return v6 ? setsockopt(fd, IPPROTO_IPV6, IPV6_TCLASS, &tos, sizeof(tos))
                  : setsockopt(fd, IPPROTO_IP, IP_TOS, &tos, sizeof(tos));
    }

    /* IP and UDP headers for a datagram from ``local`` to ``remote``; returns how long they are. The kernel
     * completes an IPv4 header: length, identification and checksum. */
    static inline uint32_t write_headers(
        uint8_t *to, int v6, const struct address *local, const struct sockaddr_in6 *remote,
        uint8_t tos, uint8_t hops, const uint8_t *data, uint32_t length)
    {
        const uint32_t size = v6 ? IPV6_HEADERS : IPV4_HEADERS, ip = size - 8;
        uint16_t udp[4] = {(uint16_t)local->port, remote->sin6_port, htons(length + 8), 0};
        uint64_t sum = htons(IPPROTO_UDP) + (uint64_t)udp[2];

        memset(to, 0, ip);
        if (v6) {
            to[0] = 0x60 | tos >> 4;
            to[1] = tos << 4;
            memcpy(to + 4, &udp[2], 2);
            to[6] = IPPROTO_UDP;
            to[7] = hops;
            memcpy(to + 8, local, 16);
            memcpy(to + 24, &remote->sin6_addr, 16);
            sum = sum_of(sum, to + 8, 32);
        } else {
            to[0] = 0x45;
            to[1] = tos;
            to[6] = DO_NOT_FRAGMENT >> 8;
            to[8] = hops;
            to[9] = IPPROTO_UDP;
            memcpy(to + 12, (const uint8_t *)local + 12, 4);
            memcpy(to + 16, &((const struct sockaddr_in *)remote)->sin_addr, 4);
            sum = sum_of(sum, to + 12, 8);
        }
        udp[3] = folded(sum_of(sum_of(sum, udp, 8), data, length));
        memcpy(to + ip, udp, 8);
        return size;
    }
    """
    enum: IPV6_HEADERS, PROTOCOL_WORDS
    void write_protocol(uint64_t *control, size_t size) nogil
    int set_raw_tos(int fd, bint v6, int tos) nogil
    uint32_t write_headers(
        uint8_t *to, bint v6, const address *local, const sockaddr_in6 *remote,
        uint8_t tos, uint8_t hops, const uint8_t *data, uint32_t length
    ) nogil
