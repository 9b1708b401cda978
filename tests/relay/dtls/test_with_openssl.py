"""The openssl program as the peer, over loopback: it prints the keys that it exports."""

from __future__ import annotations

import os
import random
import re
import select
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from relay.dtls.fingerprint import Fingerprint
from relay.dtls.handshake import Failed, Handshake, Keys, Output, Reason, Role, Send
from relay.dtls.profile import LABEL, PROFILES, Profile
from relay.dtls.records import MAX_DATAGRAM
from tests.relay.dtls.network import OURS

LIMIT = 20.0
"""Seconds for a handshake, with losses. Openssl repeats after 1, 3, 7 and 15 s."""
CURVE = ("ec", "-pkeyopt", "ec_paramgen_curve:P-256")
CHANGE_CIPHER_SPEC = 20
"""First byte of the last flight."""
RSA = ("rsa:4096",)


@dataclass(frozen=True, slots=True)
class Certificate:
    """With its key, in a file."""

    file: Path
    fingerprint: Fingerprint


def make_certificate(file: Path, algorithm: tuple[str, ...]) -> Certificate:
    command = ["openssl", "req", "-x509", "-newkey", *algorithm, "-nodes", "-subj", "/CN=peer"]
    subprocess.run([*command, "-keyout", file, "-out", f"{file}.crt"], check=True, capture_output=True)
    certificate = Path(f"{file}.crt").read_bytes()
    file.write_bytes(file.read_bytes() + certificate)
    der = x509.load_pem_x509_certificate(certificate).public_bytes(Encoding.DER)
    return Certificate(file, Fingerprint.of(der))


@pytest.fixture(scope="module")
def curve(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("curve") / "peer.pem", CURVE)


@pytest.fixture(scope="module")
def rsa(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("rsa") / "peer.pem", RSA)


@dataclass(slots=True)
class Meeting:
    """A handshake of ours at a socket, and what the program at the other end says."""

    socket: socket.socket
    handshake: Handshake
    program: subprocess.Popen[bytes]
    remote: tuple[str, int] | None = None
    lost: Callable[[bytes], bool] = lambda datagram: False
    outputs: list[Output] = field(default_factory=list)
    said: bytes = b""
    largest: int = 0
    """Datagram that was sent."""

    def until(self, condition: Callable[[], object]) -> None:
        limit = time.monotonic() + LIMIT
        self.take(self.handshake.start(time.monotonic()))
        assert self.program.stdout is not None
        talking: list[socket.socket | IO[bytes]] = [self.socket, self.program.stdout]
        while not condition():
            deadline = min(self.handshake.deadline or limit, limit)
            ready = select.select(talking, [], [], max(0.0, deadline - time.monotonic()))[0]
            if self.socket in ready:
                datagram, self.remote = self.socket.recvfrom(65536)
                if not self.lost(datagram):
                    self.take(self.handshake.received(datagram, time.monotonic()))
            if self.program.stdout in ready:
                line = os.read(self.program.stdout.fileno(), 65536)
                self.said += line
                if not line:
                    talking.remove(self.program.stdout)
            self.take(self.handshake.timeout(time.monotonic()))
            assert time.monotonic() < limit, (self.outputs, self.said)

    def take(self, outputs: list[Output]) -> None:
        for output in outputs:
            if not isinstance(output, Send):
                self.outputs.append(output)
                continue
            self.largest = max(self.largest, len(output.datagram))
            if self.remote and not self.lost(output.datagram):
                self.socket.sendto(output.datagram, self.remote)

    def result(self) -> Output:
        """The first thing that the handshake yields."""
        self.until(lambda: self.outputs)
        return self.outputs[0]

    def keys(self) -> Keys:
        keys = self.result()
        assert isinstance(keys, Keys)
        return keys

    def exported(self) -> tuple[bytes, bytes]:
        """The client's and the server's key, as the program printed them."""
        line = re.compile(rb"Keying material: ([0-9A-F]+)\s")
        self.until(lambda: line.search(self.said))
        printed = line.search(self.said)
        assert printed is not None
        return self.keys().profile.split(bytes.fromhex(printed[1].decode()))

    def assert_same_keys(self) -> None:
        keys = self.keys()
        active = self.handshake.role is Role.ACTIVE
        assert self.exported() == ((keys.local, keys.remote) if active else (keys.remote, keys.local))


