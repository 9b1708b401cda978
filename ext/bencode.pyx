# cython: language_level=3
"""Bencode: what ``relay.ng.bencode`` promises, for every datagram of the control protocol.

Nothing here is remembered between two messages. ``tests/relay/ng/plain_bencode.py`` does the same in
Python; the tests compare the two.
"""

from collections.abc import Mapping

from relay.ng.errors import BencodeError

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_Contains, PyDict_SetItem
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdio cimport snprintf
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL
    bint PyUnicode_IS_COMPACT_ASCII(object text)

cdef enum:
    DEEPEST = 32  # MAX_DEPTH
    DIGITS = 20   # MAX_DIGITS

MAX_DEPTH = DEEPEST
MAX_DIGITS = DIGITS


# ---- reading


cdef struct reader:
    const char *data
    Py_ssize_t size, at


def decode(bytes data not None):
    """The dictionary at the beginning of ``data``; reads every byte at most once."""
    cdef reader source
    source.data, source.size, source.at = PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), 1
    if source.size == 0 or source.data[0] != b"d":
        raise BencodeError("no dictionary", 0)
    return _dictionary(&source, 1)


cdef inline int _kind(reader *source) noexcept:
    """The next byte, -1 at the end."""
    return <unsigned char>source.data[source.at] if source.at < source.size else -1


cdef dict _dictionary(reader *source, int depth):
    """``at`` is behind the ``d``. The first of two equal keys wins."""
    cdef dict found = {}
    cdef int kind = _kind(source)
    while kind != b"e":
        key = _key(source, kind)
        kind = _kind(source)
        if kind == b"e":
            raise BencodeError("key without value", source.at)
        value = _value(source, kind, depth)
        if not PyDict_Contains(found, key):
            PyDict_SetItem(found, key, value)
        kind = _kind(source)
    source.at += 1
    return found


cdef str _key(reader *source, int kind):
    if b"0" <= kind <= b"9":
        return _string(source)
    if kind == b"i":
        source.at += 1
        _integer(source)
    if kind in (b"d", b"l", b"i"):
        raise BencodeError("key is not a string", source.at)
    raise BencodeError("unexpected byte or end", source.at)


cdef object _value(reader *source, int kind, int depth):
    cdef list items
    if b"0" <= kind <= b"9":
        return _string(source)
    if kind == b"i":
        source.at += 1
        return _integer(source)
    if kind != b"d" and kind != b"l":
        raise BencodeError("unexpected byte or end", source.at)
    if depth == DEEPEST:
        raise BencodeError("nested too deeply", source.at)
    source.at += 1
    if kind == b"d":
        return _dictionary(source, depth + 1)
    items = []
    kind = _kind(source)
    while kind != b"e":
        items.append(_value(source, kind, depth + 1))
        kind = _kind(source)
    source.at += 1
    return items


cdef Py_ssize_t _digits(reader *source, char end, Py_ssize_t start):
    """Where ``end`` stands behind at least one digit from ``start`` on; -1 if it does not."""
    cdef Py_ssize_t at = start
    while at < source.size and b"0" <= source.data[at] <= b"9":
        at += 1
    return at if at > start and at < source.size and source.data[at] == end else -1


cdef object _integer(reader *source):
    """``at`` is behind the ``i``."""
    cdef Py_ssize_t start = source.at
    cdef bint minus = _kind(source) == b"-"
    cdef Py_ssize_t end = _digits(source, b"e", start + minus)
    if end < 0 or end - start > DIGITS:
        raise BencodeError("bad integer", start)
    source.at = end + 1
    return int(source.data[start:end])


cdef str _string(reader *source):
    cdef Py_ssize_t start = source.at, i, length = 0
    cdef Py_ssize_t colon = _digits(source, b":", start)
    if colon < 0 or colon - start > DIGITS or (source.data[start] == b"0" and colon - start > 1):
        raise BencodeError("bad length", start)
    for i in range(start, colon):
        length = 10 * length + (source.data[i] - 48)
        if length > source.size:
            break
    if length > source.size - colon - 1:
        raise BencodeError("string is longer than the message", start)
    source.at = colon + 1 + length
    return PyUnicode_DecodeUTF8(source.data + colon + 1, length, "surrogateescape")


# ---- writing


cdef struct writer:
    char *data
    Py_ssize_t size, room


def encode(value):
    """``value``, a mapping, in bencode; keys in the order they were put in."""
    cdef writer out
    out.data, out.size, out.room = NULL, 0, 0
    try:
        _write(&out, value, 0)
        return PyBytes_FromStringAndSize(out.data, out.size)
    finally:
        free(out.data)


cdef int _write(writer *out, value, int depth) except -1:
    if isinstance(value, str):
        return _write_string(out, value)
    if isinstance(value, int):
        return _write_integer(out, value)
    if depth == 1000:
        raise RecursionError("a message inside itself")
    if isinstance(value, dict):
        _write_dictionary(out, value, depth)
    elif not isinstance(value, (list, tuple)) and isinstance(value, Mapping):
        _write_dictionary(out, dict(value), depth)
    else:
        _put(out, b"l", 1)
        for item in value:
            _write(out, item, depth + 1)
        _put(out, b"e", 1)
    return 0


cdef int _write_dictionary(writer *out, dict value, int depth) except -1:
    _put(out, b"d", 1)
    for key, item in value.items():
        if not isinstance(key, str):
            raise TypeError(f"not a key: {key!r}")
        _write_string(out, key)
        _write(out, item, depth + 1)
    return _put(out, b"e", 1)


cdef int _write_integer(writer *out, value) except -1:
    cdef char digits[24]
    cdef long long number
    try:
        number = value
    except OverflowError:
        return _write_bytes(out, b"i%de" % value)
    return _put(out, digits, snprintf(digits, sizeof(digits), "i%llde", number))


cdef int _write_string(writer *out, str text) except -1:
    cdef Py_ssize_t size
    cdef const char *octets
    cdef char length[24]
    if PyUnicode_IS_COMPACT_ASCII(text):
        octets = PyUnicode_AsUTF8AndSize(text, &size)
        _put(out, length, snprintf(length, sizeof(length), "%zd:", size))
        return _put(out, octets, size)
    encoded = text.encode("utf-8", "surrogateescape")
    return _write_bytes(out, b"%d:%b" % (len(encoded), encoded))


cdef int _write_bytes(writer *out, bytes octets) except -1:
    return _put(out, PyBytes_AS_STRING(octets), PyBytes_GET_SIZE(octets))


cdef int _put(writer *out, const char *octets, Py_ssize_t size) except -1:
    cdef char *larger
    cdef Py_ssize_t room
    if size > out.room - out.size:
        room = 2 * out.room + size + 4096
        larger = <char *>realloc(out.data, room)
        if larger == NULL:
            raise MemoryError
        out.data, out.room = larger, room
    memcpy(out.data + out.size, octets, size)
    out.size += size
    return 0
