"""The matrix as a table: a line for each cell."""

from __future__ import annotations

from tests.chaos.matrix.tally import Tally

_LINE = "{:<9}{:<15}{:>8}{:>8}{:>14}{:>12}{:>12}{:>10}"


def table(tally: Tally) -> str:
    """Cells by instants, different tasks hit, slowest end, more tries, begun anew, breaches; then why, and the rest."""
    instants = tally.instants()
    lines = [_LINE.format("work", "victim", "instants", "tasks", "slowest end", "more tries", "begun anew", "breaches")]
    for cell in tally.cells:
        found = instants.get(cell, [])
        lines.append(
            _LINE.format(
                *cell,
                len(found),
                len({instant.hit for instant in found}),
                f"{max((instant.seconds for instant in found), default=0.0):.0f} s",
                sum(instant.tries for instant in found),
                sum(bool(instant.again) for instant in found),
                len(tally.breaches(cell)),
            )
        )
    return "\n".join([*lines, "", *_reasons(tally), *_sums(tally)])


def _reasons(tally: Tally) -> list[str]:
    """Why works were begun anew, and what did not hold."""
    again: dict[str, int] = {}
    for found in tally.instants().values():
        for instant in found:
            if instant.again:
                why = f"{instant.work}: {instant.again}"
                again[why] = again.get(why, 0) + 1
    told = [f"begun anew in {count} instants, {why}" for why, count in sorted(again.items())]
    told += [f"✗ round {number}, {work}: {breach}" for number, work, breach in tally.all_breaches()]
    return [*told, ""] if told else []


def _sums(tally: Tally) -> list[str]:
    commits: dict[str, int] = {}
    for done in tally.rounds:
        commits[done.commit] = commits.get(done.commit, 0) + len(done.instants)
    kills = sum(len(done.killed) for done in tally.rounds)
    wanted = len(tally.cells) * tally.wanted
    lacking = sum(tally.missing().values())
    return [
        f"{wanted - lacking} of {wanted} instants, {kills} times somebody was killed in {len(tally.rounds)} rounds, "
        f"{sum(done.seconds for done in tally.rounds) / 60:.0f} minutes, {len(tally.all_breaches())} breaches",
        "at commits " + ", ".join(f"{commit}: {count} instants" for commit, count in commits.items()),
    ]
