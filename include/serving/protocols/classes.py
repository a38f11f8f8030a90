"""Answers of several classes in the words of every protocol: the likeliest class, and each one's probability."""

from __future__ import annotations

from collections.abc import Sequence


def likeliest(probabilities: Sequence[float], classes: Sequence[str]) -> str:
    """The class with the greatest probability; of equal ones the first.

    :param probabilities: in the order of the classes.
    """
    return classes[max(range(len(classes)), key=probabilities.__getitem__)]


def named(probabilities: Sequence[float], classes: Sequence[str]) -> dict[str, float]:
    """Each class with its probability, in the order of the classes."""
    return dict(zip(classes, probabilities, strict=True))
