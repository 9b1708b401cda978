"""Seeds of random tests: the same in every run, but other ones where ``tests.fuzz`` asks for them."""

import os

FROM = "SEEDS_FROM"
"""Environment variable: what all seeds are raised by."""


def seeds(*bounds: int) -> range:
    """As ``range``."""
    first = int(os.environ.get(FROM, "0"))
    wanted = range(*bounds)
    return range(first + wanted.start, first + wanted.stop)
