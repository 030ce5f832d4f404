"""`keepwell charter`: check, explain, publish the schema, apply, list, show, history."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keepwell.cli.shared import Verbs, home_option, json_option, me, open_kit, print_json, print_rows

if TYPE_CHECKING:
    from keepwell.charter.findings import Finding
    from keepwell.charter.model import Charter
    from keepwell.governance.charters import AppliedCharter

    Report = tuple[str, Finding]

MAX_BYTES = 1_000_000


@click.group(cls=Verbs)
def command() -> None:
    """Check, explain, publish and apply charters."""


@command.command()
@click.argument("file")
@click.option("--contract", "is_contract", is_flag=True, help="FILE is a data contract.")
@json_option
def check(file: str, is_contract: bool, as_json: bool) -> None:
    """Say everything that is wrong with FILE, by line, and what would be right."""
    from msgspec import to_builtins

    from keepwell.charter.findings import errors

    reports = _check_contract(file) if is_contract else _check(file)[1]
    wrong = len(errors(finding for _, finding in reports))
    if as_json:
        findings = [{"file": place, **to_builtins(finding)} for place, finding in reports]
        print_json({"file": file, "ok": not wrong, "findings": findings})
    else:
        for place, finding in reports:
            click.echo(finding.show(place))
        warned = f" ({len(reports) - wrong} to look at)" if len(reports) > wrong else ""
        click.echo(f"{file}: {f'{wrong} to correct' if wrong else 'good'}{warned}.")
    if wrong:
        sys.exit(2)


@command.command()
@click.option("--contract", "of_contract", is_flag=True, help="The schema of data contracts.")
def schema(of_contract: bool) -> None:
    """Print the JSON Schema of charters."""
    from keepwell.charter.schema import charter_schema, contract_schema

    print_json(contract_schema() if of_contract else charter_schema())


@command.command()
@click.argument("file")
@click.option("--now", metavar="MOMENT", help="Tell schedules as seen from this moment, such as 2026-01-05T06:00Z.")
@json_option
def explain(file: str, now: str | None, as_json: bool) -> None:
    """Say in plain words what FILE makes happen, and when."""
    from keepwell.charter.explain import explain as explain_charter
    from keepwell.core.clock import SystemClock, from_iso
    from keepwell.core.errors import InvalidInput

    try:
        moment = SystemClock().now() if now is None else from_iso(now)
    except ValueError:
        raise InvalidInput("--now is not a moment: write it like 2026-01-05T06:00Z.", where="--now") from None
    sentences = explain_charter(_read(file), moment)
    if as_json:
        print_json([{"heading": heading, "sentence": sentence} for heading, sentence in sentences])
        return
    last = ""
    for heading, sentence in sentences:
        if heading != last:
            click.echo(f"{chr(10) if last else ''}{heading}")
            last = heading
        click.echo(f"  {sentence}")


@command.command()
@click.argument("file")
@home_option
@json_option
def apply(file: str, home: str | None, as_json: bool) -> None:
    """Put FILE in force for its model."""
    from keepwell.db import write
    from keepwell.governance.charters import apply_charter

    _read(file)
    text = _text(file)
    kit = open_kit(home)
    with write(kit.db) as tx:
        applied = apply_charter(tx, kit.call(me()), text, str(Path(file).absolute().parent))
    if as_json:
        print_json(_facts(applied))
    else:
        click.echo(f"{applied.charter.model}: charter number {applied.number} is in force ({applied.digest[:19]}).")


@command.command("list")
@home_option
@json_option
def list_(home: str | None, as_json: bool) -> None:
    """List the charters in force."""
    from keepwell.db import read
    from keepwell.governance.charters import current_charters

    with read(open_kit(home).db) as tx:
        rows = [_facts(applied) for applied in current_charters(tx)]
    if as_json:
        print_json(rows)
    else:
        columns = ("model", "number", "applied_at", "applied_by", "folder")
        print_rows(rows, columns, "No charter is in force: run `keepwell charter apply FILE`.")


@command.command()
@click.argument("model")
@click.option("--number", type=click.IntRange(min=1), help="An earlier one, by its number.")
@home_option
@json_option
def show(model: str, number: int | None, home: str | None, as_json: bool) -> None:
    """Print the charter in force for MODEL, as it was written."""
    from keepwell.db import read
    from keepwell.governance.charters import charter_version

    with read(open_kit(home).db) as tx:
        applied = charter_version(tx, model, number)
    if as_json:
        print_json({**_facts(applied), "text": applied.text, "charter": applied.charter})
    else:
        click.echo(applied.text.rstrip("\n"))


@command.command()
@click.argument("model")
@home_option
@json_option
def history(model: str, home: str | None, as_json: bool) -> None:
    """List every charter that was applied to MODEL, newest first."""
    from keepwell.db import read
    from keepwell.governance.charters import charter_history

    with read(open_kit(home).db) as tx:
        rows = [_facts(applied) for applied in charter_history(tx, model)]
    if as_json:
        print_json(rows)
    else:
        print_rows(rows, ("number", "digest", "applied_at", "applied_by", "folder"), "")


def _facts(applied: AppliedCharter) -> dict[str, object]:
    from keepwell.core.clock import iso

    return {
        "model": applied.charter.model,
        "number": applied.number,
        "digest": applied.digest,
        "applied_at": iso(applied.applied_at),
        "applied_by": applied.applied_by,
        "folder": applied.folder,
    }


def _text(file: str) -> str:
    from keepwell.core.errors import InvalidInput, NotFound, TooLarge

    path = Path(file)
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound("There is no such file; name a charter's YAML file.", where=file) from None
    except (OSError, ValueError) as error:
        raise InvalidInput(f"The file cannot be read: {error}.", where=ascii(file)) from None
    if len(data) > MAX_BYTES:
        raise TooLarge(f"The file is larger than {MAX_BYTES:,} bytes.", where=file)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InvalidInput("The text is not UTF-8: save it as UTF-8.", where=f"{file}:{line}") from None


def _check(file: str) -> tuple[Charter | None, list[Report]]:
    """Check a charter and the contract file that it names."""
    from keepwell.charter.findings import Finding, errors
    from keepwell.charter.parse import check_charter
    from keepwell.core.errors import KeepwellError

    text, folder = _text(file), Path(file).parent
    charter, findings = check_charter(text)
    if charter is not None and (columns := _source_columns(charter, folder)) is not None:
        charter, findings = check_charter(text, columns)
    reports = [(file, finding) for finding in findings]
    named = charter.data.contract if charter is not None else None
    if isinstance(named, str):
        try:
            reports += _check_contract(str(folder / named))
        except KeepwellError as error:
            wrong = f"The contract {named} cannot be read: {error.message}"
            reports.append((file, Finding(None, "data.contract", wrong, "Correct the path or the file.")))
    return (None if errors(finding for _, finding in reports) else charter), reports


def _source_columns(charter: Charter, folder: Path) -> set[str] | None:
    """Return the columns of the source and the joined tables by the first lines of CSV files, or None if unknown."""
    import csv

    found: set[str] = set()
    for source in (charter.data.source, *(join.source for join in charter.data.joins)):
        if not source or charter.data.format not in (None, "csv"):
            return None
        parts = Path(source).parts
        base = Path(*parts[:1]) if Path(source).is_absolute() else folder
        pattern = str(Path(*parts[1:])) if Path(source).is_absolute() else source
        file = next((f for f in sorted(base.glob(pattern)) if f.suffix == ".csv" and f.is_file()), None)
        if file is None:
            return None
        try:
            with file.open(encoding="utf-8-sig", newline=None) as stream:
                header = next(csv.reader([stream.readline(100_000)]), [])
        except (OSError, UnicodeDecodeError, csv.Error):
            return None
        if len(header) < 2:
            return None
        found.update(name.strip() for name in header)
    return found


def _check_contract(file: str) -> list[Report]:
    from keepwell.charter.contract import check_contract

    return [(file, finding) for finding in check_contract(_text(file))[1]]


def _read(file: str) -> Charter:
    from keepwell.charter.findings import errors, refuse

    charter, reports = _check(file)
    if charter is None:
        place, first = next((place, finding) for place, finding in reports if finding.severity == "error")
        raise refuse([first, *errors(f for _, f in reports if f is not first)], place)
    return charter
