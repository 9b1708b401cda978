"""Where the memory of networks is kept: in the process, in a file, in Redis. A thread does all waiting."""
