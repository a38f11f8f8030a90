"""The steps of a model's life, one after the other as its DAGs run them, as calls in this process."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from include.evaluation.threshold import find_threshold
from include.registry.state import switch_champion
from include.settings import Settings
from include.spec.definition import Definition
from include.steps.catalog import load_step
from include.steps.protocol import Document, StepCall

ACTOR = "backtest"


@dataclass(frozen=True, kw_only=True)
class Made:
    """A trained model.

    :param training: output of the step train.
    :param threshold: its own, if the definition has one found for each version.
    """

    as_of: datetime
    training: Document
    threshold: float | None

    @property
    def digest(self) -> str:
        """Digest of its files: models with the same one answer alike."""
        return str(self.training["artifact_digest"])


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A model beside the champion of its moment.

    :param evaluation: output of the step evaluate.
    :param decision: output of the step decide.
    """

    version: int
    evaluation: Document
    decision: Document

    @property
    def promote(self) -> bool:
        """Whether it won."""
        return bool(self.decision["promote"])


@dataclass(frozen=True)
class Line:
    """The steps of one model in one place."""

    settings: Settings
    definition: Definition

    def run(
        self, step: str, as_of: datetime, inputs: Mapping[str, object], definition: Definition | None = None
    ) -> Document:
        """Run a step as of an instant.

        :param definition: instead of the model's own.
        """
        call = StepCall(
            settings=self.settings,
            definition=definition or self.definition,
            as_of=as_of,
            attempt=f"{step}-{uuid.uuid4().hex[:12]}",
            inputs=dict(inputs),
        )
        return load_step(step)(call)

    def publish(self, first: str | None, last: str | None, as_of: datetime) -> Document:
        """Bring partitions through both gates, as ``<model>.data`` does; returns the features' publication.

        :param first: key of the first one; None: as of the run's instant the last complete one, or all without time.
        :raises GateRefused: if a gate accepts nothing.
        """
        staged = self.run("ingest", as_of, {"first": first, "last": last, "force": False})
        gate = self.run("gate", as_of, {"stage": "raw", "staged": staged})
        published = self.run("publish", as_of, {"gate": gate})
        staged = self.run("prepare", as_of, {"published": published, "force": False})
        gate = self.run("gate", as_of, {"stage": "features", "staged": staged})
        return self.run("publish", as_of, {"gate": gate})

    def train(self, as_of: datetime) -> Made:
        """Train, gate and publish the holdout's predictions, as ``<model>.train`` does.

        :raises Refused: if a gate or a rule refuses the training set or the predictions.
        """
        training_set = self.run("assemble", as_of, {})
        self.run("gate", as_of, {"stage": "training", "training_set": training_set})
        training = self.run("train", as_of, {"training_set": training_set})
        gate = self.run("gate", as_of, {"stage": "predictions", "training": training})
        self.run("publish", as_of, {"gate": gate})
        return Made(as_of=as_of, training=training, threshold=find_threshold(self.settings, self.definition, training))

    def judge(self, made: Made, started_by: str | None = None) -> Judged:
        """Compare with the champion, decide and register.

        :param started_by: the check that started the training.
        """
        training = made.training
        evaluation = self.run("evaluate", made.as_of, {"training": training})
        inputs = {"training": training, "evaluation": evaluation}
        decision = self.run("decide", made.as_of, inputs | ({"started_by": started_by} if started_by else {}))
        registered = self.run("register", made.as_of, inputs | {"decision": decision})
        return Judged(version=int(registered["version"]), evaluation=evaluation, decision=decision)

    def crown(self, judged: Judged) -> None:
        """Make a version the champion at once: shadow and canary need traffic, of which there is none."""
        switch_champion(
            self.settings,
            self.definition.model,
            judged.version,
            actor=ACTOR,
            reason=str(judged.decision["reason"]),
        )
