"""What is known of a step before it runs: its code, its environment, its parameters, and the key it runs under."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from keepwell.core.digests import digest_json, digest_parts
from keepwell.core.errors import InvalidInput, NotFound
from keepwell.pipelines.commands import base_variables, find_program
from keepwell.pipelines.fingerprint import fingerprint
from keepwell.pipelines.graph import Constant, FromFile, FromParam, Node, inside
from keepwell.pipelines.loading import address_of
from keepwell.pipelines.model import Command, Reference, Step, Stored
from keepwell.pipelines.tasks import Program

MOST_FILES = 1_000
_GENERATION = "keepwell step 1"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A step made ready.

    Attributes:
        function: what to call; None for a command.
        address: where another process finds the function; None where that is not needed.
        program: the command; None for a function.
        constants: plain arguments, the run's parameters filled in.
        code: digest of its code.
        params: digest of the plain arguments.
        environment: digest of what it runs in.
    """

    function: Callable[..., Any] | None
    address: str | None
    program: Program | None
    constants: dict[str, Any]
    code: str
    params: str
    environment: str


class Preparation:
    """Prepares the steps of one run; a function that several steps share is looked at once."""

    def __init__(
        self, params: Mapping[str, object], folder: Path | None, variables: Mapping[str, str], *, remote: bool
    ) -> None:
        self._params = params
        self._folder = folder
        self._variables = variables
        self._remote = remote
        self._seen: dict[tuple[int, int, bool], tuple[str, str, str | None]] = {}
        self._kept: list[object] = []
        self._digests: dict[tuple[str, ...], str] = {}

    def of(self, node: Node) -> Prepared:
        """Prepare a step.

        Raises:
            InvalidInput: its code cannot be told apart from other code, or it cannot run in another process.
            NotFound: a file it needs is not there.
        """
        try:
            return self._prepare(node)
        except (InvalidInput, NotFound) as error:
            raise type(error)(error.message, where=error.where or node.step.name) from error

    def _prepare(self, node: Node) -> Prepared:
        constants: dict[str, Any] = {}
        for name, source in node.sources.items():
            if isinstance(source, Constant):
                constants[name] = source.value
            elif isinstance(source, FromParam):
                constants[name] = self._params[source.name]
        does = node.step.does
        assert not isinstance(does, Reference)  # noqa: S101  (resolved before)
        if isinstance(does, Command):
            program = self._program(node.step, does)
            code, environment = self._command_digests(node.step, does, program)
            return Prepared(None, None, program, constants, code, digest_json(constants), environment)
        code, environment, address = self._function(node.step, does)
        return Prepared(does, address, None, constants, code, digest_json(constants), environment)

    def _function(self, step: Step, does: Callable[..., Any]) -> tuple[str, str, str | None]:
        key = (id(does), id(step.uses) if step.uses else 0, step.cache)
        if key not in self._seen:
            found = fingerprint(does, step.uses, strict=step.cache)
            address = address_of(does) if self._remote else None
            self._kept += (does, step.uses)
            self._seen[key] = (found.code, found.environment_digest(), address)
        return self._seen[key]

    def _program(self, step: Step, does: Command) -> Program:
        folder = self._folder or Path.cwd()
        files: dict[str, str] = {}
        for pattern in does.files:
            found = sorted(p for p in folder.glob(inside(pattern, step.name)) if p.is_file())
            if not found:
                raise NotFound(f"There is no file {pattern!r} in the pipeline's folder.")
            files.update({str(p.relative_to(folder)): str(p) for p in found})
        for argument in does.argv:  # a script that the command names needs no mention under files
            if argument and not argument.startswith(("-", "/")) and len(argument) < 500 and ".." not in argument:
                place = folder / argument
                if place.is_file():
                    files[str(Path(argument))] = str(place)
        if len(files) > MOST_FILES:
            raise InvalidInput(f"A command has at most {MOST_FILES:,} files, this one has {len(files):,}.")
        passed = {name: self._variables[name] for name in does.passes if name in self._variables}
        variables = {**base_variables(), **passed, **does.variables}
        return Program(
            argv=does.argv, files=files, outputs=dict(does.outputs), formats=dict(does.formats), variables=variables
        )

    def _command_digests(self, step: Step, does: Command, program: Program) -> tuple[str, str]:
        files = [text for name, path in sorted(program.files.items()) for text in (name, self.file_digest(Path(path)))]
        outputs = [text for pair in sorted(does.outputs.items()) for text in pair]
        formats = [text for pair in sorted(does.formats.items()) for text in pair]
        code = digest_parts(["command", *does.argv, "files", *files, "outputs", *outputs, "formats", *formats])
        executable = find_program(does.argv[0], program.variables["PATH"], self._folder or Path.cwd())
        if executable is None:
            raise NotFound(
                f"There is no program {does.argv[0]!r}: install it, or name it by its path.", where=step.name
            )
        place = {name: value for name, value in program.variables.items() if name != "PATH"}
        environment = digest_json({"program": self.file_digest(Path(executable)), "variables": place})
        return code, environment

    def file_digest(self, path: Path) -> str:
        """Return the digest of a file's bytes, computed once as long as its size and time do not change."""
        found = path.stat()
        return _file_digest(str(path), found.st_size, found.st_mtime_ns, found.st_ino)

    def file(self, source: FromFile, where: str) -> tuple[Path, str]:
        """Return the file an input names, and its digest.

        Raises:
            NotFound: it is not there.
            InvalidInput: it lies outside the pipeline's folder.
        """
        folder = (self._folder or Path.cwd()).resolve()
        path = (folder / source.path).resolve()
        if not path.is_relative_to(folder):
            raise InvalidInput(f"The file {source.path!r} lies outside the pipeline's folder.", where=where)
        if not path.is_file():
            raise NotFound(f"There is no file {source.path!r} in the pipeline's folder.", where=where)
        return path, self.file_digest(path)


@lru_cache(maxsize=4096)
def _file_digest(path: str, _size: int, _changed: int, _inode: int) -> str:
    with Path(path).open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def key_of(prepared: Prepared, step: Step, inputs: Mapping[str, Stored]) -> str:
    """Return the key of a step: digest of code, environment, parameters, inputs and shape of the outputs.

    Source of the idea: build systems' content-addressed action keys (Bazel remote execution API, `Action`).
    """
    parts = [_GENERATION, prepared.code, prepared.environment, prepared.params, ",".join(step.output_names)]
    for name in sorted(inputs):
        parts += (name, inputs[name].digest, inputs[name].format)
    return digest_parts(parts)
