"""The database: one engine, two kinds of transaction, one metadata that every store's tables stand on."""

from keepwell.db.engine import Database, NotSerial, Transaction, connect, is_serial, read, write
from keepwell.db.schema import metadata

__all__ = ["Database", "NotSerial", "Transaction", "connect", "is_serial", "metadata", "read", "write"]
