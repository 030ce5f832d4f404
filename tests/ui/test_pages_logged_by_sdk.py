"""What the SDK records of a model is on the pages of its run and of the model."""

from __future__ import annotations

from typing import Any

from keepwell.flows.kit import Kit
from keepwell.flows.record import record
from keepwell.tracking import wire


def test_a_run_shows_the_model_it_logged_and_the_model_its_files_and_metrics(kit: Kit, pages_of: Any) -> None:
    run, model = kit.ids.new("run"), "m-" + "ab" * 16
    point = wire.ModelPoint(model, "rmse", 0.25, 3, 5)
    ops: list[wire.Op] = [
        wire.Start(run=run, name="fit", params={"depth": 4}),
        wire.Model(run=run, model=model, name="churn net", model_type="classifier", params={"rate": "0.1"}),
        wire.Put(run=run, path="MLmodel", data=b"flavors: {}\n", model=model),
        wire.Ready(run=run, model=model, files=1),
        wire.Log(run=run, models=[point]),
        wire.Finish(run=run),
    ]
    batch = wire.Batch(kit.ids.new("ses"), list(enumerate(ops)))
    assert record(kit, kit.call("person:ann"), batch).refused == []
    pages = pages_of(kit)
    of_run = pages.page(f"/runs/{run}")
    assert "Models it logged" in of_run and f'href="/logged-models/{model}"' in of_run and "churn net" in of_run
    of_model = pages.words(f"/logged-models/{model}")
    for word in ("churn net", "MLmodel", "rmse", "0.25", "depth", "rate"):
        assert word in of_model, word
