"""The failure of a sensor that has waited for a partition in vain."""

from __future__ import annotations

from airflow.sdk.exceptions import AirflowFailException


class PartitionMissing(AirflowFailException):
    """A partition's data has not come; never retried.

    :param key: the partition.
    """

    def __init__(self, message: str, key: str) -> None:
        self.key = key
        super().__init__(message)
