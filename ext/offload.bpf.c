// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The eBPF plane: RTP of settled streams is forwarded where it enters the machine.
 *
 *   datagram --> in the table of flows? from its peer? plain RTP? a way out?
 *                   | yes, all of it                          | no, or unsure
 *                   v                                         v
 *        addresses, ports, checksums, count,        the normal stack, and so to the
 *        out through the device that leads there    socket of the user-space plane
 *
 * Two programs, one for XDP and one for TC (TCX), share the tables. Everything here
 * may be declined without harm, since user space has every rule as well; so there is
 * no case of "drop". Header fields are in network byte order unless named otherwise.
 *
 * Built by `make bpf`. relay/forward/offload/kernel.py loads it, and has the same
 * structs. The declarations of the kernel's interface (include/uapi/linux/bpf.h) are
 * the few that are used, so that clang alone can build it. */

#include "track.h"

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define SECTION(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))
#define NET16(value) __builtin_bswap16(value)

/* ---- the kernel's interface */

struct xdp_md {
    u32 data;
    u32 data_end;
    u32 data_meta;
    u32 ingress_ifindex;
};

struct sk_buff { /* struct __sk_buff */
    u32 len;
    u32 pkt_type; /* whom the Ethernet address names; 0 is this machine */
    u32 before_vlan_present[3];
    u32 vlan_present; /* a tag that is not in the data any more */
    u32 before_ingress_ifindex[3];
    u32 ingress_ifindex;
    u32 before_data[9];
    u32 data;
    u32 data_end;
    u32 before_gso_size[23];
    u32 gso_size;
};
_Static_assert(__builtin_offsetof(struct sk_buff, vlan_present) == 20, "as in struct __sk_buff");
_Static_assert(__builtin_offsetof(struct sk_buff, ingress_ifindex) == 36, "as in struct __sk_buff");
_Static_assert(__builtin_offsetof(struct sk_buff, data) == 76, "as in struct __sk_buff");
_Static_assert(__builtin_offsetof(struct sk_buff, gso_size) == 176, "as in struct __sk_buff");

struct route { /* struct bpf_fib_lookup */
    u8 family;
    u8 protocol;
    u16 source_port;
    u16 destination_port;
    u16 length; /* host order */
    u32 device;
    u32 class;
    u32 source[4];
    u32 destination[4];
    u16 vlan[2];
    u8 source_mac[6];
    u8 destination_mac[6];
};
_Static_assert(sizeof(struct route) == 64, "as struct bpf_fib_lookup");

static void *(*lookup)(void *map, const void *key) = (void *)1;
static u64 (*monotonic)(void) = (void *)5;
static long (*replace_l4_checksum)(struct sk_buff *, u32 offset, u64 from, u64 to, u64 flags) = (void *)11;
static long (*redirect)(u32 device, u64 flags) = (void *)23;
static long (*make_linear)(struct sk_buff *, u32 length) = (void *)39;
static long (*update_checksum)(struct sk_buff *, u32 difference) = (void *)40;
static long (*find_route)(void *context, struct route *, int size, u32 flags) = (void *)69;
static u64 (*frame_length)(struct xdp_md *) = (void *)188;

enum { PSEUDO_HEADER = 1 << 4, ZERO_MEANS_NONE = 1 << 5 }; /* of replace_l4_checksum */
enum { XDP_PASS = 2, XDP_TX = 3, TCX_NEXT = -1 };
enum { AF_INET = 2, AF_INET6 = 10, UDP = 17 };
enum { HASH = 1, ARRAY = 2, ALLOCATE_LATER = 1, MAPPABLE = 1 << 10 };

/* ---- the tables */

struct map {
    u32 type;
    u32 key_size;
    u32 value_size;
    u32 entries;
    u32 flags;
};

struct flow_key {      /* where the datagram is sent to */
    u32 address[4];    /* IPv4: in the first word, the rest zero */
    u16 port;
    u16 family;        /* host order */
};
_Static_assert(sizeof(struct flow_key) == 20, "the key has no holes");

