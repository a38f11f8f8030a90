"""One target in a process of its own, under atheris: ``python -m tests.fuzz.child <target> <failures> <libFuzzer's…>``.

A failure does not end the run: it is written as an input file, once for each place in the code, and fuzzing goes on.
Only what Python cannot catch (a dead process, a hang, memory) is left to libFuzzer, which writes a file and ends.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["include", "yaml", "croniter"], enable_loader_override=False):
    from include.settings import PROJECT
    from tests.fuzz.targets import TARGETS

FAILED = 76
_OURS = (str(PROJECT / "include"), str(PROJECT / "tests"))
_MOST = 20
"""Failures at different places after which a target has told enough."""


def watched(check: Callable[[bytes], None], failures: Path) -> Callable[[bytes], None]:
    """The check, with its failures written as files."""
    seen: set[str] = set()

    def one(data: bytes) -> None:
        try:
            check(data)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
            frames = traceback.extract_tb(error.__traceback__)
            ours = [frame for frame in frames if frame.filename.startswith(_OURS)]
            place = f"{type(error).__name__} at {Path(ours[-1].filename).name}:{ours[-1].lineno}"
            if place in seen:
                return
            seen.add(place)
            failures.mkdir(parents=True, exist_ok=True)
            path = failures / hashlib.sha256(data).hexdigest()[:12]
            path.write_bytes(data)
            shown = "".join(traceback.format_exception(error)[-6:])
            sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
            print(f"FAILURE {path} {place}\n{shown[:3000]}", flush=True)
            if len(seen) >= _MOST:
                os._exit(FAILED)

    return one


def main() -> None:
    """Fuzz until libFuzzer's own options end it."""
    name, failures, *options = sys.argv[1:]
    logging.disable(logging.CRITICAL)
    atheris.Setup([sys.argv[0], *options], watched(TARGETS[name].check, Path(failures)))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
