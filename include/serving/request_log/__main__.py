"""By hand: ``python -m include.serving.request_log compact`` brings the segments into the tables now."""

from __future__ import annotations

import argparse
import json
import logging
import sys

from include.errors import NoriaError
from include.settings import Settings


def main(arguments: list[str] | None = None) -> int:
    """Compact once, or print the counts of a model's feedback, as JSON."""
    parser = argparse.ArgumentParser(prog="python -m include.serving.request_log", description="The request log.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("compact", help="bring what the segments hold into the tables now")
    counts = commands.add_parser("feedback", help="how many labels found their rows")
    counts.add_argument("model")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    settings = Settings.from_environment()
    try:
        document = _compact(settings) if options.command == "compact" else _feedback(settings, options.model)
    except NoriaError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(json.dumps(document, indent=1))
    return 0 if not document.get("problems") else 1


def _compact(settings: Settings) -> dict[str, object]:
    from include.serving.request_log.compaction import Compactor

    compactor = Compactor(settings)
    held = compactor.run()
    document = compactor.to_document()
    return document if held else document | {"problems": {"": "another compactor is at work"}}


def _feedback(settings: Settings, model: str) -> dict[str, object]:
    from include.serving.request_log.feedback import feedback_counts

    return dict(feedback_counts(settings, model).to_document())


if __name__ == "__main__":
    sys.exit(main())