struct flow {
    u32 peer[4];       /* who must have sent it */
    u32 source[4];     /* what it gets instead of its own addresses and ports */
    u32 destination[4];
    u16 peer_port;
    u16 source_port;
    u16 destination_port;
    u8 class;          /* TOS byte, traffic class */
    u8 padding;
    u32 device;        /* through which it has to leave; host order, as what follows */
    u32 slot;          /* in the table of counts */
    u64 clocked[2];    /* payload types whose packets tell the jitter, a bit for each */
    u32 clock;         /* of their RTP clock, Hz */
    u32 padding_too;
};
_Static_assert(sizeof(struct flow) == 88, "a flow has no holes");

struct count {         /* user space reads it in place */
    u64 packets;
    u64 bytes;         /* of UDP payload */
    u64 last;          /* CLOCK_MONOTONIC, ns */
    u32 ssrc;
    u16 sequence;
    u8 payload_type;
    u8 padding;
    u64 skipped;       /* sequence numbers, and packets that were late or came twice */
    u64 late;
    struct track track; /* the stream's, while the kernel has it: user space tracks here as well */
    u32 hop[4];         /* the neighbour to whom the last one went, as find_route() has addresses */
    u32 hop_family;
    u32 hop_device;
};
_Static_assert(sizeof(struct count) == 96, "a count has no holes");

struct device {
    u8 mac[6];
    u8 padding[2];
};

struct map flows SECTION("maps") = {HASH, sizeof(struct flow_key), sizeof(struct flow), 65536, ALLOCATE_LATER};
struct map counts SECTION("maps") = {ARRAY, sizeof(u32), sizeof(struct count), 65536, MAPPABLE};
struct map devices SECTION("maps") = {HASH, sizeof(u32), sizeof(struct device), 1024, ALLOCATE_LATER};

/* ---- headers; IP headers with options are not for us */

struct ethernet {
    u8 destination[6];
    u8 source[6];
    u16 type;
};

struct ipv4 {
    u8 version_length;
    u8 class;
    u16 length;
    u16 id;
    u16 fragment;
    u8 ttl;
    u8 protocol;
    u16 checksum;
    u32 source;
    u32 destination;
};

struct ipv6 {
    u32 version_class_label;
    u16 length;
    u8 protocol;
    u8 ttl;
    u32 source[4];
    u32 destination[4];
};

struct udp {
    u16 source;
    u16 destination;
    u16 length;
    u16 checksum;
};

struct rtp {
    u8 version;
    u8 payload_type;
    u16 sequence;
    u32 timestamp;
    u32 ssrc;
};

enum { ETHERNET = sizeof(struct ethernet), IPV4 = sizeof(struct ipv4), IPV6 = sizeof(struct ipv6) };
enum { HEADERS4 = ETHERNET + IPV4 + sizeof(struct udp) + sizeof(struct rtp) };
enum { HEADERS6 = ETHERNET + IPV6 + sizeof(struct udp) + sizeof(struct rtp) };

/* ---- checksums (RFC 1624): sums of differences, in network order */

INLINE u64 difference(u32 before, u32 after)
{
    return (u64)(u32)~before + after;
}

INLINE u32 fold32(u64 sum)
{
    sum = (sum & 0xFFFFFFFF) + (sum >> 32);
    return (u32)((sum & 0xFFFFFFFF) + (sum >> 32));
}

INLINE u16 fold16(u64 sum)
{
    u32 folded = fold32(sum);
    folded = (folded & 0xFFFF) + (folded >> 16);
    return (u16)((folded & 0xFFFF) + (folded >> 16));
}

INLINE u16 corrected(u16 checksum, u64 change)
{
    return (u16)~fold16((u16)~checksum + change);
}

INLINE u32 ports(u16 source, u16 destination)
{
    return (u32)source << 16 | destination;
}

/* ---- decisions, the same for both programs */

