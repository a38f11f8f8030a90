"""Signed versions: what of a registered version is signed, and the check that everybody makes who loads or uses one.

A version's row names the digest of its artifact, so bytes, digest and row are one chain: the bytes are held against
the digest, the row against its signature. Why so, and what it does not protect from: ADR-signed-versions.md.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from include.errors import Refused
from include.registry.signing_keys import key_id, trusted_keys
from include.settings import TRUSTED_KEYS, Settings

_DOMAIN: Final = b"noria model version 1\n"
"""What is signed begins with it, so that no signature stands for anything else; another form gets another number."""


@dataclass(frozen=True, kw_only=True)
class SignedVersion:
    """What never changes of a registered version, and its signature.

    :param version: its number, the same in MLflow.
    :param fingerprint: what it was made from; two versions never share one.
    :param artifact_digest: digest of the packaged model's files.
    :param model_uri: where MLflow keeps the packaged model.
    :param windows: the training windows, as ISO 8601 texts.
    :param decision: the output of the step decide.
    :param signature: in base64; None if it is not signed.
    :param signer: name of the key that signed it.
    """

    model: str
    version: int
    fingerprint: str
    run_id: str
    as_of: datetime
    artifact_digest: str
    model_uri: str
    windows: dict[str, Any]
    decision: dict[str, Any] = field(default_factory=dict)
    signature: str | None = None
    signer: str | None = None

    @property
    def threshold(self) -> float | None:
        """Its own threshold, if one was found for it."""
        return self.decision.get("threshold")

    @cached_property
    def mark(self) -> str:
        """A short text that is another one as soon as anything of this is."""
        digest = hashlib.sha256(f"{self.signer}\n{self.signature}\n".encode())
        digest.update(statement(self))
        return digest.hexdigest()[:32]


class VersionUntrusted(Refused):
    """A version is not known to be what was registered: it is neither loaded nor used."""

    def __init__(self, version: SignedVersion, problem: str, cure: str) -> None:
        self.model = version.model
        self.version = version.version
        self.signer = version.signer
        super().__init__(f"{version.model} version {version.version} is not trusted: {problem}. {cure}")


class SignatureMissing(VersionUntrusted):
    """The version was never signed."""

    def __init__(self, version: SignedVersion) -> None:
        cure = "If it was registered before there was a key, sign it where the key is: python -m include.registry sign"
        super().__init__(version, "it is not signed", f"{cure} {version.model}")


class SignerUnknown(VersionUntrusted):
    """The version was signed by a key that is not believed here."""

    def __init__(self, version: SignedVersion, trusted: Iterable[str]) -> None:
        problem = f"it is signed by the key {version.signer}, and believed are {', '.join(sorted(trusted))}"
        super().__init__(version, problem, f"If that key is yours, add its public half to {TRUSTED_KEYS}.")


class SignatureWrong(VersionUntrusted):
    """The version's row is not what was signed."""

    def __init__(self, version: SignedVersion) -> None:
        problem = (
            f"its row in the registry is not the one that the key {version.signer} has signed: it was changed since"
        )
        super().__init__(version, problem, "Restore the row from a backup, or bar the version and train again.")


def statement(version: SignedVersion) -> bytes:
    """The bytes that are signed: everything of a version that never changes, in one form. Its status is not of it."""
    document = {
        "model": version.model,
        "version": version.version,
        "fingerprint": version.fingerprint,
        "run_id": version.run_id,
        "as_of": version.as_of.astimezone(UTC).isoformat(timespec="microseconds"),
        "artifact_digest": version.artifact_digest,
        "model_uri": version.model_uri,
        "windows": version.windows,
        "decision": version.decision,
    }
    return _DOMAIN + json.dumps(document, sort_keys=True, separators=(",", ":")).encode("ascii")


def sign(version: SignedVersion, key: Ed25519PrivateKey) -> dict[str, str]:
    """The columns that sign a row as the database gives it back: ``signature`` and ``signer``."""
    signature = base64.b64encode(key.sign(statement(version))).decode()
    return {"signature": signature, "signer": key_id(key.public_key())}


def check(settings: Settings, version: SignedVersion) -> None:
    """Refuse a version that no believed key has signed as it is; without such keys nothing is asked for.

    Whoever loads or uses a version calls it first, with the same row from which it then takes digest and address.

    :raises SignatureMissing: it is not signed.
    :raises SignerUnknown: none of the believed keys has signed it.
    :raises SignatureWrong: it is not what was signed.
    :raises KeyUnusable: the keys cannot be read.
    """
    keys = trusted_keys(settings)
    if keys is None:
        return
    if version.signature is None or version.signer is None:
        raise SignatureMissing(version)
    key = keys.get(version.signer)
    if key is None:
        raise SignerUnknown(version, keys)
    try:
        key.verify(base64.b64decode(version.signature, validate=True), statement(version))
    except (InvalidSignature, binascii.Error, ValueError):
        raise SignatureWrong(version) from None
