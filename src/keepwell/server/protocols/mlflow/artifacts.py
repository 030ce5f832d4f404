"""Artifacts through the server: list, get, put, delete, and uploads in parts.

A path of MLflow's is read as an owner and a path below it: `EXPERIMENT/RUN/artifacts/...`, or
`EXPERIMENT/models/MODEL/artifacts/...`, or (to read only) `registered-models/NAME/VERSION/...`. Nothing is opened by a
path: bytes are found by their digest.

An upload in parts keeps no state: the upload's id and each part's ETag are signed by this server and bound to who began
it, so a part that another upload brought, or bytes that nobody uploaded, cannot be named.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from keepwell.core.errors import InvalidInput, NotFound
from keepwell.core.manifests import File
from keepwell.db import Transaction
from keepwell.flows.registering import files_of
from keepwell.models import registry
from keepwell.server.protocols.mlflow.calls import FILES, MLFLOW, PREFIXES, call
from keepwell.server.protocols.mlflow.errors import Refusal, invalid, missing
from keepwell.server.protocols.mlflow.fields import Field, Given, need, typed
from keepwell.server.protocols.mlflow.logged_models import list_folder, read_folder
from keepwell.server.protocols.mlflow.writing import artifact_uri, file_json
from keepwell.server.routing import Ask, Download, Reply, Route, Upload
from keepwell.tracking import service as tracking
from keepwell.tracking.model import Artifact

Asked = Ask[None, Any]

LARGEST = 1 << 40
MOST_PARTS = 10_000
BLOCK = 1 << 20
ASSEMBLY_SECONDS = 110.0
"""How long the parts of an upload may take to be put together; clients wait 120 s by default."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a path points to: a run or logged model, or a version, and the path below it."""

    owner: str
    path: str
    model: str | None = None
    version: int = 0


def read_place(path: str) -> Place | None:
    """Return what a path of MLflow's points to; None for a folder above runs and models.

    Raises:
        Refusal: it points to nothing that can be.
    """
    parts = read_folder(path).split("/") if path else []
    match parts:
        case ["registered-models", name, number, *rest] if number.isdigit() and len(number) < 10:
            return Place("", "/".join(rest), name, int(number))
        case [experiment, "models", model_id, "artifacts", *rest] if experiment.isdigit():
            return Place(model_id, "/".join(rest))
        case [experiment, run_id, "artifacts", *rest] if experiment.isdigit() and run_id != "models":
            return Place(run_id, "/".join(rest))
    if any(part in ("", ".", "..") for part in parts) or "\\" in path or "%" in path:
        raise invalid("Invalid path")
    return None


def list_run(ask: Asked, given: Given) -> object:
    """Return what lies in a folder of a run."""
    folder = read_folder(given.get("path", ""))
    with ask.read() as tx:
        run = tracking.run(tx, given["run_id"])
        found = list_folder(tx, run.id, folder)
    told: dict[str, Any] = {"root_uri": artifact_uri(run.experiment, run.id)}
    return told | ({"files": [file_json(one, one.path) for one in found]} if found else {})


def list_path(ask: Asked, given: Given) -> object:
    """Return what lies in a folder, by the names in it."""
    place = read_place(given.get("path", ""))
    if place is None:
        return {}
    with ask.read() as tx:
        if place.model is not None:
            found = _level(_files_of(ask, tx, place), place.path)
        else:
            found = list_folder(tx, place.owner, place.path)
    return {"files": [file_json(one, one.path.rpartition("/")[2]) for one in found]} if found else {}


def get(ask: Asked) -> Download:
    """Return the bytes of a file."""
    path = ask.path["path"]
    place = _there(read_place(path), path)
    with ask.read() as tx:
        digest = _digest(ask, tx, place, path)
    return Download(ask.kit.blobs.path(digest), digest, path.rpartition("/")[2])


def before_put(ask: Asked) -> None:
    """Refuse a file before it is read: its owner is not there or does not change any more, or its path is none."""
    place = _writable(ask.path["path"])
    with ask.read() as tx:
        tracking.check_place(tx, place.owner, place.path)


def put(ask: Ask[None, Upload]) -> Reply:
    """Keep a file."""
    _keep(ask, _writable(ask.path["path"]), ask.body.digest, ask.body.size)
    return Reply(b"{}")


