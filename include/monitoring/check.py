"""One check: what the window is compared with, and the verdict on this window alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from include.monitoring.counting import Counts, add_up
from include.monitoring.domain_classifier import Told, sample_window, tell_apart
from include.monitoring.drift import DriftResult, judge_drift, nothing_to_judge
from include.monitoring.window import CountedPartitions, count_partitions
from include.settings import Settings
from include.spec.definition import Drift
from include.spec.partitions import Partition
from include.training.column_profile import to_vector
from include.training.profile import FORMAT

_FEWEST_SEASONS: Final = 3


@dataclass(frozen=True, kw_only=True)
class Check:
    """What was found, and what it rests on.

    :param basis: "training" or "season": what the window was compared with.
    :param counted: None if there was nothing to count.
    :param counts: of the window; of no rows if there was nothing to count.
    :param told: what the domain classifier found; None without one.
    """

    result: DriftResult
    basis: str
    reference_rows: int
    counted: CountedPartitions | None
    counts: Counts
    told: Told | None = None

    def source(self) -> dict[str, Any]:
        """JSON of what was read."""
        if self.counted is None:
            return {}
        return {
            "basis": self.basis,
            "features_version": self.counted.version,
            "features_digest": self.counted.digest,
            "reference_rows": self.reference_rows,
            "absent": list(self.counted.absent),
            "new": list(self.counted.new),
        }

    def vectors(self) -> dict[str, list[int]]:
        """The window's counts by feature, over the bins of the champion's profile; they add up."""
        return {name: to_vector(profile) for name, profile in self.counts.columns.items()}


def check_window(
    settings: Settings,
    model: str,
    profile: Mapping[str, Any],
    window: Sequence[Partition],
    seasons: Sequence[Sequence[Partition]],
    limits: Drift,
    *,
    version: int | None = None,
) -> Check:
    """Count the window, and the earlier ones of its season, and judge it.

    :param profile: the champion's ``profile.json``.
    :param window: its partitions; empty: nothing had been published.
    :param seasons: earlier windows of the same season; with too few of them the training part is compared with.
    :param version: of the features table; None: the newest.
    """
    if not window:
        return _nothing("No partition had been published by then.")
    if profile.get("format") != FORMAT:
        reason = (
            f"The champion's profile has the format {profile.get('format')}, which does not tell enough to judge by; "
            f"this code reads {FORMAT}. The next version that is trained has it: run the DAG {model}.train."
        )
        return _nothing(reason)
    used = seasons if len(seasons) >= _FEWEST_SEASONS else ()
    keys = [one.key for part in (window, *used) for one in part]
    counted = count_partitions(settings, model, keys, profile["features"], version=version)
    current = _add(counted, window)
    if used:
        reference, rows, partitions = _season(counted, used)
    else:
        reference, rows, partitions = counted.features, profile["rows"], profile["partitions"]
    result = judge_drift(
        reference, current.columns, rows=current.rows, limits=limits, partitions=partitions, window=len(window)
    )
    told, words = _tell(settings, model, profile, window, counted, limits)
    result = _with_classifier(result, told, words)
    return Check(
        told=told,
        result=_said(result, counted, limits, len(seasons)),
        basis="season" if used else "training",
        reference_rows=rows,
        counted=counted,
        counts=current,
    )


def _tell(
    settings: Settings,
    model: str,
    profile: Mapping[str, Any],
    window: Sequence[Partition],
    counted: CountedPartitions,
    limits: Drift,
) -> tuple[Told | None, str]:
    """What the domain classifier found, and the sentence that says it; nothing if it is not asked for."""
    rule = limits.domain_classifier
    if rule is None:
        return None, ""
    if "sample" not in profile:
        return None, "The champion was trained without the sample that the domain classifier needs; the next has it."
    keys = [one.key for one in window]
    sample = sample_window(settings, model, keys, profile, rule.rows, counted.version)
    told = tell_apart(profile, sample, rule=rule, significance=limits.significance)
    return told, "There are too few rows for the domain classifier." if told is None else told.describe()


def _with_classifier(result: DriftResult, told: Told | None, words: str) -> DriftResult:
    """The result with the classifier's word: what it can tell apart has drifted, whatever the features say."""
    drifted = told is not None and told.drifted and result.verdict != "not enough data"
    return replace(result, verdict="drift" if drifted else result.verdict, reason=f"{result.reason} {words}".strip())


def _nothing(reason: str) -> Check:
    return Check(
        result=nothing_to_judge(reason), basis="training", reference_rows=0, counted=None, counts=Counts(0, {})
    )


def _add(counted: CountedPartitions, window: Sequence[Partition]) -> Counts:
    return add_up(counted.features, [counted.by_key[one.key] for one in window if one.key in counted.by_key])


def _season(
    counted: CountedPartitions, seasons: Sequence[Sequence[Partition]]
) -> tuple[dict[str, Mapping[str, Any]], int, int]:
    """The windows of the season as a reference: their counts together, each a stretch; its rows and partitions."""
    parts = [_add(counted, window) for window in seasons]
    whole = add_up(counted.features, parts)
    columns: dict[str, Mapping[str, Any]] = {}
    for name, column in whole.columns.items():
        columns[name] = {**column, "stretches": [to_vector(part.columns[name]) for part in parts]}
    return columns, whole.rows, sum(len(window) for window in seasons)


def _said(result: DriftResult, counted: CountedPartitions, limits: Drift, seasons: int) -> DriftResult:
    """The result whose reason also says what could not be looked at, and what was not compared as asked."""
    words = [result.reason]
    if limits.season is not None and seasons < _FEWEST_SEASONS:
        words.append(
            f"Only {seasons} earlier windows of the season are published, so the training part was compared with."
        )
    if counted.absent:
        words.append(f"The features table no longer has {', '.join(counted.absent)}, which the champion reads.")
    return replace(result, reason=" ".join(words))
