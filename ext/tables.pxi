# Memory that Python gives to workers.

cdef class _Table:
    """Zeroed memory for ``count`` elements; a page costs nothing until it is touched."""

    cdef object memory
    cdef void *start

    def __cinit__(self, size_t element, size_t count):
        self.memory = mmap.mmap(-1, element * count, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE)
        cdef uint8_t[::1] view = self.memory
        self.start = &view[0]


cdef class _Batch:
    """Changes in native form, kept until the worker has applied them."""

    cdef change *changes
    cdef readonly uint32_t count

    def __cinit__(self, size_t count):
        self.count = count
        self.changes = <change *>calloc(count, sizeof(change))
        if self.changes == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.changes)
