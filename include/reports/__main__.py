"""The pages' command line: ``python -m include.reports deployment <model> [<deployment>]``."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from include.errors import NoriaError, Refused
from include.settings import Settings


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m include.reports", description="Writes pages for people.")
    commands = parser.add_subparsers(dest="command", required=True)
    text = "Write the page of a deployment, as it stands now, and say where it is."
    command = commands.add_parser("deployment", help=text, description=text)
    command.add_argument("model")
    command.add_argument("deployment", nargs="?", help="its name, as the ledger has it (default: the newest)")
    return parser


def newest_deployment(settings: Settings, model: str) -> str:
    """The name of the model's newest deployment.

    :raises Refused: if it was never deployed through stages.
    :raises DatabaseAway: if the database cannot be reached.
    """
    from include.registry.ledger import history

    named = (entry.evidence.get("deployment") for entry in reversed(history(settings, model)))
    newest = next((str(name) for name in named if name), None)
    if newest is None:
        raise Refused(f"{model} has no deployment in the ledger. Start one: trigger {model}.deploy in Airflow.")
    return newest


def main(arguments: Sequence[str] | None = None) -> int:
    """Write a page and print its path; returns the exit status."""
    from include.reports.deployment_page import write_deployment_page

    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    options = _parser().parse_args(arguments)
    settings = Settings.from_environment()
    try:
        deployment = options.deployment or newest_deployment(settings, options.model)
        print(f"{settings.store_address}/{write_deployment_page(settings, options.model, deployment)}")
    except NoriaError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
