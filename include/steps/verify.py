"""Step verify: holdout rows through the live server must get the batch path's answers exactly, else it is taken out.

The rows ask for the version by its number, before it answers anybody else. What happens when it cannot tell: a server
that does not answer, or that waits for MLflow, is :class:`TryAgain`; the version stays. With the input ``last_try``
true that is the end of the patience: a challenger, unproven, is taken out without a bar (it may be deployed again when
the server runs), since nothing unverified may go on. A champion whose deployment is repeated was proven once: it stays.
"""

from __future__ import annotations

import logging
import math
import tempfile
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from include.errors import Refused, TryAgain
from include.settings import Settings
from include.steps.protocol import Document, StepCall
from include.steps.rollout import Place, Rollout, place_of

if TYPE_CHECKING:
    from include.registry.deployed import DeployedVersion

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
    """Verify ``inputs["version"]``, the challenger; or the champion, if it is that already.

    Optional inputs: ``deployment``, ``actor``, ``wait_seconds`` (for the server, in all; default 60), ``last_try``.

    :returns: version, role, rows, single_rows, servers (how many replicas answered them all), seconds.
    :raises VerificationFailed: an answer differs, or the version does not load; it is taken out and barred. One whose
        signature is not right is taken out without a bar: nobody loads it anyway, and it may be signed.
    :raises TryAgain: server or MLflow is away; nothing is taken out, but a challenger at its ``last_try``.
    :raises ChallengerGone: it is out already, for another reason.
    """
    started = time.monotonic()
    rollout = Rollout.of(call, "verify")
    place = place_of(call, rollout)
    try:
        found = _verify(call, rollout, place)
    except TryAgain as error:
        if place.role == "champion" or not call.inputs.get("last_try"):
            raise
        _fail(call, rollout, f"it could not be verified ({error})", {"unverified": str(error)}, bar=False)
    document = {**found, "role": place.held.role, "seconds": round(time.monotonic() - started, 3)}
    _record(call, rollout.version, "passed", document)
    return document


def _verify(call: StepCall, rollout: Rollout, place: Place) -> Document:
    from include.registry.signing import VersionUntrusted, check
    from include.serving.replicas import LiveServers
    from include.serving.verification import VersionNotServed

    try:
        check(call.settings, place.held)
    except VersionUntrusted as error:
        _fail(call, rollout, str(error), {"untrusted": str(error)}, bar=False)
    rows, expected = _verification_rows(call.settings, place.held)
    seconds = float(call.inputs.get("wait_seconds") or WAIT_SECONDS)
    servers = LiveServers(call.settings.server_url, rollout.model, seconds=seconds, token=call.settings.server_token)
    try:
        servers.wait_for(rollout.version)
        found = servers.verify(rollout.version, rows, expected)
    except VersionNotServed as error:
        place_of(call, rollout)  # it may have been taken out in between
        if error.problem in {"corrupt", "unloadable", "untrusted"}:
            _fail(call, rollout, str(error), {"server": error.found}, bar=error.problem != "untrusted")
        raise NotServedYet(f"{error}. Nothing is taken out for that; try again.") from None
    if found.differences:
        first = found.differences[0]
        problem = (
            f"{len(found.differences)} of {found.answers} live answers differ from the batch path's; "
            f"first in row {first.row} (sent {first.sent} to {first.server}): "
            f"expected {first.expected!r}, got {first.got!r}"
        )
        shown = [difference.to_document() for difference in found.differences[:_KEPT_DIFFERENCES]]
        _fail(call, rollout, problem, {"differences": len(found.differences), "first": shown})
    counts = {"rows": found.rows, "single_rows": found.single_rows, "servers": found.servers}
    return {"version": rollout.version, **counts}


def _fail(call: StepCall, rollout: Rollout, problem: str, evidence: Mapping[str, Any], *, bar: bool = True) -> NoReturn:
    """Take the version out, tell MLflow, keep the verdict, and raise.

    :raises VerificationFailed: always.
    """
    from include.registry import deployed, outbox

    _take_out(call, rollout, f"verification failed: {problem}"[:1000], evidence, bar=bar)
    outbox.deliver(call.settings, rollout.model)
    _record(call, rollout.version, "refused", {"problem": problem, **evidence})
    champion = deployed.champion(call.settings, rollout.model)
    outcome = "No version is in production." if champion is None else f"Version {champion.version} answers."
    barred = f" Version {rollout.version} is barred." if bar else ""
    raise VerificationFailed(rollout.model, rollout.version, problem, outcome + barred, evidence)


def _take_out(call: StepCall, rollout: Rollout, reason: str, evidence: Mapping[str, Any], *, bar: bool) -> None:
    """A challenger is withdrawn; a champion (its deployment was repeated) is rolled back."""
    from include.registry import stages, state

    actor = rollout.actor if call.inputs.get("actor") else "verify"
    if place_of(call, rollout).role == "challenger":
        stages.withdraw(
            call.settings,
            rollout.model,
            rollout.version,
            deployment=rollout.deployment,
            actor=actor,
            reason=reason,
            evidence=evidence,
            bar=bar,
        )
        return
    state.roll_back(
        call.settings,
        rollout.model,
        actor=actor,
        reason=reason,
        bar=bar,
        evidence=evidence,
        version=rollout.version,
    )


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


def _verification_rows(settings: Settings, deployed: DeployedVersion) -> tuple[list[dict[str, Any]], list[Any]]:
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
