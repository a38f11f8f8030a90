"""The command line of the steps: arguments in, one JSON document out, an exit code that says what happened."""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import signal
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from include.disk_faults import disk_fault
from include.errors import NoriaError, NothingToDo, Refused, TryAgain
from include.settings import Settings
from include.spec.definition import Definition
from include.spec.loader import find_definition
from include.steps.catalog import SUMMARIES, load_step
from include.steps.processor_time import metered
from include.steps.protocol import Document, StepCall

DEFAULT_RESULT = Path("/airflow/xcom/return.json")
LOG_FORMAT = "%(asctime)s %(levelname)-7s %(message)s"
EXIT_CODES = f"""exit codes:
  0   done; the output is in $NORIA_RESULT (default {DEFAULT_RESULT}), or on stdout if that folder does not exist
  1   a defect or a broken environment (traceback in the log)
  {Refused.exit_code}  refused: trying again cannot help
  {NothingToDo.exit_code}  nothing to do
  {TryAgain.exit_code}  something outside is not ready, or a disk is full or read-only: try again later"""
_MODEL = re.compile(r"[a-z][a-z0-9_]{0,62}")
_NOISY_LOGGERS = ("alembic", "sqlalchemy.engine", "urllib3", "great_expectations", "git")

log = logging.getLogger("noria.steps")


class _RedactingFormatter(logging.Formatter):
    """Formats a record, tracebacks included, and blots out passwords that the settings' addresses carry."""

    def __init__(self, secrets: Sequence[str]) -> None:
        super().__init__(LOG_FORMAT, datefmt="%H:%M:%S")
        self.converter = time.gmtime
        self._secrets = sorted(secrets, key=len, reverse=True)

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text


def secrets_of(settings: Settings) -> list[str]:
    """Passwords inside the settings' addresses, server's token, bucket's keys, signing key; as written and decoded."""
    urls = [settings.database_url, settings.tracking_url, settings.server_url, *dict(settings.connections).values()]
    passwords = [urlsplit(url).password for url in urls]
    passwords += [settings.server_token, *(settings.bucket.secrets if settings.bucket else ())]
    passwords += [line for line in (settings.signing_key or "").splitlines()[1:-1] if line.strip()]  # of a PEM
    return sorted({form for word in passwords if word for form in (word, unquote(word), quote(unquote(word), safe=""))})


