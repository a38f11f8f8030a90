"""``python -m tests.bench.line.plain``: the steps of a training, one after the other, in this one process."""

from __future__ import annotations

from tests.bench.line.chain import INPUTS, Document, call


def main() -> None:
    """Run all of them."""
    outputs: dict[str, Document] = {}
    for task in INPUTS:
        outputs[task] = call(task, outputs)


if __name__ == "__main__":
    main()
