# Rules and addresses, from Python and back.

cdef encode(rule, dict life, whole_rule *whole):
    """Raises ``ValueError`` for addresses that are not numeric, too many of anything, and SRTP that is none."""
    cdef rule_t *to = &whole.rule
    if rule.opaque and (rule.keys is not None or rule.dtls):
        raise ValueError(f"rule {rule.id}: SRTP for what is not RTP")
    if len(rule.sources) > MAX_SOURCES:
        raise ValueError(f"rule {rule.id}: more than {MAX_SOURCES} sources")
    if max(len(rule.rtp), len(rule.rtcp)) > MAX_OUTPUTS:
        raise ValueError(f"rule {rule.id}: more than {MAX_OUTPUTS} outputs")
    to.id, to.life, to.port, to.generation = rule.id, life[rule.id], rule.port, rule.generation & 0xFFFFFFFF
    to.described = rule.described & 0xFFFFFFFF
    if rule.remote is not None:
        parse(rule.remote[0], rule.remote[1], &to.remote)
    if rule.hint is not None:
        parse(rule.hint, 1, &to.hint)
    to.learn, to.asymmetric, to.stun = rule.learn, rule.asymmetric, rule.stun
    to.opaque, to.dtls, to.plain_rtcp = rule.opaque, rule.dtls, rule.plain_rtcp
    to.source_count, to.rtp_count, to.rtcp_count = len(rule.sources), len(rule.rtp), len(rule.rtcp)
    for index, source in enumerate(rule.sources):
        parse(source[0], source[1], &whole.ice.sources[<int>index])
    for index, id in enumerate(rule.rtp):
        whole.fan.rtp[<int>index].rule, whole.fan.rtp[<int>index].life = id, life.get(id, 0)
    for index, id in enumerate(rule.rtcp):
        whole.fan.rtcp[<int>index].rule, whole.fan.rtcp[<int>index].life = id, life.get(id, 0)
    to.rtp, to.rtcp = whole.fan.rtp[0], whole.fan.rtcp[0]
    if rule.clock is not None:
        if not 0 < rule.clock.rate <= specified.MAX_RATE:
            raise ValueError(f"rule {rule.id}: a clock of {rule.clock.rate} Hz")
        to.clock = rule.clock.rate
        for number in rule.clock.payload_types:
            to.clocked[<int>number >> 6] |= <uint64_t>1 << (<int>number & 63)
    if rule.stun_keys is not None:
        encode_stun_keys(rule, whole)
    if rule.marks is not None:
        encode_marks(rule, whole)


cdef encode_marks(rule, whole_rule *whole):
    cdef marks_t *to = &whole.marks
    cdef bytes mid = rule.marks.mid
    if len(mid) > MAX_MID or len(rule.marks.ssrcs) > MAX_ANNOUNCED:
        raise ValueError(f"rule {rule.id}: a mid of more than {MAX_MID} bytes, or over {MAX_ANNOUNCED} SSRCs")
    if rule.marks.leader != rule.id and (rule.learn != NOBODY or rule.sources or rule.stun):
        raise ValueError(f"rule {rule.id}: a bundle is received by its leader")
    whole.rule.leader = rule.marks.leader + 1
    to.mid_id, to.mid_length = rule.marks.mid_id, len(mid)
    memcpy(to.mid, <const uint8_t *>mid, len(mid))
    for number in rule.marks.payload_types:
        to.payload_types[<int>number >> 6] |= <uint64_t>1 << (<int>number & 63)
    to.ssrc_count = len(rule.marks.ssrcs)
    for index, ssrc in enumerate(rule.marks.ssrcs):
        to.ssrcs[<int>index] = ssrc


cdef encode_stun_keys(rule, whole_rule *whole):
    cdef stun_keys_t *keys = &whole.ice.keys
    cdef bytes username = rule.stun_keys.username, key = rule.stun_keys.key
    if len(username) > MAX_USERNAME:
        raise ValueError(f"rule {rule.id}: a username of more than {MAX_USERNAME} bytes")
    hmac_prepare(<const uint8_t *>key, len(key), keys.inner, keys.outer)
    keys.length, keys.controlling = len(username), rule.stun_keys.controlling
    memcpy(keys.username, <const uint8_t *>username, len(username))
    for index, source in enumerate(rule.sources):
        if source in rule.stun_keys.settled:
            whole.rule.settled |= <uint32_t>1 << <int>index
    if rule.stun_keys.nominated is not None:
        parse(rule.stun_keys.nominated[0], rule.stun_keys.nominated[1], &keys.nominated)


cdef int parse(str host, int port, address *to) except -1:
    cdef uint8_t ip[16]
    cdef bytes name = host.encode()
    memset(to, 0, sizeof(address))
    if not 0 < port < 65536:
        raise ValueError(f"not a port: {port}")
    to.port = htons(port)
    if inet_pton(AF_INET, name, ip) == 1:
        map_ipv4(ip, to)
    elif inet_pton(AF_INET6, name, ip) == 1:
        memcpy(to, ip, 16)
    else:
        raise ValueError(f"not a numeric address: {host!r}")
    return 0


cdef tuple text(const address *source):
    cdef char name[64]
    if is_ipv4(source):
        inet_ntop(AF_INET, <const uint8_t *>source + 12, name, sizeof(name))
    else:
        inet_ntop(AF_INET6, source, name, sizeof(name))
    return name.decode(), ntohs(<uint16_t>source.port)
