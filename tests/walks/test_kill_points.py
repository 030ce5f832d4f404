"""Killed at every failpoint of upload, dataset version, registration, promotion, a recorded run and checkpoint."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

# What each walk must pass at the least: a step that loses its failpoint is a step that is not tried any more.
POINTS = {
    "upload": {
        "upload.temp_open", "upload.written", "upload.synced", "upload.renamed", "upload.folder_synced",
        "ledger.appended", "db.before_commit", "db.after_commit",
    },
    "receive": {
        "receive.part_stored", "receive.quarantine_stored", "receive.drafted", "dataset.manifest_stored",
        "dataset.version_written", "receive.version_added", "monitoring.incident_opened", "dataset.arrivals_written",
        "db.before_commit", "db.after_commit",
    },
    "register": {
        "models.packed", "models.batch_stored", "models.versions_stored", "releases.evidence_stored",
        "releases.verdicts_stored", "certify.judged", "db.before_commit", "db.after_commit",
    },
    "promote": {
        "promote.judged", "models.champions_closed", "models.champions_opened", "models.champions_stated",
        "db.before_commit", "db.after_commit",
    },
    "track": {
        "tracking.started", "tracking.points_appended", "tracking.compacting", "tracking.compacted",
        "tracking.finished", "tracking.amending", "ledger.appended", "db.before_commit", "db.after_commit",
    },
    "registry": {
        "upload.renamed", "models.batch_stored", "models.versions_stored", "models.version_detailed",
        "models.alias_ended", "models.alias_set", "models.alias_deleted", "models.stage_set", "models.tags_set",
        "models.version_tag_deleted", "models.version_described", "models.versions_deleted", "models.version_restored",
        "db.before_commit", "db.after_commit",
    },
    "rename": {"models.renamed", "db.before_commit", "db.after_commit"},
    "unregister": {"models.versions_deleted", "models.deleted", "db.before_commit", "db.after_commit"},
    "gc": {
        "models.expired", "tracking.runs_removed", "gc.expired", "gc.condemned_stored", "gc.condemned", "blobs.freeing",
        "gc.removed", "gc.settled", "gc.told", "db.before_commit", "db.after_commit",
    },
    "checkpoint": {"key.added", "checkpoint.signed", "db.before_commit", "db.after_commit"},
}  # fmt: skip


@pytest.mark.parametrize("walk", POINTS)
def test_killed_anywhere_nothing_is_torn_and_a_retry_ends_as_it_should(tmp_path, walk):
    command = [sys.executable, "-m", "keepwell.testing.killing", walk, str(tmp_path), "--thin"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    outcome = json.loads(done.stdout)
    assert outcome["violations"] == []
    assert POINTS[walk] <= {point.partition("@")[0] for point in outcome["points"]}