def delete(ask: Asked, given: Given) -> None:
    """Forget a file, or a folder; what is not there is forgotten already."""
    place = _writable(given["path"], whole=True)
    with ask.write() as tx:
        tracking.delete_artifacts(tx, ask.call(), place.owner, place.path)


# ----------------------------------------------------------------------------------------------------- upload in parts


def begin(ask: Asked, given: Given) -> object:
    """Begin an upload in parts."""
    count = given.get("num_parts", 1)
    if not 1 <= count <= MOST_PARTS:
        raise invalid(
            f"Invalid value {count} for parameter 'num_parts' supplied. It must be between 1 and {MOST_PARTS}."
        )
    place = _of_parts(ask)
    with ask.read() as tx:
        tracking.check_place(tx, place.owner, place.path)
    upload = ask.house.cursors.make([place.owner, place.path, count], _upload_scope(ask))
    headers = {"X-Keepwell-Upload": upload}
    if "authorization" in ask.headers:  # clients send parts with these headers and no others: back to who sent them
        headers["Authorization"] = ask.headers["authorization"]
    address = f"{ask.origin}{FILES[0]}/mpu/parts"
    credentials = [
        {"url": f"{address}/{number}", "part_number": number, "headers": headers} for number in range(1, count + 1)
    ]
    return {"upload_id": upload, "credentials": credentials}


def before_part(ask: Asked) -> None:
    """Refuse a part before it is read: it belongs to no upload."""
    _part_of(ask)


def put_part(ask: Ask[None, Upload]) -> Reply:
    """Keep a part; its ETag says which bytes it was."""
    upload, number, _ = _part_of(ask)
    tag = ask.house.cursors.make([number, ask.body.digest, ask.body.size], _part_scope(upload))
    return Reply(b"{}", headers=((b"etag", f'"{tag}"'.encode()),))


def complete(ask: Asked, given: Given) -> None:
    """Put the parts of an upload together."""
    upload = given.get("upload_id", "")
    owner, path, count = _upload(ask, upload)
    if Place(owner, path) != _of_parts(ask):
        raise invalid("This upload was begun for another path.")
    parts = sorted(_part(ask, upload, item) for item in given["parts"])
    if [number for number, _, _ in parts] != list(range(1, count + 1)):
        raise Refusal(f"This upload has {count} parts; send each of them once.", code="RESOURCE_CONFLICT")
    digest, size = _join(ask, [digest for _, digest, _ in parts])
    _keep(ask, Place(owner, path), digest, size)


def abort(ask: Asked, given: Given) -> None:
    """End an upload; the bytes of its parts are freed with all that nothing refers to."""
    _upload(ask, given.get("upload_id", ""))


def _join(ask: Asked, digests: list[str]) -> tuple[str, int]:
    blobs = ask.kit.blobs
    writer = blobs.writer()
    try:
        for digest in digests:
            with blobs.path(digest).open("rb") as part:
                while block := part.read(BLOCK):
                    writer.write(block)
        return writer.settle(), writer.size
    finally:
        writer.abort()


def _part(ask: Asked, upload: str, item: Given) -> tuple[int, str, int]:
    tag = typed(need("etag"), item.get("etag") or "").strip('"')
    try:
        number, digest, size = ask.house.cursors.read(tag, _part_scope(upload), tuple[int, str, int])
    except InvalidInput:
        raise invalid("The ETag of a part is not one that this upload got; send the part again.") from None
    if item.get("part_number") is not None and typed(Field("part_number", "int"), item["part_number"]) != number:
        raise invalid("The ETag of a part is that of another part.")
    return number, digest, size


def _part_of(ask: Asked) -> tuple[str, int, int]:
    """Return upload, number and count of parts of a part that is sent."""
    upload = ask.headers.get("x-keepwell-upload", "")
    _, _, count = _upload(ask, upload)
    number = ask.path["number"]
    if not (number.isdigit() and len(number) < 6 and 1 <= int(number) <= count):
        raise invalid(f"This upload has parts 1 to {count}.")
    return upload, int(number), count


def _upload(ask: Asked, upload: str) -> tuple[str, str, int]:
    try:
        return ask.house.cursors.read(upload, _upload_scope(ask), tuple[str, str, int])
    except InvalidInput:
        raise missing("No such upload; begin it again.") from None


