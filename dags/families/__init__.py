"""The DAG families: what each model's runs look like. A model's own file calls :func:`build_dags`."""

from __future__ import annotations

from airflow.sdk import DAG, get_parsing_context

from dags.families.data import build_data
from dags.families.deploy import build_deploy
from dags.families.monitor import build_monitor
from dags.families.restore import build_restore
from dags.families.retire import build_retire
from dags.families.rollback import build_rollback
from dags.families.score import build_score
from dags.families.train import build_train
from include.settings import Settings
from plugins.definitions import arrangement_of

FAMILIES = {
    "data": build_data,
    "train": build_train,
    "deploy": build_deploy,
    "rollback": build_rollback,
    "score": build_score,
    "monitor": build_monitor,
    "retire": build_retire,
    "restore": build_restore,
}


def build_dags(model: str) -> dict[str, DAG]:
    """All DAGs of a model by family; when Airflow parses for one task, only the DAG of that task.

    :raises DefinitionError: if the definition is broken; that is one import error, of this model's file.
    """
    wanted = get_parsing_context().dag_id
    # The checks of expressions cost an import; a task that is about to run has passed them when the file was parsed.
    definition = arrangement_of(Settings.from_environment(), model, expressions=wanted is None)
    return {family: build(definition) for family, build in FAMILIES.items() if wanted in (None, f"{model}.{family}")}
