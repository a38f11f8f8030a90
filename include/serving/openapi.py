"""The OpenAPI description of every address of the server, merged into FastAPI's own document."""

from __future__ import annotations

from typing import Any

from include.serving.openapi_schemas import EXAMPLES, SCHEMAS

Item = dict[str, Any]
_JSON = "application/json"
_BYTES = "application/octet-stream"
_REFUSED = (400, 401, 403, 404, 410, 413, 415, 422, 429, 500, 503)
_WORDS = {
    400: "The body is not JSON, or its parts do not add up",
    401: "No known token (only if the server has tokens)",
    403: "The token may not do this (only if the server has tokens)",
    404: "No such model or version, or nothing of it in production",
    405: "Another method",
    408: "The body did not come in time",
    410: "The model is retired",
    413: "Too large a body or too many rows",
    415: "Another content type or encoding",
    422: "A row or a field is wrong; says which",
    429: "Too many requests at once",
    500: "The model failed on well-formed rows",
    503: "Not loaded yet",
}
_VERSION = {"name": "version", "in": "path", "required": True, "schema": {"type": "integer", "minimum": 1}}
_MODEL = {"name": "model", "in": "path", "required": True, "schema": {"type": "string"}, "example": "flight_delay"}
_REQUEST_HEADERS = [
    {
        "name": "X-Request-Id",
        "in": "header",
        "description": "Id of the request: up to 128 letters, digits, dots, dashes, underscores; others are replaced.",
        "schema": {"type": "string"},
    },
    {
        "name": "X-Noria-Key",
        "in": "header",
        "description": "Routing key: the same key is answered by the same version. Else the first row's entity is.",
        "schema": {"type": "string"},
    },
]
_ANSWER_HEADERS = {
    "X-Request-Id": {"description": "Id of the request, for feedback and /explain.", "schema": {"type": "string"}},
    "X-Noria-Version": {"description": "Version that answered.", "schema": {"type": "integer"}},
    "X-Noria-Role": {
        "description": "Its role.",
        "schema": {"type": "string", "enum": ["champion", "previous", "candidate", "shadow", "canary", "ab"]},
    },
    "Deprecation": {
        "description": "Only while the model is being retired: since when (RFC 9745).",
        "schema": {"type": "string"},
    },
    "Sunset": {
        "description": "Only while the model is being retired: when it stops answering at the latest (RFC 8594).",
        "schema": {"type": "string"},
    },
}


def extend(document: dict[str, Any]) -> dict[str, Any]:
    """FastAPI's document with all addresses, schemas and the bearer scheme; ours win over the same addresses there."""
    components = document.get("components", {})
    return {
        **document,
        "paths": {**document.get("paths", {}), **paths()},
        "components": {
            **components,
            "schemas": {**components.get("schemas", {}), **SCHEMAS},
            "securitySchemes": {
                **components.get("securitySchemes", {}),
                "bearer": {"type": "http", "scheme": "bearer", "description": "Only if the server has tokens."},
            },
        },
    }


def paths() -> dict[str, Item]:
    """The path item of every address."""
    return {**_predicting(), **_feedback(), **_models(), **_protocol_documents(), **_health()}


def _predicting() -> dict[str, Item]:
    rows = {_JSON: _content("Rows")}
    tensors = {_JSON: _content("InferRequest"), _BYTES: _binary("The JSON, then the tensors' bytes in its order.")}
    frames = {_JSON: _content("Invocation"), "text/csv": {"schema": {"type": "string"}, "example": EXAMPLES["csv"]}}
    inferred = {_JSON: _content("InferAnswer"), _BYTES: _binary("The JSON, then the output's bytes.")}
    header = {
        "name": "Inference-Header-Content-Length",
        "in": "header",
        "description": "Length of the JSON part if binary tensors follow it.",
        "schema": {"type": "integer", "minimum": 1},
    }
    predict = _ask("Predict rows", rows, {_JSON: _content("Predictions")})
    infer = _ask("Predict tensors", tensors, inferred, protocol="v2", more=[header])
    explain = _ask("Why: each feature's share of the answer", {_JSON: _content("Explain")}, {_JSON: _content("Shares")})
    invoke = _ask("Predict as mlflow models serve", frames, {_JSON: _content("MlflowAnswer")}, protocol="mlflow")
    return {
        "/models/{model}/predict": {"parameters": [_MODEL], "post": predict},
        "/models/{model}/versions/{version}/predict": {"parameters": [_MODEL, _VERSION], "post": _asked(predict)},
        "/v2/models/{model}/infer": {"parameters": [_MODEL], "post": infer},
        "/v2/models/{model}/versions/{version}/infer": {"parameters": [_MODEL, _VERSION], "post": _asked(infer)},
        "/models/{model}/invocations": {"parameters": [_MODEL], "post": invoke},
        "/models/{model}/explain": {"parameters": [_MODEL], "post": explain},
    }


