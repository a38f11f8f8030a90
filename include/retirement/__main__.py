"""Archives of retired models: ``python -m include.retirement verify <model>`` and ``… free``; ``--help`` says more."""

from __future__ import annotations

import argparse
import json
import logging
import sys

from include.errors import NoriaError
from include.registry.retirement_marks import retirements_due
from include.retirement.archive import verify_archive
from include.retirement.freeing import free_for_good
from include.settings import Settings

_log = logging.getLogger("noria.retirement")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m include.retirement", description="Archives of retired models.")
    commands = parser.add_subparsers(dest="command", required=True)
    summary = "Hold an archive's files against its manifest, and that against its signature and the registry."
    verify = commands.add_parser("verify", help=summary, description=summary)
    verify.add_argument("model")
    verify.add_argument("--archive", metavar="NAME", help="its folder's name (default: the newest)")
    summary = "Free what no audit needs of all models whose retirement can be undone no more. Run daily by Airflow."
    free = commands.add_parser("free", help=summary, description=summary)
    free.add_argument("--actor", default="noria", help="who does it, for the ledger")
    return parser


def _verify(settings: Settings, model: str, name: str | None) -> list[str]:
    place, checked = verify_archive(settings, model, name)
    signed = {True: f"signed by {checked.signer}, which is believed", None: f"signed by {checked.signer}"}
    words = signed[checked.trusted] if checked.signer else "not signed"
    problems = [f"  kept although {problem}" for problem in checked.document["problems"]]
    return [f"{place}: {len(checked.document['files'])} files as they were, {words}.", *problems]


def _free(settings: Settings, actor: str) -> int:
    """Free each; what fails with one model keeps no other from it. Prints what was freed as one line of JSON."""
    done, failed = {}, 0
    for due in retirements_due(settings):
        try:
            done[due.model] = free_for_good(settings, due, actor=actor)
        except NoriaError as error:
            _log.error("%s: %s", due.model, error)
            failed = failed or error.exit_code
    print(json.dumps(done))
    return failed


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    options = _parser().parse_args(arguments)
    try:
        settings = Settings.from_environment()
        if options.command == "free":
            return _free(settings, options.actor)
        print(*_verify(settings, options.model, options.archive), sep="\n")
    except NoriaError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
