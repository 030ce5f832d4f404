"""Load a model as an environment's policy says, and record it where that runs code."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from keepwell.core.errors import Damaged
from keepwell.flows.kit import Kit
from keepwell.flows.registering import source_files
from keepwell.governance import policies

if TYPE_CHECKING:
    from keepwell.models.flavors import Loaded, Policy


def policy_of(
    kit: Kit,
    environment: str,
    actor: str,
    *,
    model: str | None = None,
    code: Sequence[str] = (),
    worker: bool = False,
) -> Policy:
    """Return what a folder may do that is loaded in an environment.

    Args:
        kit: the house.
        environment: whose policy holds.
        actor: who loads.
        model: the name the model is known by; it is recorded with an unsafe load.
        code: more modules that the model may name, which the caller answers for: only for loads in the caller's own
            process, never for what a server does for others.
        worker: load every format in a process of its own.
    """
    from keepwell.models.flavors import Policy, Unsafe

    with kit.read() as tx:
        standing = policies.policy(tx, environment)

    def record(unsafe: Unsafe) -> None:
        with kit.write() as tx:
            policies.record_unsafe_load(tx, kit.call(actor), environment, unsafe.digest, unsafe.flavor, model)

    return Policy(pickle=standing.pickle, code=(*standing.code, *code), worker=worker, recorder=record)


def open_model(
    kit: Kit,
    folder: Path | str,
    environment: str,
    actor: str,
    *,
    model: str | None = None,
    code: Sequence[str] = (),
    worker: bool = False,
    flavor: str | None = None,
) -> Loaded:
    """Load a model from its folder as the environment's policy says.

    An unsafe load is in the ledger before it happens; when that cannot be written, nothing is loaded.

    Raises:
        Denied: the policy refuses what the folder would do.
        InvalidInput: the folder cannot be used.
        Damaged: files are not whole, or not what they should be.
        NotInstalled: the format's library is missing.
        Unavailable: the model's process died or took too long.
    """
    from keepwell.models.flavors import load

    return load(folder, policy_of(kit, environment, actor, model=model, code=code, worker=worker), flavor=flavor)


@contextmanager
def laid_out(kit: Kit, named: str) -> Iterator[Path]:
    """Lay out the files of a model in a fresh folder for as long as they are needed.

    Args:
        kit: the house.
        named: a folder of this machine, or what versions are registered from (`models.sources`): `models:/NAME/N`,
            `models:/NAME@ALIAS`, `models:/NAME/latest`, `models:/m-ID`, `runs:/RUN/PATH`.

    Raises:
        NotFound: there is no such version or folder.
        InvalidInput: it is no such name.
        Damaged: a stored file is not what it was.
    """
    if not named.startswith(("models:", "runs:")):
        yield Path(named)
        return
    with kit.read() as tx:
        files = source_files(tx, kit, named)
    with tempfile.TemporaryDirectory(prefix="keepwell-model-") as name:
        folder = Path(name)
        for file in files:
            parts = file.path.split("/")
            if ".." in parts or "" in parts:
                raise Damaged("The version's manifest names a place outside of it.")
            place = folder.joinpath(*parts)
            place.parent.mkdir(parents=True, exist_ok=True)
            if not kit.blobs.verify(file.digest):
                raise Damaged(f"The stored file {file.path} is not what it was; see keepwell fsck.")
            shutil.copyfile(kit.blobs.path(file.digest), place)
        yield folder
