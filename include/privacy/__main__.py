"""What is held about a key, and its erasure: ``python -m include.privacy holds|erase|erasures <model>``."""

from __future__ import annotations

import argparse
import getpass
import json
import logging
import os
import sys
from pathlib import Path

from include.errors import NoriaError, Refused
from include.settings import Settings

_KEY_HELP = (
    'file with the key as JSON, such as {"customer": "…"}: columns of the model\'s entity, all or some; - is the '
    "standard input (default)"
)


class NotConfirmed(Refused):
    """Nobody said yes."""

    def __init__(self, model: str) -> None:
        self.model = model
        super().__init__(f"Nothing was erased: type {model} when asked, or give --yes.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m include.privacy", description="What is held about a key.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, summary in {
        "holds": "List what is held about a key: where, how many rows, of which partitions and days.",
        "erase": "Erase a key from all that is Noria's. Killed, the same command goes on.",
        "erasures": "What was erased, when, by whom, why and with what effect; never the keys.",
    }.items():
        command = commands.add_parser(name, help=summary, description=summary)
        command.add_argument("model")
        command.add_argument("--json", action="store_true", help="as JSON")
        if name == "erasures":
            continue
        command.add_argument("--key-file", default="-", metavar="FILE", help=_KEY_HELP)
        command.add_argument(
            "--key", metavar="JSON", help="the key itself; everybody on the machine can read a command's arguments"
        )
        if name == "erase":
            command.add_argument("--reason", required=True, help="why, for the record; not the key")
            command.add_argument("--actor", default=_user(), help="who does it (default: the user of this shell)")
            command.add_argument("--yes", action="store_true", help="do not ask")
    return parser


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def _key_text(options: argparse.Namespace) -> str:
    if options.key is not None:
        return str(options.key)
    if options.key_file == "-":
        return sys.stdin.read()
    try:
        return Path(options.key_file).read_text(encoding="utf-8")
    except OSError as error:
        raise Refused(f"The file of the key cannot be read: {error.strerror}.") from None


def _run(settings: Settings, options: argparse.Namespace) -> None:
    from include.privacy.holding import holdings
    from include.privacy.key import EntityKey
    from include.spec.loader import find_definition

    if options.command == "erasures":
        return _print_erasures(settings, options)
    key = EntityKey.read(find_definition(settings, options.model), _key_text(options))
    if options.command == "holds":
        found = holdings(settings, key)
        return print(json.dumps(found.to_document(), indent=1) if options.json else "\n".join(found.lines()))
    return _erase(settings, options, key)


def _erase(settings: Settings, options: argparse.Namespace, key: object) -> None:
    from include.privacy.erasing import erase, summary
    from include.privacy.holding import holdings
    from include.privacy.key import EntityKey

    if not isinstance(key, EntityKey):
        raise TypeError("a key is expected")
    if key.distinctive is not None and key.distinctive.search(f"{options.reason} {options.actor}"):
        raise Refused("The reason or the actor holds a value of the key; they are kept. Write it without.")
    if not options.yes:
        print("\n".join(holdings(settings, key).lines()), flush=True)
        _confirm(options.model)
    done = erase(settings, key, actor=options.actor, reason=options.reason)
    document = done.record.document | {"erasure": done.record.id}
    print(json.dumps(document, indent=1) if options.json else "\n".join(summary(done)))


def _confirm(model: str) -> None:
    """Ask at the terminal, since the standard input may have been the key."""
    try:
        with Path("/dev/tty").open("r+", encoding="utf-8", buffering=1) as terminal:
            terminal.write(f"Erase all of this, for good? Type {model}: ")
            terminal.flush()
            answer = terminal.readline().strip()
    except OSError:
        answer = ""
    if answer != model:
        raise NotConfirmed(model)


def _print_erasures(settings: Settings, options: argparse.Namespace) -> None:
    from include.registry.erasures import irreproducible, irreproducible_versions, list_erasures

    found = list_erasures(settings, options.model)
    versions = irreproducible_versions(settings, options.model)
    if options.json:
        return print(
            json.dumps(
                [
                    {
                        "id": one.id,
                        "key_columns": one.key_columns,
                        "key_hmac": one.key_hmac,
                        "actor": one.actor,
                        "reason": one.reason,
                        "started_at": one.started_at.isoformat(),
                        "finished_at": one.finished_at.isoformat() if one.finished_at else None,
                        **one.document,
                    }
                    for one in found
                ],
                indent=1,
            )
        )
    for one in found:
        ended = f"{one.finished_at:%Y-%m-%d %H:%M}" if one.finished_at else "not ended"
        print(f"{one.id:5}  {one.started_at:%Y-%m-%d %H:%M} to {ended}  by {one.actor}: {one.reason}")
    for version, erasure in sorted(versions.items()):
        print(f"{options.model}: {irreproducible(version, erasure)}")
    return print(f"{len(found)} erasure(s) of {options.model}.")


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    options = _parser().parse_args(arguments)
    try:
        _run(Settings.from_environment(), options)
    except NoriaError as error:
        print(f"error: {error}" if error.exit_code != 20 else str(error), file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
