"""The drift verdict: each feature's PSI against the training profile, and the share of features that drifted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from include.monitoring.psi import Bin, bins_of, expected_by_chance, psi
from include.spec.definition import Drift

Verdict = Literal["drift", "no drift", "not enough data"]

#: A window with fewer rows is never judged.
FEWEST_ROWS: Final = 100
#: A feature is not judged if chance alone is expected to give more than this part of the limit.
_CHANCE: Final = 0.5


@dataclass(frozen=True)
class FeatureDrift:
    """One feature's distance.

    :param psi: None if the window has no rows.
    :param chance: PSI to expect without any drift, from the number of rows and bins; None if there are no rows.
    :param drifted: None if there are too few rows to tell.
    """

    name: str
    type: str
    psi: float | None
    chance: float | None
    drifted: bool | None
    missing_before: float
    missing_now: float
    bins: tuple[Bin, ...]

    def to_document(self) -> dict[str, Any]:
        """JSON with everything, bins included."""
        return {
            "name": self.name,
            "type": self.type,
            "psi": self.psi,
            "chance": self.chance,
            "drifted": self.drifted,
            "missing_before": self.missing_before,
            "missing_now": self.missing_now,
            "bins": [{"name": one.name, "reference": one.reference, "current": one.current} for one in self.bins],
        }


@dataclass(frozen=True)
class DriftResult:
    """The verdict on a window.

    :param share: drifted features among those that could be judged; None if none could.
    :param features: by falling PSI.
    """

    verdict: Verdict
    reason: str
    rows: int
    share: float | None
    features: tuple[FeatureDrift, ...]


def judge_drift(reference: Mapping[str, Any], current: Mapping[str, Any], *, rows: int, limits: Drift) -> DriftResult:
    """Compare profiles of the same features.

    :param reference: by feature: column profile of the training part.
    :param current: by feature: counts of the window over the same bins.
    :param rows: rows of the window.
    :param limits: ``psi`` and ``share_of_features``.
    """
    features = sorted(
        (_feature(name, profile, current[name], limits.psi) for name, profile in reference.items()),
        key=lambda feature: (-(feature.psi or 0.0), feature.name),
    )
    judged = [feature for feature in features if feature.drifted is not None]
    found = tuple(features)
    if rows < FEWEST_ROWS:
        return DriftResult(
            "not enough data", f"The window has {rows} rows; at least {FEWEST_ROWS} are needed.", rows, None, found
        )
    if len(judged) * 2 < len(features) or not judged:
        reason = f"The window's {rows:,} rows are too few to judge more than {len(judged)} of {len(features)} features."
        return DriftResult("not enough data", reason, rows, None, found)
    drifted = [feature for feature in judged if feature.drifted]
    share = len(drifted) / len(judged)
    drift = share >= limits.share_of_features
    return DriftResult(
        "drift" if drift else "no drift", _reason(drifted, len(judged), share, limits), rows, share, found
    )


def nothing_published() -> DriftResult:
    """The verdict on a window without any published partition."""
    return DriftResult("not enough data", "No partition had been published by then.", 0, None, ())


def _feature(name: str, reference: Mapping[str, Any], current: Mapping[str, Any], limit: float) -> FeatureDrift:
    bins = bins_of(reference, current)
    before, now = [one.reference for one in bins], [one.current for one in bins]
    if not sum(before) or not sum(now):
        return FeatureDrift(name, reference["type"], None, None, None, 0.0, 0.0, tuple(bins))
    distance, chance = psi(before, now), expected_by_chance(before, now)
    enough = chance <= _CHANCE * limit
    return FeatureDrift(
        name=name,
        type=str(reference["type"]),
        psi=distance,
        chance=chance,
        drifted=distance >= limit if enough else None,
        missing_before=reference["missing"] / sum(before),
        missing_now=current["missing"] / sum(now),
        bins=tuple(bins),
    )


def _reason(drifted: list[FeatureDrift], judged: int, share: float, limits: Drift) -> str:
    limit = f"the limit is {limits.share_of_features:.0%} of the features at a PSI of {limits.psi:g}"
    if not drifted:
        return f"None of {judged} features has drifted; {limit}."
    names = ", ".join(f"{feature.name} ({feature.psi:.2f})" for feature in drifted[:3])
    more = f" and {len(drifted) - 3} more" if len(drifted) > 3 else ""
    return f"{len(drifted)} of {judged} features ({share:.0%}) have drifted: {names}{more}; {limit}."
