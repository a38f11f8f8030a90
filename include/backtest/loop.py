"""The loop over the windows: what the checks would have seen, what they would have started, and what it was worth.

In each window three models answer the same rows: the champion that the loop would have had, the first model (as if it
were never trained again), and the one trained at the window's start (as if each training replaced the last).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from include.backtest.course import Course, Window, partitions_of
from include.backtest.line import Line, Made
from include.backtest.quality import WindowQuality, judge_window, over_all
from include.errors import Refused
from include.evaluation.metrics import find_metric
from include.monitoring.decay import watched
from include.spec.definition import Definition
from include.spec.partitions import PartitionCalendar
from include.steps.protocol import Document

LOOP, NEVER, ALWAYS, BEFORE = "loop", "never", "always", "before"
Say = Callable[[str], None]


class Backtest:
    """One backtest under way."""

    def __init__(self, line: Line, course: Course, say: Say) -> None:
        self.line, self.course, self.say = line, course, say
        self.definition = line.definition
        self.calendar = PartitionCalendar.of(line.definition)
        self.measured: list[WindowQuality] = []

    def run(self) -> Document:
        """Go through all windows and return the report's content.

        :raises Refused: if the first model cannot be trained.
        """
        course = self.course
        self.say(f"Publishing {course.first} to {course.last} through the gates")
        published = self.line.publish(course.first, course.last, course.windows[-1].end)
        self.say(f"Training the first model as of {course.since:%Y-%m-%d}")
        first = self.line.train(course.since)
        judged = self.line.judge(first)
        self.line.crown(judged)
        windows = self._windows(first)
        return {
            "model": self.definition.model,
            "metric": {"name": self._metric.name, "title": self._metric.title},
            "higher_is_better": self._metric.higher_is_better,
            "confidence": self.definition.evaluation.confidence,
            "every": course.every,
            "data": {
                "first": course.first,
                "last": course.last,
                "partitions": published["partitions"],
                "refused": published["refused"],
                "missing": published["missing"],
            },
            "first": {
                "version": judged.version,
                "as_of": course.since.isoformat(),
                "windows": first.training["training_set"]["windows"],
                "rows": first.training["training_set"]["rows"],
                "passed": judged.promote,
                "reason": judged.decision["reason"],
            },
            "rules": self.definition.monitoring.retrain.model_dump(mode="json"),
            "windows": windows,
            "over_all": self._over_all(),
        }

    @property
    def _metric(self) -> Any:
        return watched(self.definition)[0]

    def _windows(self, first: Made) -> list[Document]:
        loop = newest = before = first
        done: list[Document] = []
        for window in self.course.windows:
            document: Document = {"name": window.name, "start": window.start.isoformat(), "end": window.end.isoformat()}
            parts = {LOOP: loop, NEVER: first, ALWAYS: newest, BEFORE: before}
            document |= self._worth(window, parts)
            document |= self._checked(window)
            self.say(f"{window.name}: {_in_short(document)}")
            before = loop
            document |= {"trained": False, "retraining": None}
            if document["started"] or window is not self.course.windows[-1]:
                try:
                    newest = self.line.train(window.end)
                    document["trained"] = True
                    document["retraining"], loop = self._answer(document["started"], newest, loop)
                except Refused as refusal:
                    document["retraining"] = _refused(refusal) if document["started"] else None
            if document["retraining"]:
                self.say(f"  a retraining: {document['retraining']['verdict']}")
            done.append(document)
        return done

    def _worth(self, window: Window, parts: dict[str, Made]) -> Document:
        """What the answers of the window were worth."""
        partitions = self._published(window)
        quality = judge_window(self.line.settings, self.definition, partitions, parts) if partitions else None
        empty = {"partitions": len(partitions), "rows": 0, "quality": None, "against": None, "hindsight": None}
        if quality is None:
            return empty
        self.measured.append(quality)
        new = parts[ALWAYS].digest != parts[BEFORE].digest
        return {
            "partitions": len(partitions),
            "rows": quality.rows,
            "quality": {part: quality.of(part).to_document() for part in (LOOP, NEVER, ALWAYS)},
            "against": {part: quality.between(LOOP, part).to_document() for part in (NEVER, ALWAYS)},
            "hindsight": quality.between(ALWAYS, BEFORE).to_document() if new else None,
        }

    def _published(self, window: Window) -> list[Any]:
        from include.lake.table import LakeTable

        there = set(LakeTable(self.line.settings, self.definition.model, "features").partitions())
        return [one for one in partitions_of(self.calendar, window) if one.key in there]

    def _checked(self, window: Window) -> Document:
        """What the step monitor says at the window's end, looking at this window."""
        said = self.line.run("monitor", window.end, {}, self._watching(window))
        quality = next((one for one in said["quality"] if one["source"] == "data"), None)
        return {
            "champion": said["champion_version"],
            "drift": {
                "verdict": said["verdict"],
                "reason": said["reason"] if not quality or not quality["retrain"] else "",
                "share": said["share"],
                "features": [
                    {key: feature[key] for key in ("name", "what", "size")}
                    for feature in said["features"]
                    if feature["drifted"]
                ],
            },
            "decay": {"verdict": "not enough data", "reason": "No label was known.", "change": None}
            if quality is None
            else {
                "verdict": quality["verdict"],
                "reason": quality["reason"],
                "change": self._change(window, said["champion_version"]),
            },
            "started": said["start_id"] if said["retrain"] else None,
            "started_reason": said["reason"],
        }

    def _change(self, window: Window, version: int) -> Document | None:
        """The watched metric then and now, as the check has recorded it."""
        from include.registry.results import find_checks

        for check in find_checks(self.line.settings, self.definition.model, kind="decay"):
            details = check.details
            if check.as_of == window.end and check.stage == "data" and details["champion_version"] == version:
                named = (change for change in details["changes"] if change["name"] == self._metric.name)
                return next(named, None)
        return None

    def _watching(self, window: Window) -> Definition:
        """The definition, whose checks look at the whole window, so that nothing of the history is left out."""
        local = self.calendar.local
        known = [
            one
            for one in partitions_of(self.calendar, window)
            if one.end <= window.end - self.definition.label.known_after
        ]
        monitoring = self.definition.monitoring
        length = local(window.end) - local(window.start)
        labelled = local(known[-1].end) - local(window.start) if known else timedelta(0)
        drift = monitoring.drift.model_copy(update={"window": length})
        decay = monitoring.decay.model_copy(update={"window": labelled or monitoring.decay.window})
        changed = monitoring.model_copy(update={"drift": drift, "decay": decay})
        return self.definition.model_copy(update={"monitoring": changed})

    def _answer(self, started: str | None, made: Made, loop: Made) -> tuple[Document | None, Made]:
        """What becomes of a training that a check has started; without one nothing does."""
        if started is None:
            return None, loop
        judged = self.line.judge(made, started)
        if judged.promote:
            self.line.crown(judged)
        gates = self.definition.evaluation.gates
        asked = next((gate.metric for gate in gates if gate.against == "champion"), self._metric.name)
        metric = find_metric(asked, self.definition.task, self.definition.evaluation.objective)
        improvements = (judged.evaluation.get("improvements") or {}).get("champion") or {}
        document = {
            "verdict": judged.decision["verdict"],
            "reason": judged.decision["reason"],
            "version": judged.version,
            "metric": metric.title,
            "improvement": improvements.get(metric.name),
            "failed": [gate["gate"] for gate in judged.decision["gates"] if not gate["passed"]],
        }
        return document, made if judged.promote else loop

    def _over_all(self) -> Document:
        if not self.measured:
            return {}
        return {
            "rows": sum(window.rows for window in self.measured),
            **{part: over_all(self.measured, part).to_document() for part in (LOOP, NEVER, ALWAYS)},
            "against": {part: over_all(self.measured, LOOP, part).to_document() for part in (NEVER, ALWAYS)},
        }


def _refused(refusal: Refused) -> Document:
    return {
        "verdict": "refused", "reason": str(refusal), "version": None, "metric": None, "improvement": None,
        "failed": [],
    }  # fmt: skip


def _in_short(document: Document) -> str:
    started = "a check starts a retraining" if document["started"] else "nothing is started"
    return f"{document['drift']['verdict']}, {document['decay']['verdict']}; {started}"
