"""Random calls and random packets, with new seeds until the time is over.

    python -m tests.fuzz --minutes 10

The same tests as in every run, which have fixed seeds. What fails is printed
with the command that repeats it.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import time

from tests.seeds import FROM

CALLS = "tests/relay/calls/test_random.py"
PACKETS = "tests/relay/forward/test_twins.py"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, help="of the first round; the rounds that failed say theirs")
    options = parser.parse_args()
    end, failed = time.monotonic() + 60 * options.minutes, 0
    seed = random.randrange(2**31) if options.seed is None else options.seed
    rounds = 0
    while rounds == 0 or (time.monotonic() < end and options.seed is None):
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", CALLS, PACKETS],
            env=os.environ | {FROM: str(seed)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            failed += 1
            print(done.stdout, f"\nagain: python -m tests.fuzz --seed {seed}", sep="", flush=True)
        seed, rounds = seed + 1000, rounds + 1
    print(f"{rounds} rounds, {failed} failed")
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
