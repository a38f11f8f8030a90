"""What is no table: whether MLflow answers, and how full the disks are."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import requests
from prometheus_client import Metric

from include.exporter.reading import gauge

HEALTH_SECONDS: Final = 3.0


def read_mlflow(tracking_url: str) -> list[Metric]:
    """Nothing but that it answers: then the source is up.

    :raises requests.RequestException: if it does not.
    """
    requests.get(f"{tracking_url}/health", timeout=HEALTH_SECONDS).raise_for_status()
    return []


def read_disks(places: Mapping[str, Path]) -> list[Metric]:
    """Size and room of the file systems on which places lie.

    :param places: folders by name; one that is not there yet is left out.
    """
    usage = {(name,): shutil.disk_usage(folder) for name, folder in places.items() if folder.is_dir()}
    return [
        gauge(
            "noria_disk_bytes",
            "Size of the file system on which a place lies.",
            ("place",),
            {name: found.total for name, found in usage.items()},
        ),
        gauge(
            "noria_disk_free_bytes",
            "Bytes that can still be written there.",
            ("place",),
            {name: found.free for name, found in usage.items()},
        ),
    ]