/* A packet of the right length that is RTP and not RTCP (RFC 5761, section 4). `length` is the UDP part's, host order. */
INLINE int is_rtp(const struct udp *udp, const struct rtp *rtp, u32 length)
{
    if (NET16(udp->length) != length || length < sizeof(struct udp) + sizeof(struct rtp))
        return 0;
    return (rtp->version & 0xC0) == 0x80 && (rtp->payload_type < 192 || rtp->payload_type > 223);
}

INLINE struct flow *find4(const struct ipv4 *ip, const struct udp *udp, const struct rtp *rtp)
{
    struct flow_key key = {.address = {ip->destination}, .port = udp->destination, .family = AF_INET};
    struct flow *flow;

    if (ip->version_length != 0x45 || ip->protocol != UDP || ip->fragment & NET16(0x3FFF) || ip->ttl <= 1)
        return 0;
    if (NET16(ip->length) < IPV4 || !is_rtp(udp, rtp, NET16(ip->length) - IPV4))
        return 0;
    flow = lookup(&flows, &key);
    if (!flow || flow->peer[0] != ip->source || flow->peer_port != udp->source)
        return 0;
    return flow;
}

INLINE struct flow *find6(const struct ipv6 *ip, const struct udp *udp, const struct rtp *rtp)
{
    struct flow_key key = {.port = udp->destination, .family = AF_INET6};
    struct flow *flow;

    if (ip->protocol != UDP || ip->ttl <= 1 || udp->checksum == 0 || !is_rtp(udp, rtp, NET16(ip->length)))
        return 0;
    if ((ip->version_class_label & __builtin_bswap32(0xF0000000)) != __builtin_bswap32(0x60000000))
        return 0;
    __builtin_memcpy(key.address, ip->destination, sizeof(key.address));
    flow = lookup(&flows, &key);
    if (!flow || flow->peer_port != udp->source)
        return 0;
    if (flow->peer[0] != ip->source[0] || flow->peer[1] != ip->source[1])
        return 0;
    if (flow->peer[2] != ip->source[2] || flow->peer[3] != ip->source[3])
        return 0;
    return flow;
}

/* Whether the kernel would route the new packet, knows the neighbour, and uses the device we expect. `length` is the IP
 * packet's, host order. */
INLINE int has_way(void *context, const struct flow *flow, u32 family, u32 ingress, u16 length, struct route *route)
{
    __builtin_memset(route, 0, sizeof(*route));
    route->family = family;
    route->protocol = UDP;
    route->source_port = flow->source_port;
    route->destination_port = flow->destination_port;
    route->length = length;
    route->device = ingress;
    __builtin_memcpy(route->source, flow->source, sizeof(route->source));
    __builtin_memcpy(route->destination, flow->destination, sizeof(route->destination));
    if (family == AF_INET)
        route->class = flow->class;
    return find_route(context, route, sizeof(*route), 0) == 0 && route->device == flow->device;
}

INLINE void tally(const struct flow *flow, const struct route *route, const struct udp *udp, const struct rtp *rtp)
{
    struct count *count = lookup(&counts, &flow->slot);
    u8 type = rtp->payload_type & 127;
    u32 clock = flow->clocked[type >> 6] >> (type & 63) & 1 ? flow->clock : 0;
    int skipped;

    if (!count)
        return;
    __sync_fetch_and_add(&count->packets, 1);
    __sync_fetch_and_add(&count->bytes, NET16(udp->length) - sizeof(struct udp));
    count->last = monotonic();
    count->ssrc = __builtin_bswap32(rtp->ssrc);
    count->sequence = NET16(rtp->sequence);
    count->payload_type = type;
    __builtin_memcpy(count->hop, route->destination, sizeof(count->hop));
    count->hop_family = route->family;
    count->hop_device = route->device;
    skipped = track_packet(&count->track, count->ssrc, count->sequence, __builtin_bswap32(rtp->timestamp), clock, count->last);
    if (skipped > 0)
        __sync_fetch_and_add(&count->skipped, skipped);
    if (skipped < 0)
        __sync_fetch_and_add(&count->late, 1);
}

