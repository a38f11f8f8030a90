"""Every key of a definition stands in a sound one here, and refuses a value of another kind under its own name."""

from __future__ import annotations

import copy
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from pydantic import BaseModel

from include.spec.definition import Definition
from include.spec.loader import DefinitionError, load_definition
from tests.spec.conftest import VALID

WRONG: Final = [[]]
"""What no key can be: a list of lists."""

#: What `VALID` does not say, for joined files and one XGBoost model.
FILES: Final = """
format: 2
tags: [late]
readers: [auditors]
card:
  purpose: Tells passengers early.
  users: [the desk]
  uses: [sorting flights by risk]
  out_of_scope: [pay]
  ethics: [nobody is judged by it]
  limits: [one city only]
  contacts: [ops@example.com]
  license: internal
  references: [the handbook]
source:
  format: parquet
  ends: 2013-12-31
  query: FROM source JOIN shops USING (id)
  tables: {shops: {type: files, path: "{store}/shops.csv", format: csv}}
clean:
  duplicates: {keep: last, order_by: delay}
  columns:
    distance:
      expression: distance * 2
      null_if: distance < 0
      type: integer
      unit: {from: mile, to: metre}
      clip: [0, null]
  features:
    distance:
      missing: {how: median}
      indicator: true
      outliers: {winsorize: [0.01, 0.99], keep: true}
      flag: true
    hour: {missing: {value: 12}, outliers: {clip: [0, 23]}}
history:
  recent:
    by: [carrier]
    over: 7d
    known_after: 2d
    values:
      rows: {count: "*"}
      rate: {mean: delay > 15}
      miles: {sum: distance}
      newest: {last: distance}
      shortest: {min: distance}
      farthest: {max: distance}
  lent: {model: lender, by: [carrier]}
training:
  shortest_window: 30d
  seed: 3
  rounds: 50
  early_stopping_rounds: 5
  trainer: {name: xgboost}
  search:
    space: {max_depth: {low: 3, high: 9, log: false}, grow_policy: {values: [depthwise, lossguide]}}
    trials: 9
    time: 10m
    patience: 4
    folds: 2
    prune: true
  monotone: {distance: increasing}
  class_weight: balanced
  calibration: sigmoid
  refit: validation
  max_missing_partitions: 1
  wait_for_data: 1h
  resources: {cpu: 1, memory: 1Gi}
  params: {learning_rate: 0.1}
evaluation:
  threshold: 0.4
  costs: {false_positive: 1, false_negative: 5, true_positive: -2, true_negative: 0}
  objective: {expression: "CASE WHEN decision THEN distance END", per: distance, goal: greater, title: Miles}
  gates:
    - {metric: roc_auc, at_least: 0.6}
    - {metric: log_loss, at_most: 0.9}
    - {metric: log_loss, against: champion, margin: 0.01}
  robustness: [{kind: noise, amount: 0.1, columns: [distance], metric: roc_auc, tolerance: 0.05}]
  fairness: [{column: id, measure: demographic_parity_difference, limit: 0.3, fewest_rows: 50}]
  importance: {rows: 500, jump: 0.4}
  bootstrap_rounds: 200
  confidence: 0.9
deployment:
  verify_rows: 100
  stages: [shadow, champion]
  approval: required
  evidence: {requests: 100, labels: 10, time: 1h, timeout: 2h}
  rollback: {error_rate: 0.1, p99_ms: 50, added_ms: 5, prediction_shift: 0.3, quality_margin: 0.1, metric: roc_auc}
retention: {data: 730d, scores: 365d, quarantine: 30d, training_sets: 7d}
retirement: {drain: 2h, quiet: 5m, keep: 90d}
serving:
  limits: {distance: {minimum: 0, maximum: 9000}, carrier: {values: [AA, UA]}}
  unseen_categories: refuse
  personal: [at]
  log: {retention: 30d}
monitoring:
  drift:
    window: 14d
    least_change: 0.3
    significance: 0.01
    share_of_features: 0.5
    season: {every: 28d, windows: 3}
    persistence: {of: 3, drifted: 2}
    domain_classifier: {rows: 2000, auc: 0.8}
  decay: {window: 14d, metrics: [roc_auc], least_change: 0.1}
  retrain: {on_drift: false, on_decay: false, cooldown: 7d, at_most_per_week: 1}
alerts: {to: [mail], "on": [gate_refused], data_deadline: 3h, approval_after: 4h}
schedule: {data: "0 1 * * *", train: "0 2 * * *", monitor: "0 3 * * *", score: "0 4 * * *"}
execution: {retries: 1, retry_delay: 1s, timeout: 1h, data_pool: one, training_pool: two}
pods:
  default: &pod
    place: pod
    cpu: 2
    cpu_request: 0.5
    memory: 1Gi
    ephemeral_storage: 1Gi
    gpu: 1
    gpu_resource: amd.com/gpu
    node_selector: {pool: gpu}
    tolerations: [{key: gpu, operator: Equal, value: only, effect: NoExecute, seconds: 60}]
    affinity: {nodeAffinity: {}}
    priority_class: high
    service_account: steps
    account_token: true
    image: steps:1
    image_pull_policy: Always
    pull_secrets: [registry]
    environment: {secrets: [noria-steps], config_maps: [zone]}
    deadline: 1h
    wait_for_node: 5m
  steps: {score: *pod}
"""
#: For a database, candidates and several classes.
DATABASE: Final = """
task: multiclass_classification
source: {connection: shop, table: sales.orders, filter: delay > 0, arrives_after: 5m, chunk: 1h, parallel: 2}
label:
  expression: CASE WHEN delay > 15 THEN 'late' WHEN delay > 0 THEN 'fair' ELSE 'good' END
  classes: [good, fair, late]
features: {distance: {expression: distance, type: numeric}}
training:
  candidates:
    one:
      trainer: {name: xgboost}
      params: {max_depth: 3}
      rounds: 9
      early_stopping_rounds: 3
      search:
        space: {gamma: {low: 1, high: 9, log: true}, grow_policy: {values: [depthwise, lossguide]}}
        trials: 9
        time: 10m
        patience: 4
        folds: 2
        prune: true
    two: {trainer: {module: mine.py}}
"""
#: For a query, modules, and a threshold that is found.
MODULES: Final = """
source: {connection: shop, query: SELECT * FROM orders}
feature_module: {path: mine.py, inputs: [distance], columns: {far: boolean}}
training: {trainer: {module: mine.py}}
evaluation: {threshold_from: validation, costs: {false_positive: 1, false_negative: 5}}
"""
#: For several machines.
SPARK: Final = "engine: {name: spark, executors: 3, cpu: 2, memory: 4Gi}"
#: Forms that are only written in other ways: a stage's, which are `shadow`, `canary: 10`, `ab: {…}`.
NEVER_WRITTEN: Final = re.compile(r"deployment\.stages\[\]\.")

