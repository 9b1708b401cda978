"""ICE and STUN: the relay's agent on each leg, without I/O."""
