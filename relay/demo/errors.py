"""What ends a demonstration early."""


class CallFailed(Exception):
    """No call came about. The text is for the person at the terminal."""