Place = tuple[str | int, ...]


class _Plain(yaml.SafeDumper):
    """Writes what stands in two places twice."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True


def merged(base: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    both = [key for key in more if isinstance(more[key], dict) and isinstance(base.get(key), dict)]
    return {**base, **more, **{key: merged(base[key], more[key]) for key in both}}


def sound() -> dict[str, dict[str, Any]]:
    valid = yaml.safe_load(VALID)
    database = merged(valid, yaml.safe_load(DATABASE))
    database["evaluation"] |= {"metrics": ["log_loss"], "gates": [{"metric": "log_loss", "against": "champion"}]}
    modules = merged(valid, yaml.safe_load(MODULES))
    for document in (database, modules):
        document["source"] = {key: one for key, one in document["source"].items() if key != "path"} | {"type": "sql"}
        del document["training"]["params"]
    del modules["features"]
    files, spark = merged(valid, yaml.safe_load(FILES)), merged(valid, yaml.safe_load(SPARK))
    return {"files": files, "database": database, "modules": modules, "spark": spark}


DOCUMENTS: Final = sound()


def keys_of(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """All keys of a section and those below it: ``*`` for any name, ``[]`` for any item."""
    for name, field in model.model_fields.items():
        key = f"{prefix}.{name}" if prefix else name
        yield key
        for section, between in sections_in(field.annotation):
            yield from keys_of(section, key + between)


def sections_in(annotation: Any, between: str = "") -> Iterator[tuple[type[BaseModel], str]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, between
    step = {dict: ".*", list: "[]"}.get(typing.get_origin(annotation), "")
    for one in typing.get_args(annotation):
        yield from sections_in(one, between + step)


KEYS: Final = [key for key in keys_of(Definition) if not NEVER_WRITTEN.match(key)]


def places(value: Any, parts: list[str], at: Place = ()) -> Iterator[Place]:
    """Where a document has a key."""
    if not parts:
        yield at
    elif parts[0] == "[]" and isinstance(value, list):
        for position, one in enumerate(value):
            yield from places(one, parts[1:], (*at, position))
    elif isinstance(value, dict):
        for name in value if parts[0] == "*" else [parts[0]]:
            if name in value:
                yield from places(value[name], parts[1:], (*at, name))


def place_of(key: str) -> tuple[str, Place]:
    parts = key.replace("[]", ".[]").split(".")
    found = ((name, place) for name, one in DOCUMENTS.items() for place in places(one, parts))
    return next(found, ("", ()))


def load(folder: Path, document: dict[str, Any]) -> Definition:
    """Write a definition, what it names beside it, and load it."""
    group = {"by": ["carrier"], "over": "7d", "values": {"n": "count"}}
    lender = DOCUMENTS["modules"] | {"model": "lender", "history": {"lent": group}}
    (folder / "mine.py").write_text("")
    for name, one in (("lender", lender), ("delays", document)):
        (folder / f"{name}.yaml").write_text(yaml.dump(one, Dumper=_Plain, sort_keys=False))
    return load_definition(folder / "delays.yaml")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_documents_are_sound(name: str, tmp_path: Path) -> None:
    load(tmp_path, DOCUMENTS[name])


def test_every_key_stands_in_one_of_them() -> None:
    assert [key for key in KEYS if not place_of(key)[0]] == []


def test_every_key_refuses_a_value_of_another_kind_by_its_own_name(tmp_path: Path) -> None:
    silent = []
    for key in KEYS:
        name, place = place_of(key)
        document = copy.deepcopy(DOCUMENTS[name])
        section: Any = document
        for step in place[:-1]:
            section = section[step]
        section[place[-1]] = WRONG
        if not _is_named(tmp_path, document, place):
            silent.append(key)
    assert silent == []


def _is_named(folder: Path, document: dict[str, Any], place: Place) -> bool:
    shown = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place).removeprefix(".")
    try:
        load(folder, document)
    except DefinitionError as error:
        return any(f"{problem.key}.".startswith((f"{shown}.", f"{shown}[")) for problem in error.problems)
    return False
