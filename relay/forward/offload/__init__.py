"""The eBPF plane: settled RTP streams are forwarded by the kernel, everything else by user space.

elf       the object file: programs, tables, relocations
bpf       the system call
netlink   devices and neighbours, as the network stack knows them
kernel    programs on devices, the table of flows, the counts
gates     which device an address is on, and whether a program can sit there
flow      which streams may go, and as what
ledger    whose the kernel's counts are
carried   what the kernel makes of what it was given
tiered    the plane: user space, and what is taken off it
"""