def _upload_scope(ask: Asked) -> str:
    return f"mlflow upload {ask.actor}"


def _part_scope(upload: str) -> str:
    return f"mlflow part {upload}"


def _of_parts(ask: Asked) -> Place:
    """Return where an upload in parts goes: the folder in the address, and the last part of the client's own path."""
    told = ask.body.get("path")
    name = typed(need("path"), told or "").replace("\\", "/").rpartition("/")[2]
    place = _writable(ask.path["path"], whole=True)
    return Place(place.owner, f"{place.path}/{name}" if place.path else name)


# --------------------------------------------------------------------------------------------------------------- paths


def _there(place: Place | None, path: str) -> Place:
    if place is None:
        raise missing(f"No such artifact: '{path[:300]}'")
    return place


def _writable(path: str, *, whole: bool = False) -> Place:
    place = _there(read_place(path), path)
    if place.model is not None:
        raise invalid("The files of a registered version do not change; register another version.")
    if not place.path and not whole:
        raise invalid("Invalid path")
    return place


def _keep(ask: Asked, place: Place, digest: str, size: int) -> None:
    with ask.write() as tx:
        tracking.put_artifact(tx, ask.call(), place.owner, place.path, digest, size)


def _digest(ask: Asked, tx: Transaction, place: Place, path: str) -> str:
    if place.model is not None:
        digest = next((file.digest for file in _files_of(ask, tx, place) if file.path == place.path), None)
    else:
        try:
            digest = tracking.artifact(tx, place.owner, place.path).digest
        except (NotFound, InvalidInput):
            digest = None
    if digest is None:
        raise missing(f"No such artifact: '{path[:300]}'")
    return digest


def _files_of(ask: Asked, tx: Transaction, place: Place) -> list[File]:
    return files_of(ask.kit, registry.registered_version(tx, place.model or "", place.version))


def _level(files: list[File], folder: str) -> list[Artifact]:
    """Return what lies in a folder, one level, folders first."""
    start = folder + "/" if folder else ""
    inside = [(file, file.path[len(start) :]) for file in files if file.path.startswith(start)]
    folders = sorted({rest.partition("/")[0] for _, rest in inside if "/" in rest})
    return [Artifact(path=start + name, is_dir=True) for name in folders] + [
        Artifact(path=file.path, digest=file.digest, size=file.size) for file, rest in inside if "/" not in rest
    ]


def _files() -> tuple[Route, ...]:
    """Return the routes whose bodies are bytes."""
    path = "/artifacts/{path...}"
    found: list[Route] = []
    for prefix in FILES:
        found += [
            Route("GET", prefix + path, "runs.read", get, "Return a file.", dialect=MLFLOW),
            Route("PUT", prefix + path, "runs.write", put, "Keep a file.", upload=True, before=before_put,
                  max_body=LARGEST, dialect=MLFLOW),
            Route("PUT", prefix + "/mpu/parts/{number}", "runs.write", put_part, "Keep a part of a file.", upload=True,
                  before=before_part, max_body=LARGEST, dialect=MLFLOW),
        ]  # fmt: skip
    return tuple(found)


_PATH = need("path")
ROUTES = (
    *call("GET", "/artifacts/list", "runs.read", list_run, "List the files of a run.",
          (need("run_id"), Field("path"), Field("page_token")), prefixes=PREFIXES),
    *call("GET", "/artifacts", "runs.read", list_path, "List files.", (Field("path"),), prefixes=FILES),
    *call("DELETE", "/artifacts/{path...}", "runs.delete", delete, "Forget a file.", (_PATH,), prefixes=FILES),
    *call("POST", "/mpu/create/{path...}", "runs.write", begin, "Begin an upload in parts.",
          (Field("num_parts", "int"),), prefixes=FILES, secret=True),
    *call("POST", "/mpu/complete/{path...}", "runs.write", complete, "Put the parts of an upload together.",
          (Field("upload_id"), need("parts", "items")), prefixes=FILES, seconds=ASSEMBLY_SECONDS),
    *call("POST", "/mpu/abort/{path...}", "runs.write", abort, "End an upload in parts.",
          (Field("upload_id"),), prefixes=FILES),
    *_files(),
)  # fmt: skip
