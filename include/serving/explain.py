"""Why a version answers as it does: each feature's contribution to each row's prediction.

XGBoost's own SHAP for its trees, the terms of the sum for a linear model.
"""

from __future__ import annotations

from typing import Any

import orjson

from include.serving.limits import Limits
from include.serving.loaded import LoadedModel
from include.serving.protocols.calls import Call, Encoded, Headers, Row
from include.serving.protocols.classes import likeliest, named
from include.serving.protocols.rows import ROWS, check_json
from include.serving.validation import RequestRefused, check_keys, inflate, parse_json
from include.settings import Settings

EXPLAINED_ROWS = 1000
"""Most rows of one request: an explanation costs some hundred times a prediction."""

_LONGEST_ID = 128


def decode(body: bytes, headers: Headers, loaded: LoadedModel, limits: Limits) -> Call | str:
    """The rows of ``{"rows": […]}``, or the id of ``{"request_id": "…"}``.

    :raises RequestRefused: the body is no such document, or has too many rows.
    """
    check_json(headers)
    document = parse_json(inflate(body, headers.get(b"content-encoding"), limits), limits.json_parts())
    if isinstance(document, dict) and "request_id" in document:
        check_keys(document, ("request_id",))
        request_id = document["request_id"]
        if not isinstance(request_id, str) or not 0 < len(request_id) <= _LONGEST_ID:
            raise RequestRefused(422, "A request id is a text of 1 to 128 characters.", field="request_id")
        return request_id
    call = ROWS.decode(body, headers, loaded.fields, limits)
    if call.count > EXPLAINED_ROWS:
        problem = f"{call.count} rows are more than {EXPLAINED_ROWS}. Send several requests."
        raise RequestRefused(413, problem, field="rows")
    return call


def recall(settings: Settings, model: str, request_id: str) -> tuple[int, list[Row]]:
    """The version that answered a past request, and the inputs of its rows, other versions' columns among them.

    :raises RequestRefused: 404 if the log does not have it.
    """
    from include.serving.request_log.find import find_request

    rows = [row for row in find_request(settings, model, request_id) if row.answered][:EXPLAINED_ROWS]
    if not rows:
        raise RequestRefused(404, f"There is no answered request of this id in the log of {model}.", field="request_id")
    return rows[0].version, [row.inputs for row in rows]


def explain(loaded: LoadedModel, call: Call, request_id: str) -> Encoded:
    """``{"model", "version", "scale", "base", "contributions": [{feature: …}], "predictions": […], "request_id"}``.

    Base and contributions of a row add up to its prediction on the named scale. Of several classes the likeliest one of
    each row is explained, by its score before softmax: ``base`` is then by class, and ``probabilities`` come along.

    :raises RequestRefused: 422 for rows that the model cannot read, or if the version cannot explain itself.
    :raises ModelFailed: the model failed.
    """
    if not (hasattr(loaded.packaged, "explain_rows") and getattr(loaded.packaged, "explains", True)):
        raise RequestRefused(422, f"Version {loaded.deployed.version} cannot explain its predictions.")
    found: dict[str, Any] = loaded.guarded(call, lambda: loaded.packaged.explain_rows(call.as_rows()))
    answers = found["predictions"]
    by_class: dict[str, Any] = {}
    if loaded.classes:
        by_class["probabilities"] = [named(row, loaded.classes) for row in answers]
        answers = [likeliest(row, loaded.classes) for row in answers]
    document = {
        "model": loaded.deployed.model,
        "version": loaded.deployed.version,
        **{part: found[part] for part in ("scale", "base", "contributions")},
        "predictions": answers,
        **by_class,
        "request_id": request_id,
    }
    return Encoded(orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY))
