"""Bulk statements write what they are given, whatever the order of the columns."""

from __future__ import annotations

from sqlalchemy import Column, Integer, MetaData, Table, Text, bindparam, delete, select, update

from keepwell.db import connect, read, write
from keepwell.db.bulk import chunks, delete_rows, insert_rows, update_rows

numbers = Table("numbers", MetaData(), Column("n", Integer, primary_key=True), Column("word", Text), Column("x", Text))


def test_rows_are_inserted_updated_and_deleted(tmp_path: object) -> None:
    database = connect(f"sqlite:///{tmp_path}/bulk.db")
    numbers.metadata.create_all(database.engine)
    rename = update(numbers).where(numbers.c.n == bindparam("of_n")).values(word=bindparam("new_word"))
    remove = delete(numbers).where(numbers.c.n == bindparam("of_n"))
    with write(database) as tx:
        insert_rows(tx, numbers, ("n", "word"), [(n, f"w{n}") for n in range(1000)])
        insert_rows(tx, numbers, ("word", "n"), [("late", 1000)])
        insert_rows(tx, numbers, ("n", "word"), [])
        update_rows(tx, rename, ("of_n", "new_word"), [(1, "one"), (2, None)])
        update_rows(tx, rename, ("new_word", "of_n"), [("three", 3)])
        update_rows(tx, rename, ("new_word", "of_n"), [])
        delete_rows(tx, remove, ("of_n",), [(4,), (5,)])
        delete_rows(tx, remove, ("of_n",), [])
    with read(database) as tx:
        found = {row.n: row.word for row in tx.execute(select(numbers))}
    assert len(found) == 999
    assert (found[0], found[1], found[2], found[3], found[1000]) == ("w0", "one", None, "three", "late")
    database.engine.dispose()


def test_chunks() -> None:
    assert list(chunks([1, 2, 3, 4, 5], 2)) == [[1, 2], [3, 4], [5]]
    assert list(chunks([], 2)) == []
