"""The drift verdict: a feature has drifted if its difference from the reference is not chance, and matters.

It is not chance if a test says so, corrected for all features at once. It matters if it is at least the definition's
``least_change``, and more than the reference's own stretches of time differ (:mod:`include.monitoring.variation`).
See ``ADR-drift-verdict.md``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal

from include.monitoring import chance
from include.monitoring.distances import (
    Bin,
    Distances,
    absent_count,
    all_counts,
    bins_of,
    kolmogorov_smirnov,
    measure,
    total_variation,
    value_counts,
)
from include.monitoring.histogram import Histogram, draw
from include.monitoring.variation import variation
from include.spec.definition import Drift

Verdict = Literal["drift", "no drift", "not enough data"]
Profile = Mapping[str, Any]

#: A window with fewer rows is never judged, nor is a feature's distribution with fewer values.
FEWEST_ROWS: Final = 100
#: A feature counts as judged only if a change of so many times ``least_change`` would be seen in so few rows.
_COARSEST: Final = 5


@dataclass(frozen=True, kw_only=True)
class Change:
    """One way in which a feature can drift.

    :param what: of its values, or of the share of rows that have none.
    :param size: share of the rows, 0 to 1: on another side of some number (Kolmogorov-Smirnov), in another category
        (total variation), with or without a value now.
    :param limit: what it is held against: ``least_change``, or ``ordinary`` if that is more.
    :param ordinary: what stretches of the reference differ anyway.
    :param seen_from: the smallest size that so many rows can show.
    :param p: probability of such a difference by chance; corrected for all features once they are judged.
    """

    what: Literal["values", "missing"]
    size: float
    limit: float
    ordinary: float
    seen_from: float
    p: float
    drifted: bool = False


@dataclass(frozen=True, kw_only=True)
class FeatureDrift:
    """What is known of one feature.

    :param drifted: None if there are too few rows to tell.
    :param changes: what was tested; empty if nothing could be.
    :param distances: None if a side has no rows.
    """

    name: str
    type: str
    drifted: bool | None
    changes: tuple[Change, ...]
    distances: Distances | None
    missing_before: float
    missing_now: float
    bins: tuple[Bin, ...]
    histogram: Histogram | None

    @property
    def change(self) -> Change | None:
        """The change that says most: the one furthest beyond its limit, of those that drifted if there are any."""
        return max(self.changes, key=lambda one: (one.drifted, one.size / one.limit), default=None)

    def to_document(self) -> dict[str, Any]:
        """JSON with everything, bins included; a number that is not finite is None."""
        return {
            "name": self.name,
            "type": self.type,
            "drifted": self.drifted,
            "changes": [asdict(one) for one in self.changes],
            "distances": None if self.distances is None else _plain(asdict(self.distances)),
            "missing_before": self.missing_before,
            "missing_now": self.missing_now,
            "bins": [asdict(one) for one in self.bins],
            "histogram": None if self.histogram is None else asdict(self.histogram),
        }

    def to_short_document(self) -> dict[str, Any]:
        """JSON of what a history of checks needs: verdict, change, limit, p and the distances."""
        change = self.change
        said = {key: getattr(change, key, None) for key in ("what", "size", "limit", "p")}
        measured = _plain(asdict(self.distances)) if self.distances else {}
        return {"name": self.name, "drifted": self.drifted, **said, "missing": self.missing_now, **measured}


@dataclass(frozen=True)
class DriftResult:
    """The verdict on a window.

    :param share: drifted features among those that could be judged; None if none could.
    :param features: the most drifted first.
    """

    verdict: Verdict
    reason: str
    rows: int
    share: float | None
    features: tuple[FeatureDrift, ...]


def judge_drift(
    reference: Mapping[str, Profile],
    current: Mapping[str, Profile],
    *,
    rows: int,
    limits: Drift,
    partitions: int = 1,
    window: int = 1,
) -> DriftResult:
    """Compare profiles of the same features.

    :param reference: by feature: column profile of the training part.
    :param current: by feature: counts of the window over the same bins.
    :param rows: rows of the window.
    :param limits: the definition's.
    :param partitions: how many the reference is made of.
    :param window: how many partitions the window is made of.
    """
    tested = [
        _tested(name, profile, current[name], limits, len(reference), (partitions, window))
        for name, profile in reference.items()
    ]
    features = tuple(sorted(_corrected(tested, limits), key=_rank))
    if rows < FEWEST_ROWS:
        reason = f"The window has {rows} rows; at least {FEWEST_ROWS} are needed."
        return DriftResult("not enough data", reason, rows, None, features)
    judged = [feature for feature in features if feature.drifted is not None]
    drifted = [feature for feature in judged if feature.drifted]
    if not judged or (not drifted and len(judged) * 2 < len(features)):
        reason = f"The window's {rows:,} rows are too few to judge more than {len(judged)} of {len(features)} features."
        return DriftResult("not enough data", reason, rows, None, features)
    share = len(drifted) / len(judged)
    drift = bool(drifted) and share >= (limits.share_of_features or 0)
    reason = _reason(drifted, len(judged), limits)
    return DriftResult("drift" if drift else "no drift", reason, rows, share, features)


def nothing_to_judge(reason: str) -> DriftResult:
    """The verdict on a window without any published partition, or without a reference."""
    return DriftResult("not enough data", reason, 0, None, ())


def describe_change(feature: FeatureDrift) -> str:
    """What happened to a drifted feature, in words."""
    change = feature.change
    if change is None:
        return feature.name
    if change.what == "missing":
        return f"{feature.name} (missing {feature.missing_before:.1%} before, {feature.missing_now:.1%} now)"
    return f"{feature.name} ({change.size:.0%} of the rows moved)"


def _tested(
    name: str, reference: Profile, current: Profile, limits: Drift, features: int, partitions: tuple[int, int]
) -> FeatureDrift:
    """One feature with its tests, not yet corrected for the others."""
    before, now = float(all_counts(reference).sum()), float(all_counts(current).sum())
    known = bool(before and now)
    return FeatureDrift(
        name=name,
        type=str(reference["type"]),
        drifted=None,
        changes=tuple(_changes(reference, current, limits, features, partitions)) if known else (),
        distances=measure(reference, current) if known else None,
        missing_before=absent_count(reference) / before if before else 0.0,
        missing_now=absent_count(current) / now if now else 0.0,
        bins=tuple(bins_of(reference, current)),
        histogram=draw(reference, current),
    )


def _changes(
    reference: Profile, current: Profile, limits: Drift, features: int, partitions: tuple[int, int]
) -> list[Change]:
    """What can be tested of one feature, with p-values that are its own."""
    ordinary = variation(reference, partitions=partitions[0], window=partitions[1])
    found = []
    if min(value_counts(reference).sum(), value_counts(current).sum()) >= FEWEST_ROWS:
        smallest = limits.significance / (2 * features)
        found.append(_change_of_values(reference, current, limits, ordinary.values, smallest))
    if min(all_counts(reference).sum(), all_counts(current).sum()) >= FEWEST_ROWS:
        found.append(_change_of_missing(reference, current, limits, ordinary.missing))
    return found


def _change_of_values(reference: Profile, current: Profile, limits: Drift, ordinary: float, smallest: float) -> Change:
    """:param smallest: the p-value that is asked of the first of all features."""
    numeric = reference["type"] == "numeric"
    distance = kolmogorov_smirnov if numeric else total_variation
    test = chance.p_numbers if numeric else chance.p_categories
    seen = chance.seen_numbers if numeric else chance.seen_categories
    before, now = value_counts(reference), value_counts(current)
    return Change(
        what="values",
        size=distance(before, now),
        limit=max(limits.least_change, ordinary),
        ordinary=ordinary,
        seen_from=seen(before, now, smallest),
        p=test(before, now),
    )


def _change_of_missing(reference: Profile, current: Profile, limits: Drift, ordinary: float) -> Change:
    first, second = absent_count(reference), absent_count(current)
    of_first, of_second = (int(all_counts(side).sum()) for side in (reference, current))
    return Change(
        what="missing",
        size=abs(first / of_first - second / of_second),
        limit=max(limits.least_change, ordinary),
        ordinary=ordinary,
        seen_from=0.0,
        p=chance.p_shares(first, of_first, second, of_second),
    )


def _corrected(tested: list[FeatureDrift], limits: Drift) -> list[FeatureDrift]:
    """The features with p-values that are corrected for all tests, and so with their verdicts."""
    corrected = iter(chance.holm([change.p for feature in tested for change in feature.changes]))
    judged = []
    for feature in tested:
        changes = tuple(_judged(change, next(corrected), limits) for change in feature.changes)
        drifted = any(change.drifted for change in changes)
        coarse = any(change.seen_from > _COARSEST * limits.least_change for change in changes)
        known = drifted or (changes and not coarse)
        judged.append(replace(feature, changes=changes, drifted=drifted if known else None))
    return judged


def _judged(change: Change, p: float, limits: Drift) -> Change:
    return replace(change, p=p, drifted=p <= limits.significance and change.size >= change.limit)


def _rank(feature: FeatureDrift) -> tuple[bool, float, str]:
    change = feature.change
    return not feature.drifted, -(change.size / change.limit if change else 0.0), feature.name


def _reason(drifted: list[FeatureDrift], judged: int, limits: Drift) -> str:
    rests = f"the limit is {limits.least_change:.0%} of the rows, or what the training part varies anyway"
    if not drifted:
        return f"None of {judged} features has drifted; {rests}."
    names = ", ".join(describe_change(feature) for feature in drifted[:3])
    more = f" and {len(drifted) - 3} more" if len(drifted) > 3 else ""
    asked = _asked(len(drifted) / judged, limits)
    return f"{len(drifted)} of {judged} features drifted{asked}: {names}{more}; {rests}."


def _asked(share: float, limits: Drift) -> str:
    """How the share of drifted features stands to the one that the definition asks for, if it does."""
    asked = limits.share_of_features
    if not asked:
        return ""
    return f", {'at least the' if share >= asked else 'fewer than the'} {asked:.0%} that would be drift"


def _plain(values: Mapping[str, float | None]) -> dict[str, float | None]:
    return {key: value if value is None or math.isfinite(value) else None for key, value in values.items()}
