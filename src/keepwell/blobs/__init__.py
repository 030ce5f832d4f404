"""Content-addressed bytes: named by their sha256, written once, verified on every read."""

from keepwell.blobs.local import LocalBlobs
from keepwell.blobs.model import Blobs

__all__ = ["Blobs", "LocalBlobs"]
