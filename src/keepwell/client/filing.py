"""The verbs that record files: small ones travel with the records, large ones are copied and uploaded by themselves."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from keepwell.client import media, records, session
from keepwell.client.lanes import Staged
from keepwell.client.rules import check_step, safe_path
from keepwell.core.errors import InvalidInput, NotFound
from keepwell.tracking import wire

INLINE_BYTES = 64 << 10
"""Artifacts up to this size travel with the records; larger ones are uploaded."""
MOST_FILES = 100_000


class Filing(ABC):
    """What a run does with files.

    Attributes:
        id: of the run.
    """

    id: str

    @abstractmethod
    def record(self, op: wire.Op) -> None:
        """Append an operation."""

    @abstractmethod
    def here(self) -> session.Session:
        """Return this process's session, which knows the run."""

    def log_artifact(self, local_path: str | os.PathLike[str], artifact_path: str | None = None) -> None:
        """Record a file as it is now, or the files of a folder, under the folder `artifact_path` of the artifacts.

        Raises:
            NotFound: there is no such file or folder.
            InvalidInput: its name cannot be an artifact's.
        """
        source = Path(local_path)
        if source.is_dir():
            self.log_artifacts(source, "/".join(filter(None, (artifact_path, source.absolute().name))))
            return
        if not source.is_file():
            raise NotFound(f"There is no file {str(source)!a} to log.", where="local_path")
        self.log_file(source, "/".join(filter(None, (artifact_path, source.name))))

    def log_artifacts(self, local_dir: str | os.PathLike[str], artifact_path: str | None = None) -> None:
        """Record the files of a folder and of the folders in it; links that lead out of it are not followed."""
        for file, path in files_of(Path(local_dir)):
            self.log_file(file, "/".join(filter(None, (artifact_path, path))))

    def log_file(self, source: Path, path: str, *, model: str | None = None) -> None:
        """Record a file under a path of the run's artifacts, or of those of a model that it logs."""
        safe_path(path)
        size = source.stat().st_size
        if size <= INLINE_BYTES:
            self.record(wire.Put(run=self.id, path=path, data=source.read_bytes(), model=model))
        else:
            self._stage(source, path, size, model)

    def log_bytes(self, data: bytes, artifact_file: str) -> None:
        """Record bytes as an artifact."""
        safe_path(artifact_file)
        if len(data) <= INLINE_BYTES:
            self.record(wire.Put(run=self.id, path=artifact_file, data=data))
        else:
            self._stage(data, artifact_file, len(data), None)

    def log_text(self, text: str, artifact_file: str) -> None:
        """Record a text as an artifact, in UTF-8."""
        self.log_bytes(text.encode("utf-8", "replace"), artifact_file)

    def log_dict(self, dictionary: Any, artifact_file: str) -> None:
        """Record a value as JSON, or as YAML when the file's name ends so."""
        self.log_bytes(media.dict_bytes(dictionary, artifact_file), artifact_file)

    def log_figure(self, figure: Any, artifact_file: str, *, save_kwargs: Mapping[str, Any] | None = None) -> None:
        """Record a Matplotlib or Plotly figure in the format that the file's name ends with."""
        self.log_bytes(media.figure_bytes(figure, artifact_file, save_kwargs), artifact_file)

    def log_image(
        self, image: Any, artifact_file: str | None = None, *, key: str | None = None, step: int | None = None
    ) -> None:
        """Record an image: a PIL image or an array; with `key` as one of a row of them, by step."""
        if (artifact_file is None) == (key is None):
            raise InvalidInput("An image is logged under an artifact_file, or under a key.", where="artifact_file")
        path = artifact_file if artifact_file is not None else f"images/{key}/{check_step(step or 0):08d}.png"
        self.log_bytes(media.image_bytes(image, path), path)

    def log_table(self, data: Any, artifact_file: str) -> None:
        """Record a table as JSON, CSV or Parquet, as the file's name ends."""
        self.log_bytes(media.table_bytes(data, artifact_file), artifact_file)

    def _stage(self, source: Path | bytes, path: str, size: int, model: str | None) -> None:
        """Copy what is large, to be uploaded beside what else is logged."""
        now = self.here()
        try:
            name = now.spool.stage_bytes(source) if isinstance(source, bytes) else now.spool.stage(source)
        except OSError as error:
            session.tell(f"{path} is not recorded: no copy of it could be made ({error.strerror})")
            return
        staged = Staged(run=self.id, path=path, name=name, size=size, model=model)
        now.behind.add(staged)
        now.spool.other(records.KIND_FILE, msgspec.msgpack.encode(staged))
        now.wake()


def files_of(root: Path) -> Iterator[tuple[Path, str]]:
    """Yield the files of a folder and of the folders in it, with their paths; none that a link leads out of it to.

    Raises:
        NotFound: there is no such folder.
        InvalidInput: they are too many.
    """
    if not root.is_dir():
        raise NotFound(f"There is no folder {str(root)!a} to log.", where="local_dir")
    found = [p for p in sorted(root.rglob("*")) if p.is_file() and p.resolve().is_relative_to(root.resolve())]
    if len(found) > MOST_FILES:
        raise InvalidInput(f"A folder of more than {MOST_FILES:,} files is not logged; pack it.", where="local_dir")
    for file in found:
        yield file, file.relative_to(root).as_posix()