INLINE u64 new_addresses4(const struct ipv4 *ip, const struct flow *flow)
{
    return difference(ip->source, flow->source[0]) + difference(ip->destination, flow->destination[0]);
}

INLINE u64 new_addresses6(const struct ipv6 *ip, const struct flow *flow)
{
    u64 sum = 0;
    int i;

#pragma unroll
    for (i = 0; i < 4; i++)
        sum += difference(ip->source[i], flow->source[i]) + difference(ip->destination[i], flow->destination[i]);
    return sum;
}

INLINE u64 new_ports(const struct udp *udp, const struct flow *flow)
{
    return difference(ports(udp->source, udp->destination), ports(flow->source_port, flow->destination_port));
}

/* Version and label stay, the class is ours; one hop less. */
INLINE u32 first_word6(const struct ipv6 *ip, const struct flow *flow)
{
    return (ip->version_class_label & ~__builtin_bswap32(0x0FF00000)) | __builtin_bswap32((u32)flow->class << 20);
}

INLINE void write_ethernet(struct ethernet *ethernet, const struct route *route)
{
    __builtin_memcpy(ethernet->destination, route->destination_mac, 6);
    __builtin_memcpy(ethernet->source, route->source_mac, 6);
}

INLINE void write_ipv4(struct ipv4 *ip, const struct flow *flow)
{
    u32 class_before = (u32)ip->version_length << 8 | ip->class, class_after = (u32)ip->version_length << 8 | flow->class;
    u64 change = new_addresses4(ip, flow);

    change += difference(NET16(class_before), NET16(class_after)) + difference(NET16(ip->ttl << 8), NET16((ip->ttl - 1) << 8));
    ip->checksum = corrected(ip->checksum, change);
    ip->class = flow->class;
    ip->ttl -= 1;
    ip->source = flow->source[0];
    ip->destination = flow->destination[0];
}

INLINE void write_ipv6(struct ipv6 *ip, const struct flow *flow)
{
    ip->version_class_label = first_word6(ip, flow);
    ip->ttl -= 1;
    __builtin_memcpy(ip->source, flow->source, sizeof(ip->source));
    __builtin_memcpy(ip->destination, flow->destination, sizeof(ip->destination));
}

INLINE void write_ports(struct udp *udp, const struct flow *flow)
{
    udp->source = flow->source_port;
    udp->destination = flow->destination_port;
}

/* ---- XDP: checksums are ours to correct */

INLINE void correct(struct udp *udp, u64 change)
{
    if (udp->checksum == 0)
        return;
    udp->checksum = corrected(udp->checksum, change);
    if (udp->checksum == 0)
        udp->checksum = 0xFFFF;
}

INLINE int is_same(const u8 *one, const u8 *other)
{
    u8 bits = 0;
    int i;

#pragma unroll
    for (i = 0; i < 6; i++)
        bits |= one[i] ^ other[i];
    return bits == 0;
}

/* What the stack asks first: a device that listens to everything gives us the frames of other machines too. What leaves
 * by the device that it came by has the route's word for that one's address. */
INLINE int is_for_us(const struct xdp_md *context, const struct ethernet *ethernet, const struct route *route)
{
    u32 index = context->ingress_ifindex;
    const struct device *device;

    if (route->device == index)
        return is_same(ethernet->destination, route->source_mac);
    device = lookup(&devices, &index);
    return device && is_same(ethernet->destination, device->mac);
}

INLINE int leave(const struct xdp_md *context, const struct route *route)
{
    return route->device == context->ingress_ifindex ? XDP_TX : redirect(route->device, 0);
}

/* The checksum holds the sum of the pseudo-header only: the sender is on this machine and left the rest to a device
 * (CHECKSUM_PARTIAL). A complete one looks so once in 65,535 times, and that packet takes the longer way. */
INLINE int is_partial(const struct udp *udp, u64 addresses)
{
    return fold16(addresses + NET16(UDP) + udp->length) == udp->checksum;
}

