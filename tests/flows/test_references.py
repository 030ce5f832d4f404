"""Every column that may hold a digest is known to the garbage collector."""

from __future__ import annotations

from sqlalchemy import Column, MetaData, String, Table

from keepwell.db.schema import Json
from keepwell.flows.references import HELD, MENTIONED, unknown_columns
from keepwell.testing.migrations import load_tables


def is_json(column: Column[object]) -> bool:
    return isinstance(column.type, Json)


def test_every_column_that_may_hold_a_digest_is_known():
    assert unknown_columns(load_tables(), is_json) == []


def test_a_new_column_is_noticed():
    added = Table("new", MetaData(), Column("id", String(8)), Column("bytes_of_it", String(71)), Column("more", Json),
                  Column("pack_of_it", String(80)))  # fmt: skip
    assert unknown_columns([added], is_json) == ["new.bytes_of_it", "new.more", "new.pack_of_it"]


def test_what_is_known_is_there_and_is_known_once():
    tables = {table.name: set(table.c.keys()) for table in load_tables()}
    held = {(str(one.column.table), one.column.name) for one in HELD}
    mentioned = {(table, column) for table, columns in MENTIONED.items() for column in columns}
    assert not held & mentioned
    assert {(table, column) for table, column in held | mentioned if column not in tables.get(table, ())} == set()
