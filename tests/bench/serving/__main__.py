"""``make bench-serving``: our server with everything on beside its peers and bare floors; same model, one worker each.

``python -m tests.bench.serving --only noria,bare --settings 1x1`` measures a part. Milliseconds depend on the machine;
the ratios, taken within a round, are what to compare.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from include.serving.scheduling import wake_at_once
from include.settings import Settings
from include.stack.instance import is_free
from tests.bench.environments import CannotRun
from tests.bench.serving import field
from tests.bench.serving.contenders import Contender, Running, running
from tests.bench.serving.goals import judge
from tests.bench.serving.ours import with_challenger, without_challenger
from tests.bench.serving.rounds import Measured, Setting, measure, ratio
from tests.bench.serving.world import Served, trained

SETTINGS = "1x1,16x1,1x100,16x100"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the table, write the JSON."""
    options = _options(arguments)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    folder = Settings.from_environment().home / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    wake_at_once()  # the client waits for no slice of anybody either: what is measured is the server
    begin = time.monotonic()
    with trained() as served, ExitStack() as stack:
        print(f"the model is trained after {time.monotonic() - begin:.0f} s")
        contenders, absent = _contenders(served, folder, options.only, stack)
        field_of = _start(contenders, served, folder, stack, absent)
        print(f"{len(field_of)} servers answer after {time.monotonic() - begin:.0f} s")
        for name, problem in absent.items():
            print(f"{name} is not measured: {problem}")
        results = {}
        for setting in options.settings:
            results[setting] = measure(field_of, setting, rounds=options.rounds, seconds=options.seconds)
            _print(setting, results[setting])
        _write(folder / "serving.json", options, field_of, absent, results)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    def settings(text: str) -> list[Setting]:
        return [Setting(*(int(number) for number in one.split("x"))) for one in text.split(",")]

    parser = argparse.ArgumentParser(prog="python -m tests.bench.serving", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a round (default 2)")
    parser.add_argument("--settings", type=settings, default=SETTINGS, help=f"connections x rows (default {SETTINGS})")
    parser.add_argument("--only", type=lambda text: text.split(","), help="parts of the names to measure")
    return parser.parse_args(arguments)


def _contenders(
    served: Served, folder: Path, only: Sequence[str] | None, stack: ExitStack
) -> tuple[list[Contender], dict[str, str]]:
    def wanted(name: str) -> bool:
        return only is None or any(part.lower() in name.lower() for part in only)

    absent: dict[str, str] = {}
    contenders = [with_challenger(served)]
    others = [stack.enter_context(without_challenger(served)), *field.floors(served)]
    contenders += [one for one in others if wanted(one.name)]
    for name, found in field.peers(served, folder, wanted).items():
        if isinstance(found, CannotRun):
            absent[name] = str(found)
        else:
            contenders.append(found)
    return contenders, absent


def _start(
    contenders: Sequence[Contender], served: Served, folder: Path, stack: ExitStack, absent: dict[str, str]
) -> list[Running]:
    found = []
    ports = iter(range(18300, 18600, 5))
    for one in contenders:
        port = next(port for port in ports if all(is_free(port + step) for step in range(3)))
        log = folder / f"{one.name.replace(' ', '-')}.log"
        try:
            found.append(stack.enter_context(running(one, port, log, served.expected)))
        except CannotRun as error:
            absent[one.name] = str(error)
    return found


def _print(setting: Setting, found: dict[str, Measured]) -> None:
    floor, mlflow = found.get(field.FLOOR), found.get(field.MLFLOW)
    heads = {"requests/s": 11, "p50 ms": 9, "p99 ms": 9, "cpu ms": 9, "× floor": 9, "× mlflow": 10, "failed": 8}
    print(f"\n{setting.name:<30}{''.join(f'{head:>{width}}' for head, width in heads.items())}")
    for name, one in sorted(found.items(), key=lambda item: -item[1].to_document()["requests_per_second"]):
        shown = one.to_document()
        of_floor = f"{ratio(one.rates, floor.rates):.2f}" if floor else ""
        of_mlflow = f"{ratio(one.rates, mlflow.rates):.1f}" if mlflow else ""
        print(
            f"{name:<30}{shown['requests_per_second']:>11.0f}{shown['p50_ms']:>9.2f}{shown['p99_ms']:>9.2f}"
            f"{shown['processor_ms']:>9.3f}{of_floor:>9}{of_mlflow:>10}{one.failed:>8}"
        )
    for words, value, met in judge(setting, found):
        print(f"  {'met   ' if met else 'MISSED'} {words}: {value:.2f}")


def _write(
    path: Path,
    options: argparse.Namespace,
    field_of: Sequence[Running],
    absent: dict[str, str],
    results: dict[Setting, dict[str, Measured]],
) -> None:
    document: dict[str, Any] = {
        "at": datetime.fromtimestamp(time.time(), UTC).isoformat(),
        "machine": {"processor": platform.processor() or platform.machine(), "python": platform.python_version()},
        "rounds": options.rounds,
        "seconds": options.seconds,
        "how": {one.contender.name: one.contender.how for one in field_of},
        "absent": absent,
        "results": {
            setting.name: {name: one.to_document() for name, one in found.items()} for setting, found in results.items()
        },
        "goals": {
            setting.name: [{"goal": words, "value": value, "met": met} for words, value, met in judge(setting, found)]
            for setting, found in results.items()
        },
    }
    path.write_text(json.dumps(document, indent=1))
    print(f"\nwritten to {path}")


if __name__ == "__main__":
    main()
