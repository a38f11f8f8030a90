"""What OpenLineage's provider is told of a step, where it is switched on (README, OpenLineage).

The provider asks the operator when its task begins and ends, in a fork of the task's process. It logs what goes wrong
in here and lets the task be. Nothing imports this where OpenLineage is off.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import attrs
from airflow.providers.openlineage.extractors import OperatorLineage
from openlineage.client.event_v2 import InputDataset, OutputDataset
from openlineage.client.facet_v2 import (
    DatasetFacet,
    InputDatasetFacet,
    OutputDatasetFacet,
    RunFacet,
    data_quality_assertions_dataset,
    dataset_version_dataset,
    output_statistics_output_dataset,
    schema_dataset,
)

from include.console.model import page_at
from include.lineage.datasets import Assertion, Dataset
from include.lineage.names import DatasetNames
from include.lineage.steps import StepFacts, movement_of
from include.lineage.verdicts import gate_assertions
from include.settings import Settings
from plugins.definitions import arrangement_of
from plugins.operators.lineage import ToldStep


@attrs.define
class FactsFacet(DatasetFacet):
    """A facet of ours: facts of a training set, a model's version or a deployment."""

    facts: dict[str, Any] = attrs.field(factory=dict)


@attrs.define
class StepFacet(RunFacet):
    """A facet of ours: which step of which model ran, as of which instant."""

    model: str
    step: str
    asOf: str  # noqa: N815 - OpenLineage's way to write names


def lineage_of(told: ToldStep) -> OperatorLineage[Any, Any]:
    """Datasets and facets of a step's run; before it has begun only those in the store, whose place is known already.

    :raises DatabaseAway: what a gate that refused has found cannot be read.
    """
    settings = told.settings or Settings.from_environment()
    names = DatasetNames(settings, arrangement_of(settings, told.model))
    output = told.output if isinstance(told.output, Mapping) else {}
    found = _found_by_gate(settings, told, output)
    moved = movement_of(names, StepFacts(step=told.step, inputs=told.inputs, output=output, assertions=found))
    if told.settings is None:
        moved = moved.within(names.store)
    return OperatorLineage(
        inputs=[_input(dataset) for dataset in moved.inputs],
        outputs=[_output(dataset) for dataset in moved.outputs],
        run_facets={"noria_step": StepFacet(model=told.model, step=told.step, asOf=told.as_of)},
    )


def _found_by_gate(settings: Settings, told: ToldStep, output: Mapping[str, Any]) -> tuple[Assertion, ...]:
    """What the gate has found that the step is; of one that refused, the registry knows the page."""
    if told.step != "gate" or told.began is None:
        return ()
    stage = str(told.inputs.get("stage"))
    page = output.get("page") or page_at(settings, told.model, "gate", stage, told.began, datetime.now(UTC))
    return gate_assertions(settings, page) if page else ()


def _input(dataset: Dataset) -> InputDataset:
    facets: dict[str, InputDatasetFacet] = {}
    if dataset.assertions:
        facets["dataQualityAssertions"] = data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet(
            assertions=[_assertion(one) for one in dataset.assertions]
        )
    return InputDataset(dataset.namespace, dataset.name, inputFacets=facets, facets=_facets(dataset))


def _output(dataset: Dataset) -> OutputDataset:
    facets: dict[str, OutputDatasetFacet] = {}
    if dataset.rows is not None:
        facets["outputStatistics"] = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(dataset.rows)
    return OutputDataset(dataset.namespace, dataset.name, outputFacets=facets, facets=_facets(dataset))


def _facets(dataset: Dataset) -> dict[str, DatasetFacet]:
    facets: dict[str, DatasetFacet] = {name: FactsFacet(dict(facts)) for name, facts in dataset.facts.items()}
    if dataset.version is not None:
        facets["version"] = dataset_version_dataset.DatasetVersionDatasetFacet(dataset.version)
    if dataset.columns:
        fields = [schema_dataset.SchemaDatasetFacetFields(name, kind) for name, kind in dataset.columns.items()]
        facets["schema"] = schema_dataset.SchemaDatasetFacet(fields)
    return facets


def _assertion(one: Assertion) -> data_quality_assertions_dataset.Assertion:
    return data_quality_assertions_dataset.Assertion(
        assertion=one.name,
        success=one.success,
        column=one.column,
        severity="error" if one.critical else "warn",
        actual=one.found,
    )
