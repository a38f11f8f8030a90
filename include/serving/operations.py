"""What the addresses beside predictions do: explanations and labels."""

from __future__ import annotations

import time

from include.serving import explain, metrics
from include.serving.access import AccessRefused
from include.serving.gateway import Operation, Visit, identified
from include.serving.limits import Limits
from include.serving.prediction import Predictor, is_small, readable
from include.serving.protocols import feedback
from include.serving.protocols.calls import Call, Encoded
from include.serving.request_log.writer import RequestLog
from include.serving.validation import RequestRefused
from include.settings import Settings


def explaining(predictor: Predictor, limits: Limits, settings: Settings) -> Operation:
    """``POST /models/{model}/explain``: the champion explains rows, or the version that answered a past request."""

    async def operation(visit: Visit, body: bytes) -> Encoded:
        model = visit.address.model
        served, loaded, role = await predictor.find(model, None)
        asked = await predictor.in_thread(explain.decode, body, visit.headers, loaded, limits)
        if isinstance(asked, str):
            version, rows = await predictor.in_thread(explain.recall, settings, model, asked)
            if version != loaded.deployed.version:
                _, loaded, role = await predictor.find(model, str(version))
            if loaded.shape.personal:
                problem = f"The log of {model} keeps personal columns as hashes only. Send the rows."
                raise RequestRefused(422, problem, field="request_id")
            call = Call(len(rows), [{name: row.get(name) for name in loaded.columns} for row in rows])
        else:
            filled, _ = predictor.past.fill(asked, loaded)
            call = readable(served, filled, loaded)
        visit.head = served.head(loaded, role)
        return await predictor.in_thread(explain.explain, loaded, call, identified(visit))

    return operation


def labelling(predictor: Predictor, limits: Limits, log: RequestLog | None) -> Operation:
    """``POST /models/{model}/feedback``: labels go to the log before they are acknowledged."""

    async def operation(visit: Visit, body: bytes) -> Encoded:
        model = visit.address.model
        served, loaded, _ = await predictor.find(model, None)
        visit.head = served.farewell
        # Classes are only added at the end: whoever knows more of them knows the others by the same places.
        newer = served.challenger.loaded if served.challenger is not None else None
        classes = max(loaded.classes, newer.classes if newer is not None else (), key=len)
        given = body, visit.headers, loaded.entity, limits, loaded.shape.time_zone, classes
        if is_small(body, visit.headers):
            labels = feedback.decode(*given)
        else:
            labels = await predictor.in_thread(feedback.decode, *given)
        request_id = identified(visit)
        received = time.time_ns() // 1000
        if log is None:
            raise RequestRefused(501, "This server keeps no labels: what it serves is fixed (--deployment).")
        if not log.feedback(model=model, request_id=request_id, received_us=received, labels=labels):
            raise AccessRefused(503, "The labels cannot be kept now. Send them again later.", [(b"retry-after", b"5")])
        metrics.FEEDBACK.labels(model, "accepted").inc(len(labels))
        return feedback.encode(len(labels), request_id)

    return operation
