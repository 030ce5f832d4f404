"""The schema's revisions, in order: `r0001_initial.py`, `r0002_....py`; each has `upgrade(op)` over Alembic operations.

A revision is never changed once released. The next one is drafted with `python -m keepwell.testing.migrations draft`.
"""