Meet = Callable[..., Meeting]


@pytest.fixture
def meet() -> Iterator[Meet]:
    meetings: list[Meeting] = []

    def start(
        role: Role,
        shown: Certificate | None,
        expected: Fingerprint,
        profile: Profile = PROFILES[2],
        more: tuple[str, ...] = (),
    ) -> Meeting:
        ours = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        ours.bind(("127.0.0.1", 0))
        here, there = f"127.0.0.1:{ours.getsockname()[1]}", free_port()
        command = {
            Role.PASSIVE: ["s_client", "-connect", here],
            Role.ACTIVE: ["s_server", "-accept", f"127.0.0.1:{there}", "-Verify", "1", "-naccept", "1"],
        }[role]
        certificate = ["-cert", str(shown.file), "-key", str(shown.file)] if shown else []
        material = ["-keymatexport", LABEL.decode(), "-keymatexportlen", str(profile.material)]
        program = subprocess.Popen(
            ["openssl", *command, "-dtls1_2", "-use_srtp", profile.name, *certificate, *material, *more],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        handshake = Handshake(OURS, role, [expected])
        remote = ("127.0.0.1", there) if role is Role.ACTIVE else None
        meetings.append(Meeting(ours, handshake, program, remote))
        return meetings[-1]

    yield start
    for meeting in meetings:
        meeting.program.kill()
        meeting.program.communicate()
        meeting.socket.close()


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


ROLES = pytest.mark.parametrize("role", Role, ids=lambda role: role.value)


@ROLES
@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.suite)
def test_the_peer_exports_the_keys_that_we_use(
    meet: Meet, curve: Certificate, role: Role, profile: Profile
) -> None:
    meeting = meet(role, curve, curve.fingerprint, profile)
    assert meeting.keys().profile == profile
    meeting.assert_same_keys()


@ROLES
def test_a_peer_with_an_rsa_certificate_of_4096_bits_connects(
    meet: Meet, rsa: Certificate, role: Role
) -> None:
    meeting = meet(role, rsa, rsa.fingerprint)
    meeting.assert_same_keys()
    assert meeting.largest <= MAX_DATAGRAM


def test_a_server_that_asks_for_a_cookie_gets_it(meet: Meet, curve: Certificate) -> None:
    meeting = meet(Role.ACTIVE, curve, curve.fingerprint, more=("-listen",))
    meeting.assert_same_keys()


@ROLES
def test_a_peer_with_another_certificate_is_refused(meet: Meet, curve: Certificate, role: Role) -> None:
    meeting = meet(role, curve, OURS.fingerprint())
    assert meeting.result() == Failed(Reason.FINGERPRINT)
    meeting.until(lambda: b"alert unknown ca" in meeting.said)


def test_a_client_without_a_certificate_is_refused(meet: Meet, curve: Certificate) -> None:
    meeting = meet(Role.PASSIVE, None, curve.fingerprint)
    assert meeting.result() == Failed(Reason.NO_CERTIFICATE)


@ROLES
@pytest.mark.parametrize("seed", range(3))
def test_a_fifth_of_the_datagrams_may_be_lost(meet: Meet, curve: Certificate, role: Role, seed: int) -> None:
    chance = random.Random(seed)
    meeting = meet(role, curve, curve.fingerprint)
    meeting.lost = lambda datagram: chance.random() < 0.2
    meeting.assert_same_keys()


@ROLES
def test_the_last_flight_may_be_lost(meet: Meet, curve: Certificate, role: Role) -> None:
    """A server has our copies already, and is moved only by OpenSSL's own repeat; a client repeats itself."""
    meeting = meet(role, curve, curve.fingerprint)
    dropped: list[bytes] = []

    def lost(datagram: bytes) -> bool:
        if datagram[0] != CHANGE_CIPHER_SPEC or dropped:
            return False
        dropped.append(datagram)
        return True

    meeting.lost = lost
    meeting.assert_same_keys()
    assert dropped
