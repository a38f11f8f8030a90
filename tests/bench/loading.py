"""``make bench-loading``: what a version costs a process of a server: memory, and the time until it can answer.

The flagship (150 trees), under as many names, as a server's process loads it: from MLflow, and again from its own disk.
Each has answered a row before it counts.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Final

from include.registry.deployed import DeployedVersion
from include.serving.loaded import LoadedModel
from include.serving.protocols.calls import Call
from include.serving.source import RegistrySource
from include.settings import Settings
from tests.bench.copies import MODEL, names
from tests.bench.serving.world import crown, trained

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.loading", description=__doc__)
    parser.add_argument("--versions", type=int, default=64, help="how many are loaded (64)")
    parser.add_argument("--row", help=argparse.SUPPRESS)  # of the process that loads
    options = parser.parse_args(arguments)
    if options.row is not None:
        load_all(options.versions, json.loads(options.row))
        return 0
    with trained() as served:
        crown(served.bench.settings, served)
        own = [sys.executable, "-m", "tests.bench.loading", "--versions", str(options.versions)]
        for place in ("MLflow", "its own disk"):
            print(f"{options.versions} versions from {place}: ", end="", flush=True)
            subprocess.run([*own, "--row", json.dumps(served.inputs[0])], env=served.bench.environment(), check=True)
    return 0


def load_all(count: int, row: dict[str, object]) -> None:
    """Load so many in this process, let each answer the row, and print what one costs beside the first."""
    with closing(RegistrySource(Settings.from_environment())) as source:
        champion = source.states()[MODEL].roles["champion"]
        kept = [_loaded(source, replace(champion, model="the_first"), row)]
        memory, began = _resident(), time.monotonic()
        kept += [_loaded(source, replace(champion, model=name), row) for name in names(count)]
    seconds, grown = time.monotonic() - began, _resident() - memory
    print(
        f"{seconds / count * 1e3:.0f} ms and {grown / count / 2**20:.2f} MiB each, "
        f"beside {memory / 2**20:.0f} MiB of a process that holds one",
        flush=True,
    )


def _loaded(source: RegistrySource, version: DeployedVersion, row: dict[str, object]) -> LoadedModel:
    model = source.load(version)
    model.predict(Call(1, rows=[row]))
    return model


def _resident() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


if __name__ == "__main__":
    sys.exit(main())
