"""What can go wrong with features, in words that name the feature, its columns and the row."""

from __future__ import annotations

from include.errors import Refused


class FeatureFailed(Refused):
    """A feature's or the label's expression cannot be evaluated.

    :param feature: its name, or ``label``.
    """

    def __init__(self, model: str, feature: str, what: str) -> None:
        self.model = model
        self.feature = feature
        super().__init__(f"Model {model}, {_called(feature)}: {what}")


class FeatureModuleFailed(Refused):
    """A feature module cannot be loaded, raised an error, or returned something else than it declares."""

    def __init__(self, path: object, what: str) -> None:
        super().__init__(f"Feature module {path}: {what}")


def _called(feature: str) -> str:
    return "the label" if feature == "label" else f"feature {feature}"
