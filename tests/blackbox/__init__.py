"""The daemon from outside: its ng socket, its media ports, its metrics, and nothing else of it."""
