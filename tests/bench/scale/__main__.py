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
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from include.settings import PROJECT
from tests.bench.scale.limited import MemoryGroup, memory_group
from tests.bench.scale.table import RESULT, print_size, write_readme
from tests.bench.scale.world import open_world
from tests.bench.turn import take_turn

Document = dict[str, Any]
_GIB: Final = 1 << 30
_ROUNDS: Final = 10
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
            if options.out:  # after each size: the next one may take hours
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
        steps: list[Document] = []

        def run(task: str, step: str, inputs: Document) -> Document:
            output, ended = world.run(group, step, inputs)
            print(f"  {task:<18} {ended.seconds:8.1f} s {ended.resident / _GIB:6.2f} GiB", flush=True)
            steps.append({"step": task, **{key: getattr(ended, key) for key in ("seconds", "resident", "anonymous")}})
            return output

        take_turn(run, _FIRST, _LAST)
    return {"rows": landed, "steps": steps}


if __name__ == "__main__":
    sys.exit(main())
