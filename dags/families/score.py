"""``<model>.score``: a version's answers for partitions of the raw table, or for files, into the table ``scores``."""

from __future__ import annotations

from airflow.sdk import DAG, Param

from dags.families.common import force_param, frame, range_params, resolve_as_of, step
from include.spec.definition import Definition

_DOC = """*choose* settles the version, and a retry keeps it: the one named here, else the champion of that moment.
*score* reads the rows in batches, has them judged by Great Expectations before and after, and publishes all that
passed in one commit. A refused partition or file goes to quarantine and the run ends red, naming it. Run it again as
often as you like: what is scored already from the same rows by the same version, as of the same instant, is left
alone."""
_OTHERWISE = "the last partition that is complete as of the run's instant"


def build_score(definition: Definition) -> DAG:
    """The DAG that scores in batches."""
    with frame(
        definition,
        "score",
        description=f"Scores a range of {definition.model}'s data, or files, with the champion or a named version.",
        doc=_DOC,
        cron=definition.schedule.score,
        params={
            "version": Param(
                None,
                type=["null", "integer"],
                minimum=1,
                title="Version",
                description_md="A registered version. Empty: the champion.",
            ),
            **range_params(definition, _OTHERWISE),
            "path": Param(
                None,
                type=["null", "string"],
                minLength=1,
                maxLength=1000,
                title="Files",
                description_md="Parquet or CSV files instead of partitions, such as `landing/new/*.parquet`: relative "
                "to the store, or absolute below it or below the folder of the model's source. The label's columns may "
                "be absent.",
            ),
            "force": force_param("Score again what is unchanged, and also with a barred or retired version."),
        },
    ) as dag:
        choose = step(dag, definition, "choose", from_params=("version", "force"))
        step(
            dag,
            definition,
            "score",
            inputs={"chosen": choose.output},
            from_params=("first", "last", "path", "force"),
            pool=definition.execution.data_pool,
        )
        resolve_as_of(dag, definition, work="score") >> choose
    return dag
