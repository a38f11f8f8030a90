"""The section history: what may be said, and what a person reads who says it wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from include.spec.columns import input_columns, used_histories
from include.spec.definition import Definition
from include.spec.histories import histories, history_columns
from include.spec.history import AGGREGATES
from include.spec.loader import DefinitionError, load_definition

GROUP: dict[str, Any] = {
    "by": ["shop"],
    "over": "7d",
    "values": {"late_rate": {"mean": "days > 2"}, "orders": "count", "last_price": {"last": "price"}},
}


def document(model: str = "orders", **changes: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "model": model,
        "description": "Will it be late?",
        "owner": "shop",
        "task": "binary_classification",
        "source": {
            "type": "files",
            "path": "{store}/landing/{partition}.parquet",
            "starts": "2024-01-01",
            "event_time": "at",
            "entity": ["number"],
            "columns": {"at": "timestamp", "shop": "string", "number": "integer", "price": "number", "days": "number"},
        },
        "label": {"expression": "days > 2", "known_after": "2d"},
        "history": {"recent": GROUP},
        "features": {"price": "price", "late": "recent_late_rate"},
        "training": {"window": "10d", "validation": "2d", "holdout": "2d"},
        "evaluation": {"metrics": ["roc_auc"], "gates": [{"metric": "roc_auc", "at_least": 0.5}]},
    }
    return base | changes


def load(folder: Path, *documents: dict[str, Any]) -> Definition:
    """Write the definitions and load the first."""
    for one in documents:
        (folder / f"{one['model']}.yaml").write_text(yaml.safe_dump(one, sort_keys=False))
    return load_definition(folder / f"{documents[0]['model']}.yaml")


def test_a_feature_reads_values_of_the_past_as_plain_columns(tmp_path: Path) -> None:
    definition = load(tmp_path, document())
    assert history_columns(definition) == {
        "recent_late_rate": "number",
        "recent_orders": "integer",
        "recent_last_price": "number",
    }
    # What nobody reads is no input; the key is one, since the server looks up by it.
    assert list(input_columns(definition)) == ["shop", "price", "recent_late_rate"]
    assert histories(definition)[0].known_after.days == 2


def test_another_model_uses_a_group_under_its_own_column_names(tmp_path: Path) -> None:
    source = document()["source"] | {
        "columns": {"at": "timestamp", "number": "integer", "store": "string", "x": "number"}
    }
    reader = document(
        "returns",
        source=source,
        label={"expression": "x > 2"},
        history={"recent": {"model": "orders", "by": ["store"]}},
        features={"late": "recent_late_rate"},
    )
    definition = load(tmp_path, reader, document())
    [(history, columns)] = used_histories(definition)
    assert (history.owner.model, history.keys, history.by) == ("orders", ("store",), ("shop",))
    assert columns == {"recent_late_rate": "number"}
    assert list(input_columns(definition)) == ["store", "recent_late_rate"]


@pytest.mark.parametrize(
    ("group", "message"),
    [
        (GROUP | {"by": None}, "history.recent: it has no key. Add by"),
        (GROUP | {"over": None}, "it has no window. Add over"),
        (GROUP | {"over": "6h"}, "6h is shorter than one partition (day). Write at least 1d."),
        (GROUP | {"over": "1001d"}, "the window has more than 1000 partitions"),
        (GROUP | {"values": {}}, "it has no values"),
        (GROUP | {"by": ["shopp"]}, "history.recent.by[0]: there is no column 'shopp'. Did you mean `shop`?"),
        (GROUP | {"by": ["price"]}, "price has the type number, which is no key"),
        (GROUP | {"by": ["shop", "shop"]}, "'shop' is listed twice"),
        (GROUP | {"values": {"late_rate": {"mean": "days", "sum": "days"}}}, "it has mean and sum. Give exactly one"),
        (GROUP | {"values": {"late_rate": {}}}, "it says not what it is"),
        (GROUP | {"values": {"late_rate": {"mean": "sum(days)"}}}, "history.recent.values.late_rate.mean"),
        (GROUP | {"values": {"late_rate": {"mean": "dayz"}}}, "there is no column 'dayz'. Did you mean `days`?"),
        (GROUP | {"values": {"late_rate": {"avg": "days"}}}, "late_rate"),
        (GROUP | {"values": {"late_rate": {"mean": "days"}, "_x": "count"}}, "cannot be the name"),
        (GROUP | {"known_after": "1d"}, "it reads 'days', from which the label is made, 1d after the event"),
        ({"model": "orders"}, "the group is this model's own"),
        ({"model": "nobody"}, "there is no definition of the model 'nobody' that can be read"),
        *(
            ({"model": "nobody", key: GROUP.get(key, "1d")}, f"history.recent.{key}: that is said in nobody's")
            for key in ("over", "known_after", "values")
        ),
        *(
            (GROUP | {"values": {"late_rate": {"mean": "days"}, "x": {aggregate: "dayz"}}},
             f"history.recent.values.x.{aggregate}: there is no column 'dayz'. Did you mean `days`?")
            for aggregate in AGGREGATES
        ),
        (GROUP | {"over": "a week"}, "history.recent.over"),
        (GROUP | {"known_after": "-1d"}, "history.recent.known_after"),
        (GROUP | {"by": "shop"}, "history.recent.by"),
    ],
)  # fmt: skip
def test_a_wrong_group_is_refused_with_its_cure(tmp_path: Path, group: dict[str, Any], message: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        load(tmp_path, document(history={"recent": group}))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": {"late": "recent_late_rat"}}, "Did you mean `recent_late_rate`?"),
        ({"history": {"feature": GROUP}, "features": {"x": "price"}}, "is used by the features table itself"),
        ({"label": {"expression": "recent_late_rate > 1"}}, "label.expression: there is no column 'recent_late_rate'"),
    ],
)
def test_columns_of_the_past_are_held_apart(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        load(tmp_path, document(**changes))
    assert message in str(caught.value)


def test_a_value_cannot_have_the_name_of_a_source_column(tmp_path: Path) -> None:
    changed = document()
    changed["source"]["columns"]["recent_orders"] = "number"
    with pytest.raises(DefinitionError, match="is the source's column recent_orders already"):
        load(tmp_path, changed)


@pytest.mark.parametrize(
    ("lender", "used", "message"),
    [
        (document(), {"model": "orders", "by": ["number"]}, "number has the type integer, but string in orders"),
        (document(), {"model": "orders", "by": ["shop", "number"]}, "the group has 1 key columns (shop), by has 2"),
        (document(), {"model": "orders", "by": ["nothing"]}, "there is no column 'nothing' here"),
        (document(history={}, features={"p": "price"}), {"model": "orders"}, "orders declares no group 'recent'"),
        (document(history={"recent": GROUP | {"over": "1h"}}), {"model": "orders"}, "Correct orders.yaml first."),
        (
            document(source=document()["source"] | {"partition": "hour"}),
            {"model": "orders"},
            "orders's partitions are other ones (hour, UTC)",
        ),
    ],
)
def test_a_group_that_does_not_fit_is_not_borrowed(
    tmp_path: Path, lender: dict[str, Any], used: dict[str, Any], message: str
) -> None:
    with pytest.raises(DefinitionError) as caught:
        load(tmp_path, document("returns", history={"recent": used}), lender)
    assert message in str(caught.value)


def test_without_the_section_a_definition_is_what_it_was(tmp_path: Path) -> None:
    plain = document(features={"price": "price"})
    del plain["history"]
    definition = load(tmp_path, plain)
    assert input_columns(definition) == {"price": "number"}
    assert used_histories(definition) == []
