"""Steps and graphs, fingerprints, the step cache, runners."""

from keepwell.pipelines.declare import command, renamed, step
from keepwell.pipelines.model import Pipeline, Step, Stored

__all__ = ["Pipeline", "Step", "Stored", "command", "renamed", "step"]
