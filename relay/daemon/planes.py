"""Which plane forwards: user space, and the kernel for what it can take off it."""

from __future__ import annotations

import errno
from collections.abc import Sequence

from relay.forward.offload import gates
from relay.forward.offload.bpf import BpfError
from relay.forward.offload.elf import ObjectError
from relay.forward.offload.gates import Gate
from relay.forward.offload.kernel import Kernel
from relay.forward.offload.steering import Steering
from relay.forward.offload.tiered import Lending, TieredPlane, Turn

USERSPACE, EBPF = "userspace", "ebpf"
"""Values of ``--plane``; the third, ``auto``, is eBPF where it can be had."""

OFF = "off"
"""Of ``--range-socket``."""

REMEDY = "run as root, or see docs/planes.md for systemd"


class PlaneRefused(OSError):
    """``--plane=ebpf``, and it cannot be had on every address. The text says where, why, and what to do."""


def share(
    wanted: str, workers: int, first: int, last: int, addresses: Sequence[str]
) -> tuple[Steering | None, str]:
    """What makes streams share a socket for each worker, and the line of the log that says so, or why not.

    Ports go from ``first`` to ``last``, at ``addresses``.
    """
    try:
        if wanted == OFF:
            raise _NotShared("--range-socket=off")
        if lacking := gates.missing_capabilities():
            raise _NotShared(f"{lacking} missing; {REMEDY}")
        steering = Steering(workers, first, last, addresses)
        one_by_one = f"; packets leave one by one: {steering.no_raw}" if steering.no_raw else ""
        return steering, f"user space: range socket{one_by_one}"
    except _NotShared as why:
        reason = str(why)
    except (BpfError, ObjectError, OSError) as error:
        reason = _refusal(error, "5.9")
    return None, f"user space: a socket for each port; no range socket: {reason}"


class _NotShared(Exception):
    """Why there is no range socket."""


def choose(
    wanted: str, userspace: Lending, addresses: Sequence[str]
) -> tuple[TieredPlane | None, list[Gate]]:
    """The plane over both tiers if there is anything for the kernel to do, and the gates of all addresses.

    Raises ``PlaneRefused``.
    """
    if wanted == USERSPACE:
        return None, gates.closed(addresses, "--plane=userspace")
    found = gates.survey(addresses)
    kernel: Kernel | None = None
    if not all(gate.reason for gate in found):
        kernel, found = _with_kernel(found)
    refused = [str(gate) for gate in found if gate.kind is None]
    if refused and wanted == EBPF:
        if kernel is not None:
            kernel.close()
        raise PlaneRefused(f"--plane=ebpf: {'; '.join(refused)}")
    return (TieredPlane(userspace, kernel, found) if kernel is not None else None), found


def told(turn: Turn) -> str:
    """The line of the log about a gate whose program stopped to forward, or does so again."""
    if turn.works:
        return f"{turn.gate} again"
    where = f"plane of {turn.gate.address} on {turn.gate.device}"
    reason = (
        turn.reason or "`ip route get PEER from ADDRESS` and `ip neigh` show the way out, if there is one"
    )
    return f"{where}: userspace, for ebpf forwards nothing any more: {reason}"


def _with_kernel(surveyed: list[Gate]) -> tuple[Kernel | None, list[Gate]]:
    """Load and attach, or the reason why not at every gate that had none yet."""
    if lacking := gates.missing_capabilities():
        return None, gates.for_want_of(surveyed, f"{lacking} missing; {REMEDY}")
    try:
        kernel = Kernel()
    except (BpfError, ObjectError, OSError) as error:
        return None, gates.for_want_of(surveyed, _refusal(error, "5.18"))
    found = gates.attach(kernel, surveyed)
    if any(gate.kind is not None for gate in found):
        return kernel, found
    kernel.close()
    return None, found


def _refusal(error: Exception, kernel: str) -> str:
    if isinstance(error, BpfError) and error.errno == errno.EPERM:
        return f"{error}; the capabilities must be those of the machine, not of a container's own users"
    log = error.log if isinstance(error, BpfError) else ""
    return f"{error}; kernel {kernel} or newer is needed" + (f"; the verifier said:\n{log}" if log else "")