INLINE int xdp_ipv4(struct xdp_md *context, void *data, void *end)
{
    struct ipv4 *ip = data + ETHERNET;
    struct udp *udp = data + ETHERNET + IPV4;
    struct rtp *rtp = data + ETHERNET + IPV4 + sizeof(*udp);
    struct route route;
    struct flow *flow;
    u16 length;

    if (data + HEADERS4 > end)
        return XDP_PASS;
    length = NET16(ip->length);
    if (ETHERNET + length > frame_length(context) || is_partial(udp, (u64)ip->source + ip->destination))
        return XDP_PASS;
    flow = find4(ip, udp, rtp);
    if (!flow || !has_way(context, flow, AF_INET, context->ingress_ifindex, length, &route))
        return XDP_PASS;
    if (!is_for_us(context, data, &route))
        return XDP_PASS;
    tally(flow, &route, udp, rtp);
    correct(udp, new_addresses4(ip, flow) + new_ports(udp, flow));
    write_ports(udp, flow);
    write_ipv4(ip, flow);
    write_ethernet(data, &route);
    return leave(context, &route);
}

INLINE int xdp_ipv6(struct xdp_md *context, void *data, void *end)
{
    struct ipv6 *ip = data + ETHERNET;
    struct udp *udp = data + ETHERNET + IPV6;
    struct rtp *rtp = data + ETHERNET + IPV6 + sizeof(*udp);
    u64 addresses = 0;
    struct route route;
    struct flow *flow;
    u16 length;
    int i;

    if (data + HEADERS6 > end)
        return XDP_PASS;
    length = NET16(ip->length);
#pragma unroll
    for (i = 0; i < 4; i++)
        addresses += (u64)ip->source[i] + ip->destination[i];
    if (ETHERNET + IPV6 + length > frame_length(context) || is_partial(udp, addresses))
        return XDP_PASS;
    flow = find6(ip, udp, rtp);
    if (!flow || !has_way(context, flow, AF_INET6, context->ingress_ifindex, IPV6 + length, &route))
        return XDP_PASS;
    if (!is_for_us(context, data, &route))
        return XDP_PASS;
    tally(flow, &route, udp, rtp);
    correct(udp, new_addresses6(ip, flow) + new_ports(udp, flow));
    write_ports(udp, flow);
    write_ipv6(ip, flow);
    write_ethernet(data, &route);
    return leave(context, &route);
}

SECTION("xdp") int forward_xdp(struct xdp_md *context)
{
    void *data = (void *)(unsigned long)context->data;
    void *end = (void *)(unsigned long)context->data_end;
    struct ethernet *ethernet = data;

    if (data + ETHERNET > end)
        return XDP_PASS;
    if (ethernet->type == NET16(0x0800))
        return xdp_ipv4(context, data, end);
    if (ethernet->type == NET16(0x86DD))
        return xdp_ipv6(context, data, end);
    return XDP_PASS;
}

/* ---- TC: the kernel knows what became of the checksum so far, and corrects it */

INLINE int correct_l4(struct sk_buff *packet, u32 offset, u64 addresses, u64 ports)
{
    if (replace_l4_checksum(packet, offset, 0, fold32(addresses), PSEUDO_HEADER | ZERO_MEANS_NONE))
        return 0;
    return replace_l4_checksum(packet, offset, 0, fold32(ports), ZERO_MEANS_NONE) == 0;
}

