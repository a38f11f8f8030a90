"""What a definition reads, and what its features are."""

from __future__ import annotations

from include.spec.columns import feature_types, input_columns
from include.spec.loader import load_definition
from tests.spec.conftest import VALID, Write


def test_a_request_carries_only_what_the_features_read_in_the_sources_order(write: Write) -> None:
    definition = load_definition(write())
    assert input_columns(definition) == {"at": "timestamp", "carrier": "string", "distance": "number"}
    assert list(input_columns(definition)) == ["at", "carrier", "distance"]


def test_features_keep_the_definitions_order(write: Write) -> None:
    types = feature_types(load_definition(write()))
    assert list(types.items()) == [("distance", "numeric"), ("hour", "numeric"), ("carrier", "category")]


def test_a_feature_module_names_its_own_inputs_and_features(write: Write) -> None:
    block = VALID[VALID.index("features:") : VALID.index("training:")]
    module = "feature_module: {path: mine.py, inputs: [distance, id], columns: {b: category, a: numeric}}\n"
    path = write((block, module))
    (path.parent / "mine.py").write_text("def compute(rows): ...")
    definition = load_definition(path)
    assert list(input_columns(definition)) == ["id", "distance"]
    assert list(feature_types(definition).items()) == [("b", "category"), ("a", "numeric")]
