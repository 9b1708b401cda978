// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Steering: datagrams of settled peers come to one socket per worker, whatever port of ours they are for.
 *
 *   datagram --> of a settled peer, at a port of ours?
 *                   | yes                      | no
 *                   v                          v
 *          the worker's shared socket     the port's own socket
 *
 * The kernel asks when it looks for the socket of a datagram (sk_lookup). It only chooses the queue: the
 * worker treats a datagram of either alike. What is not in the tables takes the usual way, so a stranger
 * fills the queue of the port that he found, and no other.
 *
 * Built by `make bpf`. relay/forward/offload/steering.py loads it, ext/shared.pxi writes the tables. The
 * declarations of the kernel's interface (include/uapi/linux/bpf.h) are the few that are used. */

typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define SECTION(name) __attribute__((section(name), used))

/* ---- the kernel's interface */

struct lookup { /* struct bpf_sk_lookup; addresses are in network byte order */
    u64 socket;
    u32 family;
    u32 protocol;
    u32 remote_ipv4;
    u32 remote_ipv6[4];
    u16 remote_port;
    u16 zero;
    u32 local_ipv4;
    u32 local_ipv6[4];
    u32 local_port; /* host order */
};
_Static_assert(__builtin_offsetof(struct lookup, local_port) == 60, "as in struct bpf_sk_lookup");

static void *(*lookup)(void *map, const void *key) = (void *)1;
static long (*release)(void *socket) = (void *)86;
static long (*assign)(struct lookup *, void *socket, u64 flags) = (void *)124;

enum { PASS = 1 };
enum { AF_INET = 2, AF_INET6 = 10, UDP = 17 };
enum { HASH = 1, ARRAY = 2, SOCKMAP = 15, ALLOCATE_LATER = 1 };

/* ---- the tables */

struct map {
    u32 type;
    u32 key_size;
    u32 value_size;
    u32 entries;
    u32 flags;
};

struct ipv4_key { /* all in network byte order */
    u32 local;
    u32 remote;
    u16 local_port;
    u16 remote_port;
};
_Static_assert(sizeof(struct ipv4_key) == 12, "the key has no holes");

struct ipv6_key {
    u32 local[4];
    u32 remote[4];
    u16 local_port;
    u16 remote_port;
};
_Static_assert(sizeof(struct ipv6_key) == 36, "the key has no holes");

struct range { /* host order */
    u32 first;
    u32 last;
};

/* Ports that may be ours, so that what is for others is let go at once. */
struct map range SECTION("maps") = {ARRAY, sizeof(u32), sizeof(struct range), 1, 0};

/* Values are places in the table of sockets: two for each worker, IPv4 and IPv6. */
struct map ipv4 SECTION("maps") = {HASH, sizeof(struct ipv4_key), sizeof(u32), 131072, ALLOCATE_LATER};
struct map ipv6 SECTION("maps") = {HASH, sizeof(struct ipv6_key), sizeof(u32), 131072, ALLOCATE_LATER};
struct map sockets SECTION("maps") = {SOCKMAP, sizeof(u32), sizeof(u64), 1024, 0};

/* ---- the program */

static inline __attribute__((always_inline)) u32 *place_of(struct lookup *packet)
{
    u16 local_port = __builtin_bswap16(packet->local_port);

    if (packet->family == AF_INET) {
        struct ipv4_key key = {packet->local_ipv4, packet->remote_ipv4, local_port, packet->remote_port};

        return lookup(&ipv4, &key);
    }
    if (packet->family == AF_INET6) {
        struct ipv6_key key = {
            {packet->local_ipv6[0], packet->local_ipv6[1], packet->local_ipv6[2], packet->local_ipv6[3]},
            {packet->remote_ipv6[0], packet->remote_ipv6[1], packet->remote_ipv6[2], packet->remote_ipv6[3]},
            local_port,
            packet->remote_port,
        };

        return lookup(&ipv6, &key);
    }
    return 0;
}

SECTION("sk_lookup") int steer(struct lookup *packet)
{
    const u32 first = 0;
    struct range *ours;
    u32 *place;
    void *socket;

    if (packet->protocol != UDP)
        return PASS;
    ours = lookup(&range, &first);
    if (!ours || packet->local_port < ours->first || packet->local_port > ours->last)
        return PASS;
    place = place_of(packet);
    if (!place)
        return PASS;
    socket = lookup(&sockets, place);
    if (!socket)
        return PASS;
    assign(packet, socket, 0); /* if it fails, the port's own socket is found */
    release(socket);
    return PASS;
}

const char licence_text[] SECTION("license") = "Dual BSD/GPL";
const char source_hash[] SECTION("source") = SOURCE; /* SHA-256 of this file */
