"""Start the server: ``python -m include.serving --host 127.0.0.1 --port 8090 [--workers N]``."""

from __future__ import annotations

import argparse
import sys

import uvicorn

from include.serving.limits import Limits


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT, then finish the requests under way.

    With several workers each is a process of its own, started before anything is loaded; one that dies is replaced.
    """
    parser = argparse.ArgumentParser(prog="python -m include.serving", description="The inference server.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--workers", type=int, default=1, help="number of processes (default: 1)")
    options = parser.parse_args(arguments)
    if options.workers < 1:
        parser.error("--workers must be at least 1")
    uvicorn.run(
        "include.serving.app:create",
        factory=True,
        host=options.host,
        port=options.port,
        workers=options.workers,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=Limits().drain_seconds,
        log_config=_LOGGING,
    )
    return 0


_LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "loggers": {"uvicorn": {"level": "INFO"}, "include": {"level": "INFO"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
}


if __name__ == "__main__":
    sys.exit(main())
