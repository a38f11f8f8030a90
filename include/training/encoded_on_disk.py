"""A part as XGBoost takes it that never is in memory whole: batches are encoded, binned and written to disk as pages.

XGBoost then keeps some bytes for each row (gradients, scores, its place in the tree), and one page. The bins are those
of the whole, so that on rows which fit into memory the model is the same, to the byte; the size of batches is fixed,
so that it is the same every time on those that do not.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xgboost

from include.training.packaged_model import encode
from include.training.part_on_disk import PartOnDisk, shared

_LABEL: Final = "label"
Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class EncodedOnDisk:
    """Rows of parts on disk, as :class:`include.training.matrices.Encoded` has them in memory.

    :param parts: whose rows follow each other.
    :param features: as ``features.json`` describes them.
    :param weights: shape (rows,); None: all 1.
    """

    parts: Sequence[PartOnDisk]
    features: Sequence[Mapping[str, Any]]
    weights: npt.NDArray[np.float32] | None = field(default=None, compare=False)

    @cached_property
    def labels(self) -> npt.NDArray[np.float32]:
        """Shape (rows,)."""
        return np.concatenate([part[_LABEL].to_numpy(dtype=np.float32) for part in self.parts])

    @property
    def matrix(self) -> Matrix:
        """All of it in memory, shape (rows, features): for trainers that know no other way."""
        whole = np.empty((len(self.labels), len(self.features)), dtype=np.float32)
        first = 0
        for batch in self._matrices():
            whole[first : first + len(batch)] = batch
            first += len(batch)
        return whole

    def answers(self, predict: Callable[[Matrix], npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
        """A model's answers for all rows."""
        return np.concatenate([predict(batch) for batch in self._matrices()])

    def rows(self, chosen: npt.NDArray[np.bool_]) -> EncodedOnDisk:
        """Those rows only."""
        ends = np.cumsum([len(part) for part in self.parts])[:-1]
        parts = [part[mask] for part, mask in zip(self.parts, np.split(chosen, ends), strict=True)]
        return replace(self, parts=parts, weights=None if self.weights is None else self.weights[chosen])

    def share(self, number: int, of: int) -> EncodedOnDisk:
        """Those of its rows that one of several machines has, counted from 0: so many of each part, side by side."""
        weights = None
        if self.weights is not None:
            cuts = np.cumsum([len(part) for part in self.parts])[:-1]
            by_part = (part[shared(len(part), number, of)] for part in np.split(self.weights, cuts))
            weights = np.concatenate(list(by_part))
        return replace(self, parts=[part.share(number, of) for part in self.parts], weights=weights)

    def followed_by(self, other: EncodedOnDisk) -> EncodedOnDisk:
        """The rows of both, without weights."""
        return replace(self, parts=[*self.parts, *other.parts], weights=None)

    def dmatrix(
        self, features: Sequence[Mapping[str, Any]], *, bins_of: xgboost.DMatrix | None = None, max_bin: int = 256
    ) -> xgboost.DMatrix:
        """As XGBoost's own type; its pages are removed with it.

        :param features: the features as ``features.json`` describes them.
        :param bins_of: the matrix that is trained on, if this one only judges.
        """
        folder = Path(tempfile.mkdtemp(prefix="pages-", dir=self.parts[0].scratch))
        made = xgboost.ExtMemQuantileDMatrix(
            _Batches(self, features, folder / "page"), max_bin=max_bin, enable_categorical=True, ref=bins_of
        )
        weakref.finalize(made, shutil.rmtree, folder, ignore_errors=True)
        return made

    def _matrices(self) -> Iterator[Matrix]:
        for part in self.parts:
            for frame in part.batches():
                yield encode(frame, self.features)


class _Batches(xgboost.DataIter):
    """Encoded batches with their labels, as often as XGBoost asks for them."""

    def __init__(self, encoded: EncodedOnDisk, features: Sequence[Mapping[str, Any]], cache: Path) -> None:
        self._encoded = encoded
        self._names = [feature["name"] for feature in features]
        self._types = ["c" if feature["type"] == "category" else "q" for feature in features]
        self.reset()
        super().__init__(cache_prefix=str(cache))

    def reset(self) -> None:
        self._matrices = self._encoded._matrices()
        self._first = 0

    def next(self, input_data: Callable[..., Any]) -> bool:
        matrix = next(self._matrices, None)
        if matrix is None:
            return False
        mine = slice(self._first, self._first + len(matrix))
        self._first = mine.stop
        weights = self._encoded.weights
        input_data(
            data=matrix,
            label=self._encoded.labels[mine],
            weight=None if weights is None else weights[mine],
            feature_names=self._names,
            feature_types=self._types,
        )
        return True
