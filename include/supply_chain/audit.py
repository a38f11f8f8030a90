"""Holds the locked packages against the known vulnerabilities, with pip-audit; no network is no finding."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

from include.errors import NoriaError, Refused
from include.supply_chain.locks import Pinned
from include.supply_chain.policy import POLICY, AcceptedVulnerability

_SECONDS: Final = 10


class Unreachable(NoriaError):
    """The service does not answer; carries why."""

    def __init__(self, service: str, why: str) -> None:
        self.service, self.why = service, why
        super().__init__(f"The service of vulnerabilities, {service}, cannot be reached: {why}.")


class AuditFailed(NoriaError):
    """pip-audit has not come to an end; carries what it said."""

    def __init__(self, said: str) -> None:
        self.said = said
        super().__init__(
            f"pip-audit did not finish, so nothing is known. Its last words: {said.strip()[-500:]!r}. Try again; if it "
            "fails again, run it by itself: `.venv/bin/pip-audit --help`."
        )


class AcceptanceExpired(Refused):
    """Accepted vulnerabilities whose last day is over; carries them."""

    def __init__(self, expired: Sequence[AcceptedVulnerability]) -> None:
        self.expired = tuple(expired)
        told = "; ".join(f"{one.id} in {one.package} until {one.expires}" for one in expired)
        super().__init__(
            f"What was accepted for a time only is over: {told}. Bring the package up to date (`make lock`), or write "
            f"in {POLICY.name} a new date with the reason why it can be borne longer."
        )


class VulnerablePackages(Refused):
    """Vulnerabilities that nobody has accepted; carries them."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__(
            "\n".join(map(str, findings)) + "\nBring these up to date in requirements.txt and run `make lock`. What "
            f"does not concern Noria, or cannot be mended yet, is named in {POLICY.name} with a reason and a last day."
        )


@dataclass(frozen=True)
class Finding:
    """A locked package with a known vulnerability.

    :param names: of the vulnerability: the service's and its aliases.
    :param fixed_in: versions without it.
    """

    package: str
    version: str
    names: tuple[str, ...]
    fixed_in: tuple[str, ...]
    summary: str

    def __str__(self) -> str:
        mended = f"mended in {', '.join(self.fixed_in)}" if self.fixed_in else "mended in no version"
        return f"{self.package} {self.version}: {', '.join(self.names)}, {mended}: {self.summary[:200]}"

    def accepted_by(self, accepted: Iterable[AcceptedVulnerability]) -> AcceptedVulnerability | None:
        """The acceptance that names it."""
        named = (one for one in accepted if one.package == self.package and one.id in self.names)
        return next(named, None)


@dataclass(frozen=True)
class Answer:
    """What the service said.

    :param asked: when.
    :param packages: what was asked for, as ``name==version``.
    """

    asked: datetime
    packages: tuple[str, ...]
    findings: tuple[Finding, ...]

    def to_json(self) -> dict[str, Any]:
        """As it is kept."""
        return {
            "asked": self.asked.isoformat(),
            "packages": list(self.packages),
            "findings": [vars(finding) for finding in self.findings],
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Answer:
        """What was kept."""
        findings = (
            Finding(**{**one, "names": tuple(one["names"]), "fixed_in": tuple(one["fixed_in"])})
            for one in document["findings"]
        )
        return cls(datetime.fromisoformat(document["asked"]), tuple(document["packages"]), tuple(findings))


def refuse_expired(accepted: Iterable[AcceptedVulnerability], today: date) -> None:
    """Whoever accepted something for a time is told when it is over.

    :raises AcceptanceExpired: with everything that is over.
    """
    if expired := [one for one in accepted if one.expires < today]:
        raise AcceptanceExpired(expired)


def ask(packages: Iterable[Pinned], cache: Path, service: str | None = None) -> Answer:
    """Ask the service for every package.

    :param cache: folder in which pip-audit keeps answers for a while.
    :param service: address of an OSV service's query; default: pip-audit's own.
    :raises Unreachable: if it does not answer.
    :raises AuditFailed: if pip-audit does not finish.
    """
    names = sorted({f"{package.name}=={package.version}" for package in packages})
    address = service or _default_service()
    _reach(address)
    with tempfile.TemporaryDirectory(prefix="noria-audit-") as folder:
        told = [one for path in _lists(names, Path(folder)) for one in _told_by_pip_audit(path, cache, address)]
    return Answer(datetime.now(UTC), tuple(names), tuple(_findings(told, names)))


def _told_by_pip_audit(packages: Path, cache: Path, service: str) -> list[dict[str, Any]]:
    command = [
        *(sys.executable, "-m", "pip_audit", "--disable-pip", "--no-deps", "--format", "json"),
        *("--vulnerability-service", "osv", "--osv-url", service, "--progress-spinner", "off"),
        *("--cache-dir", str(cache), "--timeout", str(_SECONDS), "--requirement", str(packages)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        return list(json.loads(done.stdout)["dependencies"])
    except ValueError as error:
        raise AuditFailed(done.stderr) from error


def unaccepted(answer: Answer, accepted: Iterable[AcceptedVulnerability], packages: Iterable[Pinned]) -> list[Finding]:
    """The findings that concern what is locked now and that nobody has accepted."""
    now = {(package.name, package.version) for package in packages}
    known = tuple(accepted)
    return [one for one in answer.findings if (one.package, one.version) in now and one.accepted_by(known) is None]


def idle(answer: Answer, accepted: Iterable[AcceptedVulnerability]) -> list[AcceptedVulnerability]:
    """The acceptances of which nothing is found any more."""
    return [one for one in accepted if not any(finding.accepted_by([one]) for finding in answer.findings)]


def keep(answer: Answer, path: Path) -> None:
    """Keep an answer for the time without a network."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(answer.to_json(), indent=1), encoding="utf-8")
    partial.rename(path)


def kept(path: Path) -> Answer | None:
    """The last answer, if one was kept and can be read."""
    try:
        return Answer.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _default_service() -> str:
    from pip_audit._service.osv import OsvService

    return str(OsvService.DEFAULT_OSV_URL)


def _reach(service: str) -> None:
    """Ask for one package: pip-audit itself does not tell a missing network from its own defects."""
    import requests

    question = {"package": {"name": "pip", "ecosystem": "PyPI"}, "version": "26.0"}
    try:
        requests.post(service, json=question, timeout=_SECONDS).raise_for_status()
    except requests.RequestException as error:
        said = f"it answered {error.response.status_code}" if error.response is not None else type(error).__name__
        raise Unreachable(service, said) from error


def _lists(names: Sequence[str], folder: Path) -> list[Path]:
    """Files for pip-audit, which takes no package twice: one run for each."""
    lists: list[dict[str, str]] = []
    for text in names:
        name = text.partition("==")[0]
        free = next((chosen for chosen in lists if name not in chosen), None)
        if free is None:
            lists.append(free := {})
        free[name] = text
    paths = []
    for number, chosen in enumerate(lists):
        paths.append(folder / f"{number}.txt")
        paths[-1].write_text("\n".join(chosen.values()), encoding="utf-8")
    return paths


def _findings(told: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Iterable[Finding]:
    answered = {f"{one['name']}=={one['version']}" for one in told if "version" in one}
    if missing := set(names) - answered:
        raise AuditFailed(f"it says nothing of {', '.join(sorted(missing))}")
    for one in told:
        for found in one.get("vulns", []):
            names_of_it = tuple(dict.fromkeys((found["id"], *found["aliases"])))
            yield Finding(one["name"], one["version"], names_of_it, tuple(found["fix_versions"]), found["description"])
