"""The native plane under the compiler's sanitizers: memory, undefined behaviour, threads."""
