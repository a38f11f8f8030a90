"""What only people know of a model, for its card: what it is for, for whom, and what it must not be used for."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from include.spec.section import Section

Sentence = Annotated[str, Field(min_length=1, max_length=1000)]


class Card(Section):
    """What a person states on the [model card](../../README.md#model-cards); everything else on it is measured."""

    purpose: str = Field("", max_length=2000, description="What it is for: the decision or process that it serves.")
    users: list[Sentence] = Field(default_factory=list, description="Who is meant to use its answers.")
    uses: list[Sentence] = Field(default_factory=list, description="Uses that it was made for.")
    out_of_scope: list[Sentence] = Field(default_factory=list, description="Uses that it must not be put to.")
    ethics: list[Sentence] = Field(
        default_factory=list, description="Whom its answers may harm, and what was done about it."
    )
    limits: list[Sentence] = Field(
        default_factory=list, description="What it cannot do, caveats and recommendations for those who use it."
    )
    contacts: list[Sentence] = Field(default_factory=list, description="Whom to ask or tell: names, addresses.")
    license: str = Field("", max_length=300, description="Terms under which it, and its data, may be used.")
    references: list[Sentence] = Field(default_factory=list, description="Papers, documents, addresses to read on.")
