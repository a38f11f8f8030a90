"""The request log's segments, as a crash, a full disk or a damaged one may leave them."""

from __future__ import annotations

import shutil
from typing import Final

import orjson

from include.serving.request_log import records
from include.serving.request_log.batches import feedback_table, inference_tables
from include.serving.request_log.reader import Reader
from tests.fuzz.target import Broken, Target, scratch
from tests.fuzz.targets.requests import HASHING, PERSONAL, SHAPE

_SOUND: Final = records.line(
    {
        "kind": "answer", "model": "other", "version": 1, "id": "sound", "at": 1_380_000_000_000_000,
        "role": "champion",
        "deployment": None, "revision": 1, "count": 1, "asked": False, "protocol": "rows", "latency": 7,
        "predictions": [0.5], "rows": [[1, 0.5, "A", True, None]],
    }
)  # fmt: skip


def segment(data: bytes) -> None:
    """Whatever a segment holds, what is sound in it becomes rows, and the rest is counted as damaged or odd."""
    folder = scratch() / "log"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    before = SHAPE.line.replace(b'"m"', b'"other"') + _SOUND
    (folder / "20131001T000000000000-1-ab.closed").write_bytes(before + data + b"\n" + _SOUND)
    reader = Reader(folder)
    portion = reader.read()
    sound = 0
    for (model, table), unread in portion.records.items():
        logged = [item.read() for item in unread]
        if table == "feedback":
            feedback_table(logged)
            continue
        made = inference_tables(logged, HASHING, {})
        if model == "other":
            ids = [one for rows in made.by_version.values() for one in rows.column("request_id").to_pylist()]
            sound = ids.count("sound")
    if sound < 2:
        raise Broken(f"{sound} of the two sound records became rows")
    reader.finished(portion, ())
    reader.oldest_open_us()
    reader.remove_finished()


def _seeds() -> list[bytes]:
    answer = {
        "kind": "answer", "model": "m", "version": 2, "id": "a", "at": 1_380_000_000_000_000, "role": "canary",
        "deployment": "d", "revision": 3, "count": 2, "asked": True, "protocol": "v2", "latency": 12,
        "predictions": [0.5, None], "columns": [[1, None], [0.5, 1], ["x", "y"], [True, None], None],
        "entity": ["ab", None],
    }  # fmt: skip
    shadow = {
        "kind": "shadow", "model": "m", "version": 2, "id": "a", "at": 1_380_000_000_000_000, "role": "shadow",
        "deployment": "d", "revision": 3, "count": 1, "scores": [[0, 0.5, 12, 13, None]],
    }  # fmt: skip
    failure = {**answer, "kind": "failure", "error": "no"}
    labels = {"kind": "feedback", "model": "m", "at": 1_380_000_000_000_000, "labels": [["a", 0, None, 1.0, None]]}
    lines = [records.line(record) for record in (answer, shadow, failure, labels)]
    return [PERSONAL.line + line for line in lines] + [b"".join([PERSONAL.line, *lines])[:-9]]


def _words() -> list[bytes]:
    names = {name for line in _seeds()[-1].splitlines()[:-1] for name in orjson.loads(line)}
    return [b'"%s":' % name.encode() for name in sorted(names)]


TARGETS: Final = (
    Target(
        name="segment",
        check=segment,
        seeds=_seeds,
        words=[*_words(), b"null", b"[]", b"{}", b'""', b"1e400", b"-1", b"9223372036854775807", b'"kind":"shape"'],
        longest=3000,
    ),
)
