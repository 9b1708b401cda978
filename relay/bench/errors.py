"""What ends a benchmark early."""


class BenchFailed(Exception):
    """A relay cannot be measured. The text is for the person at the terminal."""
