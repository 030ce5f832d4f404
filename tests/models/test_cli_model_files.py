"""`keepwell model inspect`, `keepwell model predict` and `keepwell policy`, as a person types them."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner, Result
from sklearn.linear_model import LinearRegression

from keepwell.cli import cli
from keepwell.core.errors import Denied, InvalidInput, NotFound
from keepwell.flows import registering
from keepwell.flows.kit import Kit
from keepwell.flows.opening import laid_out
from keepwell.models import registry
from keepwell.models.flavors import load, mlmodel, save
from keepwell.models.signatures import infer
from keepwell.tracking import service as tracking

ROWS = pl.DataFrame({"a": np.arange(20.0), "b": np.arange(20.0)[::-1] ** 2})
Y = 2 * ROWS["a"].to_numpy() + ROWS["b"].to_numpy()


def run(home: Path, *words: str) -> Result:
    return CliRunner().invoke(cli, [*words, "--home", str(home)])


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save(LinearRegression().fit(ROWS, Y), tmp_path / "m", signature=infer(ROWS, Y), input_example=ROWS.head(2))
    return tmp_path / "m"


def test_inspect_says_what_a_model_is(home: Path, folder: Path) -> None:
    text = run(home, "model", "inspect", str(folder)).output
    assert "sklearn" in text and "safe" in text and "a: double, b: double" in text and "scikit-learn==" in text
    told = json.loads(run(home, "model", "inspect", str(folder), "--json").output)
    assert told["flavor"] == "sklearn" and told["has_example"] is True


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_predict_reads_rows_and_writes_answers(home: Path, folder: Path, tmp_path: Path, suffix: str) -> None:
    rows, out = tmp_path / f"rows{suffix}", tmp_path / f"out{suffix}"
    {".csv": ROWS.write_csv, ".parquet": ROWS.write_parquet, ".jsonl": ROWS.write_ndjson}[suffix](rows)
    ran = run(home, "model", "predict", str(folder), str(rows), str(out))
    assert ran.exit_code == 0, ran.output
    read = {".csv": pl.read_csv, ".parquet": pl.read_parquet, ".jsonl": pl.read_ndjson}[suffix](out)
    assert read.columns == ["a", "b", "prediction"] and np.allclose(read["prediction"], Y)


def test_the_policy_of_an_environment_holds_on_the_command_line(home: Path, tmp_path: Path) -> None:
    place = tmp_path / "p"
    place.mkdir()
    conf = {"pickled_model": "model.pkl", "serialization_format": "pickle"}
    (place / "MLmodel").write_text(mlmodel.text({"flavors": {"sklearn": conf}}))
    (place / "model.pkl").write_bytes(pickle.dumps(LinearRegression().fit(ROWS.to_numpy(), Y)))
    ROWS.write_csv(tmp_path / "rows.csv")
    words = ("model", "predict", str(place), str(tmp_path / "rows.csv"), str(tmp_path / "out.csv"))
    assert isinstance(run(home, *words).exception, Denied)
    assert "No environment has a policy" in run(home, "policy", "show").output
    said = run(home, "policy", "allow-pickle", "dev", "--reason", "an old model")
    assert "may run code" in said.output
    ran = run(home, *words)
    assert ran.exit_code == 0, ran.exception
    assert np.allclose(pl.read_csv(tmp_path / "out.csv")["prediction"], Y)
    assert "shop" in run(home, "policy", "allow-code", "dev", "shop", "--reason", "ours").output
    assert json.loads(run(home, "policy", "show", "dev", "--json").output)[0]["code"] == ["shop"]
    assert "may not" in run(home, "policy", "refuse-pickle", "dev", "--reason", "retrained").output
    assert json.loads(run(home, "policy", "show", "prod", "--json").output)[0]["pickle"] is False
    ledger = run(home, "audit", "list", "--kind", "model.unsafe_loaded", "--json").output
    assert len(json.loads(ledger)) == 1


def test_a_registered_version_is_laid_out_and_loaded(kit: Kit, folder: Path) -> None:
    with kit.write() as tx:
        call = kit.call("person:ann")
        run = tracking.start_run(tx, call, name="fit").id
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            name = f"model/{path.relative_to(folder).as_posix()}"
            tracking.put_artifact(tx, call, run, name, kit.blobs.put(path.read_bytes()), path.stat().st_size)
        registry.create_model(tx, call, "sums")
        registering.register_from(tx, kit, call, "sums", f"runs:/{run}/model", aliases=["best"])
    for named in ("models:/sums/1", "models:/sums@best", "models:/sums/latest"):
        with laid_out(kit, named) as there:
            assert np.allclose(load(there).predict(ROWS), Y)
        assert not there.exists()
    with kit.write() as tx:
        made = tracking.create_logged_model(tx, kit.call("person:ann"), 0, "net", run_id=run)
        for one in tracking.all_artifacts(tx, run):
            inside = one.path.removeprefix("model/")
            tracking.put_artifact(tx, kit.call("person:ann"), made.id, inside, str(one.digest), one.size)
    for named in (f"runs:/{run}/model", f"runs:/{run}/net", f"models:/{made.id}"):
        with laid_out(kit, named) as there:
            assert np.allclose(load(there).predict(ROWS), Y), named
    for wrong, error in (("models:/m-" + "a" * 32, NotFound), ("models:/../x/1", InvalidInput)):
        with pytest.raises(error), laid_out(kit, wrong):
            pass
