"""libsrtp, as pylibsrtp brings it along: contexts, and the addresses of its functions for the native plane.

The plane's workers protect packets without Python, so they need what pylibsrtp
keeps to itself: pointers. This is the only module that touches its private
names. They may be missing or mean something else in another build, therefore

- ``load`` checks the version (libsrtp 3 has other signatures) and lets packets
  through the pointers, the public interface and a known answer. If any of it
  is wrong, it raises ``SrtpUnavailable``, and so does ``Plane.open_keys``. There
  is no slow way round: a worker never calls Python, and a relay that silently
  sent media through one thread of Python, or in the clear, would be worse than
  one that offers no SRTP. Plain forwarding needs none of this.
- what the wheel exports only by accident (the policies of the longer AES-CM
  keys, roll-over counters) is looked up by name; without it ``supported`` is
  shorter, and everything else works.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
from collections.abc import Callable, Mapping
from typing import Any

import pylibsrtp

from relay.forward.plane import SrtpUnavailable
from relay.srtp.profiles import AES_CM_128_HMAC_SHA1_80, PROFILES, MasterKey, Profile

TAIL = 16 + 128 + 4
"""Octets of room behind a packet that libsrtp may write: tag, MKI, SRTCP index."""

REPLAY_WINDOW = 1024
"""Packets by which one may be late: a second of video at 8 Mbit/s, in 128 octets per stream."""

_PUBLIC = {
    "AES_CM_128_HMAC_SHA1_80": "srtp_profile_aes128_cm_sha1_80",
    "AES_CM_128_HMAC_SHA1_32": "srtp_profile_aes128_cm_sha1_32",
    "AEAD_AES_128_GCM": "srtp_profile_aead_aes_128_gcm",
    "AEAD_AES_256_GCM": "srtp_profile_aead_aes_256_gcm",
}
"""Suite to pylibsrtp's profile: what works with the public interface as well."""

_EXPORTED = {
    "AES_192_CM_HMAC_SHA1_80": ("aes_cm_192_hmac_sha1_80", "aes_cm_192_hmac_sha1_80"),
    "AES_192_CM_HMAC_SHA1_32": ("aes_cm_192_hmac_sha1_32", "aes_cm_192_hmac_sha1_80"),
    "AES_256_CM_HMAC_SHA1_80": ("aes_cm_256_hmac_sha1_80", "aes_cm_256_hmac_sha1_80"),
    "AES_256_CM_HMAC_SHA1_32": ("aes_cm_256_hmac_sha1_32", "aes_cm_256_hmac_sha1_80"),
    "NULL_HMAC_SHA1_80": ("null_cipher_hmac_sha1_80", "null_cipher_hmac_sha1_80"),
}
"""Suite to the exported functions ``srtp_crypto_policy_set_...`` for RTP and RTCP."""

_KNOWN_KEY = MasterKey(
    bytes.fromhex("e1f97a0d3e018be0d64fa32c06de4139"), bytes.fromhex("0ec675ad498afeebb6960b3aabe6")
)
_KNOWN_PLAIN = bytes.fromhex("800f1234decafbadcafebabe") + b"\xab" * 16
_KNOWN_PROTECTED = bytes.fromhex(
    "800f1234decafbadcafebabe4e55dc4ce79978d88ca4d215949d2402b78d6acc99ea179b8dbb"
)
"""The validation packet of libsrtp's own test driver, AES_CM_128_HMAC_SHA1_80."""

_Call = Callable[[int, Any, Any], int]


