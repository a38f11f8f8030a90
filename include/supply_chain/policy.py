"""What is accepted: licences, and vulnerabilities for a time, each with its reason (docker/supply-chain.toml)."""

from __future__ import annotations

import tomllib
from datetime import date
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from include.errors import Refused
from include.settings import PROJECT

POLICY: Final = PROJECT / "docker" / "supply-chain.toml"
Reason = Annotated[str, Field(min_length=10)]


class BadPolicy(Refused):
    """The policy's file says something that it may not."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Declared(_Strict):
    """A package's licence where its metadata do not say it as an SPDX expression.

    :param licence: SPDX expression.
    :param reason: where it is written.
    """

    licence: str
    reason: Reason


class Excepted(_Strict):
    """A licence beyond the families that is accepted for one package.

    :param licence: SPDX expression; another one is not accepted.
    """

    licence: str
    reason: Reason


class Licences(_Strict):
    """Which licences are accepted.

    :param allowed: SPDX identifiers; of alternatives one is enough.
    :param declared: by package.
    :param excepted: by package.
    """

    allowed: frozenset[str]
    declared: dict[str, Declared] = {}
    excepted: dict[str, Excepted] = {}


class AcceptedVulnerability(_Strict):
    """A vulnerability that is known and bearable until a day.

    :param id: as the service names it, or one of its aliases, such as ``CVE-2026-1234``.
    :param package: the package that has it; it is not accepted in another.
    :param expires: the last day on which it is accepted.
    """

    id: str
    package: str
    reason: Reason
    expires: date


class Policy(_Strict):
    """The whole file."""

    licences: Licences
    vulnerabilities: tuple[AcceptedVulnerability, ...] = ()


def read_policy(path: Path = POLICY) -> Policy:
    """Read the policy.

    :raises BadPolicy: if the file says something that it may not.
    """
    try:
        return Policy.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise BadPolicy(
            f"{path.name} is not as it has to be: {error}. Its first lines say what may be in it."
        ) from error
