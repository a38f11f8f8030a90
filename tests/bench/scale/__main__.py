"""A model's steps on 1, 10, 100 million rows, each under an enforced memory limit. ``python -m tests.bench.scale``.

Every step is a process of its own in a control group with the limit; one that needs more is killed, and the benchmark
fails. What a step costs a row is compared with the smallest size of the same run. The result is written as JSON, from
which the README's table is made (``--table``).
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from include.settings import PROJECT
from tests.bench.scale.limited import Ended, MemoryGroup, memory_group
from tests.bench.scale.table import RESULT, print_size, write_readme
from tests.bench.scale.world import World, open_world

Document = dict[str, Any]
_GIB: Final = 1 << 30
_ROUNDS: Final = 20
_FIRST, _LAST = "2013-01-01", "2013-12-31"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; exit code 1 if a step fails or is killed."""
    options = _parser().parse_args(arguments)
    if options.table:
        write_readme(PROJECT / "README.md", json.loads(RESULT.read_text()))
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started and made is removed
    limit = options.limit * _GIB
    sizes: list[Document] = []
    with memory_group(limit) as group:
        for millions in (float(text) for text in options.rows.split(",")):
            size = _measure(group, int(millions * 1e6), options)
            sizes.append(size)
            print_size(size, sizes[0], limit)
    if options.out:
        document = {"limit": limit, "rounds": _ROUNDS, "date": time.strftime("%Y-%m-%d"), "sizes": sizes}
        options.out.write_text(json.dumps(document, indent=1) + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scale", description=__doc__)
    parser.add_argument("--rows", default="1,10,100", help="sizes in million rows, smallest first (1,10,100)")
    parser.add_argument("--limit", type=int, default=6, help="memory in GiB, for the kernel and for the definition (6)")
    parser.add_argument("--place", type=Path, help="folder for the data: 100 million rows need some 40 GB")
    parser.add_argument("--out", type=Path, help=f"where the JSON goes; {RESULT.name} is what the table is made from")
    parser.add_argument("--table", action="store_true", help="only write the README's table from the JSON")
    return parser


def _measure(group: MemoryGroup, rows: int, options: argparse.Namespace) -> Document:
    began = time.monotonic()
    with open_world(rows, f"{options.limit}Gi", _ROUNDS, options.place) as (world, landed):
        print(f"\n{landed:,} rows landed in {time.monotonic() - began:.0f} s", flush=True)
        steps = []
        for name, ended in _line(world, group):
            print(f"  {name:<18} {ended.seconds:8.1f} s {ended.resident / _GIB:6.2f} GiB", flush=True)
            steps.append({"step": name, **{key: getattr(ended, key) for key in ("seconds", "resident", "anonymous")}})
    return {"rows": landed, "steps": steps}


def _line(world: World, group: MemoryGroup) -> Iterator[tuple[str, Ended]]:
    """The steps in the order in which the DAGs run them, each with what it took."""

    def run(step: str, inputs: Document) -> tuple[Document, Ended]:
        return world.run(group, step, inputs)

    staged, ended = run("ingest", {"first": _FIRST, "last": _LAST})
    yield "ingest", ended
    gated, ended = run("gate", {"stage": "raw", "staged": staged})
    yield "gate raw", ended
    published, ended = run("publish", {"gate": gated})
    yield "publish raw", ended
    staged, ended = run("prepare", {"published": published})
    yield "prepare", ended
    gated, ended = run("gate", {"stage": "features", "staged": staged})
    yield "gate features", ended
    _, ended = run("publish", {"gate": gated})
    yield "publish features", ended
    training_set, ended = run("assemble", {})
    yield "assemble", ended
    _, ended = run("gate", {"stage": "training", "training_set": training_set})
    yield "gate training", ended
    training, ended = run("train", {"training_set": training_set})
    yield "train", ended
    gated, ended = run("gate", {"stage": "predictions", "training": training})
    yield "gate predictions", ended
    _, ended = run("publish", {"gate": gated})
    yield "publish predictions", ended
    evaluation, ended = run("evaluate", {"training": training})
    yield "evaluate", ended
    decision, ended = run("decide", {"training": training, "evaluation": evaluation})
    yield "decide", ended
    _, ended = run("register", {"training": training, "evaluation": evaluation, "decision": decision})
    yield "register", ended


if __name__ == "__main__":
    sys.exit(main())
