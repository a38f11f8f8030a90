"""The section pods: what holds for a step's pod, where each value has its home, and what is refused where."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import get_args

import pytest

from include.spec.definition import Definition
from include.spec.loader import DefinitionError
from include.spec.pod_of import home_of, pod_of
from include.spec.pods import StepName
from include.steps.catalog import LIGHT, SUMMARIES

Load = Callable[..., Definition]
AFTER = "slices: [carrier]\n"


def pods(text: str) -> tuple[str, str]:
    """The change that adds a section."""
    return AFTER, f"{AFTER}pods:\n{text}"


def test_every_step_and_nothing_else_can_have_a_pod_of_its_own() -> None:
    assert set(get_args(StepName)) == set(SUMMARIES)
    assert set(SUMMARIES) > LIGHT


def test_a_step_takes_what_it_does_not_say_from_the_default(load: Load) -> None:
    definition = load(
        pods(
            "  default: {memory: 3Gi, priority_class: low, node_selector: {disk: fast}}\n"
            "  steps:\n    score: {memory: 8Gi, priority_class: null}\n"
        )
    )
    score, gate = pod_of(definition, "score"), pod_of(definition, "gate")
    assert (score.memory, score.priority_class, score.node_selector) == ("8Gi", None, {"disk": "fast"})
    assert (gate.memory, gate.priority_class) == ("3Gi", "low")


def test_training_resources_are_the_home_of_trains_cpu_and_memory(load: Load) -> None:
    definition = load(
        ("  holdout: 14d\n", "  holdout: 14d\n  resources: {cpu: 6, memory: 9Gi}\n"),
        pods("  default: {cpu: 1, memory: 1Gi}\n  steps:\n    train: {gpu: 1}\n"),
    )
    train = pod_of(definition, "train")
    assert (train.cpu, train.memory, train.gpu) == (6, "9Gi", 1)
    assert home_of("train", "memory") == "training.resources.memory"
    assert home_of("train", "gpu") == "pods.steps.train.gpu"


def test_the_deadline_is_the_executions_timeout_unless_something_else_is_said(load: Load) -> None:
    assert pod_of(load(), "gate").deadline == timedelta(hours=2)
    definition = load(pods("  default: {deadline: 30m}\n  steps:\n    score: {deadline: 4h}\n"))
    assert pod_of(definition, "gate").deadline == timedelta(minutes=30)
    assert pod_of(definition, "score").deadline == timedelta(hours=4)


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("  steps:\n    trian: {memory: 1Gi}\n", "pods.steps.trian", "Did you mean `train`?"),
        ("  steps:\n    train: {memory: 1Gi}\n", "pods.steps.train.memory", "training.resources.memory"),
        ("  default: {memmory: 1Gi}\n", "pods.default.memmory", "Did you mean `memory`?"),
        ("  default: {memory: 2GB}\n", "pods.default.memory", "4Gi"),
        ("  default: {ephemeral_storage: lots}\n", "pods.default.ephemeral_storage", "4Gi"),
        ("  default: {cpu: 0}\n", "pods.default.cpu", "more than 0"),
        ("  default: {cpu: 1, cpu_request: 2}\n", "pods.default.cpu_request", "at most what `cpu` says"),
        ("  default: {service_account: My_Account}\n", "pods.default.service_account", "lower-case"),
        ("  default: {environment: {secrets: [a b]}}\n", "pods.default.environment.secrets[0]", "Kubernetes object"),
        ("  default: {image: a b}\n", "pods.default.image", "must match"),
        ("  default: {deadline: 0s}\n", "pods.default.deadline", "such as 30m"),
        ("  default: {place: nowhere}\n", "pods.default.place", "pod, airflow"),
        ("  default: {node_selector: {'a b': c}}\n", "pods.default.node_selector.a b", "kubectl get nodes"),
        (
            "  default: {tolerations: [{key: gpu, operator: Exists, value: x}]}\n",
            "pods.default.tolerations[0]",
            "no value counts",
        ),
        ("  default: {tolerations: [{value: x}]}\n", "pods.default.tolerations[0]", "names no taint"),
        (
            "  default: {affinity: {nodeAfinity: {}}}\n",
            "pods.default.affinity.nodeAfinity",
            "Did you mean `nodeAffinity`?",
        ),
        (
            "  default:\n    affinity:\n      podAntiAffinity:\n"
            "        preferredDuringSchedulingIgnoredDuringExecution:\n"
            "          - {weight: ten, podAffinityTerm: {topologyKey: zone}}\n",
            "preferredDuringSchedulingIgnoredDuringExecution[0].weight",
            "a whole number",
        ),
    ],
)
def test_a_mistake_is_refused_with_its_key_and_the_cure(load: Load, text: str, key: str, words: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        load(pods(text))
    (problem,) = caught.value.problems
    assert key in problem.key
    assert words in f"{problem.what}. {problem.cure}"
    assert problem.line > 30


def test_a_true_affinity_is_taken_as_it_is(load: Load) -> None:
    definition = load(
        pods(
            "  default:\n    affinity:\n      nodeAffinity:\n"
            "        requiredDuringSchedulingIgnoredDuringExecution:\n          nodeSelectorTerms:\n"
            "            - matchExpressions: [{key: disk, operator: In, values: [fast]}]\n"
        )
    )
    (rule,) = definition.pods.default.affinity["nodeAffinity"].values()
    assert rule["nodeSelectorTerms"][0]["matchExpressions"][0]["values"] == ["fast"]


def test_steps_that_spark_spreads_have_an_account_that_may_start_executors(load: Load) -> None:
    spark = (AFTER, f"{AFTER}engine: spark\n")
    definition = load(spark)
    accounts = {
        step: (pod_of(definition, step).service_account, pod_of(definition, step).account_token) for step in SUMMARIES
    }
    given = ("noria-spark", True)
    assert {step for step, account in accounts.items() if account == given} == {"prepare", "assemble", "train"}
    assert set(accounts.values()) == {given, (None, None)}


def test_what_a_definition_says_of_that_account_goes_first(load: Load) -> None:
    definition = load(
        (AFTER, f"{AFTER}engine: spark\npods:\n  default: {{account_token: false}}\n  steps:\n"
                "    train: {service_account: trainers, account_token: true}\n"),
    )  # fmt: skip
    train, prepare = pod_of(definition, "train"), pod_of(definition, "prepare")
    assert (train.service_account, train.account_token) == ("trainers", True)
    assert prepare.account_token is False
