"""The packages' licences as SPDX expressions, from what is installed, held against the families that are accepted."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from include.errors import Refused
from include.supply_chain.locks import DOCKER, all_pinned, image_locks, read_lock
from include.supply_chain.policy import POLICY, Licences

PAGE: Final = DOCKER / "LICENSES.md"
# What packages write where SPDX is meant. Names that could mean several licences, such as BSD, are not here.
_SPELLINGS: Final = {
    "3-clause bsd license": "BSD-3-Clause",
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license version 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "bsd 2-clause license": "BSD-2-Clause",
    "bsd 3-clause license": "BSD-3-Clause",
    "cc0": "CC0-1.0",
    "isc license": "ISC",
    "isc license (iscl)": "ISC",
    "mit -or- apache license 2.0": "MIT OR Apache-2.0",
    "mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "psfl": "PSF-2.0",
    "python software foundation license": "PSF-2.0",
    "the unlicense (unlicense)": "Unlicense",
}


class UnknownLicence(Refused):
    """Packages of whose licence nothing certain is known; carries their names."""

    def __init__(self, packages: Iterable[str]) -> None:
        self.packages = tuple(sorted(packages))
        super().__init__(
            f"The licences of {', '.join(self.packages)} are not known here: their metadata name none that is an SPDX "
            f"expression, or they are not installed. Declare each in {POLICY.name}, as [licences.declared.<package>]."
        )


@dataclass(frozen=True)
class Unacceptable:
    """A package whose licence nobody has accepted."""

    package: str
    licence: str

    def __str__(self) -> str:
        return (
            f"{self.package} is under {self.licence}, which {POLICY.name} does not accept. Do without the package, or "
            f"write in [licences.excepted.{self.package}] why it may be used."
        )


def find_licences(policy: Licences, packages: Iterable[str]) -> dict[str, str]:
    """Each package's licence as an SPDX expression: as it is declared, else as its installed metadata say.

    :param packages: normal names.
    :raises UnknownLicence: if neither says it.
    """
    known: dict[str, str] = {}
    names = set(packages)
    for name in sorted(names):
        declared = policy.declared.get(name)
        licence = declared.licence if declared else _of_metadata(name)
        if licence is not None:
            known[name] = licence
    if missing := names - known.keys():
        raise UnknownLicence(missing)
    return known


def unacceptable(policy: Licences, licences: Mapping[str, str]) -> list[Unacceptable]:
    """The packages whose licence is neither of an accepted family nor excepted."""
    return [
        Unacceptable(name, licence)
        for name, licence in licences.items()
        if not is_accepted(licence, policy.allowed)
        and not (name in policy.excepted and policy.excepted[name].licence == licence)
    ]


def superfluous(policy: Licences, licences: Mapping[str, str]) -> list[str]:
    """Declarations and exceptions of packages that no lock has any more."""
    return sorted((policy.declared.keys() | policy.excepted.keys()) - licences.keys())


def is_accepted(expression: str, allowed: frozenset[str]) -> bool:
    """Whether one may use something under that expression: of alternatives one is enough, of sums all are needed."""
    from license_expression import Licensing

    return _holds(Licensing().parse(expression), allowed)


def _holds(parsed: object, allowed: frozenset[str]) -> bool:
    from boolean import AND, OR

    if isinstance(parsed, OR):
        return any(_holds(part, allowed) for part in parsed.args)
    if isinstance(parsed, AND):
        return all(_holds(part, allowed) for part in parsed.args)
    return str(parsed) in allowed


def page(policy: Licences) -> str:
    """The page of all locked packages with their licences."""
    pinned = all_pinned()
    licences = find_licences(policy, (name for name, _ in pinned))
    shipped = {package.name for path in image_locks().values() for package in read_lock(path)}
    lines = [
        "# Licences",
        "",
        "Made by `make licences` of the locks and the packages' own metadata. `make lint` refuses it when it is stale",
        f"and any licence that [{POLICY.name}]({POLICY.name}) does not accept. Packages in no image are for",
        "development and tests only.",
        "",
        "| package | version | licence | in images | remarks |",
        "|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(name for name, _ in pinned):
        versions = ", ".join(version for other, version in pinned if other == name)
        remarks = [said[name].reason for said in (policy.declared, policy.excepted) if name in said]
        lines.append(f"| {name} | {versions} | {licences[name]} | {_yes(name in shipped)} | {'; '.join(remarks)} |")
    return "\n".join(lines) + "\n"


def page_is_fresh(policy: Licences, path: Path = PAGE) -> bool:
    """Whether the committed page is what :func:`page` makes."""
    return path.exists() and path.read_text(encoding="utf-8") == page(policy)


@cache
def _of_metadata(name: str) -> str | None:
    """The SPDX expression that the metadata of an installed package mean, if that is certain."""
    try:
        metadata = importlib.metadata.distribution(name).metadata
    except importlib.metadata.PackageNotFoundError:
        return None
    said = {key: metadata.get_all(key) or [""] for key in ("License-Expression", "License", "Classifier")}
    if expression := said["License-Expression"][0]:
        return str(expression)
    from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

    classifiers = [text.rpartition(" :: ")[2] for text in said["Classifier"] if text.startswith("License ::")]
    for text in (said["License"][0].strip(), *(classifiers if len(classifiers) == 1 else [])):
        try:
            return _SPELLINGS.get(text.lower()) or str(canonicalize_license_expression(text))
        except InvalidLicenseExpression:
            continue
    return None


def _yes(holds: bool) -> str:
    return "yes" if holds else ""
