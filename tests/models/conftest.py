"""Members to register, and short ways to do it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from keepwell.flows.kit import Kit
from keepwell.models import service as models
from keepwell.models.model import Champion, ModelVersion

Register = Callable[..., list[ModelVersion]]
Promote = Callable[..., list[Champion]]


@pytest.fixture
def register(kit: Kit) -> Register:
    """Register a version of each segment, with bytes of its own."""

    def do(
        segments: Sequence[str] = ("region=N", "region=S"),
        *,
        model: str = "demand",
        actor: str = "loop:demand",
        content: str = "1",
        key: str | None = None,
        metrics: dict[str, dict[str, float | None]] | None = None,
    ) -> list[ModelVersion]:
        pack, members = models.pack(kit.blobs, {s: f"{s} {content}".encode() for s in segments})
        members = [replace(m, facts={"rows": 9}, metrics=(metrics or {}).get(m.segment, {})) for m in members]
        with kit.write() as tx:
            return models.register(
                tx, kit.call(actor, key), model, members, pack=pack, run_id="run_1", dataset_version="dsv_1",
                code="abc", environment=None, trained_at=kit.clock.now(), trained_until="2026-01-01",
                blobs=kit.blobs,
            )  # fmt: skip

    return do


@pytest.fixture
def promote(kit: Kit) -> Promote:
    """Promote versions."""

    def do(
        versions: Sequence[ModelVersion], environment: str = "prod", *, key: str | None = None, **more: object
    ) -> list[Champion]:
        with kit.write() as tx:
            return models.promote(
                tx, kit.call("person:ann", key), versions[0].model, environment, [v.id for v in versions], "better",
                **more,
            )  # fmt: skip

    return do
