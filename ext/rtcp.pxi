# RTCP towards a peer whose profile has no feedback (RFC 3550, RFC 4585); relay/forward/fake_rtcp.py does the same.

cdef enum:
    SR = 200
    RR = 201
    RTPFB = 205
    PSFB = 206


cdef inline uint32_t rtcp_size(const uint8_t *data, uint32_t left) noexcept nogil:
    """Octets of the RTCP packet that begins here; 0 if there is no whole one."""
    cdef uint32_t size
    if left < 4 or data[0] >> 6 != 2:
        return 0
    size = 4 * (<uint32_t>((data[2] << 8) | data[3]) + 1)
    return size if size <= left else 0


cdef uint32_t without_feedback(const uint8_t *data, uint32_t length, uint8_t *to) noexcept nogil:
    """Copy a compound of plain RTCP without its RTPFB and PSFB packets.

    Returns the length of the copy, or 0 if what is left is no compound: it must
    begin with a report (RFC 3550, section 6.1). A compound without feedback is
    not judged, and neither is what cannot be read.
    """
    cdef uint32_t at = 0, kept = 0, size
    while at < length:
        size = rtcp_size(data + at, length - at)
        if size == 0:
            size = length - at
        elif data[at + 1] == RTPFB or data[at + 1] == PSFB:
            at += size
            continue
        memcpy(to + kept, data + at, size)
        kept += size
        at += size
    if kept == length:
        return length
    return kept if kept > 1 and (to[1] == SR or to[1] == RR) else 0
