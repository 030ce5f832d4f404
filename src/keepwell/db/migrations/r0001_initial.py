"""Schema 1: initial."""

from __future__ import annotations

import sqlalchemy as sa
from alembic.operations import Operations


def upgrade(op: Operations) -> None:  # noqa: PLR0915
    op.create_table(
        "approvals",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("version_id", sa.String(length=32), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("artifact", sa.String(length=71), nullable=False),
        sa.Column("charter", sa.String(length=71), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("asked_at", sa.String(length=27), nullable=False),
        sa.Column("asked_by", sa.Text(), nullable=False),
        sa.Column("settled_at", sa.String(length=27), nullable=True),
        sa.Column("settled_by", sa.Text(), nullable=True),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", "version_id", "role", name=op.f("pk_approvals")),
    )
    op.create_index(op.f("ix_approvals_state_model"), "approvals", ["state", "model"], unique=False)
    op.create_index(op.f("ix_approvals_version_id_seq"), "approvals", ["version_id", "seq"], unique=False)
    op.create_table(
        "artifacts",
        sa.Column("owner", sa.String(length=40), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("fold", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(length=71), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "path", name=op.f("pk_artifacts")),
        sa.UniqueConstraint("owner", "fold", name=op.f("uq_artifacts_owner_fold")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_artifacts_digest"), "artifacts", ["digest"], unique=False)
    op.create_table(
        "charters",
        sa.Column("model_key", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(length=71), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("folder", sa.Text(), nullable=False),
        sa.Column("applied_at", sa.String(length=27), nullable=False),
        sa.Column("applied_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("model_key", "number", name=op.f("pk_charters")),
    )
    op.create_table(
        "dataset_arrivals",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(length=71), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("received_at", sa.String(length=27), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=True),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("findings", sa.Text(), nullable=False),
        sa.Column("failed_rows", sa.String(length=71), nullable=True),
        sa.Column("version", sa.String(length=40), nullable=True),
        sa.Column("part", sa.String(length=71), nullable=True),
        sa.Column("kept", sa.String(length=71), nullable=True),
        sa.Column("incident", sa.String(length=40), nullable=True),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("settled_by", sa.Text(), nullable=True),
        sa.Column("settled_at", sa.String(length=27), nullable=True),
        sa.Column("corrections", sa.Integer(), nullable=False),
        sa.Column("stats", sa.Text(), nullable=True),
        sa.Column("entry", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dataset_arrivals")),
    )
    op.create_index(op.f("ix_dataset_arrivals_dataset_digest"), "dataset_arrivals", ["dataset", "digest"], unique=True)
    op.create_index(op.f("ix_dataset_arrivals_dataset_seq"), "dataset_arrivals", ["dataset", "seq"], unique=True)
    op.create_index(
        op.f("ix_dataset_arrivals_dataset_state_seq"), "dataset_arrivals", ["dataset", "state", "seq"], unique=False
    )
    op.create_index(op.f("ix_dataset_arrivals_state"), "dataset_arrivals", ["state"], unique=False)
    op.create_table(
        "dataset_files",
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("mtime_ns", sa.Integer(), nullable=False),
        sa.Column("ctime_ns", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=71), nullable=False),
        sa.PrimaryKeyConstraint("dataset", "uri", name=op.f("pk_dataset_files")),
    )
    op.create_table(
        "dataset_versions",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(length=71), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=True),
        sa.Column("parts", sa.Integer(), nullable=False),
        sa.Column("schema", sa.Text(), nullable=False),
        sa.Column("created_at", sa.String(length=27), nullable=False),
        sa.Column("parent", sa.String(length=40), nullable=True),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("manifest", sa.String(length=71), nullable=False),
        sa.Column("profile", sa.String(length=71), nullable=True),
        sa.Column("superseded", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dataset_versions")),
    )
    op.create_index(op.f("ix_dataset_versions_dataset_number"), "dataset_versions", ["dataset", "number"], unique=True)
    op.create_table(
        "datasets",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.String(length=27), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_datasets")),
        sa.UniqueConstraint("name", name=op.f("uq_datasets_name")),
    )
    op.create_table(
        "environment_policies",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("pickle", sa.Boolean(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("changed_at", sa.String(length=27), nullable=False),
        sa.Column("changed_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_environment_policies")),
    )
    op.create_table(
        "evidence",
        sa.Column("version_id", sa.String(length=32), nullable=False),
        sa.Column("slice", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("metric", sa.Text(), nullable=False),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("version_id", "slice", "subject", "metric", name=op.f("pk_evidence")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "experiments",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("gone", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("updated", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_experiments")),
        sa.UniqueConstraint("name", name=op.f("uq_experiments_name")),
    )
    op.create_table(
        "fleet_members",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("segment", sa.Text(), nullable=False),
        sa.Column("search", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("latest", sa.String(length=32), nullable=True),
        sa.Column("first", sa.Integer(), nullable=False),
        sa.Column("last", sa.Integer(), nullable=False),
        sa.Column("versions", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("model", "segment", name=op.f("pk_fleet_members")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "foreign_names",
        sa.Column("origin", sa.String(length=20), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("theirs", sa.Text(), nullable=False),
        sa.Column("ours", sa.Text(), nullable=False),
        sa.Column("stamp", sa.String(length=71), nullable=False),
        sa.Column("waits", sa.Text(), nullable=True),
        sa.Column("at", sa.String(length=27), nullable=False),
        sa.PrimaryKeyConstraint("origin", "kind", "theirs", name=op.f("pk_foreign_names")),
    )
    op.create_index(
        op.f("ix_foreign_names_origin_kind_ours"), "foreign_names", ["origin", "kind", "ours"], unique=False
    )
    op.create_table(
        "gc_condemned",
        sa.Column("digest", sa.String(length=71), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_gc_condemned")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "idempotency",
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("request", sa.String(length=71), nullable=False),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("at", sa.String(length=27), nullable=False),
        sa.PrimaryKeyConstraint("actor", "key", name=op.f("pk_idempotency")),
    )
    op.create_index(op.f("ix_idempotency_at"), "idempotency", ["at"], unique=False)
    op.create_table(
        "identity_people",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("created_at", sa.String(length=27), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_identity_people")),
    )
    op.create_table(
        "incidents",
        sa.Column("id", sa.String(length=30), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("severity", sa.String(length=5), nullable=False),
        sa.Column("datasets", sa.Text(), nullable=False),
        sa.Column("segments", sa.Text(), nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=6), nullable=False),
        sa.Column("opened_at", sa.String(length=27), nullable=False),
        sa.Column("opened_by", sa.Text(), nullable=False),
        sa.Column("closed_at", sa.String(length=27), nullable=True),
        sa.Column("closed_by", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("evidence", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_incidents")),
    )
    op.create_index(op.f("ix_incidents_model_id"), "incidents", ["model", "id"], unique=False)
    op.create_index(op.f("ix_incidents_state_id"), "incidents", ["state", "id"], unique=False)
    op.create_index(
        "uq_incidents_open_cause",
        "incidents",
        ["cause"],
        unique=True,
        sqlite_where=sa.text("state = 'open'"),
        postgresql_where=sa.text("state = 'open'"),
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.String(length=32), nullable=False),
        sa.Column("token", sa.Integer(), nullable=False),
        sa.Column("expires", sa.String(length=27), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
    )
    op.create_table(
        "ledger_checkpoints",
        sa.Column("size", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("root", sa.String(length=64), nullable=False),
        sa.Column("at", sa.String(length=27), nullable=False),
        sa.Column("key", sa.String(length=16), nullable=False),
        sa.Column("signature", sa.String(length=128), nullable=False),
        sa.PrimaryKeyConstraint("size", name=op.f("pk_ledger_checkpoints")),
    )
    op.create_table(
        "ledger_entries",
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.String(length=27), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("commitment", sa.String(length=64), nullable=True),
        sa.Column("previous", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_ledger_entries")),
    )
    op.create_index(op.f("ix_ledger_entries_actor_seq"), "ledger_entries", ["actor", "seq"], unique=False)
    op.create_index(op.f("ix_ledger_entries_kind_seq"), "ledger_entries", ["kind", "seq"], unique=False)
    op.create_index(op.f("ix_ledger_entries_subject_seq"), "ledger_entries", ["subject", "seq"], unique=False)
    op.create_table(
        "ledger_frontier",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("peaks", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_frontier")),
    )
    op.create_table(
        "ledger_keys",
        sa.Column("key", sa.String(length=16), nullable=False),
        sa.Column("public", sa.String(length=64), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("added_at", sa.String(length=27), nullable=False),
        sa.Column("introduced_by", sa.String(length=16), nullable=True),
        sa.Column("introduction", sa.String(length=128), nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_ledger_keys")),
        sa.UniqueConstraint("seq", name=op.f("uq_ledger_keys_seq")),
    )
    op.create_table(
        "ledger_notes",
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_ledger_notes")),
    )
    op.create_table(
        "log_sessions",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("upto", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_log_sessions")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "loop_fleets",
        sa.Column("digest", sa.String(length=71), nullable=False),
        sa.Column("segments", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_loop_fleets")),
    )
    op.create_table(
        "loop_wishes",
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("id", sa.String(length=31), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("segments", sa.Text(), nullable=False),
        sa.Column("at", sa.String(length=27), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("withdrawn_at", sa.String(length=27), nullable=True),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_loop_wishes")),
        sa.UniqueConstraint("id", name=op.f("uq_loop_wishes_id")),
    )
    op.create_index(op.f("ix_loop_wishes_model_at"), "loop_wishes", ["model", "at"], unique=False)
    op.create_table(
        "models",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.String(length=27), nullable=False),
        sa.Column("updated_at", sa.String(length=27), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("deleted_at", sa.String(length=27), nullable=True),
        sa.Column("renamed_to", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_models")),
        sa.UniqueConstraint("name", name=op.f("uq_models_name")),
    )
    op.create_table(
        "outbox",
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("delivered_at", sa.String(length=27), nullable=True),
        sa.Column("lease", sa.String(length=31), nullable=True),
        sa.Column("leased_until", sa.String(length=27), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_outbox")),
    )
    op.create_index(op.f("ix_outbox_delivered_at_seq"), "outbox", ["delivered_at", "seq"], unique=False)
    op.create_table(
        "performance",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("segment", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("window_start", sa.String(length=27), nullable=False),
        sa.Column("window_end", sa.String(length=27), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("complete", sa.Boolean(), nullable=False),
        sa.Column("volume", sa.Float(), nullable=False),
        sa.Column("wmape", sa.Float(), nullable=True),
        sa.Column("mape", sa.Float(), nullable=True),
        sa.Column("mape100", sa.Float(), nullable=True),
        sa.Column("rmse", sa.Float(), nullable=True),
        sa.Column("rmse_zero", sa.Float(), nullable=True),
        sa.Column("mae", sa.Float(), nullable=True),
        sa.Column("bias", sa.Float(), nullable=True),
        sa.Column("n_mape", sa.Integer(), nullable=True),
        sa.Column("n_mape100", sa.Integer(), nullable=True),
        sa.Column("n_rmse_zero", sa.Integer(), nullable=True),
        sa.Column("baseline_wmape", sa.Float(), nullable=True),
        sa.Column("baseline_mape", sa.Float(), nullable=True),
        sa.Column("baseline_mape100", sa.Float(), nullable=True),
        sa.Column("baseline_rmse", sa.Float(), nullable=True),
        sa.Column("baseline_rmse_zero", sa.Float(), nullable=True),
        sa.Column("baseline_mae", sa.Float(), nullable=True),
        sa.Column("baseline_bias", sa.Float(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("recorded_at", sa.String(length=27), nullable=False),
        sa.PrimaryKeyConstraint("model", "segment", "version", "window_start", name=op.f("pk_performance")),
    )
    op.create_index(op.f("ix_performance_model_window_start"), "performance", ["model", "window_start"], unique=False)
    op.create_table(
        "performance_revisions",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("segment", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("window_start", sa.String(length=27), nullable=False),
        sa.Column("window_end", sa.String(length=27), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("complete", sa.Boolean(), nullable=False),
        sa.Column("volume", sa.Float(), nullable=False),
        sa.Column("wmape", sa.Float(), nullable=True),
        sa.Column("mape", sa.Float(), nullable=True),
        sa.Column("mape100", sa.Float(), nullable=True),
        sa.Column("rmse", sa.Float(), nullable=True),
        sa.Column("rmse_zero", sa.Float(), nullable=True),
        sa.Column("mae", sa.Float(), nullable=True),
        sa.Column("bias", sa.Float(), nullable=True),
        sa.Column("n_mape", sa.Integer(), nullable=True),
        sa.Column("n_mape100", sa.Integer(), nullable=True),
        sa.Column("n_rmse_zero", sa.Integer(), nullable=True),
        sa.Column("baseline_wmape", sa.Float(), nullable=True),
        sa.Column("baseline_mape", sa.Float(), nullable=True),
        sa.Column("baseline_mape100", sa.Float(), nullable=True),
        sa.Column("baseline_rmse", sa.Float(), nullable=True),
        sa.Column("baseline_rmse_zero", sa.Float(), nullable=True),
        sa.Column("baseline_mae", sa.Float(), nullable=True),
        sa.Column("baseline_bias", sa.Float(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("recorded_at", sa.String(length=27), nullable=False),
        sa.PrimaryKeyConstraint(
            "model", "segment", "version", "window_start", "revision", name=op.f("pk_performance_revisions")
        ),
    )
    op.create_table(
        "pipeline_runs",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("pipeline", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("params", sa.Text(), nullable=False),
        sa.Column("plan", sa.String(length=71), nullable=False),
        sa.Column("steps", sa.Integer(), nullable=False),
        sa.Column("counts", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("started_at", sa.String(length=27), nullable=False),
        sa.Column("finished_at", sa.String(length=27), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("workplace", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pipeline_runs")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_pipeline_runs_pipeline_id"), "pipeline_runs", ["pipeline", "id"], unique=False)
    op.create_index(op.f("ix_pipeline_runs_state_id"), "pipeline_runs", ["state", "id"], unique=False)
    op.create_table(
        "pipeline_values",
        sa.Column("digest", sa.String(length=71), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_pipeline_values")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "scorings",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("slot", sa.String(length=27), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("at", sa.String(length=27), nullable=False),
        sa.Column("input", sa.String(length=32), nullable=False),
        sa.Column("output", sa.String(length=32), nullable=False),
        sa.Column("part", sa.String(length=71), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("answered", sa.Text(), nullable=False),
        sa.Column("silent", sa.Text(), nullable=False),
        sa.Column("first", sa.Text(), nullable=False),
        sa.Column("last", sa.Text(), nullable=False),
        sa.Column("joined", sa.Integer(), nullable=False),
        sa.Column("joined_input", sa.String(length=32), nullable=True),
        sa.Column("closed", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_scorings")),
        sa.UniqueConstraint("model", "environment", "slot", name=op.f("uq_scorings_model_environment_slot")),
    )
    op.create_index(op.f("ix_scorings_model_at"), "scorings", ["model", "at"], unique=False)
    op.create_index(op.f("ix_scorings_model_closed"), "scorings", ["model", "closed"], unique=False)
    op.create_table(
        "signal_batches",
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("id", sa.String(length=30), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("at", sa.String(length=27), nullable=False),
        sa.Column("counts", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_signal_batches")),
        sa.UniqueConstraint("id", name=op.f("uq_signal_batches_id")),
    )
    op.create_index(op.f("ix_signal_batches_model_seq"), "signal_batches", ["model", "seq"], unique=False)
    op.create_table(
        "signal_history",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("segment", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("week", sa.String(length=10), nullable=False),
        sa.Column("state", sa.String(length=7), nullable=False),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("limit", sa.Float(), nullable=True),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("about", sa.Text(), nullable=False),
        sa.Column("window_end", sa.String(length=27), nullable=False),
        sa.PrimaryKeyConstraint("model", "segment", "kind", "week", name=op.f("pk_signal_history")),
    )
    op.create_index(
        op.f("ix_signal_history_model_kind_week"), "signal_history", ["model", "kind", "week"], unique=False
    )
    op.create_table(
        "signals",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("segment", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=7), nullable=False),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("limit", sa.Float(), nullable=True),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("about", sa.Text(), nullable=False),
        sa.Column("window_start", sa.String(length=27), nullable=False),
        sa.Column("window_end", sa.String(length=27), nullable=False),
        sa.Column("sentence", sa.Text(), nullable=False),
        sa.Column("clause", sa.Text(), nullable=False),
        sa.Column("batch", sa.String(length=30), nullable=False),
        sa.PrimaryKeyConstraint("model", "kind", "segment", name=op.f("pk_signals")),
    )
    op.create_index(op.f("ix_signals_model_segment"), "signals", ["model", "segment"], unique=False)
    op.create_index(op.f("ix_signals_model_state_kind"), "signals", ["model", "state", "kind"], unique=False)
    op.create_table(
        "tracking_numbers",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("last", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_tracking_numbers")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "verdict_gates",
        sa.Column("version_id", sa.String(length=32), nullable=False),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("clause", sa.Text(), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("left", sa.Float(), nullable=True),
        sa.Column("right", sa.Float(), nullable=True),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("slice", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("version_id", "seq", "position", name=op.f("pk_verdict_gates")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "verdicts",
        sa.Column("version_id", sa.String(length=32), nullable=False),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("champion", sa.String(length=32), nullable=True),
        sa.Column("rules", sa.String(length=71), nullable=False),
        sa.Column("charter", sa.String(length=71), nullable=False),
        sa.Column("judged_at", sa.String(length=27), nullable=False),
        sa.Column("void", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("version_id", "seq", name=op.f("pk_verdicts")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_verdicts_model_seq"), "verdicts", ["model", "seq"], unique=False)
    op.create_table(
        "experiment_tags",
        sa.Column("experiment", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["experiment"], ["experiments.id"], name=op.f("fk_experiment_tags_experiment_experiments")
        ),
        sa.PrimaryKeyConstraint("experiment", "name", name=op.f("pk_experiment_tags")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "identity_credentials",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("read_only", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.String(length=27), nullable=False),
        sa.Column("expires_at", sa.String(length=27), nullable=False),
        sa.Column("used_at", sa.String(length=27), nullable=True),
        sa.Column("revoked_at", sa.String(length=27), nullable=True),
        sa.ForeignKeyConstraint(
            ["person"], ["identity_people.id"], name=op.f("fk_identity_credentials_person_identity_people")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_identity_credentials")),
        sa.UniqueConstraint("digest", name=op.f("uq_identity_credentials_digest")),
    )
    op.create_index(
        op.f("ix_identity_credentials_person_kind_created_at"),
        "identity_credentials",
        ["person", "kind", "created_at"],
        unique=False,
    )
    op.create_table(
        "incident_touches",
        sa.Column("what", sa.String(length=8), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("incident", sa.String(length=30), nullable=False),
        sa.ForeignKeyConstraint(["incident"], ["incidents.id"], name=op.f("fk_incident_touches_incident_incidents")),
        sa.PrimaryKeyConstraint("what", "name", "incident", name=op.f("pk_incident_touches")),
    )
    op.create_index(op.f("ix_incident_touches_incident"), "incident_touches", ["incident"], unique=False)
    op.create_table(
        "logged_datasets",
        sa.Column("no", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("experiment", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("source_type", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("schema", sa.Text(), nullable=True),
        sa.Column("profile", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["experiment"], ["experiments.id"], name=op.f("fk_logged_datasets_experiment_experiments")
        ),
        sa.PrimaryKeyConstraint("no", name=op.f("pk_logged_datasets")),
        sa.UniqueConstraint("experiment", "name", "digest", name=op.f("uq_logged_datasets_experiment_name_digest")),
    )
    op.create_table(
        "logged_models",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("experiment", sa.Integer(), nullable=False),
        sa.Column("gone", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("updated", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("model_type", sa.Text(), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("run", sa.String(length=40), nullable=True),
        sa.ForeignKeyConstraint(
            ["experiment"], ["experiments.id"], name=op.f("fk_logged_models_experiment_experiments")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_logged_models")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_logged_models_experiment_gone_created"),
        "logged_models",
        ["experiment", "gone", "created"],
        unique=False,
    )
    op.create_index(op.f("ix_logged_models_run"), "logged_models", ["run"], unique=False)
    op.create_table(
        "loop_ticks",
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("id", sa.String(length=31), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("at", sa.String(length=27), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("charter", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=71), nullable=False),
        sa.Column("fleet", sa.String(length=71), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("counts", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["fleet"], ["loop_fleets.digest"], name=op.f("fk_loop_ticks_fleet_loop_fleets")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_loop_ticks")),
        sa.UniqueConstraint("id", name=op.f("uq_loop_ticks_id")),
    )
    op.create_index(op.f("ix_loop_ticks_model_number"), "loop_ticks", ["model", "number"], unique=True)
    op.create_table(
        "model_batches",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.String(length=32), nullable=True),
        sa.Column("dataset_version", sa.String(length=32), nullable=True),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("environment", sa.Text(), nullable=True),
        sa.Column("pack", sa.String(length=71), nullable=False),
        sa.Column("members", sa.String(length=71), nullable=False),
        sa.Column("trained_at", sa.String(length=27), nullable=False),
        sa.Column("trained_until", sa.Text(), nullable=False),
        sa.Column("created_at", sa.String(length=27), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("freed_at", sa.String(length=27), nullable=True),
        sa.ForeignKeyConstraint(
            ["model"], ["models.name"], name=op.f("fk_model_batches_model_models"), onupdate="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model_batches")),
    )
    op.create_index(op.f("ix_model_batches_model_seq"), "model_batches", ["model", "seq"], unique=False)
    op.create_index(op.f("ix_model_batches_run_id"), "model_batches", ["run_id"], unique=False)
    op.create_table(
        "model_tags",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model"], ["models.name"], name=op.f("fk_model_tags_model_models"), onupdate="CASCADE"
        ),
        sa.PrimaryKeyConstraint("model", "name", name=op.f("pk_model_tags")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_model_tags_name_model"), "model_tags", ["name", "model"], unique=False)
    op.create_table(
        "pipeline_steps",
        sa.Column("run_id", sa.String(length=40), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("part", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("key", sa.String(length=71), nullable=True),
        sa.Column("code", sa.String(length=71), nullable=True),
        sa.Column("params", sa.String(length=71), nullable=True),
        sa.Column("environment", sa.String(length=71), nullable=True),
        sa.Column("inputs", sa.Text(), nullable=False),
        sa.Column("outputs", sa.Text(), nullable=False),
        sa.Column("log", sa.String(length=71), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(length=40), nullable=True),
        sa.Column("started_at", sa.String(length=27), nullable=True),
        sa.Column("finished_at", sa.String(length=27), nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["pipeline_runs.id"], name=op.f("fk_pipeline_steps_run_id_pipeline_runs")),
        sa.PrimaryKeyConstraint("run_id", "position", "part", name=op.f("pk_pipeline_steps")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_pipeline_steps_done",
        "pipeline_steps",
        ["key"],
        unique=False,
        sqlite_where=sa.text("state = 'done'"),
        postgresql_where=sa.text("state = 'done'"),
    )
    op.create_table(
        "runs",
        sa.Column("no", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("experiment", sa.Integer(), nullable=False),
        sa.Column("gone", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("started", sa.BigInteger(), nullable=False),
        sa.Column("finished", sa.BigInteger(), nullable=True),
        sa.Column("deleted", sa.BigInteger(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("parent", sa.String(length=40), nullable=True),
        sa.Column("user", sa.Text(), nullable=True),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("environment", sa.String(length=71), nullable=True),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("machine", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["experiment"], ["experiments.id"], name=op.f("fk_runs_experiment_experiments")),
        sa.ForeignKeyConstraint(["parent"], ["runs.id"], name=op.f("fk_runs_parent_runs")),
        sa.PrimaryKeyConstraint("no", name=op.f("pk_runs")),
        sa.UniqueConstraint("id", name=op.f("uq_runs_id")),
    )
    op.create_index(op.f("ix_runs_experiment_gone_started"), "runs", ["experiment", "gone", "started"], unique=False)
    op.create_index(op.f("ix_runs_kind_id"), "runs", ["kind", "id"], unique=False)
    op.create_index(op.f("ix_runs_model_id"), "runs", ["model", "id"], unique=False)
    op.create_index(op.f("ix_runs_parent_id"), "runs", ["parent", "id"], unique=False)
    op.create_index(op.f("ix_runs_status_id"), "runs", ["status", "id"], unique=False)
    op.create_table(
        "logged_model_metrics",
        sa.Column("model", sa.String(length=40), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("run", sa.String(length=40), nullable=False),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("mark", sa.String(length=9), nullable=True),
        sa.Column("dataset_name", sa.Text(), nullable=True),
        sa.Column("dataset_digest", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["model"], ["logged_models.id"], name=op.f("fk_logged_model_metrics_model_logged_models")
        ),
        sa.PrimaryKeyConstraint("model", "name", "at", "step", "run", name=op.f("pk_logged_model_metrics")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "logged_model_params",
        sa.Column("model", sa.String(length=40), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model"], ["logged_models.id"], name=op.f("fk_logged_model_params_model_logged_models")
        ),
        sa.PrimaryKeyConstraint("model", "name", name=op.f("pk_logged_model_params")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "logged_model_tags",
        sa.Column("model", sa.String(length=40), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["model"], ["logged_models.id"], name=op.f("fk_logged_model_tags_model_logged_models")),
        sa.PrimaryKeyConstraint("model", "name", name=op.f("pk_logged_model_tags")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "loop_decisions",
        sa.Column("tick", sa.Integer(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["tick"], ["loop_ticks.seq"], name=op.f("fk_loop_decisions_tick_loop_ticks")),
        sa.PrimaryKeyConstraint("tick", "place", name=op.f("pk_loop_decisions")),
    )
    op.create_index(op.f("ix_loop_decisions_kind_tick"), "loop_decisions", ["kind", "tick"], unique=False)
    op.create_index(
        op.f("ix_loop_decisions_model_kind_tick"), "loop_decisions", ["model", "kind", "tick"], unique=False
    )
    op.create_index(op.f("ix_loop_decisions_model_tick"), "loop_decisions", ["model", "tick"], unique=False)
    op.create_table(
        "loop_outcomes",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("segment", sa.Text(), nullable=False),
        sa.Column("tick", sa.Integer(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["tick"], ["loop_ticks.seq"], name=op.f("fk_loop_outcomes_tick_loop_ticks")),
        sa.PrimaryKeyConstraint("model", "segment", "tick", name=op.f("pk_loop_outcomes")),
    )
    op.create_index(op.f("ix_loop_outcomes_tick"), "loop_outcomes", ["tick"], unique=False)
    op.create_table(
        "metric_chunks",
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("chunk", sa.Integer(), nullable=False),
        sa.Column("points", sa.Integer(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["run"], ["runs.no"], name=op.f("fk_metric_chunks_run_runs")),
        sa.PrimaryKeyConstraint("run", "name", "chunk", name=op.f("pk_metric_chunks")),
    )
    op.create_table(
        "metric_log",
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("points", sa.Integer(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["run"], ["runs.no"], name=op.f("fk_metric_log_run_runs")),
        sa.PrimaryKeyConstraint("run", "seq", name=op.f("pk_metric_log")),
    )
    op.create_table(
        "model_versions",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("segment", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("batch", sa.String(length=32), nullable=False),
        sa.Column("artifact", sa.String(length=71), nullable=False),
        sa.Column("offset", sa.Integer(), nullable=False),
        sa.Column("length", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.Column("metrics", sa.Text(), nullable=False),
        sa.Column("deleted_at", sa.String(length=27), nullable=True),
        sa.ForeignKeyConstraint(["batch"], ["model_batches.id"], name=op.f("fk_model_versions_batch_model_batches")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model_versions")),
        sa.UniqueConstraint("model", "segment", "number", name=op.f("uq_model_versions_model_segment_number")),
    )
    op.create_index(op.f("ix_model_versions_batch"), "model_versions", ["batch"], unique=False)
    op.create_index(op.f("ix_model_versions_model_state"), "model_versions", ["model", "state"], unique=False)
    op.create_table(
        "run_inputs",
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("experiment", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=True),
        sa.Column("digest", sa.Text(), nullable=True),
        sa.Column("context", sa.Text(), nullable=True),
        sa.Column("dataset", sa.Integer(), nullable=True),
        sa.Column("tags", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["dataset"], ["logged_datasets.no"], name=op.f("fk_run_inputs_dataset_logged_datasets")
        ),
        sa.ForeignKeyConstraint(["run"], ["runs.no"], name=op.f("fk_run_inputs_run_runs")),
        sa.PrimaryKeyConstraint("run", "position", name=op.f("pk_run_inputs")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_run_inputs_digest"), "run_inputs", ["digest"], unique=False)
    op.create_index(op.f("ix_run_inputs_experiment_kind"), "run_inputs", ["experiment", "kind"], unique=False)
    op.create_index(op.f("ix_run_inputs_id"), "run_inputs", ["id"], unique=False)
    op.create_table(
        "run_metrics",
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("experiment", sa.Integer(), nullable=False),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("mark", sa.String(length=9), nullable=True),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("(value IS NULL) = (COALESCE(mark, '') IN ('NaN', 'unknown'))", name="number_or_mark"),
        sa.ForeignKeyConstraint(["run"], ["runs.no"], name=op.f("fk_run_metrics_run_runs")),
        sa.PrimaryKeyConstraint("run", "name", name=op.f("pk_run_metrics")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_run_metrics_experiment_name_value_run"),
        "run_metrics",
        ["experiment", "name", "value", "run"],
        unique=False,
    )
    op.create_table(
        "run_outputs",
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("model", sa.String(length=40), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["run"], ["runs.no"], name=op.f("fk_run_outputs_run_runs")),
        sa.PrimaryKeyConstraint("run", "model", name=op.f("pk_run_outputs")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_run_outputs_model"), "run_outputs", ["model"], unique=False)
    op.create_table(
        "run_params",
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("experiment", sa.Integer(), nullable=False),
        sa.Column("value", sa.String(length=200), nullable=False),
        sa.Column("rest", sa.Text(), nullable=True),
        sa.Column("json", sa.SmallInteger(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(["run"], ["runs.no"], name=op.f("fk_run_params_run_runs")),
        sa.PrimaryKeyConstraint("run", "name", name=op.f("pk_run_params")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_run_params_experiment_name_value_run"),
        "run_params",
        ["experiment", "name", "value", "run"],
        unique=False,
    )
    op.create_table(
        "run_tags",
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("experiment", sa.Integer(), nullable=False),
        sa.Column("value", sa.String(length=200), nullable=False),
        sa.Column("rest", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["run"], ["runs.no"], name=op.f("fk_run_tags_run_runs")),
        sa.PrimaryKeyConstraint("run", "name", name=op.f("pk_run_tags")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_run_tags_experiment_name_value_run"), "run_tags", ["experiment", "name", "value", "run"], unique=False
    )
    op.create_table(
        "champions",
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("segment", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("version_id", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("since", sa.String(length=27), nullable=False),
        sa.Column("until", sa.String(length=27), nullable=True),
        sa.Column("cause", sa.String(length=16), nullable=False),
        sa.Column("decision", sa.String(length=32), nullable=True),
        sa.Column("by", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["version_id"], ["model_versions.id"], name=op.f("fk_champions_version_id_model_versions")
        ),
        sa.PrimaryKeyConstraint("seq", "segment", name=op.f("pk_champions")),
    )
    op.create_index(op.f("ix_champions_model_segment_seq"), "champions", ["model", "segment", "seq"], unique=False)
    op.create_index(op.f("ix_champions_version_id"), "champions", ["version_id"], unique=False)
    op.create_index(
        "uq_champions_holder",
        "champions",
        ["model", "environment", "segment"],
        unique=True,
        sqlite_where=sa.text("until IS NULL"),
        postgresql_where=sa.text("until IS NULL"),
    )
    op.create_table(
        "model_aliases",
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("alias", sa.Text(), nullable=False),
        sa.Column("version", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("since", sa.String(length=27), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("until", sa.String(length=27), nullable=True),
        sa.Column("ended_by", sa.Text(), nullable=True),
        sa.Column("ended_seq", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["version"], ["model_versions.id"], name=op.f("fk_model_aliases_version_model_versions")
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_model_aliases")),
    )
    op.create_index(op.f("ix_model_aliases_model_seq"), "model_aliases", ["model", "seq"], unique=False)
    op.create_index(op.f("ix_model_aliases_version"), "model_aliases", ["version"], unique=False)
    op.create_index(
        "uq_model_aliases_now",
        "model_aliases",
        ["model", "key"],
        unique=True,
        sqlite_where=sa.text("until IS NULL"),
        postgresql_where=sa.text("until IS NULL"),
    )
    op.create_table(
        "version_details",
        sa.Column("version", sa.String(length=32), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("run_link", sa.Text(), nullable=True),
        sa.Column("logged_model", sa.String(length=40), nullable=True),
        sa.Column("files", sa.Integer(), nullable=True),
        sa.Column("stage", sa.String(length=16), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("status_message", sa.Text(), nullable=True),
        sa.Column("updated_at", sa.String(length=27), nullable=False),
        sa.ForeignKeyConstraint(
            ["version"], ["model_versions.id"], name=op.f("fk_version_details_version_model_versions")
        ),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_version_details")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_version_details_logged_model"), "version_details", ["logged_model"], unique=False)
    op.create_table(
        "version_stages",
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version", sa.String(length=32), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("stage", sa.String(length=16), nullable=False),
        sa.Column("since", sa.String(length=27), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("until", sa.String(length=27), nullable=True),
        sa.Column("ended_by", sa.Text(), nullable=True),
        sa.Column("ended_seq", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["version"], ["model_versions.id"], name=op.f("fk_version_stages_version_model_versions")
        ),
        sa.PrimaryKeyConstraint("seq", "version", name=op.f("pk_version_stages")),
    )
    op.create_index(op.f("ix_version_stages_model_seq"), "version_stages", ["model", "seq"], unique=False)
    op.create_index(
        "uq_version_stages_now",
        "version_stages",
        ["version"],
        unique=True,
        sqlite_where=sa.text("until IS NULL"),
        postgresql_where=sa.text("until IS NULL"),
    )
    op.create_table(
        "version_tags",
        sa.Column("version", sa.String(length=32), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["version"], ["model_versions.id"], name=op.f("fk_version_tags_version_model_versions")
        ),
        sa.PrimaryKeyConstraint("version", "name", name=op.f("pk_version_tags")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_version_tags_name_version"), "version_tags", ["name", "version"], unique=False)
