"""The developer's side of migrations: draft a revision from the stores' tables, and compare the two.

python -m keepwell.testing.migrations initial    # write r0001_initial.py anew: before the first release only
python -m keepwell.testing.migrations draft NAME # write the next revision from what differs
python -m keepwell.testing.migrations check [URL] # exit 1 and say what differs; URL: of an empty database
"""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import Connection, Table
from sqlalchemy.types import TypeEngine

import keepwell
from keepwell.db import connect, metadata
from keepwell.db.migrate import OURS, apply, migrate, revisions
from keepwell.db.schema import Json

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext
    from alembic.operations.ops import MigrationScript
    from alembic.runtime.migration import MigrationContext

_ROOT = Path(keepwell.__file__).parent
_DECLARES = re.compile(r"^[a-z_]+ = Table\($", re.MULTILINE)
_HEAD = '''"""{title}"""

from __future__ import annotations

import sqlalchemy as sa
from alembic.operations import Operations


def upgrade(op: Operations) -> None:{long}
{body}
'''


def store_modules() -> list[str]:
    """Return the names of all modules that declare tables."""
    return sorted(
        "keepwell." + ".".join(file.relative_to(_ROOT).with_suffix("").parts)
        for file in _ROOT.rglob("*.py")
        if "migrations" not in file.parts and file.name != "migrate.py" and _DECLARES.search(file.read_text("utf-8"))
    )


def load_tables() -> Sequence[Table]:
    """Import every module that declares tables, and return the tables."""
    for name in store_modules():
        importlib.import_module(name)
    return metadata.sorted_tables


def differences(package: str = OURS, url: str | None = None) -> list[str]:
    """Return what differs between a migrated database and the tables that the stores declare.

    Args:
        package: holds the revisions.
        url: of an empty database, which is migrated; by default a SQLite file made for this.
    """
    from alembic.autogenerate import compare_metadata

    load_tables()
    with tempfile.TemporaryDirectory() as folder:
        database = connect(url or f"sqlite:///{folder}/check.db")
        migrate(database, package)
        with database.engine.connect() as connection:
            found = compare_metadata(_context(connection), metadata)
            connection.rollback()
        database.engine.dispose()
    return [str(difference) for difference in found]


def draft(number: int, name: str, package: str = OURS) -> Path | None:
    """Write revision `number` from what differs between the revisions before it and the stores' tables."""
    from alembic.autogenerate import produce_migrations

    load_tables()
    with tempfile.TemporaryDirectory() as folder:
        database = connect(f"sqlite:///{folder}/draft.db")
        with database.engine.connect() as connection:
            apply(connection, 0, number - 1, package)
            connection.commit()
            context = _context(connection)
            body = _render(context, produce_migrations(context, metadata), batch=number > 1)
        database.engine.dispose()
    if not body:
        return None
    place = folder_of(package) / f"r{number:04}_{name}.py"
    long = "  # noqa: PLR0915" if len(re.findall(r"^ +(?:batch_)?op\.", body, re.MULTILINE)) > 50 else ""
    title = f"Schema {number}: {name.replace('_', ' ')}."
    place.write_text(_HEAD.format(title=title, body=body, long=long), encoding="utf-8")
    subprocess.run([sys.executable, "-m", "ruff", "format", "-q", str(place)], check=False)  # noqa: S603
    return place


def folder_of(package: str) -> Path:
    """Return the folder of a package of revisions."""
    return Path(importlib.import_module(package).__path__[0])


def _context(connection: Connection) -> MigrationContext:
    from alembic.runtime.migration import MigrationContext

    return MigrationContext.configure(
        connection,
        opts={
            "compare_type": _differ,
            "render_item": _render_item,
            "include_object": _is_ours,
            "render_as_batch": True,
        },
    )


def _differ(
    context: MigrationContext, _found: object, _declared: object, found: TypeEngine[Any], declared: TypeEngine[Any]
) -> bool | None:
    """Tell whether two types differ: compared as DDL on PostgreSQL, where ours are wider than SQLAlchemy's names."""
    if context.dialect.name != "postgresql":
        return None
    return found.compile(context.dialect) != declared.compile(context.dialect)


def _is_ours(_item: object, name: str | None, kind: str, _reflected: bool, _other: object) -> bool:
    return not (kind == "table" and name == "schema_revision")


def _render_item(kind: str, item: object, _context: AutogenContext) -> str | Literal[False]:
    return "sa.Text()" if kind == "type" and isinstance(item, Json) else False


def _render(context: MigrationContext, script: MigrationScript, *, batch: bool) -> str:
    from alembic.autogenerate import render_python_code

    ops = script.upgrade_ops
    if ops is None or ops.is_empty():
        return ""
    code = render_python_code(ops, render_as_batch=batch, render_item=_render_item, migration_context=context)
    lines = [line for line in code.splitlines() if not line.strip().startswith("#")]
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Run the command line and return the exit code."""
    match list(arguments):
        case ["initial"]:
            for file in folder_of(OURS).glob("r0001_*.py"):
                file.unlink()
            place = draft(1, "initial")
        case ["draft", name] if re.fullmatch(r"[a-z][a-z0-9_]{0,40}", name):
            place = draft((revisions() or [0])[-1] + 1, name)
        case ["check", *url] if len(url) < 2:
            found = differences(url=url[0] if url else None)
            sys.stdout.write("\n".join(found or ["The revisions make the tables that the stores declare."]) + "\n")
            return 1 if found else 0
        case _:
            sys.stderr.write(__doc__ or "")
            return 2
    sys.stdout.write(f"Wrote {place}; read it and commit it.\n" if place else "Nothing differs.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