def _ask(
    summary: str, bodies: Item, answers: Item, *, protocol: str = "rows", more: list[Item] | None = None
) -> dict[str, Any]:
    return {
        "summary": summary,
        "tags": ["predict"],
        "security": [{}, {"bearer": []}],
        "parameters": [*_REQUEST_HEADERS, *(more or [])],
        "requestBody": {"required": True, "content": bodies},
        "responses": {
            "200": {"description": "The answer", "headers": _ANSWER_HEADERS, "content": answers},
            **_problems(*_REFUSED, protocol=protocol),
        },
    }


def _asked(operation: Item) -> Item:
    """The same for one version that the caller names."""
    return {**operation, "summary": f"{operation['summary']} with one version in state (admin)"}


def _feedback() -> dict[str, Item]:
    send = {
        "summary": "Tell what really happened",
        "description": "Labels by request id and row, or by entity; late and repeated ones too, the newest counts.",
        "tags": ["feedback"],
        "security": [{}, {"bearer": []}],
        "requestBody": {"required": True, "content": {_JSON: _content("Labels")}},
        "responses": {
            "200": {"description": "Written to the log", "content": {_JSON: _content("Accepted")}},
            **_problems(*_REFUSED),
        },
    }
    counts = _get("Labels that came back, counted", "feedback", "FeedbackCounts", 401, 403, 404, 503, secured=True)
    return {"/models/{model}/feedback": {"parameters": [_MODEL], "post": send, "get": counts}}


def _models() -> dict[str, Item]:
    return {
        "/models": {"get": _get("All deployed models", "models", "Models", 401, 403, secured=True)},
        "/models/{model}": {
            "parameters": [_MODEL],
            "get": _get("One model", "models", "Model", 401, 403, 404, 503, secured=True),
        },
    }


def _protocol_documents() -> dict[str, Item]:
    model, ready = ("ModelMetadata", (401, 403, 404, 410, 503)), ("ModelReady", (401, 403, 404, 410, 503))
    documents = {
        "/v2": ("The server, as the Open Inference Protocol says", [], "ServerMetadata", ()),
        "/v2/health/live": ("The process answers", [], "Live", ()),
        "/v2/health/ready": ("The server can be asked", [], "Ready", (503,)),
        "/v2/models/{model}": ("Inputs and outputs of a model", [_MODEL], *model),
        "/v2/models/{model}/versions/{version}": ("Of one version", [_MODEL, _VERSION], *model),
        "/v2/models/{model}/ready": ("The model answers", [_MODEL], *ready),
        "/v2/models/{model}/versions/{version}/ready": ("The version answers", [_MODEL, _VERSION], *ready),
    }
    return {
        path: {"parameters": parameters, "get": _get(words, "open inference protocol", schema, *statuses)}
        for path, (words, parameters, schema, statuses) in documents.items()
    }


def _health() -> dict[str, Item]:
    metrics = {
        "summary": "Metrics for Prometheus",
        "tags": ["health"],
        "security": [{}, {"bearer": []}],
        "responses": {
            "200": {"description": "Text format", "content": {"text/plain": {"schema": {"type": "string"}}}},
            **_problems(401, 403),
        },
    }
    return {
        "/health/live": {"get": _get("The process answers", "health", "Live")},
        "/health/ready": {"get": _get("The server can be asked", "health", "Readiness", 503)},
        "/metrics": {"get": metrics},
    }


def _get(summary: str, tag: str, schema: str, *statuses: int, secured: bool = False) -> Item:
    content = {_JSON: _content(schema)}
    # A server that is not ready says so in the document itself, not as a problem.
    own = {"503"} if schema in {"Ready", "Readiness", "ModelReady"} else set()
    problems = _problems(*statuses, protocol="v2" if tag == "open inference protocol" else "rows")
    return {
        "summary": summary,
        "tags": [tag],
        **({"security": [{}, {"bearer": []}]} if secured else {}),
        "responses": {
            "200": {"description": "The document", "content": content},
            **{
                status: {"description": "Not ready", "content": content} if status in own else problem
                for status, problem in problems.items()
            },
        },
    }


def _problems(*statuses: int, protocol: str = "rows") -> Item:
    schema = "MlflowProblem" if protocol == "mlflow" else "Problem"
    return {
        str(status): {
            "description": _WORDS[status],
            "content": {_JSON: {"schema": {"$ref": f"#/components/schemas/{schema}"}}},
        }
        for status in (*statuses, 408)
        if status != 408 or 413 in statuses
    }


def _content(name: str) -> Item:
    content: Item = {"schema": {"$ref": f"#/components/schemas/{name}"}}
    return {**content, "example": EXAMPLES[name]} if name in EXAMPLES else content


def _binary(words: str) -> Item:
    return {"schema": {"type": "string", "format": "binary", "description": words}}
