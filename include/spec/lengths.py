"""How long the parts of a training are, or how large their shares: the one place that asks which of the two it is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from include.spec.definition import Definition
from include.spec.share import WHOLE, Share, format_parts

PARTS: Final = ("train", "validation", "holdout")


@dataclass(frozen=True, kw_only=True)
class Lengths:
    """The parts of a training on data with time.

    :param shortest: the shortest training part that the definition accepts.
    """

    window: timedelta
    shortest: timedelta
    validation: timedelta
    holdout: timedelta

    @classmethod
    def of(cls, definition: Definition) -> Lengths:
        """Those of a definition that was checked, whose source has an event time."""
        training = definition.training
        window, validation, holdout = training.window, training.validation, training.holdout
        if window is None or isinstance(validation, Share) or isinstance(holdout, Share):
            raise TypeError(f"{definition.model} has data without time: its training has shares, no lengths")
        shortest = window if training.shortest_window is None else training.shortest_window
        return cls(window=window, shortest=shortest, validation=validation, holdout=holdout)

    @property
    def needed(self) -> timedelta:
        """The least that all three take together."""
        return self.shortest + self.validation + self.holdout


@dataclass(frozen=True)
class Places:
    """The rows of a part of data without time: those with ``start <= place < end``, of :data:`WHOLE` places.

    A row's place is a hash of its entity (:mod:`include.lake.places`).
    """

    start: int
    end: int

    def __str__(self) -> str:
        """As a person reads it: ``15% to 30%``."""
        return f"{format_parts(self.start)} to {format_parts(self.end)} of the places"


@dataclass(frozen=True, kw_only=True)
class Shares:
    """The three parts of data without time: they touch, and together are everything.

    The holdout lies at the beginning: a new share of the others then leaves it where it is.
    """

    train: Places
    validation: Places
    holdout: Places

    @classmethod
    def of(cls, definition: Definition) -> Shares:
        """Those of a definition that was checked, whose source has no event time."""
        validation, holdout = definition.training.validation, definition.training.holdout
        if not isinstance(validation, Share) or not isinstance(holdout, Share):
            raise TypeError(f"{definition.model} has data with time: its training has lengths, no shares")
        middle = holdout.parts + validation.parts
        return cls(
            holdout=Places(0, holdout.parts),
            validation=Places(holdout.parts, middle),
            train=Places(middle, WHOLE),
        )
