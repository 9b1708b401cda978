"""What the ng protocol says went wrong, word for word.

Proxies compare some of these strings, so they are all in one place and are
never reworded.
"""

from __future__ import annotations

NO_PAYLOAD = "Invalid data (no payload)"
BAD_BENCODE = "Could not decode bencode dictionary"
BAD_JSON = "Failed to parse JSON document"
NOT_A_JSON_OBJECT = "Could not decode JSON dictionary"
BAD_FORMAT = "Invalid NG data format"
NO_COMMAND = 'Dictionary contains no key "command"'
UNKNOWN_COMMAND = "Unrecognized command"

NO_SDP = "No SDP body in message"
NO_CALL_ID = "No call-id in message"
NO_FROM_TAG = "No from-tag in message"
NO_TO_TAG = "No to-tag in message"

UNKNOWN_CALL = "Unknown call-id"
NOT_DELETED = "Call-ID not found or tags didn't match"
"""An error with the flag ``fatal``, otherwise the ``warning`` of a successful delete."""
NO_SUCH_TAG = "From-tag given, but no such tag exists"
BAD_ASSOCIATION = "Invalid dialogue association"

BAD_SDP = "Failed to parse SDP"
INCOMPLETE_SDP = "Incomplete SDP specification"
REWRITE_FAILED = "Error rewriting SDP"

NO_PORTS = "Ran out of ports"
"""The proxy then tries its next node."""
TOO_MANY_CALLS = "Parallel session limit reached"
"""The proxy then tries its next node; with ``load limit`` support it goes into ``message``."""
TOO_MANY_AT_A_PORT = "Too many medias at one port"
"""Phones that were told the same port, times the medias of its bundle, are more than it serves."""
WORKER_HANGS = "Thread of this call hangs"
"""And so many changes wait for it that there is no room for another one. Ends are taken all the same."""
BAD_LIMIT = "invalid limit, must be >= 0"


class NgError(ValueError):
    """The command fails, and ``reason`` is the ``error-reason`` of the reply."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class BencodeError(ValueError):
    """The bytes are not a bencode dictionary. ``position`` is where reading stopped."""

    def __init__(self, reason: str, position: int) -> None:
        super().__init__(f"{reason} at byte {position}")
        self.position = position
