"""Step verify: holdout rows through the live server must get the batch path's answers exactly, else it is rolled back.

What happens when it cannot tell: a server that does not answer, or that waits for MLflow, is :class:`TryAgain`; the
version stays. With the input ``last_try`` true that is the end of the patience: the version, unproven, is rolled back
without a bar (it may be deployed again when the server runs), since nothing unverified may stay in production.
"""

from __future__ import annotations

import logging
import math
import tempfile
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

from include.errors import NothingToDo, Refused, TryAgain
from include.registry.deployed import DeployedVersion
from include.settings import Settings
from include.steps.protocol import Document, StepCall
from include.steps.register import InputsIncomplete

WAIT_SECONDS = 60.0
_ROWS = "verification/rows.parquet"
_KEPT_DIFFERENCES = 5
_log = logging.getLogger(__name__)


class VerificationFailed(Refused):
    """The live server does not answer as the batch path does; the version is out of production.

    :param evidence: what was found, as it is in the ledger.
    """

    def __init__(self, model: str, version: int, problem: str, outcome: str, evidence: Mapping[str, Any]) -> None:
        self.model = model
        self.version = version
        self.evidence = dict(evidence)
        super().__init__(
            f"{model} version {version} failed its verification: {problem}. {outcome} "
            f"The evidence is in the ledger: python -m include.registry history {model}"
        )


class NotServedYet(TryAgain):
    """The server answers with another version, for a reason that may pass."""


def run(call: StepCall) -> Document:
    """Verify ``inputs["version"]``, the champion.

    Optional inputs: ``actor``, ``wait_seconds`` (for the server, in all; default 60), ``last_try``.

    :returns: version, rows, single_rows, seconds.
    :raises VerificationFailed: an answer differs, or the version does not load; it is rolled back.
    :raises TryAgain: server or MLflow is away; nothing is rolled back unless ``last_try``.
    :raises NothingToDo: another version has replaced it.
    """
    started = time.monotonic()
    deployed = _champion(call)
    try:
        found = _verify(call, deployed)
    except TryAgain as error:
        if not call.inputs.get("last_try"):
            raise
        _fail(call, deployed.version, f"it could not be verified ({error})", {"unverified": str(error)}, bar=False)
    document = {**found, "seconds": round(time.monotonic() - started, 3)}
    _record(call, deployed.version, "passed", document)
    return document


def _champion(call: StepCall) -> DeployedVersion:
    from include.registry import state, versions

    version = call.inputs.get("version")
    if not isinstance(version, int) or isinstance(version, bool):
        raise InputsIncomplete('The step verify needs the input {"version": <number of the deployed version>}.')
    model = call.definition.model
    deployed = state.champion(call.settings, model)
    if deployed is not None and deployed.version == version:
        return deployed
    if versions.get_version(call.settings, model, version).status == "barred":
        raise VerificationFailed(model, version, "it is barred", "It was rolled back before.", {})
    now = "no version" if deployed is None else f"version {deployed.version}"
    raise NothingToDo(f"{model} version {version} is not the champion any more ({now} is): nothing to verify.")


def _verify(call: StepCall, deployed: DeployedVersion) -> Document:
    from include.serving.verification import LiveServer, VersionNotServed

    rows, expected = _verification_rows(call.settings, deployed)
    seconds = float(call.inputs.get("wait_seconds") or WAIT_SECONDS)
    with LiveServer(call.settings.server_url, deployed.model, seconds=seconds) as server:
        try:
            server.wait_for(deployed.version)
            found = server.verify(deployed.version, rows, expected)
        except VersionNotServed as error:
            _champion(call)  # another deployment may have come in between
            if error.problem in {"corrupt", "unloadable"}:
                _fail(call, deployed.version, str(error), {"server": error.found})
            raise NotServedYet(f"{error}. Nothing is rolled back for that; try again.") from None
    if found.differences:
        first = found.differences[0]
        problem = (
            f"{len(found.differences)} of {found.rows + found.single_rows} live answers differ from the batch path's; "
            f"first in row {first.row} (sent {first.sent}): expected {first.expected!r}, got {first.got!r}"
        )
        shown = [difference.to_document() for difference in found.differences[:_KEPT_DIFFERENCES]]
        _fail(call, deployed.version, problem, {"differences": len(found.differences), "first": shown})
    return {"version": deployed.version, "rows": found.rows, "single_rows": found.single_rows}


def _fail(call: StepCall, version: int, problem: str, evidence: Mapping[str, Any], *, bar: bool = True) -> NoReturn:
    """Roll back, tell MLflow, keep the verdict, and raise.

    :raises VerificationFailed: always.
    """
    from include.registry import outbox, state

    model = call.definition.model
    done = state.roll_back(
        call.settings,
        model,
        actor=str(call.inputs.get("actor") or "verify"),
        reason=f"verification failed: {problem}"[:1000],
        bar=bar,
        evidence=evidence,
        version=version,
    )
    outbox.deliver(call.settings, model)
    _record(call, version, "refused", {"problem": problem, **evidence})
    outcome = "No version is in production now." if done.version is None else f"Version {done.version} answers again."
    barred = f" Version {version} is barred." if bar else ""
    raise VerificationFailed(model, version, problem, outcome + barred, evidence)


def _record(call: StepCall, version: int, verdict: str, details: Mapping[str, Any]) -> None:
    from include.registry.results import record_check

    record_check(
        call.settings,
        model=call.definition.model,
        kind="verify",
        stage="deployment",
        as_of=call.as_of,
        subject=f"version {version}",
        verdict=verdict,
        details=details,
    )


def _verification_rows(settings: Settings, deployed: DeployedVersion) -> tuple[list[dict[str, Any]], list[float]]:
    """The raw rows that the training kept for this, and the batch path's predictions for them."""
    import pyarrow.parquet as parquet

    from include.registry.mlflow_client import TrackingAway, connect, summary

    client = connect(settings)
    with tempfile.TemporaryDirectory(prefix="noria-verify-") as folder:
        try:
            path = client.download_artifacts(deployed.run_id, _ROWS, folder)
        except Exception as error:
            raise TrackingAway(f"fetching {_ROWS} of run {deployed.run_id}", summary(error)) from error
        table = parquet.read_table(Path(path))
    expected = table.column("prediction").to_pylist()
    columns = [name for name in table.column_names if name != "prediction"]
    rows = [{name: _json(value) for name, value in row.items()} for row in table.select(columns).to_pylist()]
    return rows, expected


def _json(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, float) and math.isnan(value):
        return None
    return value
