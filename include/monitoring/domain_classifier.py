"""A classifier that tries to tell the window's rows from the training part's: it sees how features go together.

Its cross-validated ROC AUC is 0.5 if nobody can tell (Lopez-Paz and Oquab 2017). Rows of other weeks can always be told
a little, so the limit is at least what the same classifier reaches between thirds of the training sample itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from include.lake.columns import FEATURE_PREFIX
from include.lake.connections import open_duckdb, query_table, quote_name
from include.lake.table import LakeTable
from include.settings import Settings
from include.spec.definition import DomainClassifier
from include.training.reference_sample import Sample, plain_value

Matrix = npt.NDArray[np.float32]
_FOLDS: Final = 5
_ROUNDS: Final = 30
_THIRDS: Final = 3
_FEWEST_ROWS: Final = 200
_PARAMETERS: Final[dict[str, Any]] = {
    "objective": "binary:logistic", "max_depth": 4, "eta": 0.3, "tree_method": "hist", "nthread": 1, "seed": 0,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Told:
    """How well the window can be told from the training part.

    :param auc: cross-validated, of rows that the classifier was not trained on.
    :param limit: what it is held against: the definition's, or ``ordinary`` if that is more.
    :param ordinary: the greatest AUC between a third of the training sample and its rest, less what chance explains.
    :param p: probability of such an AUC by chance.
    :param features: by which it tells them, the most useful first.
    """

    auc: float
    limit: float
    ordinary: float
    p: float
    drifted: bool
    features: tuple[str, ...]

    def describe(self) -> str:
        """What was found, as a sentence."""
        can = "tells" if self.drifted else "does not tell"
        by = f", by {', '.join(self.features)}" if self.drifted else ""
        return f"A classifier {can} these rows from the training part (AUC {self.auc:.2f}, limit {self.limit:.2f}{by})."


def sample_window(
    settings: Settings, model: str, keys: Sequence[str], profile: Mapping[str, Any], rows: int, version: int
) -> Sample:
    """Some rows of published partitions, the same ones whenever they are asked for; features that are gone are None.

    :param profile: of the champion; its sample says which features are wanted.
    """
    table = LakeTable(settings, model, "features")
    there = set(table.open(version).schema().to_arrow().names)
    wanted = [name for name in profile["sample"] if FEATURE_PREFIX + name in there]
    columns = [FEATURE_PREFIX + name for name in wanted]
    with open_duckdb(settings) as connection:
        table.scan(connection, "rows", version=version, keys=keys, columns=["partition", "_row", *columns])
        chosen = ", ".join(quote_name(name) for name in columns)
        query = f"SELECT {chosen} FROM rows ORDER BY hash(partition, _row), partition, _row LIMIT {rows:d}"  # nosec B608
        found = query_table(connection, query)
    kinds = {name: profile["features"][name]["type"] for name in wanted}
    return {
        name: [plain_value(value, kinds[name]) for value in found[FEATURE_PREFIX + name].to_pylist()] for name in wanted
    }


def tell_apart(
    profile: Mapping[str, Any], current: Sample, *, rule: DomainClassifier, significance: float
) -> Told | None:
    """Train on both samples, crosswise; None if there are too few rows.

    :param profile: of the champion, with a ``sample``.
    :param current: rows of the window, with no more features than the profile's sample.
    """
    names = list(current)
    shapes = {name: profile["features"][name] for name in names}
    before, now = (_encode(shapes, sample) for sample in (profile["sample"], current))
    if min(len(before), len(now)) < _FEWEST_ROWS:
        return None
    auc, used = _cross_validated(before, now)
    thirds = [np.arange(len(before)) * _THIRDS // len(before) == third for third in range(_THIRDS)]
    ordinary = max(_beyond_chance(before[~inside], before[inside]) for inside in thirds)
    limit, p = max(rule.auc, ordinary), _chance_of(auc, len(before), len(now))
    return Told(
        auc=auc,
        limit=limit,
        ordinary=ordinary,
        p=p,
        drifted=auc >= limit and p <= significance,
        features=tuple(names[place] for place in used[:3]),
    )


def _encode(shapes: Mapping[str, Mapping[str, Any]], sample: Sample) -> Matrix:
    """Numbers for trees: a category is its place among the frequent ones, the others share one."""
    columns = []
    for name, shape in shapes.items():
        if shape["type"] == "category":
            codes = {value: place for place, value in enumerate(shape["values"])}
            column = [math.nan if value is None else codes.get(value, len(codes)) for value in sample[name]]
        else:
            column = [math.nan if value is None else float(value) for value in sample[name]]
        columns.append(column)
    with np.errstate(over="ignore"):
        matrix = np.array(columns, dtype=np.float32).T
    return np.where(np.isinf(matrix), np.nan, matrix).reshape(-1, len(columns))


def _cross_validated(before: Matrix, now: Matrix) -> tuple[float, list[int]]:
    """AUC of rows by classifiers that have not seen them, and the columns' places by falling gain."""
    import xgboost
    from sklearn.metrics import roc_auc_score

    rows = np.vstack([before, now])
    labels = np.repeat([0, 1], [len(before), len(now)])
    # Neighbours in time are alike, but the samples' orders are not: each fold takes every fifth row of both.
    folds = np.concatenate([np.arange(len(side)) % _FOLDS for side in (before, now)])
    scores, gains = np.zeros(len(rows)), np.zeros(rows.shape[1])
    for fold in range(_FOLDS):
        inside = folds == fold
        data = xgboost.DMatrix(rows[~inside], labels[~inside])
        booster = xgboost.train(_PARAMETERS, data, num_boost_round=_ROUNDS)
        scores[inside] = booster.predict(xgboost.DMatrix(rows[inside]))
        for name, gain in booster.get_score(importance_type="total_gain").items():
            gains[int(name.removeprefix("f"))] += gain
    return float(roc_auc_score(labels, scores)), [int(place) for place in np.argsort(-gains, kind="stable")]


def _beyond_chance(before: Matrix, now: Matrix) -> float:
    auc, _ = _cross_validated(before, now)
    return max(auc - 1.64 * _error(len(before), len(now)), 0.5)


def _chance_of(auc: float, first: int, second: int) -> float:
    """Of an AUC as great, if nobody can tell (Mann-Whitney, normal)."""
    return math.erfc((auc - 0.5) / _error(first, second) / math.sqrt(2)) / 2


def _error(first: int, second: int) -> float:
    return math.sqrt((first + second + 1) / (12 * first * second))
