"""``make chaos ARGS="--matrix"``: rounds until each cell has its instants, or the time is over."""

from __future__ import annotations

import random
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from include.settings import PROJECT
from tests.chaos.matrix.rounds import Rounds
from tests.chaos.matrix.table import table
from tests.chaos.matrix.tally import Cell, Round, Tally
from tests.chaos.subject import Subject, small
from tests.chaos.works import WORKS
from tests.chaos.world import World
from tests.e2e.line import Document

NOT_FINISHED = 3
_OF_THE_PRODUCT = ("dags", "expectations", "include", "plugins", "tests/chaos")
_ROUND_SECONDS = 150.0
_RATES = {"deploy": 20.0}
_RATE = 4.0


def run_matrix(
    world: World,
    *,
    seed: int,
    cells: Sequence[Cell],
    instants: int,
    minutes: float,
    progress: Path,
    after: Path | None,
    say: Callable[[str], None],
) -> int:
    """Go on where an earlier run of the same seed and commit was cut.

    :param world: of :func:`models`; closed at the end.
    :param minutes: no round is begun that would end later; 0: no limit.
    :param progress: folder of the files of what was done.
    :param after: a file of another commit, whose rounds count as well if there is none of this commit yet.
    :return: 0 if every cell has its instants and all held, 1 if something did not hold, 3 if there is more to do.
    """
    commit = _commit()
    file = progress / f"seed-{seed}-{commit}.jsonl"
    is_new = not file.exists()
    tally = Tally.opened(file, cells, instants)
    if after is not None and is_new:
        broken = tally.take_over(Tally.opened(after, cells, instants).rounds)
        say(f"{len(tally.rounds)} rounds of {after.name} count; {broken} that broke something do not")
    lacking = sum(tally.missing().values())
    say(f"seed {seed} at {commit}, {len(cells)} cells, {lacking} instants to go; kept in {file}")
    if lacking:
        deadline = time.monotonic() + minutes * 60 if minutes else float("inf")
        _rounds(world, tally, seed, commit, deadline, say)
    say(f"\n{table(tally)}")
    return 1 if tally.all_breaches() else NOT_FINISHED if tally.missing() else 0


def models() -> dict[str, Callable[[Document], None]]:
    """The small models, one for each work; only the one whose work it is has a deployment of several stages."""
    return {_model(work): _canary if work == "deploy" else _straight for work in WORKS}


def subjects(world: World) -> dict[str, Subject]:
    """The models by their work, each with callers."""
    found = {work: Subject(world.line, _model(work), _RATES.get(work, _RATE)) for work in WORKS}
    for work, subject in found.items():
        assert subject.callers.answers(), f"nobody was answered by {subject.model}"
        if work == "deploy":  # it trains a second version, which takes long
            WORKS[work].prepare(subject, random.Random("two versions"))  # noqa: S311 - to be repeatable
        subject.check(patience=60)  # nobody was killed yet; what is known to be whole is not read again
    return found


def _model(work: str) -> str:
    return f"chaos_{work}"


def _canary(document: Document) -> None:
    _straight(document)
    document["deployment"]["stages"] = [{"canary": 50}, "champion"]  # its evidence is there in some seconds


def _straight(document: Document) -> None:
    small(document)
    document["deployment"]["stages"] = ["champion"]
    document["execution"] = {"retries": 5, "retry_delay": "3s"}  # a service that is away ends a try within seconds


def _rounds(world: World, tally: Tally, seed: int, commit: str, deadline: float, say: Callable[[str], None]) -> None:
    herd: dict[str, Subject] = {}
    try:
        herd = subjects(world)
        rounds = Rounds(world.line, herd, tally, seed, commit, say)
        while tally.missing() and time.monotonic() + tally.round_seconds(_ROUND_SECONDS) < deadline:
            done = rounds.run(tally.next_number())
            tally.add(done)
            say(_told(done, tally))
            if done.breaches:
                _keep_logs(world, tally.file.with_suffix("") / f"round-{done.number}")
    finally:
        for subject in herd.values():
            subject.close()
        world.close()


def _told(done: Round, tally: Tally) -> str:
    parts = ", ".join(f"{name} {seconds:.0f}" for name, seconds in done.parts.items())
    lines = [
        f"{done.number:>4}  {' → '.join(done.killed):<40}{done.seconds:5.0f} s ({parts})  "
        f"{len(done.instants):>2} instants, {sum(tally.missing().values())} to go"
    ]
    lines += [f"    ✗ {work}: {breach}" for work, breaches in done.breaches.items() for breach in breaches]
    return "\n".join(lines)


def _keep_logs(world: World, folder: Path) -> None:
    """What services and tasks said, for whoever looks for the cause."""
    home = world.line.settings.home
    for logs in (home / "logs", home / "airflow" / "logs"):
        shutil.copytree(logs, folder / logs.parent.name, dirs_exist_ok=True)


def _commit() -> str:
    """Of what is killed; ``-changed`` if files of it are not committed."""
    commit = _git("rev-parse", "--short=12", "HEAD").strip() or "no-commit"
    return f"{commit}-changed" if _git("status", "--porcelain", "--", *_OF_THE_PRODUCT) else commit


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=PROJECT, capture_output=True, text=True, check=False)
    return done.stdout
