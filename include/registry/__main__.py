"""The registry's command line: ``python -m include.registry <command> <model>``; ``--help`` names the commands."""

from __future__ import annotations

import argparse
import getpass
import logging
import os
import sys
from datetime import datetime

from include.errors import NoriaError, Refused
from include.registry import outbox, retirement, state, versions
from include.registry.ledger import LedgerEntry
from include.registry.lineage_commands import LINEAGE, add_lineage, run_lineage
from include.registry.roles import CHALLENGER_ROLES
from include.registry.signing_commands import SIGNING, add_signing, run_signing
from include.settings import Settings

_SHORT = 160
"""Letters of a reason that a line of the history shows; the reasons of a stage list every check."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m include.registry", description="Deployments: history and control.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, summary in {
        "history": "What was in production, since when and why.",
        "at": "Which versions answered at an instant: the champion, and the challenger with its share.",
        "rollback": "Bring the previous champion back and bar the version that is rolled back; a challenger under way "
        "leaves too. With --version of the challenger only that one is taken out.",
        "restore": "Undo a retirement: a model that still answers stays, one that is out comes back as it was.",
        "bar": "Keep a version out of production.",
        "lift-bar": "Allow a barred version in production again.",
        "deliver": "Bring MLflow's aliases to the deployment state.",
    }.items():
        command = commands.add_parser(name, help=summary, description=summary)
        command.add_argument("model")
        if name in {"bar", "lift-bar"}:
            command.add_argument("version", type=int)
        if name == "history":
            command.add_argument("--full", action="store_true", help="whole reasons, however long")
        if name == "at":
            command.add_argument("instant", help="ISO 8601 with offset, such as 2013-10-01T00:00-04:00")
        if name == "rollback":
            command.add_argument("--to", type=int, metavar="N", help="the version to go back to (default: previous)")
            command.add_argument("--version", type=int, metavar="N", help="the version to take out (default: champion)")
            command.add_argument("--no-bar", action="store_true", help="allow the version to be deployed again")
        if name in {"rollback", "restore", "bar", "lift-bar"}:
            command.add_argument("--reason", required=True)
            command.add_argument("--actor", default=_user(), help="who does it (default: the user of this shell)")
    add_signing(commands)
    add_lineage(commands)
    return parser


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def _history(settings: Settings, model: str, *, full: bool) -> list[str]:
    entries = state.history(settings, model)
    if not entries:
        return [f"{model} was never deployed."]
    lines = [f"{'when':25}  {'action':9} {'from':>5} {'to':>5}  {'stage':16} {'actor':16}  reason"]
    for entry in entries:
        shown = [("-" if number is None else str(number)) for number in (entry.from_version, entry.to_version)]
        when = entry.at.astimezone().isoformat(timespec="seconds")
        start = f"{when:25}  {entry.action:9} {shown[0]:>5} {shown[1]:>5}  {_stage(entry):16}"
        reason = entry.reason if full or len(entry.reason) <= _SHORT else f"{entry.reason[:_SHORT]}…"
        lines.append(f"{start} {entry.actor:16}  {reason}")
    return [*lines, f"Now in production: {_roles(entries[-1])}."]


def _stage(entry: LedgerEntry) -> str:
    """The stage that was entered or left, and the share there."""
    name = entry.evidence.get("stage")
    if name is None:
        return "-"
    share = next((entry.shares.get(role, 0.0) for role in CHALLENGER_ROLES if role in entry.state), 0.0)
    return f"{name}: {share * 100:.4g} %" if share and entry.action == "stage" else str(name)


def _roles(entry: LedgerEntry) -> str:
    def shown(role: str, version: int) -> str:
        share = entry.shares.get(role, 0.0)
        return f"{role} {version}" + (f" ({share * 100:.4g} %)" if role in CHALLENGER_ROLES and share else "")

    return ", ".join(shown(role, version) for role, version in sorted(entry.state.items())) or "nothing"


def _at(settings: Settings, model: str, text: str) -> str:
    try:
        instant = datetime.fromisoformat(text)
        found = state.state_at(settings, model, instant)
    except ValueError as error:
        raise Refused(f"{text!r} is no instant: {error}. Write it like 2013-10-01T00:00-04:00.") from None
    champion = "no champion" if found.champion is None else f"version {found.champion}"
    words = f"{model} at {instant.isoformat()}: {champion}"
    if found.challenger is None:
        return words
    if found.share:
        return f"{words}, and version {found.challenger} for {found.share * 100:.4g} % of the entities ({found.role})"
    return f"{words}; version {found.challenger} was {found.role} and answered nobody"


def _rollback(settings: Settings, options: argparse.Namespace) -> str:
    done = state.roll_back(
        settings,
        options.model,
        options.to,
        actor=options.actor,
        reason=options.reason,
        bar=not options.no_bar,
        version=options.version,
    )
    now = "no version" if done.version is None else f"version {done.version}"
    end = f"(revision {done.revision})."
    if done.barred is not None:
        return f"{options.model}: version {done.barred} held no role and is barred; {now} stays {end}"
    if not done.changed:
        return f"{options.model}: nothing to do, {now} is in production {end}"
    if done.withdrawn is not None and done.version == done.replaced:
        return f"{options.model}: the challenger, version {done.withdrawn}, is out; {now} stays in production {end}"
    also = "" if done.withdrawn is None else f"; the challenger, version {done.withdrawn}, is out too"
    return f"{options.model}: {now} is in production instead of version {done.replaced}{also} {end}"


def _restore(settings: Settings, options: argparse.Namespace) -> str:
    done = retirement.restore(settings, options.model, actor=options.actor, reason=options.reason)
    if done.was is not None:
        return f"{options.model}: the retirement is undone; version {done.was} goes on answering."
    if done.champion is None:
        return f"{options.model}: the retirement is undone; no version was in production before it."
    return f"{options.model}: version {done.champion} is in production again."


def _bar(settings: Settings, options: argparse.Namespace) -> str:
    change, word = (versions.bar, "barred") if options.command == "bar" else (versions.lift_bar, "free of its bar")
    changed = change(settings, options.model, options.version, actor=options.actor, reason=options.reason)
    return f"{options.model} version {options.version} is {word}{'' if changed else ' already'}."


def _run(settings: Settings, options: argparse.Namespace) -> list[str]:
    if options.command in SIGNING:
        return run_signing(settings, options)
    if options.command == LINEAGE:
        return run_lineage(settings, options)
    if options.command == "history":
        return _history(settings, options.model, full=options.full)
    if options.command == "at":
        return [_at(settings, options.model, options.instant)]
    lines = []
    if options.command == "rollback":
        lines.append(_rollback(settings, options))
    elif options.command == "restore":
        lines.append(_restore(settings, options))
    elif options.command != "deliver":
        lines.append(_bar(settings, options))
    print(*lines, sep="\n", end="\n" if lines else "", flush=True)
    late = outbox.deliver(settings, options.model)
    return [
        f"MLflow's aliases of {options.model} are not up to date: MLflow is away; run deliver later."
        if late
        else f"MLflow's aliases of {options.model} are up to date."
    ]


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    options = _parser().parse_args(arguments)
    try:
        print(*_run(Settings.from_environment(), options), sep="\n")
    except NoriaError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
