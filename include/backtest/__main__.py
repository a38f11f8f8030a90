"""``python -m include.backtest --model …``: what the loop would have done on a model's history."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from include.errors import NoriaError
from include.settings import Settings
from include.spec.loader import find_definition
from include.steps.environment import quiet_environment
from include.steps.protocol import Document

if TYPE_CHECKING:
    from include.backtest.course import Course
    from include.spec.definition import Definition


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one backtest; 0 when its page is written, else the error's exit code."""
    options = _parser().parse_args(arguments)
    begin = time.monotonic()
    try:
        settings = Settings.from_environment()
        written = backtest(settings, options)
    except NoriaError as error:
        print(f"\n✗ {error}", file=sys.stderr)
        return error.exit_code
    print(written["md"].read_text(encoding="utf-8"))
    print(f"The page: {written['html']} ({time.monotonic() - begin:.0f} s)")
    return 0


def backtest(settings: Settings, options: argparse.Namespace) -> dict[str, Path]:
    """Go through the history and write the page below the store; returns what was written, by ending.

    :raises NoriaError: saying what to change.
    """
    from include.backtest.course import plan_backtest, require_time
    from include.backtest.scratch import bring_data, scratch, with_changes

    definition = find_definition(settings, options.model)
    require_time(definition)
    os.environ.update(quiet_environment(definition.training.resources.cpu))
    logging.basicConfig(level=os.environ.get("NORIA_LOG_LEVEL", "ERROR").upper(), format="%(message)s")
    with scratch(settings, options.model) as empty:
        place = with_changes(empty, options.model, options.change)
        definition = find_definition(place, options.model)
        course = plan_backtest(definition, since=options.since, until=options.until, every=options.every)
        bring_data(settings, place, definition)
        report = _go_through(place, definition, course)
    report |= {"changes": list(options.change), "command": _command(options)}
    return _write(settings, report)


def _go_through(place: Settings, definition: Definition, course: Course) -> Document:
    from include.backtest.line import Line
    from include.backtest.loop import Backtest

    return Backtest(Line(place, definition), course, _say).run()


def _write(settings: Settings, report: Document) -> dict[str, Path]:
    from include.lake.store import store_of
    from include.reports.backtest_page import write_backtest

    name = f"{report['first']['as_of'][:10]}-{report['every']}"
    written = write_backtest(settings.store / "reports" / report["model"] / "backtest", name, report)
    store_of(settings).deliver(*written.values())
    return written


def _command(options: argparse.Namespace) -> str:
    """The command that gives this report."""
    words = ["python -m include.backtest", f"--model {options.model}", f"--every {options.every}"]
    words += [f"--{name} {value}" for name in ("since", "until") if (value := getattr(options, name))]
    return " ".join([*words, *(f"--set {change}" for change in options.change)])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m include.backtest",
        description="What the loop would have done on a model's history: train, watch, retrain, compare, by window.",
    )
    parser.add_argument("--model", required=True, help="name of a definition whose data has a time")
    parser.add_argument("--since", help="as-of of the first training: a date or an instant (default: the first month)")
    parser.add_argument("--until", help="end of the last window (default: the end of the data)")
    parser.add_argument("--every", default="month", help="length of a window: month, week, day, 14d (default: month)")
    parser.add_argument(
        "--set",
        dest="change",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="another value in the definition for this backtest, such as training.shortest_window=45d; may be repeated",
    )
    return parser


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
