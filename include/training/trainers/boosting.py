"""The boosting itself: matrices in, trees and their curves out, here or, by an engine, on several machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import xgboost

from include.spec.parameters import DEFAULTS
from include.training.encoded_on_disk import EncodedOnDisk
from include.training.matrices import AnyEncoded

Curves = dict[str, dict[str, list[float]]]


@dataclass(frozen=True, kw_only=True)
class Boosting:
    """What is to be boosted.

    :param params: XGBoost's, ``nthread`` included.
    :param rounds: at most; so many without ``validation``.
    :param features: as ``features.json`` describes them.
    :param validation: the part whose loss ends it early; None: it goes on for all ``rounds``.
    :param patience: rounds without gain before it ends.
    """

    params: Mapping[str, Any]
    rounds: int
    features: Sequence[Mapping[str, Any]]
    train: AnyEncoded
    validation: AnyEncoded | None = None
    patience: int | None = None

    def share(self, number: int, of: int) -> Boosting:
        """The part of it that one of several machines has: its rows, in their order.

        :raises TypeError: if the rows are in memory.
        """
        rows = [part.share(number, of) for part in (self.train, self.validation) if isinstance(part, EncodedOnDisk)]
        if len(rows) != (1 if self.validation is None else 2):
            raise TypeError("only rows on disk can be shared out")
        return replace(self, train=rows[0], validation=rows[1] if len(rows) == 2 else None)


@dataclass(frozen=True, kw_only=True)
class Boosted:
    """Trees, and part → metric → value after each round."""

    booster: xgboost.Booster
    curves: Curves


class Machines(Protocol):
    """Several machines that boost together."""

    @property
    def document(self) -> Mapping[str, Any]:
        """What of them the model's bytes depend on, as JSON values: a part of its fingerprint."""
        ...

    def boost(self, boosting: Boosting) -> Boosted:
        """Boost, each with its share of the rows.

        :raises xgboost.core.XGBoostError: if XGBoost refuses.
        """
        ...


def boost(boosting: Boosting) -> Boosted:
    """Boost in this process: alone, or with the others that XGBoost's communicator in it knows of."""
    bins = bins_of(boosting.params)
    curves: Curves = {}
    part = boosting.train.dmatrix(boosting.features, max_bin=bins)
    if boosting.validation is None:
        booster = xgboost.train(dict(boosting.params), part, boosting.rounds, verbose_eval=False)
        return Boosted(booster=booster, curves=curves)
    judge = boosting.validation.dmatrix(boosting.features, bins_of=part, max_bin=bins)
    booster = xgboost.train(
        dict(boosting.params),
        part,
        boosting.rounds,
        evals=[(part, "train"), (judge, "validation")],
        early_stopping_rounds=boosting.patience,
        evals_result=curves,
        verbose_eval=False,
    )
    return Boosted(booster=booster, curves=curves)


def bins_of(params: Mapping[str, Any]) -> int:
    """In how many bins values are put: a matrix on disk holds nothing else."""
    return int(params.get("max_bin", DEFAULTS["max_bin"]))
