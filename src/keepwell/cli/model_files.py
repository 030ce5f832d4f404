"""`keepwell model inspect` and `keepwell model predict`: a model's files, by folder or by registered version."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from keepwell.cli.shared import home_option, json_option, me, open_kit, print_json, print_rows

if TYPE_CHECKING:
    import polars as pl


@click.command()
@click.argument("model")
@home_option
@json_option
def inspect(model: str, home: str | None, as_json: bool) -> None:
    """Say what MODEL is and what loading it may do, without loading it.

    MODEL is a folder with an MLmodel file, models:/NAME/N, models:/NAME@ALIAS, models:/m-ID or runs:/RUN/NAME.
    """
    from keepwell.flows.opening import laid_out
    from keepwell.models.flavors import describe

    with laid_out(open_kit(home), model) as folder:
        found = describe(folder)
    if as_json:
        print_json(found)
        return
    click.echo(f"format     {found.flavor or 'none that is known here'} (of {', '.join(found.flavors)})")
    click.echo(f"loading    {found.verdict}{': ' + found.reason if found.reason else ''}")
    for name, schema in (("takes", found.signature and found.signature.inputs),
                         ("gives", found.signature and found.signature.outputs)):  # fmt: skip
        click.echo(f"{name:<10} {_schema(schema)}")
    for name, fact in found.facts.items():
        click.echo(f"{name:<10} {fact}")
    click.echo(f"needs      {', '.join(found.requirements) or 'nothing that is recorded'}")
    print_rows(
        [{"file": part.path, "bytes": part.size, "is": part.kind} for part in found.parts], ("file", "bytes", "is"), ""
    )


@click.command()
@click.argument("model")
@click.argument("rows", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--environment", metavar="ENV", default="dev", show_default=True, help="Whose policy holds.")
@click.option("--code", "code", multiple=True, metavar="MODULE", help="A module that the model may name; repeatable.")
@home_option
def predict(model: str, rows: Path, out: Path, environment: str, code: tuple[str, ...], home: str | None) -> None:
    """Predict the ROWS of a file (CSV, Parquet, JSON lines) with MODEL, in a process of its own, into OUT.

    MODEL is a folder with an MLmodel file, models:/NAME/N, models:/NAME@ALIAS, models:/m-ID or runs:/RUN/NAME. OUT gets
    the rows and what the model answered.
    """
    from keepwell.flows.opening import laid_out, open_model

    kit = open_kit(home)
    table = _read(rows)
    with (
        laid_out(kit, model) as folder,
        open_model(kit, folder, environment, me(), code=code, worker=True) as loaded,
    ):
        answer = loaded.predict(table)
    _write(table, answer, out)
    click.echo(f"{len(table):,} rows predicted into {out}.")


VERBS = (inspect, predict)


def _schema(schema: Any) -> str:
    if not schema:
        return "not said"
    shown = [
        f"{one.name or 'it'}: {getattr(one, 'type', None) or f'{one.dtype} {list(one.shape)}'}" for one in schema[:12]
    ]
    return ", ".join(shown) + (f", and {len(schema) - 12} more" if len(schema) > 12 else "")


def _read(place: Path) -> pl.DataFrame:
    from keepwell.core.errors import InvalidInput
    from keepwell.core.lazy import pl

    readers: dict[str, Any] = {
        ".csv": lambda: pl.read_csv(place, infer_schema_length=10_000),
        ".parquet": lambda: pl.read_parquet(place),
        ".jsonl": lambda: pl.read_ndjson(place),
    }
    if place.suffix not in readers:
        raise InvalidInput("Rows are read from .csv, .parquet and .jsonl files.", where=place.name)
    try:
        table: pl.DataFrame = readers[place.suffix]()
    except pl.exceptions.PolarsError as error:
        raise InvalidInput(
            f"This file cannot be read: {str(error).splitlines()[0][:200]}.", where=place.name
        ) from error
    return table


def _write(table: pl.DataFrame, answer: Any, place: Path) -> None:
    import numpy as np

    from keepwell.core.errors import InvalidInput
    from keepwell.core.lazy import pl

    if hasattr(answer, "columns"):
        answer = {str(name): np.asarray(answer[name]) for name in answer.columns}
    named = answer if isinstance(answer, dict) else {"prediction": np.asarray(answer)}
    columns: dict[str, Any] = {}
    for name, values in named.items():
        array = np.asarray(values)
        flat = array.reshape(len(table), -1) if array.size % max(len(table), 1) == 0 and array.ndim else None
        if flat is None or not len(table):
            raise InvalidInput("The model did not answer row by row, so its answer is no column.", where="model")
        wide = flat.shape[1] > 1
        columns |= {f"{name}_{n}" if wide else name: flat[:, n].tolist() for n in range(flat.shape[1])}
    written = table.with_columns(**{name: pl.Series(values) for name, values in columns.items()})
    writers: dict[str, Any] = {
        ".csv": written.write_csv,
        ".parquet": written.write_parquet,
        ".jsonl": written.write_ndjson,
    }
    if place.suffix not in writers:
        raise InvalidInput("Answers are written to .csv, .parquet and .jsonl files.", where=place.name)
    writers[place.suffix](place)
