"""Log against answers: what a caller was told is in the request log, once, with the same values."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import pyarrow.compute as pc
from deltalake import DeltaTable

from tests.chaos.case import Breach
from tests.chaos.invariants.scene import Scene

_COLUMNS = ["request_id", "row", "version", "prediction", "answered"]
Told = tuple[int, float]


def check(scene: Scene) -> Iterator[Breach]:
    """Every answer, in the table or, if it was given a moment ago, in a segment."""
    if not scene.answers:
        return
    # Segments first: what leaves them between the two looks is in the table then.
    pending = _segments(scene)
    logged = _table(scene)
    lost = [
        answer.request_id
        for answer in scene.answers
        if answer.request_id not in logged and f'"{answer.request_id}"' not in pending
    ]
    if lost:
        yield Breach("log/lost", f"{len(lost)} answered requests are not in the log, such as {lost[:3]}")
    doubled = [name for name, told in logged.items() if len(told) > 1]
    if doubled:
        yield Breach("log/doubled", f"{len(doubled)} answered requests are in the log more than once: {doubled[:3]}")
    other = [
        f"{answer.request_id}: told {(answer.version, answer.prediction)}, logged {logged[answer.request_id][0]}"
        for answer in scene.answers
        if answer.request_id in logged and logged[answer.request_id][0] != (answer.version, answer.prediction)
    ]
    if other:
        yield Breach("log/other", f"{len(other)} answers were logged otherwise than told: {other[:3]}")


def _segments(scene: Scene) -> str:
    texts = []
    for path in sorted((scene.settings.home / "serving" / "log").glob("*.*")):
        try:
            texts.append(path.read_text(errors="replace"))
        except FileNotFoundError:  # closed or compacted meanwhile; the table is read after it
            renamed = path.with_suffix(".closed")
            texts.append(renamed.read_text(errors="replace") if renamed.exists() else "")
    return "".join(texts)


def _table(scene: Scene) -> dict[str, list[Told]]:
    folder = scene.table("inference")
    found: dict[str, list[Told]] = defaultdict(list)
    if not (folder / "_delta_log").exists():
        return found
    dataset = DeltaTable(str(folder)).to_pyarrow_dataset()
    rows = dataset.to_table(columns=_COLUMNS, filter=pc.field("answered") & (pc.field("row") == 0))
    for name, version, value in zip(
        *(rows[column].to_pylist() for column in ("request_id", "version", "prediction")), strict=True
    ):
        found[name].append((version, value))
    return found
