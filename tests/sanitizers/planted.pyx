# cython: language_level=3, boundscheck=False, wraparound=False
"""The native plane, whole, and errors on request: who looks for errors has to find these."""

include "fastpath.pyx"

from libc.stdlib cimport malloc


def read_behind_an_allocation():
    """A packet of 16 octets whose header extension claims more, taken for one of 400."""
    cdef uint8_t *packet = <uint8_t *>malloc(16)
    cdef uint32_t size = 0
    memset(packet, 0, 16)
    packet[0], packet[12], packet[13], packet[15] = 0x90, 0xBE, 0xDE, 90
    found = extension(packet, 400, 1, &size) != NULL
    free(packet)
    return found


def read_behind_a_datagram(NativePlane plane, uint32_t length):
    """What the buffer holds behind the first datagram of the last batch, which has this length."""
    return plane._workers[0].buffers[0][length]


def look_at_one_ssrc_too_many():
    """Keys that claim more SSRCs than they have room for."""
    cdef direction keys
    memset(&keys, 0, sizeof(direction))
    keys.count, keys.latest = MAX_SSRCS + 1, MAX_SSRCS
    return knows(&keys, 1)


def write_what_is_the_workers(NativePlane plane):
    """From Python's thread, while the worker does."""
    for _ in range(100):
        plane.beats()
        plane._workers[0].now = 0
        usleep(100)