class Library:
    """Addresses of libsrtp's functions: ``int f(srtp_t, void *packet, int *length)``, 0 for success.

    Any thread may call them, without the GIL, but a context belongs to one
    thread at a time.
    """

    def __init__(self) -> None:
        """Raises ``SrtpUnavailable`` if a name is missing."""
        try:
            binding: Any = importlib.import_module("pylibsrtp._binding")
            self.ffi, self.lib = binding.ffi, binding.lib
            self.exports = ctypes.CDLL(binding.__file__)
            self.version = self._read_version()
            self.protect, self.unprotect, self.protect_rtcp, self.unprotect_rtcp = (
                self._address(f"srtp_{name}")
                for name in ("protect", "unprotect", "protect_rtcp", "unprotect_rtcp")
            )
        except (ImportError, AttributeError, TypeError, OSError) as missing:
            raise SrtpUnavailable(
                f"pylibsrtp {pylibsrtp.__version__} is not built as expected: {missing}"
            ) from missing

    def exported(self, name: str) -> Any:
        """A function the wheel exports but does not promise, or None."""
        return getattr(self.exports, name, None)

    def new_policy(self, profile: Profile) -> Any:
        """A policy with the profile's algorithms. Raises ``SrtpUnavailable``."""
        policy = self.ffi.new("srtp_policy_t *")
        rtp, rtcp = self.ffi.addressof(policy.rtp), self.ffi.addressof(policy.rtcp)
        if profile.name in _PUBLIC:
            number = getattr(self.lib, _PUBLIC[profile.name])
            _succeed(self.lib.srtp_crypto_policy_set_from_profile_for_rtp(rtp, number))
            _succeed(self.lib.srtp_crypto_policy_set_from_profile_for_rtcp(rtcp, number))
            return policy
        setters = [
            self.exported(f"srtp_crypto_policy_set_{name}") for name in _EXPORTED.get(profile.name, (None,))
        ]
        if None in setters:
            raise SrtpUnavailable(f"{self.version} has no {profile.name}")
        for setter, part in zip(setters, (rtp, rtcp), strict=True):
            setter(ctypes.c_void_p(int(self.ffi.cast("uintptr_t", part))))
        return policy

    def _read_version(self) -> str:
        read = self.exports.srtp_get_version_string
        read.restype = ctypes.c_char_p
        return str(read().decode())

    def _address(self, name: str) -> int:
        return int(self.ffi.cast("uintptr_t", self.ffi.addressof(self.lib, name)))


class Context:
    """The session keys, roll-over counters and replay windows of one direction.

    Any SSRC is taken; its state is made with its first packet and kept until
    ``close``. ``rocs`` has the roll-over counters of SSRCs that did not start
    here. Packets that leave may be repeated with the same sequence number (a
    retransmission), except with AEAD, where another content under the same
    number would give the authentication key away (RFC 7714, section 8.1).

    Raises ``SrtpError`` for a key of the wrong length, and ``SrtpUnavailable``.
    """

    def __init__(
        self, profile: Profile, master: MasterKey, *, inbound: bool, rocs: Mapping[int, int] | None = None
    ) -> None:
        master.check(profile)
        self._library = library()
        self._users = 1
        ffi, lib = self._library.ffi, self._library.lib
        policy = self._library.new_policy(profile)
        policy.window_size = REPLAY_WINDOW
        policy.allow_repeat_tx = int(not inbound and not profile.aead)
        policy.ssrc.type = lib.ssrc_any_inbound if inbound else lib.ssrc_any_outbound
        key = ffi.new("unsigned char[]", master.key + master.salt)
        policy.key = key
        self._srtp = ffi.new("srtp_t *")
        self.address = 0
        try:
            _succeed(lib.srtp_create(self._srtp, policy))
            self.address = int(ffi.cast("uintptr_t", self._srtp[0]))
            for ssrc, roc in (rocs or {}).items():
                self._continue(policy, ssrc, roc)
        except BaseException:
            self.close()
            raise
        finally:
            ffi.buffer(key)[:] = bytes(len(key))

    def protect(self, packet: bytes, *, rtcp: bool = False) -> bytes:
        """Through the same address as the native plane. Raises ``RuntimeError`` with libsrtp's status."""
        return self._call(self._library.protect_rtcp if rtcp else self._library.protect, packet)

    def unprotect(self, packet: bytes, *, rtcp: bool = False) -> bytes:
        """Through the same address as the native plane. Raises ``RuntimeError`` with libsrtp's status."""
        return self._call(self._library.unprotect_rtcp if rtcp else self._library.unprotect, packet)

    def roc(self, ssrc: int) -> int | None:
        """Roll-over counter of an SSRC; None if it was not seen or the library does not tell."""
        read = self._library.exported("srtp_get_stream_roc")
        value = ctypes.c_uint32()
        if read is None or read(ctypes.c_void_p(self.address), ctypes.c_uint32(ssrc), ctypes.byref(value)):
            return None
        return value.value

    def share(self) -> Context:
        """For one more user, who closes it as well."""
        self._users += 1
        return self

    def close(self) -> None:
        """The last user frees the memory and forgets the keys. Nobody may use the address any more."""
        self._users -= 1
        if self._users <= 0 and self.address:
            self.address = 0
            self._library.lib.srtp_dealloc(self._srtp[0])

    def _continue(self, policy: Any, ssrc: int, roc: int) -> None:
        write = self._library.exported("srtp_set_stream_roc")
        if write is None:
            raise SrtpUnavailable(f"{self._library.version} does not let roll-over counters be set")
        policy.ssrc.type, policy.ssrc.value = self._library.lib.ssrc_specific, ssrc
        _succeed(self._library.lib.srtp_add_stream(self._srtp[0], policy))
        _succeed(write(ctypes.c_void_p(self.address), ctypes.c_uint32(ssrc), ctypes.c_uint32(roc)))

    def _call(self, address: int, packet: bytes) -> bytes:
        function = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)(address)
        buffer = ctypes.create_string_buffer(packet, len(packet) + TAIL)
        length = ctypes.c_int(len(packet))
        _succeed(function(self.address, ctypes.addressof(buffer), ctypes.addressof(length)))
        return buffer.raw[: length.value]


