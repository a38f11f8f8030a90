"""The keys of signed versions: the private one that signs what is registered, the public ones that are believed.

Each is a PEM file, or the PEM itself, as Airflow and Kubernetes hand it over. Neither is ever read from where versions
and their artifacts are.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from include.errors import Refused
from include.settings import PEM, SIGNING_KEY, TRUSTED_KEYS, Settings

PRIVATE_FILE: Final = "signing.pem"
PUBLIC_FILE: Final = "trusted.pem"
_MAKE: Final = "python -m include.registry keygen makes a pair."
_ONE_KEY: Final = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)
_NOT_OTHERS: Final = stat.S_IRWXO | stat.S_IWGRP
"""A group may read it: that is how Kubernetes gives a Secret to a user that is not root."""


class KeyUnusable(Refused):
    """A key is not there, cannot be read, is of another kind, or is open to others.

    :param variable: the environment variable that names it.
    :param place: its file.
    """

    def __init__(self, variable: str, place: str, problem: str, cure: str) -> None:
        self.variable = variable
        self.place = place
        super().__init__(f"{variable} ({place}) cannot be used: {problem}. {cure}")


class SigningKeyMissing(Refused):
    """Versions must be signed here, and there is no key to sign with."""

    def __init__(self) -> None:
        super().__init__(
            f"{TRUSTED_KEYS} asks for signed versions, and there is no key to sign with: {SIGNING_KEY} is not set. In "
            f"Airflow add the connection noria_signing with the private key as its password, or name its file in "
            f"{SIGNING_KEY}. {_MAKE}"
        )


class SigningKeyUntrusted(Refused):
    """The key at hand is not among those that are believed, so that nobody would load what it signs."""

    def __init__(self, signer: str) -> None:
        self.signer = signer
        super().__init__(
            f"The key in {SIGNING_KEY} is {signer}, which is not among {TRUSTED_KEYS}: what it signs would be refused. "
            "Add its public half there, for servers and steps too, or use the right key."
        )


class KeysExist(Refused):
    """Keys are never overwritten: what they have signed would be lost."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(f"{path} is there already and is kept. Name another folder.")


def key_id(key: Ed25519PublicKey) -> str:
    """The name of a key: the first 16 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def trusted_keys(settings: Settings) -> Mapping[str, Ed25519PublicKey] | None:
    """The public keys that are believed here, by name; None if signatures are not asked for.

    :raises KeyUnusable: they cannot be read, there is none, or one of them is no Ed25519 public key.
    """
    if settings.trusted_keys is None:
        return None
    return _public_keys(*_read(TRUSTED_KEYS, settings.trusted_keys))


def private_key(settings: Settings) -> Ed25519PrivateKey | None:
    """The key that signs here; None where there is none and none is needed.

    :raises SigningKeyMissing: there is none, and signatures are asked for.
    :raises KeyUnusable: it cannot be read, is of another kind, or others may read it.
    :raises SigningKeyUntrusted: it is not among the keys that are believed here.
    """
    trusted = trusted_keys(settings)
    if settings.signing_key is None:
        if trusted is not None:
            raise SigningKeyMissing
        return None
    text, place = _read(SIGNING_KEY, settings.signing_key, private=True)
    try:
        key = serialization.load_pem_private_key(text.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None  # the library's own words might repeat what is in the file
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyUnusable(
            SIGNING_KEY, place, "it is no Ed25519 private key in PEM without a passphrase", _MAKE
        ) from None
    if trusted is not None and key_id(key.public_key()) not in trusted:
        raise SigningKeyUntrusted(key_id(key.public_key()))
    return key


def make_pair(folder: Path) -> str:
    """Make ``signing.pem`` (its owner's alone) and ``trusted.pem`` in a folder; returns the key's name.

    :raises KeysExist: one of them is there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for path in (folder / PRIVATE_FILE, folder / PUBLIC_FILE):
        if path.exists():
            raise KeysExist(path)
    key = Ed25519PrivateKey.generate()
    pem = serialization.Encoding.PEM
    public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    _write(folder / PUBLIC_FILE, public, 0o644)
    _write(folder / PRIVATE_FILE, private, 0o600)
    return key_id(key.public_key())


def _write(path: Path, content: bytes, mode: int) -> None:
    """Whole or not at all, and never open to others, not even for a moment."""
    part = path.with_name(f".{path.name}-{os.getpid()}")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


@lru_cache(maxsize=8)
def _public_keys(text: str, place: str) -> Mapping[str, Ed25519PublicKey]:
    keys: dict[str, Ed25519PublicKey] = {}
    for found in _ONE_KEY.finditer(text):
        if "PRIVATE" in found[1]:
            problem = "it holds a private key"
            raise KeyUnusable(TRUSTED_KEYS, place, problem, "Only public keys belong there: take it out.")
        try:
            key = serialization.load_pem_public_key(found[0].encode())
        except (ValueError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, Ed25519PublicKey):
            raise KeyUnusable(TRUSTED_KEYS, place, f"key {len(keys) + 1} in it is no Ed25519 public key", _MAKE)
        keys[key_id(key)] = key
    if not keys:
        raise KeyUnusable(TRUSTED_KEYS, place, "it holds no public key in PEM", _MAKE)
    return keys


def _read(variable: str, value: str, *, private: bool = False) -> tuple[str, str]:
    """The PEM, and where it was, for messages: the value itself, or the content of the file that it names."""
    if value.lstrip().startswith(PEM):
        return value, "its value"
    path = Path(value)
    try:
        if private and stat.S_IMODE(path.stat().st_mode) & _NOT_OTHERS:
            problem = "others on this machine may read or replace it"
            raise KeyUnusable(variable, value, problem, f"Leave it to its owner: chmod 600 {value}")
        return path.read_text(encoding="utf-8"), value
    except OSError as error:
        cure = f"Name the file of the key in {variable}, or leave that unset."
        raise KeyUnusable(variable, value, error.strerror or type(error).__name__, cure) from None
    except UnicodeDecodeError:
        raise KeyUnusable(variable, value, "it is no text", _MAKE) from None
