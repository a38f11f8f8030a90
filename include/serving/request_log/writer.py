"""What a worker writes to the request log: one write(2) for each request, before the answer."""

from __future__ import annotations

import errno
import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from include.hashing import Hashing
from include.serving.request_log import records
from include.serving.request_log.records import Shape
from include.serving.request_log.segments import SegmentWriter

if TYPE_CHECKING:
    from include.serving.protocols.calls import Call

ROTATE_BYTES: Final = 16 * 1024 * 1024
ROTATE_SECONDS: Final = 60.0
_QUIET_SECONDS: Final = 10.0
_FULL: Final = {errno.ENOSPC, errno.EDQUOT}
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Label:
    """What really happened, for one row of a request or for an entity.

    :param label: the truth: 0 or 1, or a value.
    :param request_id: the request whose row it is, or None.
    :param row: number of the row in that request.
    :param entity: key of the entity (:func:`include.serving.routing.entity_key`), or None.
    :param at_us: when it became known, microseconds since 1970; None: when it was received.
    """

    label: float
    request_id: str | None = None
    row: int = 0
    entity: str | None = None
    at_us: int | None = None


class RequestLog:
    """The log of one process; made after the fork. All methods may be called from several threads.

    A record that cannot be written (a full disk) is lost and counted, and the request is answered all the same.

    :param folder: ``<home>/serving/log`` (:func:`include.serving.request_log.segments.log_folder`).
    :param hashing: hashes personal columns and entity keys.
    :param rotate_bytes: size from which a new segment is begun.
    :param rotate_seconds: age from which a segment that holds anything is closed.
    """

    def __init__(
        self,
        folder: Path,
        *,
        hashing: Hashing,
        rotate_bytes: int = ROTATE_BYTES,
        rotate_seconds: float = ROTATE_SECONDS,
    ) -> None:
        self._folder = folder
        self._hashing = hashing
        self._rotate_bytes = rotate_bytes
        self._rotate_seconds = rotate_seconds
        self._lock = threading.Lock()
        self._segment: SegmentWriter | None = None
        self._described: set[tuple[str, int]] = set()
        self._opened = 0.0
        self._said = -_QUIET_SECONDS
        self.bytes_written = 0
        """Bytes written since the process began."""
        self.errors = 0
        """Records lost since the process began."""
        self.last_error: str | None = None
        """Why the newest record was lost; None as soon as one is written again."""

    def answered(
        self,
        *,
        shape: Shape,
        request_id: str,
        role: str,
        revision: int,
        at_us: int,
        asked: bool,
        protocol: str,
        call: Call,
        predictions: Sequence[Any],
        latency_us: int,
        deployment: str | None = None,
    ) -> bool:
        """Log a request with its answer.

        :param shape: of the version that answered.
        :param at_us: when the request came, microseconds since 1970 (UTC).
        :param asked: whether the caller asked for this version by number.
        :param latency_us: from the request's last byte to the prediction, microseconds.
        :param deployment: name of the deployment under way, if there is one.
        :returns: whether it is in the log.
        """
        record = {
            "kind": records.ANSWER, "id": request_id, "model": shape.model, "version": shape.version, "role": role,
            "revision": revision, "at": at_us, "asked": asked, "protocol": protocol, "latency": latency_us,
            "deployment": deployment, "count": call.count, "predictions": predictions,
        }  # fmt: skip
        return self._write(record, shape, call)

    def failed(
        self,
        *,
        shape: Shape,
        request_id: str,
        role: str,
        revision: int,
        at_us: int,
        asked: bool,
        protocol: str,
        call: Call,
        latency_us: int,
        error: str,
        deployment: str | None = None,
    ) -> bool:
        """Log that a version failed on well-formed rows, whoever answered in its place.

        :returns: whether it is in the log.
        """
        record = {
            "kind": records.FAILURE, "id": request_id, "model": shape.model, "version": shape.version, "role": role,
            "revision": revision, "at": at_us, "asked": asked, "protocol": protocol, "latency": latency_us,
            "deployment": deployment, "count": call.count, "error": records.problem(error, shape),
        }  # fmt: skip
        return self._write(record, shape, call)

    def feedback(self, *, model: str, request_id: str, received_us: int, labels: Sequence[Label]) -> bool:
        """Log labels that came in one request.

        :param request_id: id of the request that brought them.
        :returns: whether they are in the log.
        """
        kept = [
            [
                item.request_id,
                item.row,
                None if item.entity is None else self._hashing.text(item.entity),
                item.label,
                received_us if item.at_us is None else item.at_us,
            ]
            for item in labels
        ]
        record = {"kind": records.FEEDBACK, "id": request_id, "model": model, "at": received_us, "labels": kept}
        return self._write(record)

    def shadow(self, record: dict[str, Any]) -> bool:
        """Log what a version that did not answer says; written by the background process.

        :param record: ``id``, ``model``, ``version``, ``role``, ``revision``, ``at``, ``deployment``, ``count`` and
            ``scores``: for each row its number, prediction, latency, champion's latency and error.
        """
        return self._write({"kind": records.SHADOW, **record})

    def close(self) -> None:
        """Close the segment; a later record begins a new one."""
        with self._lock:
            self._close()

    def _write(self, record: dict[str, Any], shape: Shape | None = None, call: Call | None = None) -> bool:
        try:
            if shape is not None and call is not None:
                record |= records.inputs(shape, call, self._hashing)
            data = records.line(record)
            with self._lock:
                segment = self._ready()
                if shape is not None and (shape.model, shape.version) not in self._described:
                    data = shape.line + data
                self._append(segment, data)
                self.bytes_written += len(data)
                if shape is not None:
                    self._described.add((shape.model, shape.version))
        except (OSError, TypeError, ValueError) as error:
            self._lost(record, error)
            return False
        self.last_error = None
        return True

    def _append(self, segment: SegmentWriter, data: bytes) -> None:
        try:
            segment.append(data)
        except OSError as error:
            if error.errno not in _FULL:  # this file is broken; another one may not be
                self._close()
            raise

    def _ready(self) -> SegmentWriter:
        now = time.monotonic()
        segment = self._segment
        old = now - self._opened >= self._rotate_seconds
        if segment is not None and segment.size and (old or segment.size >= self._rotate_bytes):
            self._close()
        if self._segment is None:
            self._segment = SegmentWriter(self._folder)
            self._opened = now
            self._described.clear()
        return self._segment

    def _close(self) -> None:
        segment, self._segment = self._segment, None
        if segment is not None:
            segment.close()

    def _lost(self, record: dict[str, Any], error: Exception) -> None:
        self.errors += 1
        self.last_error = f"{type(error).__name__}: {error}"
        if time.monotonic() - self._said >= _QUIET_SECONDS:
            self._said = time.monotonic()
            _log.error(
                "request %s of %s is answered but not in the request log (%d lost so far): %s",
                record["id"], record["model"], self.errors, self.last_error,
            )  # fmt: skip
