"""Start the server: ``python -m include.serving --host 127.0.0.1 --port 8090 [--workers N] [--background on|off]``."""

from __future__ import annotations

import argparse
import logging
import logging.config
import os
import shutil
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from include.errors import NoriaError
from include.hashing import Hashing
from include.registry.signing_keys import trusted_keys
from include.serving.access import Access, Rate, Tokens
from include.serving.limits import Limits
from include.serving.shared_state import SharedState
from include.serving.source import FixedSource
from include.serving.supervisor import Child, Supervisor, hold_signals, listen
from include.settings import Settings

_METRICS_FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
_NICE: Final = 19
_log = logging.getLogger("include.serving")


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT, then finish the requests under way."""
    options = _options(arguments)
    logging.config.dictConfig(_LOGGING)
    settings = Settings.from_environment()
    limits = Limits(rate=options.rate, models=options.models)
    try:
        access = Access(
            Tokens.read(settings.server_tokens) if settings.server_tokens else None,
            Rate(limits.rate) if limits.rate else None,
        )
        fixed = FixedSource(options.deployment, settings) if options.deployment else None
        if settings.hashing_key is not None:
            Hashing.of(settings)  # said once and here, not by every worker
        trusted_keys(settings)
        hold_signals()  # whoever can connect can also count on an orderly end
        listener = listen(options.host, options.port)
    except NoriaError as error:
        _log.error("%s", error)
        return error.exit_code
    metrics = _metrics_folder(settings.home / "serving" / "metrics")
    children = _children(options, settings, limits, access, fixed, listener, metrics)
    _preload()
    _log.info("listening on http://%s:%d, %d workers", options.host, listener.getsockname()[1], options.workers)
    drain = limits.linger_seconds + limits.drain_seconds + 5
    try:
        return Supervisor(children, listener, drain_seconds=drain).run()
    finally:
        shutil.rmtree(metrics, ignore_errors=True)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m include.serving", description="The inference server.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--workers", type=int, default=1, help="number of processes (default: 1)")
    parser.add_argument("--models", type=int, default=Limits.models, help="most versions in memory of a process")
    parser.add_argument("--rate", type=float, help="most requests a second of all callers together (default: any)")
    parser.add_argument(
        "--background",
        choices=("on", "off"),
        default="on",
        help="whether a process beside the workers scores challengers, brings the request log into the tables and "
        "judges stages (default: on; one for each home is enough)",
    )
    parser.add_argument(
        "--deployment",
        type=Path,
        metavar="FOLDER",
        help="serve what this folder holds (include.serving.package_image makes it), with neither database nor MLflow; "
        "nothing is logged then, and --background means nothing",
    )
    options = parser.parse_args(arguments)
    for name, least in (("workers", 1), ("models", 1)):
        if getattr(options, name) < least:
            parser.error(f"--{name} must be at least {least}")
    if options.rate is not None and not options.rate > 0:
        parser.error("--rate must be more than 0")
    return options


def _children(
    options: argparse.Namespace,
    settings: Settings,
    limits: Limits,
    access: Access,
    fixed: FixedSource | None,
    listener: socket.socket,
    metrics: Path,
) -> list[Child]:
    shared = SharedState()

    def work(alive: Callable[[], None]) -> None:
        from include.serving.app import build
        from include.serving.worker import Worker

        Worker(build(settings, limits, access, fixed, shared), limits, alive=alive).serve_on(listener)

    def behind(_: Callable[[], None]) -> None:
        from include.serving import background
        from include.serving.shadow import socket_path

        listener.close()
        os.nice(_NICE)
        background.run(settings, limits, socket_path(settings.home), shared)

    def forget(pid: int) -> None:
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(pid, str(metrics))  # type: ignore[no-untyped-call]

    children = [Child("noria-worker", work, forget) for _ in range(options.workers)]
    wanted = options.background == "on" and fixed is None
    return [*children, Child("noria-behind", behind, forget, ends_last=True)] if wanted else children


def _metrics_folder(root: Path) -> Path:
    """A folder for this server's numbers; those of servers that are gone are removed."""
    for old in root.glob("*") if root.exists() else ():
        if not Path("/proc", old.name).exists():
            shutil.rmtree(old, ignore_errors=True)
    folder = root / str(os.getpid())
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.environ[_METRICS_FOLDER] = str(folder)
    return folder


def _preload() -> None:
    """Import what every worker needs; nothing is opened, loaded or started, so that a fork is safe."""
    import duckdb  # noqa: F401
    import mlflow.artifacts
    import mlflow.pyfunc  # noqa: F401
    import pandas  # noqa: F401
    import psycopg2  # noqa: F401
    import xgboost  # noqa: F401

    import include.serving.app
    import include.serving.worker
    import include.training.package  # noqa: F401


_LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(process)d %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "loggers": {"uvicorn": {"level": "WARNING"}, "include": {"level": "INFO"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
}


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # nothing is left to do, and the libraries that were imported would only complain
