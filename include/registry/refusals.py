"""Why a change of production is refused: each a type of its own that carries its values and names the cure."""

from __future__ import annotations

from datetime import datetime

from include.errors import Refused
from include.registry.versions import ModelVersion


def _named(version: int | None) -> str:
    return "none" if version is None else f"version {version}"


class VersionBarred(Refused):
    """The version was rolled back or barred; it stays out until a person lifts the bar."""

    def __init__(self, model: str, version: int) -> None:
        self.model = model
        self.version = version
        super().__init__(
            f"{model} version {version} is barred and is not deployed. If it should be: "
            f"python -m include.registry lift-bar {model} {version} --reason …"
        )


class OlderThanChampion(Refused):
    """The version knows less than the champion: its as-of is older."""

    def __init__(self, model: str, version: ModelVersion, champion: ModelVersion) -> None:
        self.model = model
        self.version = version
        self.champion = champion
        super().__init__(
            f"{model} version {version.version} is as of {version.as_of.isoformat()}, older than the champion "
            f"{champion.version} (as of {champion.as_of.isoformat()}), and does not replace it. To go back to an older "
            "version, roll back; to deploy it all the same, give force."
        )


class ModelRetired(Refused):
    """The model was taken out of production."""

    def __init__(self, model: str) -> None:
        self.model = model
        super().__init__(
            f"{model} is retired. To undo that: python -m include.registry restore {model} --reason …; to take it up "
            "again with another version, deploy that with force."
        )


class ModelRetiring(Refused):
    """The model is on its way out of production, so nothing new comes in."""

    def __init__(self, model: str, until: datetime) -> None:
        self.model = model
        self.until = until
        super().__init__(
            f"{model} is being retired and answers until {until.isoformat(timespec='seconds')} at the latest: nothing "
            f"new is trained or deployed. To undo that: python -m include.registry restore {model} --reason …"
        )


class NothingRetired(Refused):
    """The model is in production, or never was: there is no retirement to undo."""

    def __init__(self, model: str) -> None:
        self.model = model
        super().__init__(
            f"{model} is not retired, so there is nothing to bring back. What is in production: "
            f"python -m include.registry history {model}"
        )


class NotRetiredNow(Refused):
    """What was to be archived or freed is in production again, or may be brought back."""

    def __init__(self, model: str) -> None:
        self.model = model
        super().__init__(
            f"{model} was brought back, can still be brought back, or has a version on its way into production: "
            f"nothing was archived or freed. What happened: python -m include.registry history {model}"
        )


class RestoredTooLate(Refused):
    """The time within which the retirement could be undone is over; what was not archived may be gone."""

    def __init__(self, model: str, until: datetime, archive: str | None) -> None:
        self.model = model
        self.until = until
        self.archive = archive
        kept = "" if archive is None else f" Its archive stays: {archive} in the store."
        super().__init__(
            f"{model} could be brought back until {until.isoformat(timespec='seconds')} (retirement.keep), and that is "
            f"over.{kept} To take the name up again, ingest its data, train, and deploy the version with force."
        )


class VersionFreed(Refused):
    """The version's artifact went when its model's retirement became final."""

    def __init__(self, model: str, version: int, at: datetime) -> None:
        self.model = model
        self.version = version
        self.at = at
        super().__init__(
            f"{model} version {version} never answered anybody, and its artifact was removed after the model was "
            f"retired ({at.isoformat(timespec='seconds')}). Deploy another version, or train anew."
        )


class StateChanged(Refused):
    """Another deployment came first: the champion is not the one that the decision was made against."""

    def __init__(self, model: str, expected: int | None, found: int | None) -> None:
        self.model = model
        self.expected = expected
        self.found = found
        super().__init__(
            f"{model}'s champion is {_named(found)}, but this change was decided against {_named(expected)}. "
            "Another deployment came first; evaluate again against the champion of now."
        )


class NothingToRollBackTo(Refused):
    """No version is left that a rollback without a target could bring back."""

    def __init__(self, model: str, champion: int | None, challenger: int | None) -> None:
        self.model = model
        self.champion = champion
        self.challenger = challenger
        also = "" if challenger is None else f" To take out only the challenger: --version {challenger}."
        super().__init__(
            f"{model} has no previous version to go back to (champion: {_named(champion)}). Name the version to go "
            "back to (--to), or the version to take out of production with nothing in its place (--version), or retire."
            f"{also}"
        )


class DeploymentUnderWay(Refused):
    """Another deployment has a challenger of the model under way, and its stage's time is not over."""

    def __init__(
        self, model: str, version: int, *, other: int, deployment: str | None, stage: str | None, until: datetime | None
    ) -> None:
        self.model = model
        self.version = version
        self.other = other
        self.deployment = deployment
        self.stage = stage
        self.until = until
        end = "with no deadline" if until is None else f"until {until.isoformat()} at the latest"
        super().__init__(
            f"{model} version {version} cannot be deployed now: version {other} is in the stage {stage or 'candidate'} "
            f"of the deployment {deployment}, {end}. Wait for its end, or take it out: "
            f"python -m include.registry rollback {model} --version {other} --reason …"
        )


class DeploymentEnded(Refused):
    """The deployment's version is its model's challenger no more: it was taken out, or another took its place."""

    def __init__(self, model: str, version: int, deployment: str | None, now: int | None, why: str | None) -> None:
        self.model = model
        self.version = version
        self.deployment = deployment
        self.now = now
        self.why = why
        super().__init__(
            f"{model} version {version} is not the challenger of the deployment {deployment} (any more); challenger "
            f"now: {_named(now)}. The ledger's last word: {why or 'none'}. To try again, start a new deployment."
        )


class NothingToCompareWith(Refused):
    """The model has no champion, so there is nothing that a stage could compare a challenger with."""

    def __init__(self, model: str, version: int, role: str) -> None:
        self.model = model
        self.version = version
        self.role = role
        super().__init__(
            f"{model} has no champion to compare version {version} with, so it cannot enter the role {role}. A model's "
            "first version goes from candidate to champion directly."
        )


class NoSuchShare(Refused):
    """The share does not fit the role."""

    def __init__(self, role: str, share: float) -> None:
        self.role = role
        self.share = share
        super().__init__(
            f"A share of {share:g} does not fit the role {role}: candidate and shadow answer nobody (0), canary and ab "
            "answer a part (over 0, at most 1)."
        )
