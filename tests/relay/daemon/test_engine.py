from __future__ import annotations

import numpy as np

from relay.daemon.engine import last_seen
from relay.forward.plane import COUNTERS


def test_media_and_checks_are_both_signs_of_life() -> None:
    rows = np.zeros(3, COUNTERS)
    rows["last_packet"] = [0, 3_000_000_000, 5_000_000_000]
    rows["last_check"] = [0, 4_500_000_000, 2_000_000_000]
    assert [last_seen(rows)(rule) for rule in range(3)] == [0.0, 4.5, 5.0]