INLINE int tc_ipv4(struct sk_buff *packet)
{
    void *data = (void *)(unsigned long)packet->data;
    void *end = (void *)(unsigned long)packet->data_end;
    struct route route;
    struct flow *flow;
    struct udp *udp;
    struct ipv4 *ip;

    if (data + HEADERS4 > end)
        return TCX_NEXT;
    ip = data + ETHERNET;
    udp = data + ETHERNET + IPV4;
    if (ETHERNET + NET16(ip->length) > packet->len)
        return TCX_NEXT;
    flow = find4(ip, udp, data + ETHERNET + IPV4 + sizeof(*udp));
    if (!flow || !has_way(packet, flow, AF_INET, packet->ingress_ifindex, NET16(ip->length), &route))
        return TCX_NEXT;
    if (udp->checksum == 0) /* the ports have nothing that makes up for them in a sum of all of the packet */
        update_checksum(packet, fold32(new_ports(udp, flow)));
    else if (!correct_l4(packet, ETHERNET + IPV4 + 6, new_addresses4(ip, flow), new_ports(udp, flow)))
        return TCX_NEXT;
    data = (void *)(unsigned long)packet->data;
    end = (void *)(unsigned long)packet->data_end;
    if (data + HEADERS4 > end)
        return TCX_NEXT;
    udp = data + ETHERNET + IPV4;
    tally(flow, &route, udp, data + ETHERNET + IPV4 + sizeof(*udp));
    write_ports(udp, flow);
    write_ipv4(data + ETHERNET, flow);
    write_ethernet(data, &route);
    return redirect(route.device, 0);
}

INLINE int tc_ipv6(struct sk_buff *packet)
{
    void *data = (void *)(unsigned long)packet->data;
    void *end = (void *)(unsigned long)packet->data_end;
    u64 addresses, rest;
    struct route route;
    struct flow *flow;
    struct udp *udp;
    struct ipv6 *ip;

    if (data + HEADERS6 > end)
        return TCX_NEXT;
    ip = data + ETHERNET;
    udp = data + ETHERNET + IPV6;
    if (ETHERNET + IPV6 + NET16(ip->length) > packet->len)
        return TCX_NEXT;
    flow = find6(ip, udp, data + ETHERNET + IPV6 + sizeof(*udp));
    if (!flow || !has_way(packet, flow, AF_INET6, packet->ingress_ifindex, IPV6 + NET16(ip->length), &route))
        return TCX_NEXT;
    addresses = new_addresses6(ip, flow);
    rest = difference(ip->version_class_label, first_word6(ip, flow)) + difference(NET16(ip->ttl), NET16((u16)(ip->ttl - 1)));
    if (!correct_l4(packet, ETHERNET + IPV6 + 6, addresses, new_ports(udp, flow)))
        return TCX_NEXT;
    /* The sum of all of the packet, where the card made one. IPv4's header has a checksum that makes up for what changes
     * there; here nothing does for the class and the hop limit. For the addresses UDP's own does, but the kernel has just
     * counted them as if it had been IPv4's (BPF_F_IPV6 would keep it from that, in kernel 6.16). */
    update_checksum(packet, fold32(rest));
    update_checksum(packet, fold32(addresses));
    data = (void *)(unsigned long)packet->data;
    end = (void *)(unsigned long)packet->data_end;
    if (data + HEADERS6 > end)
        return TCX_NEXT;
    udp = data + ETHERNET + IPV6;
    tally(flow, &route, udp, data + ETHERNET + IPV6 + sizeof(*udp));
    write_ports(udp, flow);
    write_ipv6(data + ETHERNET, flow);
    write_ethernet(data, &route);
    return redirect(route.device, 0);
}

SECTION("tc") int forward_tc(struct sk_buff *packet)
{
    void *data = (void *)(unsigned long)packet->data;
    struct ethernet *ethernet = data;

    if (packet->gso_size) /* several datagrams in one */
        return TCX_NEXT;
    if (packet->pkt_type != 0 || packet->vlan_present) /* for another machine, or of another network */
        return TCX_NEXT;
    if (data + HEADERS6 > (void *)(unsigned long)packet->data_end)
        make_linear(packet, packet->len < HEADERS6 ? packet->len : HEADERS6);
    data = (void *)(unsigned long)packet->data;
    if (data + ETHERNET > (void *)(unsigned long)packet->data_end)
        return TCX_NEXT;
    ethernet = data;
    if (ethernet->type == NET16(0x0800))
        return tc_ipv4(packet);
    if (ethernet->type == NET16(0x86DD))
        return tc_ipv6(packet);
    return TCX_NEXT;
}

const char licence_text[] SECTION("license") = "Dual BSD/GPL";
const char source_hash[] SECTION("source") = SOURCE; /* SHA-256 of this file */
