"""The short way for a few rows: from features to numbers to the booster's answer, without pandas or DuckDB.

This file travels with a packaged model as an artifact, beside ``packaged_model.py``, which loads it. So it must stay
self-contained: it imports the standard library, numpy and xgboost, and nothing of this repository.
"""

import ctypes
import json
import math
import struct
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xgboost

_FLOAT32_END = (2 - 2**-24) * 2.0**127  # from here on a number rounds to an infinite float32
_NAN = math.nan


# ---- features to numbers --------------------------------------------------------------------------------------------


class UnseenCategory(ValueError):
    """A category that training has not seen, where the definition refuses such.

    :param place: number of the feature.
    """

    def __init__(self, place: int, value: object) -> None:
        super().__init__(f"the category {value!r:.60} was not seen in training")
        self.place = place
        self.value = value


def make_encoder(features: Sequence[Mapping[str, Any]], *, refuse_unseen: bool) -> Callable[[Iterable[Any]], list[Any]]:
    """A function from one row's feature values to the numbers that XGBoost takes; equal to ``encode``.

    It is written for these features, one expression for each. It raises :class:`UnseenCategory` for such a category if
    ``refuse_unseen``.
    """
    names: dict[str, Any] = {"END": _FLOAT32_END, "NAN": _NAN}
    items = []
    for place, (source, function) in enumerate(column_functions(features, refuse_unseen=refuse_unseen)):
        value = f"v{source}"
        if function is None:
            items.append(f"{value} if {value} is not None and -END < {value} < END else NAN")
        else:
            names[f"number{place}"] = function
            items.append(f"number{place}({value}, NAN)")
    values = ", ".join(f"v{place}" for place, feature in enumerate(features) if "of" not in feature)
    lines = ["def encode_row(values):", f"    ({values},) = values", f"    return [{', '.join(items)}]"]
    exec("\n".join(lines), names)  # nosec B102 # our own lines; nothing of a definition's text is in them
    encode_row: Callable[[Iterable[Any]], list[Any]] = names["encode_row"]
    return encode_row


Number = Callable[[Any, float], float]


def column_functions(features: Sequence[Mapping[str, Any]], *, refuse_unseen: bool) -> list[tuple[int, Number | None]]:
    """For each of the model's inputs the place of the feature that it is made from, and how it becomes a number.

    The function takes the feature's value and what a missing one becomes; without one it is a number as it is.
    """
    places = {feature["name"]: place for place, feature in enumerate(features)}
    functions: list[tuple[int, Number | None]] = []
    for place, feature in enumerate(features):
        if "of" in feature:
            source = places[feature["of"]]
            functions.append((source, make_flag(features[source], feature["flag"])))
        elif feature["type"] == "category":
            fill = (feature.get("clean") or {}).get("fill")
            functions.append((place, _codes(feature.get("categories") or (), place, refuse_unseen, fill)))
        else:
            functions.append((place, make_cleaner(feature["clean"]) if feature.get("clean") else None))
    return functions


def make_cleaner(clean: Mapping[str, Any]) -> Number:
    """A function that cleans a number or boolean: outliers first, then missing ones; equal to ``encode_feature``."""
    kept = clean.get("keep", False)
    low = -math.inf if kept else clean.get("low", -math.inf)
    high = math.inf if kept else clean.get("high", math.inf)
    fill = clean.get("fill")

    def cleaned(value: Any, missing: float) -> float:
        if value is not None:
            if value < low:
                value = low
            if value > high:
                value = high
            if -_FLOAT32_END < value < _FLOAT32_END:
                return float(value)
        return missing if fill is None else fill

    return cleaned


def make_flag(feature: Mapping[str, Any], flag: str) -> Number:
    """A function that says of a feature's value whether it is missing, or an outlier; equal to ``encode_flag``."""
    if feature["type"] == "category":
        return lambda value, _: 1.0 if value is None else 0.0
    clean = feature["clean"]
    if flag == "missing":
        cleaned = make_cleaner({key: value for key, value in clean.items() if key != "fill"})
        return lambda value, _: 1.0 if math.isnan(cleaned(value, _NAN)) else 0.0
    low, high = clean.get("low", -math.inf), clean.get("high", math.inf)
    return lambda value, _: 1.0 if value is not None and (value < low or value > high) else 0.0


def _codes(categories: Sequence[str], place: int, refuse_unseen: bool, fill: str | None) -> Number:
    """A function from a category, and what null and unseen ones become, to its place in the list.

    :param fill: the category that stands for null.
    """
    codes: dict[Any, float] = {value: float(code) for code, value in enumerate(categories)}
    if fill is not None:
        codes[None] = codes[fill]
    if not refuse_unseen:
        return codes.get

    def strict(value: Any, missing: float) -> float:
        code = codes.get(value)
        if code is None and value is not None:
            raise UnseenCategory(place, value)
        return missing if code is None else code

    return strict


# ---- the booster ----------------------------------------------------------------------------------------------------


