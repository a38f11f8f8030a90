"""What people write into files: definitions and suites."""

from __future__ import annotations

from typing import Final

from include.gates.errors import SuiteError
from include.gates.suite import read_suite
from include.gates.vocabulary import FORMS
from include.settings import PROJECT
from include.spec.definition import Definition
from include.spec.loader import DefinitionError, load_definition
from tests.fuzz.target import Broken, Target, scratch
from tests.spec.conftest import VALID


def definition(data: bytes) -> None:
    """A definition, or one refusal that names the file and lines in it; a definition is the same after a round trip."""
    path = scratch() / "delays.yaml"
    path.write_bytes(data)
    try:
        loaded = load_definition(path)
    except DefinitionError as error:
        lines = data.count(b"\n") + data.count(b"\r") + data.count("\u2028".encode()) + data.count("\u0085".encode())
        lines += data.count("\u2029".encode()) + 1
        if not error.problems or any(not 1 <= problem.line <= lines + 1 for problem in error.problems):
            raise Broken(f"no problem, or a line that is not there: {error}") from error
        str(error).encode()
        return
    said = loaded.model_dump(by_alias=True, mode="json")
    if Definition.model_validate(said).model_dump(by_alias=True, mode="json") != said:
        raise Broken("it is another definition after a round trip")


def suite(data: bytes) -> None:
    """A suite, or one refusal."""
    path = scratch() / "raw.json"
    path.write_bytes(data)
    try:
        found = read_suite(path, "raw")
    except SuiteError as error:
        str(error).encode()
        return
    if not found.expectations or read_suite(path, "raw") != found:
        raise Broken("it expects nothing, or something else each time")


def _models() -> list[bytes]:
    models = sorted((PROJECT / "include" / "models").glob("*.yaml"))
    return [VALID.encode(), *(path.read_bytes().replace(path.stem.encode(), b"delays") for path in models)]


def _suites() -> list[bytes]:
    return [path.read_bytes() for path in sorted((PROJECT / "expectations").glob("*/*.json"))]


_YAML: Final = [b": ", b"- ", b"{", b"}", b"[", b"]", b"&a ", b"*a", b"!!", b"<<: ", b"? ", b"|\n", b">-\n", b"---\n"]
_YAML += [
    b"...\n",
    b"\t",
    b"\\x",
    b'"',
    b"'",
    b"%YAML 1.1\n",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\xc2\x85",
    b".nan",
    b".inf",
]
_YAML += [b"0o7", b"1e999", b"2013-01-01", b"null", b"true", b"90d", b"15%", b"99999999999999999999", b"{partition}"]
TARGETS: Final = (
    Target(
        name="definition",
        check=definition,
        seeds=_models,
        words=[*_YAML, *(name.encode() for name in Definition.model_fields)],
        longest=8192,
    ),
    Target(
        name="suite",
        check=suite,
        seeds=_suites,
        words=[*(b'"%s"' % form.encode() for form in FORMS), b"[[[[", b"\\ud800", b"1e999", b"9" * 40, b"NaN", b"null"],
    ),
)
