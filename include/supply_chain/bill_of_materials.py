"""Bills of materials in CycloneDX's JSON, of the project and of each image: the same bytes for the same locks.

There is no time and no random number in them; the serial number comes from what they say.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from packaging.markers import Marker

from include.supply_chain.licences import find_licences
from include.supply_chain.locks import DOCKER, ROOT_LOCK, Pinned, image_locks, read_lock
from include.supply_chain.policy import Licences

Document = dict[str, Any]
PROJECT_BILL: Final = "noria"
# What the images are: another machine that makes a bill says the same of them.
_IMAGE_ENVIRONMENT: Final = {
    "implementation_name": "cpython",
    "implementation_version": "3.11.0",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_release": "",
    "platform_system": "Linux",
    "platform_version": "",
    "python_full_version": "3.11.0",
    "python_version": "3.11",
    "sys_platform": "linux",
}
_NOT_IMAGES: Final = {"installer", "spark"}


def write_bills(folder: Path, policy: Licences, version: str, names: Sequence[str] | None = None) -> list[Path]:
    """Write bills as ``<name>.cdx.json``; returns their files.

    :param names: ``noria`` for all that the project's own lock has, else an image's; default: all of them.
    :raises UnknownLicence: if a package's licence is not known.
    """
    folder.mkdir(parents=True, exist_ok=True)
    asked_by = {package.name: package.asked_by for package in read_lock(ROOT_LOCK)}
    written = []
    for name in names or [PROJECT_BILL, *bills_of_images()]:
        path = folder / f"{name}.cdx.json"
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(_bill(name, policy, version, asked_by), indent=1) + "\n", encoding="utf-8")
        partial.rename(path)
        written.append(path)
    return written


def bills_of_images() -> list[str]:
    """The images that have a bill."""
    return [name for name in image_locks() if name not in _NOT_IMAGES]


def _bill(name: str, policy: Licences, version: str, asked_by: Mapping[str, tuple[str, ...]]) -> Document:
    of_project = name == PROJECT_BILL
    pinned = read_lock(ROOT_LOCK if of_project else DOCKER / f"{name}.lock")
    if not of_project:
        pinned = tuple(package for package in pinned if _applies(package))
    licences = find_licences(policy, (package.name for package in pinned))
    title = name if of_project else f"noria-{name}"
    whole: Document = {
        "type": "application" if of_project else "container",
        "bom-ref": title,
        "name": title,
        "version": version,
    }
    content: Document = {
        "metadata": {"component": whole},
        "components": [_component(package, licences[package.name]) for package in pinned],
        "dependencies": _dependencies(title, pinned, asked_by),
        # Only Python's packages are in it: those of the base image are the base image's own.
        "compositions": [{"aggregate": "incomplete", "assemblies": [title]}],
    }
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": uuid.uuid5(uuid.NAMESPACE_OID, digest).urn,
        "version": 1,
        **content,
    }


def _applies(package: Pinned) -> bool:
    """Whether an image has it."""
    return not package.marker or Marker(package.marker).evaluate(dict(_IMAGE_ENVIRONMENT))


def _component(package: Pinned, licence: str) -> Document:
    address = _address(package)
    component: Document = {
        "type": "library",
        "bom-ref": address,
        "name": package.name,
        "version": package.version,
        "scope": "required" if _applies(package) else "optional",
        "licenses": [_licence(licence)],
        "purl": address,
        # One of these files is installed: which one, the machine decides.
        "externalReferences": [
            {
                "type": "distribution",
                "url": address,
                "hashes": [{"alg": "SHA-256", "content": digest} for digest in package.hashes],
            }
        ],
    }
    if package.marker:
        component["properties"] = [{"name": "noria:environment", "value": package.marker}]
    return component


def _licence(expression: str) -> Document:
    if " " in expression:
        return {"expression": expression}
    return {"license": {"name" if expression.startswith("LicenseRef-") else "id": expression}}


def _address(package: Pinned) -> str:
    return f"pkg:pypi/{package.name}@{package.version}"


def _dependencies(title: str, pinned: Sequence[Pinned], asked_by: Mapping[str, tuple[str, ...]]) -> list[Document]:
    """Who needs what, as the project's lock has noted it. What nobody else here needs, the whole does."""
    addresses: dict[str, list[str]] = {}
    for package in pinned:
        addresses.setdefault(package.name, []).append(_address(package))
    needs: dict[str, set[str]] = {title: set(), **{_address(package): set() for package in pinned}}
    for package in pinned:
        above = [address for name in asked_by.get(package.name, ()) for address in addresses.get(name, [])]
        for address in above or [title]:
            needs[address].add(_address(package))
    return [{"ref": ref, "dependsOn": sorted(below)} if below else {"ref": ref} for ref, below in sorted(needs.items())]
