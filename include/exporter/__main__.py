"""``python -m include.exporter --host 127.0.0.1 --port 9464``: answers Prometheus at ``/metrics``."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from functools import partial

from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server

from include.errors import Refused
from include.exporter.airflow import read_airflow
from include.exporter.checks import read_checks
from include.exporter.deployments import read_deployments
from include.exporter.machine import read_disks, read_mlflow
from include.exporter.postgres import read_postgres
from include.exporter.sources import Source, Sources
from include.settings import Settings


class CannotListen(Refused):
    """The address is somebody else's, or no address of this machine."""

    def __init__(self, host: str, port: int, problem: str) -> None:
        self.host = host
        self.port = port
        super().__init__(
            f"The exporter cannot listen on {host} port {port}: {problem}. Choose another --host or --port."
        )


def sources(settings: Settings) -> list[Source]:
    """What there is to ask: Airflow only if its database's address is known, the store only if it is a folder."""
    places = {"home": settings.home, **({"store": settings.store} if settings.bucket is None else {})}
    found = [
        Source("checks", partial(read_checks, settings.database_url)),
        Source("deployments", partial(read_deployments, settings.database_url)),
        Source("postgres", partial(read_postgres, settings.database_url)),
        Source("mlflow", partial(read_mlflow, settings.tracking_url)),
        Source("disk", partial(read_disks, places)),
    ]
    if settings.airflow_database_url:
        found.append(Source("airflow", partial(read_airflow, settings.airflow_database_url)))
    return found


def registry(settings: Settings) -> CollectorRegistry:
    """All metrics, and the exporter's own memory and processor time."""
    made = CollectorRegistry()
    made.register(Sources(sources(settings)))
    ProcessCollector(registry=made)
    return made


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m include.exporter", description="Figures for Prometheus.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9464)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    try:
        try:
            start_http_server(options.port, addr=options.host, registry=registry(Settings.from_environment()))
        except OSError as error:
            raise CannotListen(options.host, options.port, str(error)) from None
    except Refused as refusal:
        print(refusal, file=sys.stderr)
        return refusal.exit_code
    logging.getLogger("noria.exporter").info("http://%s:%s/metrics", options.host, options.port)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    return 0


if __name__ == "__main__":
    sys.exit(main())
