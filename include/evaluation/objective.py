"""The business's own number for each row: the definition's SQL over predictions, labels and the rows' own columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from include.errors import Refused
from include.evaluation.grouping import Floats
from include.lake.fetched import floats
from include.spec.expressions import check_expression
from include.spec.objective import Objective

_POSITION: Final = "_position"


class ObjectiveFailed(Refused):
    """The objective's SQL cannot be computed for these rows; carries what the engine said."""

    def __init__(self, objective: Objective, problem: str) -> None:
        self.problem = problem
        super().__init__(
            f"evaluation.objective cannot be computed ({objective.expression!r}): {problem}. Correct the expression; "
            f"a row that shall not count is null."
        )


class RowValues(NamedTuple):
    """What each row adds to the number, and to what it is divided by; arrays of shape (rows,)."""

    number: Floats
    per: Floats


@dataclass(frozen=True)
class RowObjective:
    """An objective with the rows that it is computed for.

    :param columns: the source's columns that it reads, shape (rows, columns).
    """

    objective: Objective
    columns: pa.Table

    @classmethod
    def of(cls, objective: Objective, columns: Mapping[str, Any]) -> RowObjective:
        """With only the columns that it reads.

        :param columns: at least those.
        """
        names = sorted(objective.columns())
        return cls(objective, pa.table({name: pa.array(columns[name], from_pandas=True) for name in names}))

    def rows(self, chosen: NDArray[np.bool_]) -> RowObjective:
        """For some of the rows.

        :param chosen: shape (rows,).
        """
        if not self.columns.num_columns:  # such a table has no rows either
            return self
        return RowObjective(self.objective, self.columns.filter(pa.array(chosen)))

    def values(self, labels: Floats, predictions: Floats, decided: Floats | None) -> RowValues:
        """What each row adds; 0 and 0 where it does not count.

        :param decided: 0 or 1 for a classification; None for a regression. All arrays have shape (rows,).
        :raises ObjectiveFailed: if the engine refuses the SQL, or a number is infinite.
        """
        own = {"prediction": predictions, "label": labels}
        if decided is not None:
            own["decision"] = decided.astype(bool)
        others = {name: self.columns[name] for name in self.columns.column_names}
        number, per = self._compute(pa.table(own | others | {_POSITION: np.arange(len(labels))}))
        if np.isinf(number).any() or np.isinf(per).any():
            raise ObjectiveFailed(self.objective, "it is infinite for a row")
        counts = ~(np.isnan(number) | np.isnan(per))
        return RowValues(np.where(counts, number, 0.0), np.where(counts, per, 0.0))

    def _compute(self, table: pa.Table) -> tuple[Floats, Floats]:
        items = ", ".join(
            f"CAST(({check_expression(sql).sql}) AS DOUBLE) AS {name}"
            for name, sql in {"expression": "0", "per": "1", **self.objective.expressions}.items()
        )
        config: dict[str, Any] = {"threads": 1, "enable_external_access": False, "python_enable_replacements": False}
        with duckdb.connect(":memory:", config=config) as connection:
            connection.register("judged", table)
            try:
                found = connection.execute(f"SELECT {items} FROM judged ORDER BY {_POSITION}").fetchnumpy()  # nosec B608
            except duckdb.Error as error:
                raise ObjectiveFailed(self.objective, str(error).strip().splitlines()[0]) from error
        return floats(found["expression"]), floats(found["per"])
