"""What cleaning learns from the training part, and which rows it leaves out of training.

Applying it is the packaged model's business (``encode`` and ``row_path.py``), for training matrices and requests alike.
What is learned depends on the values only: not on their order, nor on the number of threads.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from include.errors import Refused
from include.spec.clean import FeatureCleaning, Outliers
from include.spec.columns import feature_types
from include.spec.definition import Definition
from include.training.folds import Cut, Fold, Rows
from include.training.matrices import encode_part
from include.training.packaged_model import PREFIX, clipped, is_null
from include.training.part_on_disk import PartOnDisk
from include.training.refusals import FEWEST_ROWS, make_larger

Learned = dict[str, Any]
Numbers = npt.NDArray[np.float64]

_log = logging.getLogger(__name__)
_DROPPED_FROM: Final = ("train", "validation")


class NothingToLearn(Refused):
    """A feature has no value in the training part from which its cleaning could be learned."""

    def __init__(self, definition: Definition, feature: str, what: str) -> None:
        larger = make_larger(definition, "train")
        super().__init__(
            f"{definition.model}: clean.features.{feature}: the feature has no value in the training part, so its "
            f"{what} cannot be learned. Give a value ({{value: …}}) or bounds (clip: […]), "
            f"{larger[0].lower()}{larger[1:]}, or correct the feature."
        )
        self.feature = feature


class TooFewLeft(Refused):
    """Without the rows that cleaning drops, a part is too small or has only one label."""

    def __init__(self, model: str, part: str, rows: int, left: int, dropped: Mapping[str, int], why: str) -> None:
        shown = ", ".join(f"{name}: {count}" for name, count in dropped.items())
        super().__init__(
            f"{model}: cleaning drops {rows - left} of the {rows} rows of the {part} part for a missing value "
            f"({shown}), and {why}. Fill these features in (clean.features.<name>.missing: median) instead of "
            f"dropping their rows, or correct the data."
        )
        self.part = part
        self.left = left


def kept_rows(definition: Definition, part: str, frame: pd.DataFrame | PartOnDisk) -> pd.DataFrame | PartOnDisk:
    """The rows of the training or validation part that no rule ``missing: drop`` leaves out; counts are logged.

    :param part: ``train`` or ``validation``; of the holdout nothing is ever dropped.
    :raises TooFewLeft: if what is left is too little.
    """
    if part not in _DROPPED_FROM:
        raise ValueError(f"rows of the part {part} are never dropped")
    dropping = [name for name, rule in definition.clean.features.items() if rule.missing.how == "drop"]
    if not dropping:
        return frame
    missing = {name: frame[PREFIX + name].isna().to_numpy() for name in dropping}
    kept: pd.DataFrame | PartOnDisk = frame[~np.logical_or.reduce(list(missing.values()))].reset_index(drop=True)
    counts = {name: int(rows.sum()) for name, rows in missing.items() if rows.any()}
    if len(kept) < len(frame):
        _log.info("%d of %d rows of the %s part are dropped: %s", len(frame) - len(kept), len(frame), part, counts)
        if len(kept) < FEWEST_ROWS[part]:
            why = f"{len(kept)} are left, where at least {FEWEST_ROWS[part]} are needed"
            raise TooFewLeft(definition.model, part, len(frame), len(kept), counts, why)
        if definition.task != "regression" and kept["label"].nunique() < frame["label"].nunique():
            raise TooFewLeft(definition.model, part, len(frame), len(kept), counts, "with them a class is lost")
    return kept


def learn_cleaning(definition: Definition, train: pd.DataFrame | PartOnDisk) -> dict[str, Learned]:
    """What each cleaned feature's rule says in numbers, for ``features.json``.

    ``low`` and ``high``: bounds of what is no outlier; ``keep``: outliers stay as they are; ``fill``: what stands for
    a missing value (a number also for booleans); ``drop``: rows without it are left out of training. What a rule does
    not say is not in it.

    :param train: the training part without dropped rows, with a column ``feature_<name>`` for each feature.
    :raises NothingToLearn: if a feature that is to be learned from has no value.
    """
    types = feature_types(definition)
    return {
        name: _learn(definition, name, types[name], rule, train[PREFIX + name])
        for name, rule in definition.clean.features.items()
    }


def fold_cleaning(
    definition: Definition, features: Sequence[Mapping[str, Any]], kept: pd.DataFrame | PartOnDisk
) -> Cut | None:
    """How a fold of a search is cut, so that its cleaning is learned from the rows that it trains on, and no later.

    Categories stay those of the whole training part. A fold that cannot learn a rule is cleaned as the model will be.

    :param features: as ``features.json`` describes them.
    :param kept: the training part without dropped rows.
    :returns: None where nothing is learned, so that a fold's rows are encoded as those of the whole part.
    """
    if not any(_is_learned(rule) for rule in definition.clean.features.values()):
        return None

    def cut(before: Rows, during: Rows) -> Fold:
        own = features
        try:
            learned = learn_cleaning(definition, kept[before])
        except NothingToLearn as error:
            _log.warning("A fold is cleaned as the model will be: %s", error)
        else:
            own = [{**one, "clean": learned[one["name"]]} if one["name"] in learned else one for one in features]
        return Fold(train=encode_part(kept[before], own), validation=encode_part(kept[during], own))

    return cut


def _is_learned(rule: FeatureCleaning) -> bool:
    learned = rule.missing.how in {"median", "mean", "most_frequent"}
    return learned or (rule.outliers is not None and rule.outliers.winsorize is not None)


def _learn(definition: Definition, name: str, kind: str, rule: FeatureCleaning, values: pd.Series) -> Learned:
    try:
        if kind == "category":
            return _fill(rule, lambda _: _most_frequent([str(value) for value in values if not is_null(value)]))
        numbers = _sorted_numbers(values)
        learned = _bounds(rule.outliers, numbers) if rule.outliers is not None else {}
        return learned | _fill(rule, lambda how: _middle(how, clipped(numbers, learned)))
    except _NoValue as error:
        what = f"{rule.missing.how} value" if rule.missing.how else "winsorize bounds"
        raise NothingToLearn(definition, name, what.replace("_", " ")) from error


class _NoValue(Exception):
    """There is no value to learn from."""


def _bounds(outliers: Outliers, numbers: Numbers) -> Learned:
    if outliers.winsorize is not None:
        if not len(numbers):
            raise _NoValue
        ends: list[float | None] = [float(q) for q in _quantiles(numbers, outliers.winsorize)]
    else:
        ends = [None if end is None else float(end) for end in outliers.clip or ()]
    bounds: Learned = {side: end for side, end in zip(("low", "high"), ends, strict=True) if end is not None}
    return bounds | ({"keep": True} if outliers.keep else {})


def _quantiles(numbers: Numbers, shares: list[float]) -> Numbers:
    """Observed values: the smallest that at least this share of the values is not above (inverted distribution)."""
    found: Numbers = np.quantile(numbers, shares, method="inverted_cdf")
    return found


def _fill(rule: FeatureCleaning, learn: Any) -> Learned:
    missing = rule.missing
    if missing.how == "drop":
        return {"drop": True}
    if missing.how == "keep":
        return {}
    if missing.value is not None:
        return {"fill": missing.value if isinstance(missing.value, str) else float(missing.value)}
    return {"fill": learn(missing.how)}


def _middle(how: str, numbers: Numbers) -> float:
    if not len(numbers):
        raise _NoValue
    if how == "median":
        return float(_quantiles(numbers, [0.5])[0])
    if how == "mean":
        return math.fsum(numbers.tolist()) / len(numbers)
    return float(_most_frequent(numbers.tolist()))


def _most_frequent(values: list[Any]) -> Any:
    """The most frequent value, of equally frequent ones the smallest."""
    if not values:
        raise _NoValue
    return min(Counter(values).items(), key=lambda item: (-item[1], item[0]))[0]


def _sorted_numbers(values: pd.Series) -> Numbers:
    """The values that the model could see as numbers of 32 bits, sorted; -0.0 is 0.0, so that equal ones are one."""
    numbers = np.array([math.nan if is_null(value) else float(value) for value in values], dtype=np.float64)
    with np.errstate(over="ignore"):
        seen = np.isfinite(numbers.astype(np.float32))
    return np.sort(numbers[seen] + 0.0)
