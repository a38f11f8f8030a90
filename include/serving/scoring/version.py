"""Which version a batch scoring uses: the one that is named, or the champion of this moment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from include.errors import Refused
from include.registry import deployed, signing, versions
from include.settings import Settings

_USABLE = "registered"


class NobodyToScore(Refused):
    """No version was named, and the model has no champion."""

    def __init__(self, model: str) -> None:
        self.model = model
        super().__init__(
            f"{model} has no champion, and no version is named. Name the version that should score, or deploy one."
        )


class VersionNotUsable(Refused):
    """The version is barred or retired."""

    def __init__(self, model: str, version: int, status: str) -> None:
        self.model = model
        self.version = version
        self.status = status
        super().__init__(
            f"{model} version {version} is {status} and does not score. Name another version; to score with it all "
            "the same, give force."
        )


@dataclass(frozen=True, kw_only=True)
class ChosenVersion:
    """The version that scores.

    :param named: whether somebody named it; else it was the champion.
    :param as_of: the instant up to which it knew the data that it was trained on.
    """

    version: int
    named: bool
    status: str
    as_of: datetime
    artifact_digest: str
    model_uri: str

    def to_document(self) -> dict[str, Any]:
        """What travels between steps: enough to use the same version again."""
        return {
            "version": self.version,
            "named": self.named,
            "status": self.status,
            "trained_as_of": self.as_of.isoformat(),
            "artifact_digest": self.artifact_digest,
        }


def choose_version(settings: Settings, model: str, version: int | None, *, force: bool = False) -> ChosenVersion:
    """The named version, or the champion; never a barred or retired one, unless forced.

    :raises NobodyToScore: if none is named and there is no champion.
    :raises VersionUnknown: if there is no such version.
    :raises VersionNotUsable: if it is barred or retired.
    :raises VersionUntrusted: if it is not signed as it should be; force is no help.
    :raises DatabaseAway: if the database cannot be reached.
    """
    number = version
    if number is None:
        champion = deployed.champion(settings, model)
        if champion is None:
            raise NobodyToScore(model)
        number = champion.version
    found = versions.get_version(settings, model, number)
    if found.status != _USABLE and not force:
        raise VersionNotUsable(model, number, found.status)
    signing.check(settings, found)
    return ChosenVersion(
        version=number,
        named=version is not None,
        status=found.status,
        as_of=found.as_of,
        artifact_digest=found.artifact_digest,
        model_uri=found.model_uri,
    )
