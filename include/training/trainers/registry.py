"""Which trainer a definition asks for; each is imported only when it trains."""

from __future__ import annotations

from typing import Final

from include.training.trainers.protocol import Request, Train, Trained

#: The packages that a trainer's bytes depend on besides those of every package.
LIBRARIES: Final[dict[str, tuple[str, ...]]] = {"xgboost": (), "linear": ("scikit-learn", "scipy"), "module": ()}


def train(request: Request) -> Trained:
    """Train with the trainer that the request's definition names.

    :raises Refused: as its trainer says.
    """
    return _trainer(request.definition.training.trainer.kind)(request)


def _trainer(kind: str) -> Train:
    if kind == "linear":
        from include.training.trainers.linear import train_linear

        return train_linear
    if kind == "module":
        from include.training.trainers.module import train_module

        return train_module
    from include.training.trainers.xgboost_trees import train_trees

    return train_trees
