"""What Airflow's UI says of a task."""

from __future__ import annotations

from include.errors import NothingToDo, Refused, TryAgain
from include.steps.catalog import SUMMARIES


def step_doc(step: str) -> str:
    """Markdown for the task that runs ``step``.

    :raises ValueError: if there is no such step.
    """
    if step not in SUMMARIES:
        raise ValueError(f"There is no step named {step!r}; the steps are: {', '.join(SUMMARIES)}.")
    return f"""**{step}**: {SUMMARIES[step]}

Its inputs are under *Rendered templates*, its output under *XCom* (references, never data).
By hand: `python -m include.steps {step} --model … --as-of … --inputs '…'`

| exit code | meaning | task |
|---|---|---|
| 0 | done | success |
| {Refused.exit_code} | refused by a gate, a check or a rule: trying again cannot help | failed, no retry |
| {NothingToDo.exit_code} | nothing to do | skipped |
| {TryAgain.exit_code} | something outside is not ready | retried |
| other | a defect or a broken environment: traceback in the log | retried |
"""
