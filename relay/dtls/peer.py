"""Who the other end of a handshake has to be: judged by the fingerprints in its SDP, not by who signed it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from OpenSSL import SSL, crypto

from relay.dtls.fingerprint import Fingerprint, matches


@dataclass(slots=True)
class Peer:
    """Hangs on the connection, so that one context serves many peers."""

    expected: Sequence[Fingerprint]
    refused: bool = False
    """A certificate was shown that the SDP did not promise."""

    def accepts(self, certificate: bytes) -> bool:
        """Of a certificate in DER."""
        self.refused = not matches(certificate, self.expected)
        return not self.refused


def verify(connection: SSL.Connection, certificate: crypto.X509, error: int, depth: int, good: int) -> bool:
    """OpenSSL's callback. What it thinks of dates, signers and the rest of the chain is not asked."""
    peer = connection.get_app_data()
    assert isinstance(peer, Peer)
    return depth > 0 or peer.accepts(crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate))
