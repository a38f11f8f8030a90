"""The deployment's DAG run by ``dag.test()`` over a real registry, in a process with a migrated database of its own.

A thread plays the server (it judges each stage) and the person (who answers the question). The steps are forked by a
warm parent, as ``steps_program.py`` beside this file has them; without it they fail.
"""

from __future__ import annotations

import json
import threading
from typing import Any

from dags.families.deploy import build_deploy
from include.settings import Settings
from include.spec.loader import find_definition
from plugins.operators import local
from plugins.sensors import stage_triggers


class World(threading.Thread):
    """Server and person.

    :param harm: the stage in which the server withdraws the challenger.
    :param answer: what the person answers; nothing at all if it is empty.
    """

    def __init__(self, *, harm: str = "", answer: str = "Approve") -> None:
        super().__init__(daemon=True)
        self.settings = Settings.from_environment()
        self.harm = harm
        self.answer = answer
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.2):
            self.judge()
            if self.answer:
                self.decide()

    def judge(self) -> None:
        from include.registry import stages
        from tests.registry.judgements import record_assessment

        found = stages.challenger(self.settings, "bike_demand")
        if found is None or found.role == "candidate" or found.stage is None or found.deployment is None:
            return
        if found.stage == self.harm:
            reason = "it raised on 40 of 100 rows"
            stages.withdraw(self.settings, "bike_demand", found.version, actor="noria server", reason=reason)
            return
        record_assessment(
            self.settings, "bike_demand", version=found.version, deployment=found.deployment, stage=found.stage,
            verdict="advance", reason="300 rows are enough", evidence={"checks": []},
        )  # fmt: skip

    def decide(self) -> None:
        from airflow.models.hitl import HITLDetail
        from airflow.sdk import timezone
        from airflow.utils.session import create_session

        with create_session() as session:
            for request in session.query(HITLDetail).filter(HITLDetail.responded_at.is_(None)):
                request.chosen_options = [self.answer]
                request.params_input = {"note": "I looked at it"}
                request.responded_by = {"id": "7", "name": "Bea"}
                request.responded_at = timezone.utcnow()


def answer_of(*, ti_id: Any) -> Any:
    """What the triggerer is told of a request; ``dag.test()`` has no triggerer that could be asked."""
    from airflow.models.hitl import HITLDetail
    from airflow.sdk.api.datamodels._generated import HITLDetailResponse
    from airflow.utils.session import create_session

    with create_session() as session:
        found = session.get(HITLDetail, ti_id)
        return HITLDetailResponse(
            response_received=found.response_received,
            responded_by_user=found.responded_by_user,
            responded_at=found.responded_at,
            chosen_options=found.chosen_options,
            params_input=found.params_input,
        )


def play(dag: Any, version: int, **world: str) -> dict[str, Any]:
    """One run; its state, its tasks' states and outputs."""
    from include.registry import state

    beside = World(**world)
    beside.start()
    run = dag.test(run_conf={"version": version, "reason": "it is better", "actor": "ana"})
    beside.over.set()
    beside.join()
    tasks = run.get_task_instances()
    found = state.champion(beside.settings, "bike_demand")
    return {
        "run": run.state,
        "states": {task.task_id: task.state for task in tasks},
        "outputs": {task.task_id: task.xcom_pull(task_ids=task.task_id) for task in tasks},
        "champion": found.version if found else None,
        "ledger": [
            (entry.action, entry.to_version, entry.actor, entry.reason)
            for entry in state.history(beside.settings, "bike_demand")
        ],
    }


def main() -> None:
    from tests.steps.deployments import make_champion, put_version

    settings = Settings.from_environment()
    make_champion(settings, 1)
    for version in (2, 3, 4):
        put_version(settings, version)
    plays = {
        "approved": play(dag, 2),
        "rejected": play(dag, 3, answer="Reject"),
        "harmful": play(dag, 4, harm="approval", answer=""),
    }
    print(json.dumps(plays, default=str))


stage_triggers.ANSWER_EVERY = 1
stage_triggers.get_hitl_detail_content_detail = answer_of
local.PROGRAM = ("false",)
dag = build_deploy(find_definition(Settings.from_environment(), "bike_demand"))
for task in dag.tasks:
    task.retries = 0

if __name__ == "__main__":
    main()
