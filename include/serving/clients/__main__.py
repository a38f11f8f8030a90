"""``python -m include.serving.clients <model>``: print, or write, examples of asking it for predictions."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from include.errors import NoriaError, Refused
from include.serving.clients.languages import LANGUAGES, client_example
from include.serving.clients.of_definition import signature_of
from include.settings import Settings
from include.spec.loader import find_definition


class FileThere(Refused):
    """An example would overwrite a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(f"{path} is there already. Name another folder, or remove it first; nothing was written.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the examples, or write them; 0, else the error's exit code."""
    options = _parser().parse_args(arguments)
    try:
        examples = _examples(Settings.from_environment(), options)
        if options.to is not None:
            _write(options.to, examples)
    except NoriaError as error:
        print(f"✗ {error}", file=sys.stderr)
        return error.exit_code
    for language, text in examples.items():
        if options.to is not None:
            print(options.to / LANGUAGES[language].file)
        elif options.language is not None:
            print(text, end="")
        else:
            print(f"===== {LANGUAGES[language].file}: {LANGUAGES[language].command}\n{text}")
    return 0


def _examples(settings: Settings, options: argparse.Namespace) -> dict[str, str]:
    signature = signature_of(find_definition(settings, options.model))
    wanted = [options.language] if options.language else list(LANGUAGES)
    return {language: client_example(signature, language, options.server or settings.server_url) for language in wanted}


def _write(folder: Path, examples: dict[str, str]) -> None:
    files = {folder / LANGUAGES[language].file: text for language, text in examples.items()}
    for file in files:
        if file.exists():
            raise FileThere(file)
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in files.items():
        file.write_text(text, encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m include.serving.clients",
        description="Examples of asking a model for predictions, made from its definition's signature.",
    )
    parser.add_argument("model", help="name of a definition")
    parser.add_argument("--language", choices=list(LANGUAGES), help="only this one (default: all)")
    parser.add_argument("--server", help="address of the inference server (default: NORIA_SERVER_URL, or this machine)")
    parser.add_argument("--to", type=Path, metavar="FOLDER", help="write files there, instead of printing them")
    return parser


if __name__ == "__main__":
    sys.exit(main())
