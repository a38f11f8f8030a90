"""What can go wrong with a gate itself: its suite is wrong, or it could not be evaluated. Neither says bad data."""

from __future__ import annotations

from pathlib import Path

from include.errors import NoriaError, Refused


class SuiteError(Refused):
    """A suite file is missing or says something that a gate must not act on.

    :param path: the suite's file.
    :param where: the place in it, such as ``expectation 3 (expect_column_values_to_be_between)``; empty for the file.
    :param problem: what is wrong there.
    :param cure: what to write or do instead.
    """

    def __init__(self, path: Path, where: str, problem: str, cure: str) -> None:
        self.path, self.where, self.problem, self.cure = path, where, problem, cure
        place = f"{path}, {where}" if where else str(path)
        super().__init__(f"Suite {place}: {problem} {cure}".strip())


class GateBroken(NoriaError):
    """An expectation could not be evaluated, so nothing is known about the data: neither passed nor refused.

    :param suite: the suite's name.
    :param subject: what was being judged, such as a partition's key.
    :param expectation: the expectation's type and columns.
    :param reason: what Great Expectations said.
    """

    def __init__(self, suite: str, subject: str, expectation: str, reason: str) -> None:
        self.suite, self.subject, self.expectation, self.reason = suite, subject, expectation, reason
        super().__init__(
            f"The gate {suite} could not be evaluated on {subject}: {expectation} ended with {reason}. "
            "This says nothing about the data, and nothing is published. Repair the expectation, then run again."
        )


class GateRefused(Refused):
    """A gate accepted nothing of what it judged.

    :param stage: the stage that was judged.
    :param subject: what was judged: a partition, a range of them, a training set, predictions.
    :param reason: why, in a sentence.
    :param page: the gate's page.
    :param cure: what to do next.
    :param shown: how people know the page, if not by its path.
    """

    def __init__(
        self, stage: str, subject: str, reason: str, page: Path, cure: str, *, shown: str | None = None
    ) -> None:
        self.stage, self.subject, self.reason, self.page, self.cure = stage, subject, reason, page, cure
        super().__init__(
            f"The {stage} gate refused {subject}: {reason.rstrip('.')}. {cure} Rows and values are on the page "
            f"{shown or page}"
        )
