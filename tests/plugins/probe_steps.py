"""The steps' command line with one more step, ``probe``, that does what its inputs say. Run as a program by tests."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
import types
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from include.errors import NothingToDo, Refused, TryAgain
from include.steps import command
from include.steps.catalog import SUMMARIES
from include.steps.protocol import StepCall

ERRORS = {"refused": Refused, "nothing": NothingToDo, "again": TryAgain, "defect": RuntimeError}


def run(call: StepCall) -> dict[str, Any]:
    """Say the lines, start the children, take memory or disk, sleep, raise or return: as told."""
    inputs = call.inputs
    if inputs.get("deaf"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    taken = bytearray()
    for _ in range(inputs.get("memory_mib", 0)):
        taken += os.urandom(2**20)
    for number in range(inputs.get("disk_mib", 0)):
        with open(f"{os.environ['TMPDIR']}/{number}", "wb") as file:
            file.write(bytes(2**20))
    if "write_to" in inputs:
        Path(inputs["write_to"]).write_text("x")
    for line in inputs.get("say", []):
        logging.getLogger("probe").warning(line)
        print(f"printed {line}", flush=True)
        time.sleep(inputs.get("pause", 0))
    if "child" in inputs:
        child = subprocess.Popen(["sleep", "300"])
        with open(inputs["child"], "w") as file:
            file.write(f"{os.getpid()} {child.pid}")
    if inputs.get("environment"):
        return {"environment": dict(os.environ)}
    if inputs.get("pools"):
        from threadpoolctl import threadpool_info

        return {"pools": {pool["filepath"]: pool["num_threads"] for pool in threadpool_info()}}
    time.sleep(inputs.get("sleep", 0))
    if "raise" in inputs:
        raise ERRORS[inputs["raise"]](inputs.get("message", "as told"))
    return {"as_of": call.as_of.isoformat(), "attempt": call.attempt, "inputs": dict(inputs)}


def install() -> None:
    """Put the step into the catalog of this process."""
    module = types.ModuleType("include.steps.probe")
    module.run = run  # type: ignore[attr-defined]
    sys.modules["include.steps.probe"] = module
    SUMMARIES["probe"] = "Does what a test tells it."
    if "NORIA_DATABASE_URL" not in os.environ:  # what it costs could not be kept
        command.metered = lambda *_: nullcontext()  # type: ignore[assignment]


if __name__ == "__main__":
    install()
    sys.exit(command.main())
