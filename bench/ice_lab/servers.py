"""The programs in the middle: the relays that are compared, and a STUN and TURN server."""

from __future__ import annotations

import shlex
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from bench.ice_lab.namespaces import LabError, Namespace
from tests.interop.process import Process, find_program, wait_until
from tests.ng import NgClient, Value

NG = ("127.0.0.1", 2223)
PORTS = (20000, 29999)

ALWAYS = "lab"
"""The name of a policy that fits nobody: only who asks for it gets assist."""

DAEMONS = {
    "icerelay": f"{sys.executable} -m relay.cli serve --interface={{address}} --listen-ng={{ng}} "
    f"--port-min={PORTS[0]} --port-max={PORTS[1]} --delete-delay=0 --log-level=warning "
    f"'--policy={ALWAYS} user-agent=nobody assist=always'",
    "rtpengine": "rtpengine --config-file=none --foreground --log-stderr --log-level=4 --table=-1 "
    "--num-threads=4 --interface={address} --listen-ng={ng} "
    f"--port-min={PORTS[0]} --port-max={PORTS[1]} --delete-delay=0",
}


@dataclass(frozen=True)
class Treatment:
    """What is between the phones: a daemon with a value of ``ICE``, or nothing.

    ``mode`` is that value, or ``assist``: ``optimize`` with a policy that always wants that result, or
    ``none``.
    """

    name: str
    daemon: str | None = None
    mode: str = "none"


NO_RELAY = Treatment("no relay")
MODES = ("force", "optimize", "assist", "force-relay")
OPTIMIZER = ("optimize", "assist")
"""Words that only icerelay knows."""


def treatments(daemons: list[str]) -> list[Treatment]:
    """
    >>> [treatment.name for treatment in treatments(["icerelay"])][:3]
    ['icerelay force', 'icerelay optimize', 'icerelay assist']
    >>> [treatment.name for treatment in treatments(["rtpengine"])]
    ['rtpengine force', 'rtpengine force-relay', 'no relay']
    """
    return [
        *(
            Treatment(f"{name} {mode}", name, mode)
            for mode in MODES
            for name in daemons
            if name == "icerelay" or mode not in OPTIMIZER
        ),
        NO_RELAY,
    ]


@dataclass(frozen=True)
class Known:
    """What a proxy knows of caller and callee: where their signalling comes from, and their networks."""

    addresses: tuple[str, str]
    networks: tuple[str, str]

    def keys(self, mode: str, command: str) -> dict[str, Value]:
        """The words of ``command`` about ICE."""
        if mode not in OPTIMIZER:
            return {"ICE": mode}
        keys: dict[str, Value] = {
            "ICE": "optimize",
            "received_from": ["IP4", self.addresses[command == "answer"]],
            "network_legs": {"from": self.networks[0], "to": self.networks[1]},
        }
        return keys | {"ice_policy": ALWAYS} if mode == "assist" else keys


class Relay:
    """A daemon in its namespace, and an ng client that talks to it as a proxy does."""

    def __init__(self, name: str, command: str, namespace: Namespace, address: str) -> None:
        program, *words = shlex.split(command.format(address=address, ng=f"{NG[0]}:{NG[1]}"))
        self.name = name
        self._process = Process(namespace.command(find_program(program), *words))
        with namespace.entered():
            self._client = NgClient(NG)
        try:
            wait_until(self._is_ready, f"{name} answers a ping", timeout=15.0)
        except AssertionError as error:
            self.stop()
            raise LabError(f"{error}; it wrote:\n{self._process.output}") from None

    def _is_ready(self) -> bool:
        if self._process.returncode is not None:
            raise AssertionError(f"{self.name} ended ({self._process.returncode})")
        try:
            return self._client.ask("ping") == {"result": "pong"}
        except OSError:
            return False

    def rewritten(self, command: str, call: str, sdp: str, words: dict[str, Value]) -> str:
        """The description for the other side. Raises LabError with what the relay says."""
        keys: dict[str, Value] = {"call_id": call, "from_tag": "caller", "sdp": sdp, **words}
        if command == "answer":
            keys["to_tag"] = "callee"
        try:
            reply = self._client.ask(command, **keys)
        except OSError as error:
            raise LabError(f"{self.name} does not reply to {command}: {error}") from None
        if reply["result"] != "ok":
            raise LabError(f"{self.name} refuses the {command}: {reply.get('error-reason')}")
        return str(reply["sdp"])

    def result(self, call: str) -> str | None:
        """What ``ICE=optimize`` came to in a call, and why; None where nobody was asked for that."""
        try:
            tags: Any = self._client.ask("query", call_id=call, from_tag="caller").get("tags", {})
        except OSError:
            return None
        for tag in tags.values():
            for media in tag.get("medias", []):
                if "ICE" in media:
                    return f"{media['ICE']['mode']} ({media['ICE']['why']})"
        return None

    def delete(self, call: str) -> None:
        self._client.ask("delete", call_id=call, from_tag="caller")

    def stop(self) -> None:
        self._client.close()
        self._process.stop()


@contextmanager
def turn_server(namespace: Namespace, address: str) -> Iterator[None]:
    """coturn at ports 3478 and 443, over UDP and TCP, as the only thing that UDP-less phones reach."""
    with tempfile.TemporaryDirectory(prefix="icelab-") as directory:
        process = Process(
            namespace.command(
                find_program("turnserver"), "-n", f"--listening-ip={address}", f"--relay-ip={address}",
                "--listening-port=3478", f"--aux-server={address}:443", "--lt-cred-mech", "--user=lab:lab",
                "--realm=lab", "--no-tls", "--no-dtls", "--no-cli", "--log-file=stdout", "--simple-log",
                f"--pidfile={directory}/pid", f"--userdb={directory}/db",
            )
        )  # fmt: skip
        try:
            with namespace.entered():
                wait_until(_listens, "coturn listens", timeout=15.0)
            yield
        except AssertionError as error:
            raise LabError(f"{error}; it wrote:\n{process.output}") from None
        finally:
            process.stop()


def _listens() -> bool:
    """Asked of the kernel, for the process may be a moment away from it."""
    with open("/proc/thread-self/net/tcp") as table:
        ports = {line.split()[1].rpartition(":")[2] for line in table if ":" in line}
    return {f"{443:04X}", f"{3478:04X}"} <= ports
