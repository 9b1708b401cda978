"""A real Kamailio, driven by the script kamailio.cfg next to this file."""

from pathlib import Path

from tests.interop.process import Process, find_program
from tests.interop.relay import free_port
from tests.ng import Address

ADDRESS = "127.0.0.20"
SCRIPT = Path(__file__).with_name("kamailio.cfg")


class Kamailio:
    """Foreground Kamailio with four UDP workers and a runtime directory of its own.

    `relay` is the ng socket it normally uses, `lossy` the one for calls marked ``lossy``. Both must
    answer before it starts: it pings them once, and puts a silent one aside for a minute.
    """

    def __init__(self, runtime: Path, relay: Address, lossy: Address) -> None:
        self.address: Address = (ADDRESS, free_port(ADDRESS))
        self._process = Process(
            [
                find_program("kamailio"), "-DD", "-E", "-f", str(SCRIPT),
                "-Y", str(runtime), "-w", str(runtime), "-P", str(runtime / "pid"),
                "-m", "64", "-M", "8",
                "-l", f"udp:{self.address[0]}:{self.address[1]}",
                "-A", f'RELAY="udp:{relay[0]}:{relay[1]}"',
                "-A", f'LOSSY="1 == udp:{lossy[0]}:{lossy[1]}"',
            ]
        )  # fmt: skip
        for node in (relay, lossy):
            self._process.wait_for_output(f"udp:{node[0]}:{node[1]}> found, support for it enabled")

    @property
    def log(self) -> str:
        return self._process.output

    def stop(self) -> None:
        self._process.stop()