class DirectBooster:
    """Predictions by XGBoost's C function, without what ``inplace_predict`` does around it.

    Safe for several threads: each has a buffer of its own, and XGBoost keeps results by thread.

    :param booster: the loaded model.
    :param features: number of its features.
    :param outputs: numbers of an answer: 1, or one for each of several classes.
    """

    def __init__(self, booster: xgboost.Booster, features: int, outputs: int = 1) -> None:
        self._booster = booster  # keeps the handle alive
        self._handle = booster.handle
        self._predict = xgboost.core._LIB.XGBoosterPredictFromDense
        config = {
            "type": 0,
            "training": False,
            "iteration_begin": 0,
            "iteration_end": 0,
            "missing": math.nan,
            "strict_shape": False,
            "cache_id": 0,
        }
        self._config = json.dumps(config).encode()
        self._pack = struct.Struct(f"={features}f").pack_into
        self._features = features
        self._outputs = outputs
        self._local = threading.local()

    def predict(self, values: Sequence[float]) -> Any:
        """The answer for one encoded row, the float of the exact float32 value; of several outputs the list of them."""
        try:
            buffer, call, result, _ = self._local.row
        except AttributeError:
            buffer, call, result, _ = self._local.row = self._prepare()
        self._pack(buffer, 0, *values)
        if self._predict(*call) != 0:
            raise xgboost.core.XGBoostError(xgboost.core._LIB.XGBGetLastError().decode())
        if self._outputs > 1:
            return result[: self._outputs]
        return float(result[0])

    def predict_matrix(self, matrix: npt.NDArray[np.float32]) -> list[Any]:
        """The answers for encoded rows, the floats of the exact float32 values.

        :param matrix: contiguous, rows by features, at least one row.
        """
        try:
            _, call, result, _ = self._local.row
        except AttributeError:
            _, call, result, _ = self._local.row = self._prepare()
        interface = self._interface(matrix.ctypes.data, len(matrix))
        if self._predict(call[0], interface, *call[2:]) != 0:
            raise xgboost.core.XGBoostError(xgboost.core._LIB.XGBGetLastError().decode())
        outputs = self._outputs
        answers: list[float] = result[: len(matrix) * outputs]
        if outputs > 1:
            return [answers[place : place + outputs] for place in range(0, len(answers), outputs)]
        return answers

    def _interface(self, address: int, rows: int) -> bytes:
        """How XGBoost is told where float32 rows are."""
        interface = {
            "data": [address, False],
            "shape": [rows, self._features],
            "strides": None,
            "typestr": "<f4",
            "version": 3,
        }
        return json.dumps(interface).encode()

    def _prepare(self) -> tuple[Any, tuple[Any, ...], Any, Any]:
        """Buffer, arguments, result pointer and proxy of a thread; without a proxy XGBoost makes one in each call."""
        buffer = (ctypes.c_float * self._features)()
        shape, dimensions = ctypes.POINTER(ctypes.c_uint64)(), ctypes.c_uint64()
        result = ctypes.POINTER(ctypes.c_float)()
        proxy = xgboost.core._ProxyDMatrix()
        call = (
            self._handle,
            self._interface(ctypes.addressof(buffer), 1),
            self._config,
            proxy.handle,
            ctypes.byref(shape),
            ctypes.byref(dimensions),
            ctypes.byref(result),
        )
        return buffer, call, result, proxy


def direct_booster(booster: xgboost.Booster, features: Sequence[Mapping[str, Any]]) -> DirectBooster | None:
    """The direct way to a booster, or None if this XGBoost has it not or answers otherwise there."""
    try:
        probes = _probes(features)
        direct = DirectBooster(booster, len(features), booster.inplace_predict(probes[0].reshape(1, -1)).size)
        for probe in probes:
            if direct.predict(probe.tolist()) != booster.inplace_predict(probe.reshape(1, -1))[0].tolist():
                return None
        together = np.stack(probes * 20)
        if direct.predict_matrix(together) != booster.inplace_predict(together).tolist():
            return None
    except (AttributeError, TypeError, ValueError, struct.error, ctypes.ArgumentError, xgboost.core.XGBoostError):
        return None
    return direct


def _probes(features: Sequence[Mapping[str, Any]]) -> list[npt.NDArray[np.float32]]:
    """A few encoded rows: zeros, missing values, categories and numbers of all sizes."""
    draw = np.random.default_rng(1)
    sizes = [max(1, len(feature.get("categories") or ())) for feature in features]
    category = np.array([feature["type"] == "category" for feature in features])
    rows = [np.zeros(len(features), np.float32), np.full(len(features), np.nan, np.float32)]
    for scale in (1.0, 100.0, 1e6):
        codes = draw.integers(0, sizes)
        row = np.where(category, codes, draw.normal(0, scale, len(features)))
        rows.append(np.where(draw.random(len(features)) < 0.1, np.nan, row).astype(np.float32))
    return rows
