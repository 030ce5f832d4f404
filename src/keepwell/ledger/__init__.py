"""The ledger: every change of governed state, in order, hash-chained, in the same transaction as the change."""

from keepwell.ledger.service import append, once

__all__ = ["append", "once"]