def configure_logging(settings: Settings) -> None:
    """Send readable lines to stderr: UTC time, level, message. ``NORIA_LOG_LEVEL`` sets the level (INFO)."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_RedactingFormatter(secrets_of(settings)))
    level = os.environ.get("NORIA_LOG_LEVEL", "INFO").upper()
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in _NOISY_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)


def build_parser() -> argparse.ArgumentParser:
    """The arguments of ``python -m include.steps``."""
    parser = argparse.ArgumentParser(
        prog="python -m include.steps",
        description="Runs one step of a model's life.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("step", nargs="?", help="name of the step; --list shows them")
    parser.add_argument("--list", action="store_true", help="print the steps and what they do")
    parser.add_argument("--model", help="name of the model")
    parser.add_argument("--as-of", help="the run's instant, ISO 8601 with offset, such as 2013-10-01T00:00:00-04:00")
    parser.add_argument("--inputs", default="{}", help="JSON object; @file reads a file, - reads stdin (default {})")
    parser.add_argument("--attempt", help="unique name of this try (default: a new one)")
    parser.add_argument(
        "--lifeline", action="store_true", help="end this process group as soon as stdin closes (for supervisors)"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one step and return the exit code. Reads the environment once, here."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    if options.list:
        for name, summary in SUMMARIES.items():
            print(f"{name:<10} {summary}")
        return 0
    for flag in ("step", "model", "as_of"):
        if getattr(options, flag) is None:
            parser.error(f"{flag.replace('_', '-')} is missing; --help shows how a step is run, --list the steps")
    try:
        settings = Settings.from_environment()
    except NoriaError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    configure_logging(settings)
    if options.lifeline:
        _hold_lifeline()
    _end_when_told()
    return _guarded(options, settings)


def _guarded(options: argparse.Namespace, settings: Settings) -> int:
    started = time.monotonic()
    try:
        call = _make_call(options, settings)
        log.info("%s of %s as of %s starts (try %s)", options.step, options.model, options.as_of, call.attempt)
        with metered(settings, call.definition.model, options.step):
            document = load_step(options.step)(call)
        _deliver(document, step=options.step)
    except NothingToDo as reason:
        log.info("%s: nothing to do after %.1f s: %s", options.step, time.monotonic() - started, reason)
        return reason.exit_code
    except Exception as error:  # noqa: BLE001 - told with its traceback, unless it has a name
        # A disk's fault is told as one, be it that a library has made something else of it, or we have.
        told = error if isinstance(error, TryAgain) else disk_fault(error, settings) or error
        return _told(told, options.step, time.monotonic() - started)
    log.info("%s of %s done in %.1f s", options.step, options.model, time.monotonic() - started)
    return 0


def _told(error: Exception, step: str, seconds: float) -> int:
    """Say how a step failed, in one line; a defect with its traceback. Returns the exit code."""
    if isinstance(error, NoriaError):
        log.error("%s %s after %.1f s: %s", step, _verb(error), seconds, error)
        return error.exit_code
    log.error("%s broke after %.1f s: %s: %s", step, seconds, type(error).__name__, error, exc_info=error)
    return 1


def _verb(error: NoriaError) -> str:
    if isinstance(error, Refused):
        return "refused"
    return "cannot go on now" if isinstance(error, TryAgain) else "failed"


def _make_call(options: argparse.Namespace, settings: Settings) -> StepCall:
    if options.step not in SUMMARIES:
        load_step(options.step)
    return StepCall(
        settings=settings,
        definition=definition_of(settings, options.model),
        as_of=parse_as_of(options.as_of),
        attempt=options.attempt or f"{options.step}-{uuid.uuid4().hex[:12]}",
        inputs=read_inputs(options.inputs, lifeline=options.lifeline),
    )


def definition_of(settings: Settings, model: str) -> Definition:
    """The model's definition, if the name could be a model's.

    :raises Refused: if not, before any file is looked for.
    """
    if not _MODEL.fullmatch(model):
        raise Refused(
            f"{model!r} is no model name: it starts with a lower-case letter and holds only lower-case letters, digits "
            f"and underscores (at most 63). Definitions are in {settings.models}."
        )
    return find_definition(settings, model)


def parse_as_of(text: str) -> datetime:
    """Read an instant in ISO 8601 with offset.

    :raises Refused: if it is something else, saying what to write.
    """
    example = "write it like 2013-10-01T00:00:00-04:00"
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise Refused(f"as_of is {text!r}, which is not an instant in ISO 8601; {example}.") from None
    if instant.tzinfo is None:
        raise Refused(f"as_of is {text!r}, which has no offset from UTC; {example}.")
    return instant


def read_inputs(text: str, *, lifeline: bool = False) -> Document:
    """The step's inputs from a JSON text, ``@file`` or ``-`` for stdin.

    :raises Refused: if the text is not a JSON object or the file cannot be read.
    """
    where = "--inputs"
    try:
        if text == "-":
            if lifeline:
                raise Refused("--inputs - and --lifeline both need stdin; give the inputs as @file.")
            where, text = "stdin", sys.stdin.read()
        elif text.startswith("@"):
            where = text[1:]
            text = Path(where).read_text(encoding="utf-8")
        document = json.loads(text)
    except OSError as error:
        raise Refused(f"The inputs file {where} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:  # not JSON, not UTF-8, a number of thousands of digits, too deep
        raise Refused(f"The inputs in {where} are not JSON: {error}.") from error
    if not isinstance(document, dict):
        raise Refused(f"The inputs in {where} are a JSON {type(document).__name__}; a step takes an object {{...}}.")
    return document


def _deliver(document: Document, *, step: str) -> None:
    """Write the output as JSON, atomically, or print it where there is no folder for it."""
    try:
        text = json.dumps(document, allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise NoriaError(f"The step {step} returned something that is not JSON ({error}); mend the step.") from error
    target = Path(os.environ.get("NORIA_RESULT", DEFAULT_RESULT))
    if not target.parent.is_dir():
        log.info("the output goes to stdout only, since the folder %s does not exist (NORIA_RESULT)", target.parent)
        print(text, flush=True)
        return
    descriptor, partial = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(partial, 0o644)
    os.replace(partial, target)


def _hold_lifeline() -> None:
    """Kill this process group when stdin reaches its end: whoever started us is gone, however it died."""
    if os.getpgrp() != os.getpid():
        os.setpgrp()
    threading.Thread(target=_watch_stdin, name="lifeline", daemon=True).start()


def _end_when_told() -> None:
    """End at once on SIGTERM. As the first process of a container it would otherwise be ignored."""
    if os.getpid() == 1:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))


def _watch_stdin() -> None:
    while os.read(0, 4096):
        pass
    os.killpg(os.getpgrp(), signal.SIGKILL)
