"""DTLS-SRTP: the relay's end of a leg's key agreement (RFC 5763, RFC 5764), without I/O."""
