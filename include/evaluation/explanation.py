"""What a version's answers rest on: the contributions of its inputs on holdout rows, beside another's.

Contributions are XGBoost's own SHAP values (of a linear model the terms of its sum), as ``/explain`` gives them. An
input's importance is its share of the mean absolute contributions.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from include.evaluation.grouping import Floats
from include.training.part_on_disk import PartOnDisk

#: Inputs whose contributions are drawn one by one.
_DRAWN: Final = 12
_BINS: Final = 41
HIDDEN: Final = "(from personal columns)"
_PREFIX: Final = "feature_"


@dataclass(frozen=True)
class Explained:
    """One version's contributions on some rows.

    :param contributions: one column for each input, one row for each row that was explained.
    :param values: what the inputs were, by name, as far as they are numbers: shape (rows,).
    :param scale: of the contributions: ``log-odds``, ``value`` or ``score``.
    """

    contributions: pd.DataFrame
    values: Mapping[str, Floats]
    scale: str

    def shares(self) -> dict[str, float]:
        """Each input's share of the mean absolute contributions, 0 to 1; they add up to 1, or are all 0."""
        sizes = self.contributions.abs().mean()
        total = float(sizes.sum())
        return {str(name): float(size) / total if total else 0.0 for name, size in sizes.items()}


def explain(model: Any, rows: pd.DataFrame | PartOnDisk, *, most: int, seed: int) -> Explained | str:
    """Explain a packaged model's answers to some of the rows; a sentence if it cannot explain itself.

    :param model: as :func:`include.training.package.open_package` gives it.
    :param rows: raw input columns.
    :param most: so many rows are drawn from them.
    """
    if not (hasattr(model, "explain_rows") and getattr(model, "explains", True)):
        return "This model cannot explain its answers."
    chosen = np.sort(np.random.default_rng(seed).permutation(len(rows))[:most])
    part = rows.iloc[chosen].reset_index(drop=True)
    try:
        found = model.explain_rows(part.astype(object).where(part.notna(), None).to_dict("records"))
    except Exception as error:  # noqa: BLE001 - a version's own code; the judgement goes on without its explanation
        return f"Its answers could not be explained: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
    contributions = pd.DataFrame(found["contributions"], dtype=np.float64)
    return Explained(contributions, _numbers(model.compute_features(part)), str(found["scale"]))


def _numbers(features: Mapping[str, Any]) -> dict[str, Floats]:
    numbers = {}
    for name, values in features.items():
        array = np.asarray(values)
        if array.dtype.kind in "fiub":
            numbers[name.removeprefix(_PREFIX)] = array.astype(np.float64)
    return numbers


def describe(mine: Explained | str, theirs: Explained | str | None, *, hidden: Collection[str]) -> dict[str, Any]:
    """What is kept of it: JSON.

    :param theirs: the champion's on the same rows, if there is one to compare with.
    :param hidden: inputs made from personal columns: they count together, under no name.
    :returns: ``method``; ``reason`` if nothing can be said, else ``rows``, ``scale``, ``features`` (name, share, and
        before: the champion's share; the largest first) and ``summary`` (by input: counts and mean ranks of its values
        in ``edges`` of the contributions).
    """
    if isinstance(mine, str):
        return {"method": "", "reason": mine, "features": [], "summary": [], "edges": []}
    shares = _hide(mine.shares(), hidden)
    before = _hide(theirs.shares(), hidden) if isinstance(theirs, Explained) else None
    names = [*shares, *(name for name in before or () if name not in shares)]
    features = [
        {"name": name, "share": shares.get(name, 0.0), "before": None if before is None else before.get(name, 0.0)}
        for name in sorted(names, key=lambda name: -shares.get(name, 0.0))
    ]
    shown = [str(one["name"]) for one in features if one["name"] in mine.contributions][:_DRAWN]
    edges = _edges(mine.contributions[shown].to_numpy()) if shown else np.array([0.0, 1.0])
    rows = len(mine.contributions)
    unit = {"log-odds": "log-odds", "value": "the prediction", "score": "the likeliest class's score"}[mine.scale]
    return {
        "method": f"Mean absolute SHAP contributions to {unit} on {rows:,} holdout rows, as shares.",
        "rows": rows,
        "scale": mine.scale,
        "features": features,
        "edges": [float(edge) for edge in edges],
        "summary": [_strip(name, mine, edges) for name in shown],
    }


def _hide(shares: Mapping[str, float], hidden: Collection[str]) -> dict[str, float]:
    if not hidden:
        return dict(shares)
    kept = {name: share for name, share in shares.items() if name not in hidden}
    return kept | {HIDDEN: sum(share for name, share in shares.items() if name in hidden)}


def _edges(values: Floats) -> Floats:
    """Edges of bins that are the same on both sides of zero, beyond which a hundredth of the contributions lies."""
    reach = float(np.quantile(np.abs(values), 0.99)) or float(np.abs(values).max()) or 1.0
    return np.linspace(-reach, reach, _BINS + 1)


def _strip(name: str, explained: Explained, edges: Floats) -> dict[str, Any]:
    """How an input's contributions are distributed, and how large its values are in each bin (ranks, 0 to 1)."""
    parts = explained.contributions[name].to_numpy()
    places = np.clip(np.searchsorted(edges, parts, side="right") - 1, 0, len(edges) - 2)
    counts = np.bincount(places, minlength=len(edges) - 1)
    values = explained.values.get(name)
    if values is None or len(values) != len(parts):
        return {"name": name, "counts": counts.tolist(), "ranks": None}
    ranks = pd.Series(values).rank(pct=True).to_numpy()
    known = np.isfinite(ranks)
    sums = np.bincount(places[known], weights=ranks[known], minlength=len(counts))
    of = np.bincount(places[known], minlength=len(counts))
    means = [float(total) / int(many) if many else None for total, many in zip(sums, of, strict=True)]
    return {"name": name, "counts": counts.tolist(), "ranks": means}


def judge_jump(found: Mapping[str, Any], *, version: int, limit: float) -> dict[str, Any] | None:
    """Whether importance has jumped against the champion's: half the sum of the shares' absolute changes.

    It is the part of the importance that lies elsewhere: 0 if nothing changed, 1 if everything did.

    :param found: as :func:`describe` gives it.
    :param version: the champion's.
    :param limit: from which change on it is a jump.
    :returns: ``version``, ``change``, ``limit``, ``jumped``, ``moved`` (the most changed inputs), ``reason``; None
        if nothing can be compared.
    """
    features: Sequence[Mapping[str, Any]] = found["features"]
    if not features or features[0]["before"] is None:
        return None
    changes = {str(one["name"]): float(one["share"]) - float(one["before"]) for one in features}
    change = math.fsum(abs(moved) for moved in changes.values()) / 2
    most = sorted(changes, key=lambda name: -abs(changes[name]))[:3]
    shares = {str(one["name"]): one for one in features}
    words = ", ".join(f"{name} {shares[name]['before']:.0%} → {shares[name]['share']:.0%}" for name in most)
    jumped = change >= limit
    return {
        "version": version,
        "change": change,
        "limit": limit,
        "jumped": jumped,
        "moved": most,
        "reason": f"{change:.1%} of the importance lies elsewhere than in champion version {version} "
        f"(a jump from {limit:.0%} on). "
        f"Most changed: {words}.",
    }
