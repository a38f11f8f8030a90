"""Command line of the fuzzing: ``make fuzz ARGS="--seconds 60 --only tensor"``."""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from include.settings import PROJECT
from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS

WORK: Final = PROJECT / ".noria" / "fuzz"
_MOST_MEGABYTES: Final = 2048
_HANGS_AFTER: Final = 20


@dataclass(frozen=True)
class Result:
    """What a run of one target came to."""

    target: str
    runs: int
    edges: int
    inputs: int
    failures: tuple[Path, ...]
    sound: bool


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzz, repeat an input, or keep what was found; the exit status is 1 if anything failed."""
    options = _parser().parse_args(arguments)
    if options.input is not None:
        return _repeat(options.only, options.input)
    if importlib.util.find_spec("atheris") is None:
        print("atheris is not installed: it is in the group dev of pyproject.toml, for Linux on x86-64.")
        return 1
    targets = [TARGETS[name] for name in options.only or TARGETS]
    if options.keep:
        for target in targets:
            print(f"{target.name}: {_keep(target)} inputs kept in {target.corpus.relative_to(PROJECT)}")
        return 0
    with ThreadPoolExecutor(options.at_once) as pool:
        results = list(pool.map(lambda target: _fuzz(target, options.seconds, options.seed), targets))
    _tell(results)
    return int(any(not result.sound for result in results))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Feed mutated bytes to the parsers.")
    parser.add_argument("--only", action="append", choices=TARGETS, metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=60, help="for each target (60)")
    parser.add_argument("--seed", type=int, default=7, help="of the mutations (7)")
    parser.add_argument("--at-once", type=int, default=max(1, (os.cpu_count() or 2) // 2), help="targets at once")
    parser.add_argument("--input", type=Path, help="give this one file to the target, without atheris")
    parser.add_argument(
        "--keep", action="store_true", help="take what found new code into the corpus, as little as will do"
    )
    return parser


def _fuzz(target: Target, seconds: int, seed: int) -> Result:
    """One run in a process of its own; its output is in ``.noria/fuzz/<target>/log``."""
    folder = WORK / target.name
    failures = folder / "failures"
    inputs = _fill(target)
    words = folder / "words"
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in target.words), encoding="ascii")
    known = set(failures.glob("*"))
    options = [
        f"-max_total_time={seconds}", f"-seed={seed}", f"-max_len={target.longest}", f"-rss_limit_mb={_MOST_MEGABYTES}",
        f"-timeout={_HANGS_AFTER}", f"-artifact_prefix={failures}/", "-print_final_stats=1",
        *([f"-dict={words}"] if target.words else []), str(inputs),
    ]  # fmt: skip
    failures.mkdir(exist_ok=True)
    with (folder / "log").open("wb") as log:
        done = subprocess.run(_command(target, failures, options), stdout=log, stderr=subprocess.STDOUT, check=False)
    text = (folder / "log").read_text(encoding="utf-8", errors="replace")
    new = tuple(sorted(set(failures.glob("*")) - known))
    runs = re.findall(r"stat::number_of_executed_units: (\d+)", text) or re.findall(r"^#(\d+)\t", text, re.MULTILINE)
    edges = re.findall(r"cov: (\d+)", text)
    result = Result(
        target.name,
        int(runs[-1]) if runs else 0,
        int(edges[-1]) if edges else 0,
        sum(1 for _ in inputs.iterdir()),
        new,
        done.returncode == 0 and not new,
    )
    print(f"{target.name}: {'sound' if result.sound else 'FAILED, see ' + str(folder / 'log')}", flush=True)
    return result


def _keep(target: Target) -> int:
    """Take the inputs that reach what the kept ones do not, the smallest first, into the corpus."""
    folder = WORK / target.name
    target.corpus.mkdir(parents=True, exist_ok=True)
    options = [
        "-merge=1",
        f"-max_len={target.longest}",
        f"-timeout={_HANGS_AFTER}",
        str(target.corpus),
        str(folder / "inputs"),
    ]
    subprocess.run(_command(target, folder / "failures", options), check=True, capture_output=True)
    return sum(1 for _ in target.corpus.iterdir())


def _fill(target: Target) -> Path:
    """The folder of inputs that a run begins with and adds to."""
    inputs = WORK / target.name / "inputs"
    inputs.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(target.seeds()):
        (inputs / f"seed-{number}").write_bytes(data)
    for path in target.corpus.glob("*"):
        shutil.copy(path, inputs / path.name)
    return inputs


def _command(target: Target, failures: Path, options: Sequence[str]) -> list[str]:
    return [sys.executable, "-X", "faulthandler", "-m", "tests.fuzz.child", target.name, str(failures), *options]


def _escaped(word: bytes) -> str:
    return "".join(chr(byte) if 32 < byte < 127 and byte not in b'"\\' else f"\\x{byte:02x}" for byte in word)


def _repeat(only: Sequence[str] | None, path: Path) -> int:
    if not only or len(only) != 1:
        print("Say whose input it is: --only TARGET --input FILE")
        return 2
    TARGETS[only[0]].check(path.read_bytes())
    print(f"{only[0]} understands {path}, or refuses it as it should.")
    return 0


def _tell(results: Sequence[Result]) -> None:
    print(f"\n{'target':<15}{'executions':>12}{'edges':>8}{'inputs':>8}  failures")
    for result in results:
        print(f"{result.target:<15}{result.runs:>12,}{result.edges:>8,}{result.inputs:>8}  {len(result.failures)}")
    for line in _repeating(results):
        print(line)


def _repeating(results: Sequence[Result]) -> Iterator[str]:
    for result in results:
        for path in result.failures:
            yield f'make fuzz ARGS="--only {result.target} --input {path.relative_to(PROJECT)}"'


if __name__ == "__main__":
    sys.exit(main())
