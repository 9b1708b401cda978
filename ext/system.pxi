# Declarations of the kernel and the C library.

cdef extern from "<sys/mman.h>" nogil:
    enum: MAP_NORESERVE

cdef extern from "<time.h>" nogil:
    struct timespec:
        long tv_sec, tv_nsec
    int clock_gettime(int clock, timespec *now)
    enum: CLOCK_MONOTONIC

cdef extern from "<signal.h>" nogil:
    ctypedef struct sigset_t:
        pass
    int sigfillset(sigset_t *set)
    int sigdelset(sigset_t *set, int number)
    int pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
    int SIG_BLOCK, SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV

cdef extern from "<pthread.h>" nogil:
    ctypedef unsigned long pthread_t
    pthread_t pthread_self()
    int pthread_setname_np(pthread_t thread, const char *name)

cdef extern from "<poll.h>" nogil:
    struct pollfd:
        int fd
        short events
    int ppoll(pollfd *fds, unsigned long count, const timespec *timeout, const sigset_t *mask)
    enum: POLLIN

cdef extern from "<sys/epoll.h>" nogil:
    ctypedef union epoll_data_t:
        uint32_t u32
    struct epoll_event:
        uint32_t events
        epoll_data_t data
    int epoll_create1(int flags)
    int epoll_ctl(int epoll, int operation, int fd, epoll_event *event)
    int epoll_wait(int epoll, epoll_event *events, int count, int timeout)
    enum: EPOLL_CLOEXEC, EPOLLIN, EPOLLERR, EPOLL_CTL_ADD, EPOLL_CTL_DEL

cdef extern from "<arpa/inet.h>" nogil:
    uint16_t htons(uint16_t value)
    uint16_t ntohs(uint16_t value)
    uint32_t ntohl(uint32_t value)
    uint32_t htonl(uint32_t value)
    int inet_pton(int family, const char *text, void *to)
    const char *inet_ntop(int family, const void *ip, char *to, unsigned int size)

cdef extern from "<sys/socket.h>" nogil:
    ctypedef unsigned int socklen_t
    int getsockopt(int fd, int level, int option, void *value, socklen_t *length)
    struct sockaddr:
        pass
    struct iovec:
        void *iov_base
        size_t iov_len
    struct msghdr:
        void *msg_name
        socklen_t msg_namelen
        iovec *msg_iov
        size_t msg_iovlen
        void *msg_control
        size_t msg_controllen
        int msg_flags
    struct mmsghdr:
        msghdr msg_hdr
        unsigned int msg_len
    int recvmmsg(int fd, mmsghdr *messages, unsigned int count, int flags, timespec *timeout)
    int sendmmsg(int fd, mmsghdr *messages, unsigned int count, int flags)
    ssize_t sendto(int fd, const void *data, size_t length, int flags, const sockaddr *to, socklen_t name)
    ssize_t sendmsg(int fd, const msghdr *message, int flags)
    ssize_t recvmsg(int fd, msghdr *message, int flags)
    enum: MSG_DONTWAIT, MSG_NOSIGNAL, MSG_TRUNC, MSG_ERRQUEUE, SOL_SOCKET, SO_ERROR, SOCK_DGRAM, AF_INET, AF_INET6

cdef extern from "<netinet/in.h>" nogil:
    enum: IPPROTO_UDP
    struct in_addr:
        uint32_t s_addr
    struct in6_addr:
        uint8_t s6_addr[16]
    struct sockaddr_in:
        uint16_t sin_family, sin_port
        in_addr sin_addr
    struct sockaddr_in6:
        uint16_t sin6_family, sin6_port
        in6_addr sin6_addr

# For builds with the address sanitizer (tests/sanitizers); nothing at all in others.
cdef extern from *:
    """
    #ifdef __SANITIZE_ADDRESS__
    #include <sanitizer/asan_interface.h>
    #define ALLOW_ALL(start, size) ASAN_UNPOISON_MEMORY_REGION(start, size)
    #define FORBID_BEHIND(start, length, size) ASAN_POISON_MEMORY_REGION((start) + (length), (size) - (length))
    #else
    #define ALLOW_ALL(start, size) ((void)0)
    #define FORBID_BEHIND(start, length, size) ((void)0)
    #endif
    """
    void ALLOW_ALL(uint8_t *start, size_t size) nogil
    void FORBID_BEHIND(uint8_t *start, size_t length, size_t size) nogil
