"""What the relay remembers about visited networks: which ways to it work there, and how fast."""
