"""Files with secrets: the key of the hashes, and the token of the apps."""

from __future__ import annotations

import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

SHORTEST = 16
"""Bytes; less could be guessed."""
FRESH = 32


class SecretError(Exception):
    """The secret cannot be had. The text says why, and what to do."""


def read(path: str) -> bytes:
    """The secret in this file, without white space around it. Raises ``SecretError``."""
    try:
        found = Path(path).read_bytes().strip()
    except OSError as error:
        raise SecretError(f"{path}: {error.strerror}") from error
    if len(found) < SHORTEST:
        raise SecretError(f"{path}: a secret has {SHORTEST} bytes or more; openssl rand -hex 32 makes one")
    return found


def read_or_make(path: str) -> bytes:
    """The same; a file that is not there is made, readable for us alone. Raises ``SecretError``."""
    with suppress(FileExistsError):
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise
        except OSError as error:
            raise SecretError(f"{path}: {error.strerror}") from error
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(FRESH) + "\n")
    return read(path)


def renew(path: str) -> bytes:
    """Another secret in this file. Raises ``SecretError``; the old one is there then, and whole."""
    file = Path(path).resolve()
    try:
        descriptor, beside = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)  # for us alone
    except OSError as error:
        raise SecretError(f"{path}: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "w") as new:
            new.write(secrets.token_hex(FRESH) + "\n")
            new.flush()
            os.fsync(descriptor)
        os.replace(beside, file)
    except OSError as error:
        os.unlink(beside)
        raise SecretError(f"{path}: {error.strerror}") from error
    return read(path)
