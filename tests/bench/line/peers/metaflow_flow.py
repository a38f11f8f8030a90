"""The steps of a training as a Metaflow flow; each is a process of its own, as always with Metaflow."""

from __future__ import annotations

from metaflow import FlowSpec, step

from tests.bench.line.chain import call


class TrainFlow(FlowSpec):
    """The first step is called start and the last one end, as Metaflow wants it."""

    def _call(self, task: str) -> None:
        outputs = getattr(self, "outputs", {})
        self.outputs = {**outputs, task: call(task, outputs)}

    @step
    def start(self) -> None:
        self._call("assemble")
        self.next(self.gate_training)

    @step
    def gate_training(self) -> None:
        self._call("gate_training")
        self.next(self.train)

    @step
    def train(self) -> None:
        self._call("train")
        self.next(self.gate_predictions)

    @step
    def gate_predictions(self) -> None:
        self._call("gate_predictions")
        self.next(self.publish_predictions)

    @step
    def publish_predictions(self) -> None:
        self._call("publish_predictions")
        self.next(self.evaluate)

    @step
    def evaluate(self) -> None:
        self._call("evaluate")
        self.next(self.decide)

    @step
    def decide(self) -> None:
        self._call("decide")
        self.next(self.end)

    @step
    def end(self) -> None:
        self._call("register")


if __name__ == "__main__":
    TrainFlow()
