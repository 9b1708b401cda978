# Bursts: datagrams of one size to one peer, such as a video frame's, leave as one
# that the kernel or the network card cuts (UDP_SEGMENT, Linux 4.18). The way
# through the kernel, which is most of what a packet costs, is then gone once.

cdef extern from *:
    """
    #include <netinet/in.h>
    #include <sys/socket.h>

    #ifndef UDP_SEGMENT
    #define UDP_SEGMENT 103
    #endif

    /* Sends the parts of a message as datagrams of ``size`` octets each; the last may be shorter. */
    static inline ssize_t send_cut(int fd, const struct msghdr *whole, uint16_t size, int flags) {
        union {
            struct cmsghdr header;
            char space[CMSG_SPACE(sizeof(uint16_t))];
        } control = {0};
        struct msghdr message = *whole;
        control.header.cmsg_level = IPPROTO_UDP;
        control.header.cmsg_type = UDP_SEGMENT;
        control.header.cmsg_len = CMSG_LEN(sizeof(uint16_t));
        *(uint16_t *)CMSG_DATA(&control.header) = size;
        message.msg_control = &control;
        message.msg_controllen = sizeof(control);
        return sendmsg(fd, &message, flags);
    }
    """
    ssize_t send_cut(int fd, const msghdr *whole, uint16_t size, int flags) nogil

cdef enum:
    LARGEST_BURST = 65000  # octets: less than the largest datagram of either family


cdef inline bint same_way(const worker *self, unsigned int one, unsigned int other) noexcept nogil:
    """Whether two datagrams of the outbox leave from one port to one peer."""
    return self.out_ports[one] == self.out_ports[other] and memcmp(
        &self.out_names[one], &self.out_names[other], sizeof(sockaddr_in6)
    ) == 0


cdef inline unsigned int burst_from(const worker *self, unsigned int first) noexcept nogil:
    """How many datagrams of the outbox, from this one on, can leave as one. An empty one cannot be cut off."""
    cdef size_t size = self.out_data[first].iov_len, whole = size
    cdef unsigned int i
    for i in range(first + 1, self.out_count):
        whole += self.out_data[i].iov_len
        if self.out_data[i].iov_len == 0 or self.out_data[i].iov_len > size or whole > LARGEST_BURST:
            return i - first
        if not same_way(self, i, first):
            return i - first
        if self.out_data[i].iov_len < size:
            return i + 1 - first
    return self.out_count - first


cdef inline bint send_burst(worker *self, int fd, unsigned int first, unsigned int count) noexcept nogil:
    """False if the kernel does not take it, for example because a single one is too long for the path."""
    cdef msghdr whole = self.outbox[first].msg_hdr
    whole.msg_iov, whole.msg_iovlen = &self.out_data[first], count
    return send_cut(fd, &whole, self.out_data[first].iov_len, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0
