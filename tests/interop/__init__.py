"""Calls through the relay with real peers: Kamailio, SIPp, and scripted phones."""
