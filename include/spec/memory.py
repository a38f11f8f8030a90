"""How much memory a step may use, and the parts of it: the definition is its only home.

In a pod the kernel enforces the same number, so everything that a step keeps must fit beside what the process itself
and its libraries need.
"""

from __future__ import annotations

from typing import Final

from include.spec.definition import Definition
from include.spec.pod_of import pod_of
from include.spec.pods import StepName

_UNITS: Final = {"Mi": 1 << 20, "Gi": 1 << 30}
#: Of a step's memory: what DuckDB may keep before it spills. The rest is for Python, Arrow and the batches under way.
_DUCKDB_SHARE: Final = 0.4


def memory_of(definition: Definition, step: StepName) -> int:
    """Bytes that a step may use: of ``train`` those of ``training.resources``, of any other those of its pod."""
    return bytes_of(pod_of(definition, step).memory)


def bytes_of(text: str) -> int:
    """Bytes of a size as definitions have it, such as ``4Gi``."""
    return int(text[:-2]) * _UNITS[text[-2:]]


def duckdb_memory(definition: Definition, step: StepName) -> str:
    """DuckDB's share of a step's memory, in DuckDB's words; beyond it, it spills to disk."""
    return duckdb_share(memory_of(definition, step))


def duckdb_share(memory: int) -> str:
    """DuckDB's share of so many bytes, in its own words."""
    return f"{int(memory * _DUCKDB_SHARE) >> 20}MiB"
