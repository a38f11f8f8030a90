"""Disturbances: what may be written, and what is said of what may not."""

from __future__ import annotations

import pytest

from include.spec.loader import DefinitionError, load_definition
from tests.spec.conftest import Write, said_of

# the disturbance, the key of the error, and words of the message
BAD: dict[str, tuple[str, str, str]] = {
    "no kind": ("{amount: 0.1}", "kind", "Add `kind`"),
    "unknown kind": ("{kind: nois, amount: 0.1}", "kind", "Did you mean `noise`?"),
    "no amount": ("{kind: noise}", "amount", "Add `amount`"),
    "nothing": ("{kind: noise, amount: 0}", "amount", "more than 0"),
    "more than all": ("{kind: missing, amount: 1.5}", "amount", "Write at most 1."),
    "factor of one": ("{kind: scale, amount: 1, columns: [distance]}", "amount", "changes nothing"),
    "scale of everything": ("{kind: scale, amount: 1.6}", "", "Name those whose unit may change"),
    "unknown column": ("{kind: noise, amount: 1, columns: [distanc]}", "columns[0]", "Did you mean `distance`?"),
    "text is no number": ("{kind: noise, amount: 1, columns: [carrier]}", "columns[0]", "has the type string"),
    "number is no text": ("{kind: unseen, amount: 1, columns: [distance]}", "columns[0]", "are: carrier."),
    "time is never missing": ("{kind: missing, amount: 1, columns: [at]}", "columns[0]", "has the type timestamp"),
    "no input": ("{kind: noise, amount: 1, columns: [delay]}", "columns[0]", "no feature reads delay"),
    "unknown metric": ("{kind: noise, amount: 1, metric: rocauc}", "metric", "Did you mean `roc_auc`?"),
    "tolerance below zero": ("{kind: noise, amount: 1, tolerance: -1}", "tolerance", "at least 0"),
}
SLICES = "  slices: [carrier]\n"


@pytest.mark.parametrize("case", BAD)
def test_a_bad_disturbance_names_key_and_cure(case: str, write: Write) -> None:
    text, key, words = BAD[case]
    where = f"evaluation.robustness[0].{key}" if key else "evaluation.robustness[0]"
    assert words in said_of(write((SLICES, f"{SLICES}  robustness:\n    - {text}\n")), where)


def test_unseen_texts_are_no_disturbance_where_requests_with_them_are_refused(write: Write) -> None:
    refusing = ("owner: ops\n", "owner: ops\nserving: {unseen_categories: refuse}\n")
    with pytest.raises(DefinitionError, match="nothing is predicted from such values"):
        load_definition(write((SLICES, f"{SLICES}  robustness: [{{kind: unseen, amount: 0.1}}]\n"), refusing))


def test_a_disturbance_of_columns_that_no_feature_has_is_said(write: Write) -> None:
    no_text = ("  carrier: {expression: carrier, type: category}\n", "")
    with pytest.raises(DefinitionError, match="no feature reads a column that unseen fits"):
        load_definition(write((SLICES, f"{SLICES}  robustness: [{{kind: unseen, amount: 0.1}}]\n"), no_text))


def test_all_kinds_load(write: Write) -> None:
    kinds = "[{kind: noise, amount: 0.1, tolerance: 0.02}, {kind: missing, amount: 1, metric: f1}, "
    kinds += "{kind: scale, amount: 1.6, columns: [distance]}, {kind: unseen, amount: 0.1}]"
    found = load_definition(write((SLICES, f"{SLICES}  robustness: {kinds}\n"))).evaluation.robustness
    assert [one.kind for one in found] == ["noise", "missing", "scale", "unseen"]