@functools.cache
def library() -> Library:
    """The functions, not yet tested. Raises ``SrtpUnavailable``."""
    found = Library()
    if not found.version.startswith("libsrtp2"):
        raise SrtpUnavailable(f"{found.version} is not libsrtp 2")
    return found


@functools.cache
def load() -> Library:
    """The functions, tested once per process (a millisecond). Raises ``SrtpUnavailable``."""
    tested = library()
    try:
        _test_itself()
    except (RuntimeError, pylibsrtp.Error) as failure:
        raise SrtpUnavailable(f"{tested.version} failed its self-test: {failure}") from failure
    return tested


@functools.cache
def supported() -> tuple[Profile, ...]:
    """Profiles that ``Plane.open_keys`` takes here; none at all if SRTP is unavailable."""
    return tuple(profile for profile in PROFILES if _works(profile))


def public_policy(profile: Profile, master: MasterKey, *, inbound: bool) -> pylibsrtp.Policy:
    """The same for ``pylibsrtp.Session``, the slow way. Raises ``SrtpUnavailable``."""
    master.check(profile)
    if profile.name not in _PUBLIC:
        raise SrtpUnavailable(f"the public interface of pylibsrtp has no {profile.name}")
    policy = pylibsrtp.Policy(
        key=master.key + master.salt,
        ssrc_type=pylibsrtp.Policy.SSRC_ANY_INBOUND if inbound else pylibsrtp.Policy.SSRC_ANY_OUTBOUND,
        srtp_profile=getattr(pylibsrtp.Policy, _PUBLIC[profile.name].upper()),
    )
    policy.window_size = REPLAY_WINDOW
    policy.allow_repeat_tx = not inbound and not profile.aead
    return policy


def _works(profile: Profile) -> bool:
    try:
        load()
        master = MasterKey(bytes(profile.key_length), bytes(profile.salt_length))
        Context(profile, master, inbound=True).close()
    except (SrtpUnavailable, RuntimeError):
        return False
    return True


def _test_itself() -> None:
    """Raises ``RuntimeError`` if the functions behind the addresses are not those of the public interface."""
    sender = Context(AES_CM_128_HMAC_SHA1_80, _KNOWN_KEY, inbound=False)
    receiver = Context(AES_CM_128_HMAC_SHA1_80, _KNOWN_KEY, inbound=True)
    public_sender = pylibsrtp.Session(public_policy(AES_CM_128_HMAC_SHA1_80, _KNOWN_KEY, inbound=False))
    public_receiver = pylibsrtp.Session(public_policy(AES_CM_128_HMAC_SHA1_80, _KNOWN_KEY, inbound=True))
    report = bytes.fromhex("81c90001cafebabe") + bytes(24)
    try:
        protected, protected_report = sender.protect(_KNOWN_PLAIN), sender.protect(report, rtcp=True)
        _agree(protected, public_sender.protect(_KNOWN_PLAIN), _KNOWN_PROTECTED)
        _agree(receiver.unprotect(protected), public_receiver.unprotect(protected), _KNOWN_PLAIN)
        _agree(protected_report, public_sender.protect_rtcp(report))
        _agree(
            receiver.unprotect(protected_report, rtcp=True),
            public_receiver.unprotect_rtcp(protected_report),
            report,
        )
    finally:
        sender.close()
        receiver.close()


def _agree(first: bytes, *others: bytes) -> None:
    if any(other != first for other in others):
        raise RuntimeError("the pointers and the public interface give different packets")


def _succeed(status: int) -> None:
    if status:
        raise RuntimeError(f"libsrtp: {pylibsrtp.ERRORS[status]}")
