"""The manifest of an archive: every file's digest, signed with the registry's key if there is one; and its check."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidSignature

from include.errors import Refused
from include.lake.digests import file_checksum
from include.registry.signing_keys import key_id, private_key, trusted_keys
from include.settings import Settings

MANIFEST: Final = "manifest.json"
SIGNATURE: Final = "manifest.signature.json"
_DOMAIN: Final = b"noria archive 1\n"
"""What is signed begins with it, so that no signature stands for anything else; another form gets another number."""
_SHOWN: Final = 5


class ArchiveDamaged(Refused):
    """An archive is not what it was when it was made, or nobody can tell.

    :param problems: what is wrong, one sentence for each file.
    """

    def __init__(self, place: str, problems: list[str]) -> None:
        self.problems = tuple(problems)
        more = f" and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        super().__init__(
            f"The archive {place} cannot be relied on: {'; '.join(problems[:_SHOWN])}{more}. Restore it from a backup "
            "of the store."
        )


@dataclass(frozen=True, kw_only=True)
class Checked:
    """An archive whose files are those that its manifest names.

    :param digest: SHA-256 of the manifest.
    :param signer: name of the key that signed it; None if it is not signed.
    :param trusted: whether that key is believed here; None if signatures are not asked for.
    """

    document: Mapping[str, Any]
    digest: str
    signer: str | None
    trusted: bool | None


def write_manifest(settings: Settings, folder: Path, said: Mapping[str, Any]) -> None:
    """Write the manifest of a folder's files, and its signature, last of all.

    :param said: what it says beside the files.
    :raises SigningKeyMissing: signatures are asked for, and there is no key.
    :raises KeyUnusable: the key cannot be used.
    :raises SigningKeyUntrusted: nobody would believe it.
    """
    files = {
        path.relative_to(folder).as_posix(): {"sha256": file_checksum(path), "bytes": path.stat().st_size}
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    text = json.dumps({"format": 1, **said, "files": files}, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    key = private_key(settings)
    if key is not None:
        signature = base64.b64encode(key.sign(_DOMAIN + text.encode())).decode()
        signed = {"signer": key_id(key.public_key()), "signature": signature}
        (folder / SIGNATURE).write_text(json.dumps(signed) + "\n", encoding="utf-8")
    (folder / MANIFEST).write_text(text, encoding="utf-8")


def check_archive(settings: Settings, folder: Path) -> Checked:
    """Hold an archive's files against its manifest, and the manifest against its signature.

    :param folder: with all its files at hand.
    :raises ArchiveDamaged: something is missing, was changed or was added, or the signature is not believed.
    """
    try:
        text = (folder / MANIFEST).read_bytes()
        document = json.loads(text)
        named: dict[str, dict[str, Any]] = document["files"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArchiveDamaged(folder.name, [f"its {MANIFEST} cannot be read ({type(error).__name__})"]) from None
    problems = [words for name, said in named.items() if (words := _problem(folder / name, name, said))]
    own = {MANIFEST, SIGNATURE}
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    problems += [f"{name} is not in the manifest" for name in sorted(found - named.keys() - own)]
    signer, trusted = None, None
    try:
        signer, trusted = _signature(settings, folder, text)
    except ValueError as error:
        problems.append(str(error))
    if problems:
        raise ArchiveDamaged(folder.name, problems)
    return Checked(document=document, digest=file_checksum(folder / MANIFEST), signer=signer, trusted=trusted)


def _problem(path: Path, name: str, said: Mapping[str, Any]) -> str | None:
    if not path.is_file():
        return f"{name} is missing"
    if path.stat().st_size != said.get("bytes") or file_checksum(path) != said.get("sha256"):
        return f"{name} was changed"
    return None


def _signature(settings: Settings, folder: Path, text: bytes) -> tuple[str | None, bool | None]:
    """Who signed, and whether that is believed.

    :raises ValueError: there should be a signature and is none, or it is wrong.
    """
    keys = trusted_keys(settings)
    if not (folder / SIGNATURE).is_file():
        if keys is not None:
            raise ValueError("it is not signed, and signatures are asked for here")
        return None, None
    try:
        signed = json.loads((folder / SIGNATURE).read_text(encoding="utf-8"))
        signer, signature = str(signed["signer"]), base64.b64decode(signed["signature"], validate=True)
    except (OSError, ValueError, KeyError, TypeError, binascii.Error):
        raise ValueError(f"its {SIGNATURE} cannot be read") from None
    if keys is None:
        return signer, None
    key = keys.get(signer)
    if key is None:
        raise ValueError(f"it is signed by the key {signer}, which is not believed here")
    try:
        key.verify(signature, _DOMAIN + text)
    except InvalidSignature:
        raise ValueError(f"its manifest is not the one that the key {signer} has signed") from None
    return signer, True
