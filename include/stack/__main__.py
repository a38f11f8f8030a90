"""``python -m include.stack up|down|status|run|images``: what the Makefile calls."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from include.errors import NoriaError, NothingToDo
from include.settings import Settings
from include.spec.loader import find_definition
from include.stack.environment import Stack
from include.stack.images import BUILDERS, CLUSTER, IMAGES, PREFIX, build_images, find_builder
from include.stack.instance import load_instance
from include.stack.life import live
from include.stack.lifecycle import addresses, down, remove, status, up
from include.stack.services import BIN
from include.stack.summary import render, summarize


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 if it did what it says, else the error's exit code."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace, Settings], int] = options.command
    try:
        return command(options, Settings.from_environment())
    except NoriaError as error:
        print(f"\n✗ {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("\nInterrupted. What runs goes on; `make down` stops it, the same command picks it up.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m include.stack", description="The local stack.")
    commands = parser.add_subparsers(required=True)
    commands.add_parser("up", help="start everything and leave it running").set_defaults(command=_up)
    commands.add_parser("down", help="stop everything").set_defaults(command=_down)
    commands.add_parser("status", help="say what runs").set_defaults(command=_status)
    commands.add_parser("clean", help="stop everything and delete all state").set_defaults(command=_clean)
    execute = commands.add_parser("exec", help="run a command, such as airflow, in the stack's environment")
    execute.add_argument("words", nargs=argparse.REMAINDER)
    execute.set_defaults(command=_exec)
    _add_images(commands.add_parser("images", help="build the images of docker/"))
    run = commands.add_parser("run", help="take a model through its whole life")
    run.add_argument("--model", required=True, help="name of a definition in include/models")
    run.add_argument("--as-of", help="ISO date-time; needed for sources that have no end")
    run.set_defaults(command=_run)
    return parser


def _add_images(images: argparse.ArgumentParser) -> None:
    images.add_argument(
        "names", nargs="*", default=CLUSTER, help=f"which of {', '.join(IMAGES)} (default: {' '.join(CLUSTER)})"
    )
    images.add_argument("--tag", help="tag of the images (default: the project's version)")
    images.add_argument("--prefix", default=PREFIX, help="what their names begin with, such as a registry's address")
    images.add_argument(
        "--builder", choices=[builder.name for builder in BUILDERS], help="default: the first that works"
    )
    images.add_argument(
        "--with",
        dest="more",
        action="append",
        default=[],
        metavar="WORD",
        help="a word for the builder, such as --with=--no-cache",
    )
    images.set_defaults(command=_images)


def _up(_: argparse.Namespace, settings: Settings) -> int:
    stack = up(settings, _say)
    for name, address in addresses(stack).items():
        print(f"{name:<18}{address}")
    return 0


def _down(_: argparse.Namespace, settings: Settings) -> int:
    down(settings, _say)
    return 0


def _clean(_: argparse.Namespace, settings: Settings) -> int:
    remove(settings, _say)
    return 0


def _status(_: argparse.Namespace, settings: Settings) -> int:
    states = status(settings)
    if not states:
        print("No stack was ever started here; `make up` starts one.")
    for service, state in states.items():
        print(f"{service:<18}{state}")
    return 0 if states and {one.state for one in states.values()} == {"running"} else 3


def _exec(options: argparse.Namespace, settings: Settings) -> int:
    instance = load_instance(settings.home)
    if instance is None:
        raise NothingToDo("No stack was ever started here; `make up` starts one.")
    environment = Stack.of(settings, instance).environment()
    environment["PATH"] = f"{BIN}:{environment.get('PATH', '')}"
    os.execvpe(options.words[0], options.words, environment)  # nosec B606 # the words are the person's own


def _images(options: argparse.Namespace, settings: Settings) -> int:
    builder = find_builder(options.builder)
    names = build_images(
        options.names,
        tag=options.tag,
        prefix=options.prefix,
        builder=builder,
        more=options.more,
        bills=settings.home / "sbom",
        say=_say,
    )
    for name in names:
        print(name)
    return 0


def _run(options: argparse.Namespace, settings: Settings) -> int:
    begin = time.monotonic()
    definition = find_definition(settings, options.model)
    stack = up(settings, _say)
    life = live(stack, options.model, options.as_of, _say)
    document = summarize(stack, definition, life)
    document["seconds"] = round(time.monotonic() - begin, 1)
    # The last run, and each model's last run.
    for file in (settings.home / "run.json", settings.home / "runs" / f"{options.model}.json"):
        _write(file, document)
    print(render(document))
    print(
        f"\n{options.model} is being served; the whole took {document['seconds']:.0f} s. `make down` stops the stack."
    )
    return 0


def _write(file: Path, document: dict[str, object]) -> None:
    file.parent.mkdir(exist_ok=True)
    partial = file.with_suffix(f".{os.getpid()}")
    partial.write_text(json.dumps(document, indent=1, default=str))
    partial.rename(file)


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
