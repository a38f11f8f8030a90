"""``python -m include.spec check [files…]`` and ``python -m include.spec reference [--check]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from include.errors import Refused
from include.settings import Settings
from include.spec.loader import DefinitionError, load_definition


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the two commands; exit code 10 if a definition is wrong or the reference page is not current."""
    parser = argparse.ArgumentParser(prog="python -m include.spec", description="Model definitions.")
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check", help="check definitions and print every problem")
    check.add_argument("files", nargs="*", type=Path, help="definitions (default: all of the models folder)")
    reference = commands.add_parser("reference", help="write the reference page include/models/README.md")
    reference.add_argument("--check", action="store_true", help="only say whether the page is current")
    options = parser.parse_args(arguments)
    return _check(options.files) if options.command == "check" else _reference(only_check=options.check)


def _check(files: Sequence[Path]) -> int:
    folder = Settings.from_environment().models
    paths = list(files) or sorted(folder.glob("*.yaml"))
    if not paths:
        print(f"There is no definition in {folder}. Create one: include/models/README.md shows how.", file=sys.stderr)
        return Refused.exit_code
    broken = 0
    for path in paths:
        try:
            definition = load_definition(path)
        except DefinitionError as error:
            broken += 1
            print(error, file=sys.stderr)
        else:
            print(f"{path}: the model {definition.model} is well defined.")
    return Refused.exit_code if broken else 0


def _reference(*, only_check: bool) -> int:
    from include.spec.reference import REFERENCE, reference_page

    page = reference_page()
    if not only_check:
        REFERENCE.write_text(page, encoding="utf-8")
        print(f"Wrote {REFERENCE}.")
        return 0
    if REFERENCE.is_file() and REFERENCE.read_text(encoding="utf-8") == page:
        print(f"{REFERENCE} is current.")
        return 0
    print(f"{REFERENCE} is not current. Run: python -m include.spec reference", file=sys.stderr)
    return Refused.exit_code


if __name__ == "__main__":
    sys.exit(main())
