"""Folders that can run code: refused, or loaded in a process of their own; folders that MLflow's clients write."""

from __future__ import annotations

import json
import pickle
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LinearRegression, SGDRegressor

from keepwell.core.errors import Conflict, Damaged, Denied, InvalidInput, KeepwellError, NotSupported, Unavailable
from keepwell.flows.kit import Kit
from keepwell.flows.opening import open_model
from keepwell.governance.policies import change_policy
from keepwell.ledger.service import entries
from keepwell.models.flavors import Limits, Policy, Unsafe, describe, load, mlmodel, save
from keepwell.testing.flavors import Marker

X = np.arange(40.0).reshape(20, 2)
Y = X @ [2.0, 3.0] + 1
MODEL = LinearRegression().fit(X, Y)


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    sys.modules.pop("shop", None)
    import shop

    yield shop
    sys.modules.pop("shop", None)


def folder_of(place: Path, flavors: dict[str, Any], files: dict[str, bytes]) -> Path:
    """Write a folder as an MLflow client, or somebody who means harm, would."""
    place.mkdir(exist_ok=True)
    (place / "MLmodel").write_text(mlmodel.text({"flavors": flavors}))
    for name, data in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(data)
    return place


def pickled(place: Path, value: Any, form: str = "pickle") -> Path:
    conf = {"pickled_model": "model.pkl", "serialization_format": form, "sklearn_version": "1.9.1"}
    return folder_of(place, {"sklearn": conf}, {"model.pkl": pickle.dumps(value)})


def test_a_pickle_loads_in_a_worker_where_the_policy_allows_it(tmp_path: Path) -> None:
    place = pickled(tmp_path / "m", MODEL)
    with pytest.raises(Denied, match="allow-pickle"):
        load(place)
    seen: list[Unsafe] = []
    with load(place, Policy(pickle=True, recorder=seen.append)) as loaded:
        assert loaded.where == "worker"
        assert np.allclose(loaded.predict(X), Y)
        assert np.allclose(loaded.predict(pl.DataFrame(X, schema=["a", "b"])), Y)
    assert [(u.flavor, u.path, u.digest[:7]) for u in seen] == [("sklearn", "model.pkl", "sha256:")]
    assert describe(place).verdict == "unsafe"


def test_what_cannot_be_recorded_is_not_loaded(tmp_path: Path) -> None:
    def refuse(_: Unsafe) -> None:
        raise Denied("not today")

    place = pickled(tmp_path / "m", Marker(str(tmp_path / "marker")))
    with pytest.raises(Denied, match="not today"):
        load(place, Policy(pickle=True, recorder=refuse))
    assert not (tmp_path / "marker").exists()


def test_the_worker_keeps_harm_in(tmp_path: Path) -> None:
    """H01: where the system offers it, what a pickle does in its worker leaves nothing on the host."""
    with load(pickled(tmp_path / "good", MODEL), Policy(pickle=True)) as loaded:
        confined = loaded._model.confined  # type: ignore[attr-defined]
    assert "limits" in confined
    place = pickled(tmp_path / "m", Marker(str(tmp_path / "marker")))
    if "files" not in confined:
        pytest.skip("this system has no Landlock: files of the same user are not out of reach")
    with pytest.raises(KeepwellError):
        load(place, Policy(pickle=True))
    assert not (tmp_path / "marker").exists()


def looker(place: Path, what: str) -> Path:
    """A folder with code of its own, whose model evaluates a text in the process it is in."""
    conf = {"loader_module": "peeking", "data": "what.txt", "code": "code"}
    source = "import os, socket, time, ctypes\nclass M:\n def __init__(s, w): s.w = w\n"
    source += " def predict(s, rows): return eval(s.w)\n"
    source += "def _load_pyfunc(path): return M(open(path).read())\n"
    return folder_of(place, {"python_function": conf}, {"what.txt": what.encode(), "code/peeking.py": source.encode()})


@pytest.mark.parametrize("what", ["sorted(os.environ)", "os.getcwd()"])
def test_a_worker_has_no_environment_and_a_folder_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """H23: no token of the caller is there to be found."""
    monkeypatch.setenv("KEEPWELL_TOKEN", "kwt_secret")
    with load(looker(tmp_path / "m", what), Policy(pickle=True)) as loaded:
        found = loaded.predict(X)
    if what == "os.getcwd()":
        assert "keepwell-model-" in found and not Path(found).exists()
    else:
        assert set(found) <= {"HOME", "TMPDIR", "LC_CTYPE", "__CF_USER_TEXT_ENCODING"}


def test_a_worker_reaches_no_network(tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with load(
            looker(tmp_path / "m", f"socket.create_connection(('127.0.0.1', {port}), 2)"), Policy(pickle=True)
        ) as one:
            if "network" not in one._model.confined:  # type: ignore[attr-defined]
                pytest.skip("this system lets no process give up the network")
            with pytest.raises(InvalidInput, match="The model failed"):
                one.predict(X)


@pytest.mark.parametrize(
    ("what", "limits", "says"),
    [
        ("time.sleep(60)", Limits(seconds=0.5), "took longer than 0.5 s"),
        ("ctypes.string_at(0)", Limits(), "SIGSEGV"),
        ("os._exit(3)", Limits(), "status 3"),
        ("os.kill(os.getpid(), 9)", Limits(), "SIGKILL"),
    ],
)
def test_a_crash_or_a_hang_is_one_sentence(tmp_path: Path, what: str, limits: Limits, says: str) -> None:
    with load(looker(tmp_path / "m", what), Policy(pickle=True, limits=limits)) as loaded:
        with pytest.raises(Unavailable, match=says):
            loaded.predict(X)
        with pytest.raises(Unavailable):
            loaded.predict(X)


def test_too_much_memory_is_the_models_own_trouble(tmp_path: Path) -> None:
    what = "bytearray(3 << 30) and 1"
    place, policy = looker(tmp_path / "m", what), Policy(pickle=True, limits=Limits(memory=2 << 30))
    with load(place, policy) as loaded, pytest.raises((InvalidInput, Unavailable)):
        loaded.predict(X)


def test_a_model_that_answers_with_anything_is_refused(tmp_path: Path) -> None:
    with load(looker(tmp_path / "m", "object()"), Policy(pickle=True)) as loaded:
        with pytest.raises(InvalidInput, match="no plain value"):
            loaded.predict(X)
        with pytest.raises(InvalidInput):
            loaded.predict(object())


def test_a_folder_that_names_a_loader_is_code(tmp_path: Path) -> None:
    """H03: `loader_module` and a code folder run nothing without the policy."""
    place = looker(tmp_path / "m", f"open({str(tmp_path / 'marker')!r}, 'w')")
    with pytest.raises(Denied, match="peeking"):
        load(place)
    for loader in ("os", "subprocess", "builtins"):
        conf = {"loader_module": loader, "data": "what.txt"}
        with pytest.raises(Denied):
            load(folder_of(tmp_path / loader, {"python_function": conf}, {"what.txt": b"touch marker"}))
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize("name", ["os:system", "subprocess:Popen", "builtins:eval", "shop:price"])
def test_a_function_is_imported_only_where_its_module_is_allowed(tmp_path: Path, shop: Any, name: str) -> None:
    """H03: the name of a function is not a permission."""
    import hashlib

    text = b"source"
    digest = "sha256:" + hashlib.sha256(text).hexdigest()
    conf = {"function": name, "source": "s.py", "source_digest": digest}
    place = folder_of(tmp_path / "m", {"keepwell_function": conf}, {"s.py": text})
    with pytest.raises(Denied, match="pass code="):
        load(place)
    with pytest.raises((InvalidInput, Conflict)):
        load(place, Policy(code=(name.split(":")[0],)))


def test_a_function_whose_source_changed_is_refused(tmp_path: Path, shop: Any) -> None:
    saved = save(shop.price, tmp_path / "m")
    about = mlmodel.read(saved.folder)
    other = (saved.folder / "function_source.py").read_bytes() + b"\n# older\n"
    (saved.folder / "function_source.py").write_bytes(other)
    with pytest.raises(Damaged):
        load(saved.folder, Policy(code=("shop",)))
    import hashlib

    about["flavors"]["keepwell_function"]["source_digest"] = "sha256:" + hashlib.sha256(other).hexdigest()
    (saved.folder / "MLmodel").write_text(mlmodel.text(about))
    with pytest.raises(Conflict, match="has changed"):
        load(saved.folder, Policy(code=("shop",)))


def test_functions_without_a_name_are_refused() -> None:
    from keepwell.models.flavors.code import address

    def inner() -> None: ...

    for thing in (lambda rows: rows, inner):
        with pytest.raises(InvalidInput):
            address(thing)


@pytest.mark.parametrize(
    "data", [b"\x80\x02]q\x00.", b"cos\nsystem\n(S'true'\ntR.", b"\x1f\x8b\x08", b"not a model", b""]
)
def test_every_disguise_of_a_pickle_is_refused_by_content(tmp_path: Path, data: bytes) -> None:
    """H01, H07: also under the safe formats' file names, and with metadata that calls it safe."""
    confs: dict[str, dict[str, Any]] = {
        "sklearn": {"pickled_model": "f", "serialization_format": "skops", "skops_trusted_types": ["os.system"]},
        "lightgbm": {"data": "f", "model_class": "lightgbm.basic.Booster", "serialization_format": "skops"},
        "xgboost": {"data": "f", "model_class": "xgboost.core.Booster"},
        "pytorch": {"model_data": "d", "serialization_format": "pt2"},
    }
    for flavor, conf in confs.items():
        place = folder_of(tmp_path / flavor, {flavor: conf}, {"f": data, "d/model.pt2": data, "d/model.pth": data})
        with pytest.raises((Denied, Damaged)):
            load(place)


def test_torchs_own_pickles_are_refused(tmp_path: Path) -> None:
    """H07: no `weights_only` is trusted; the legacy and the zip form of torch.save are pickles."""
    import torch

    for number, zipped in enumerate((True, False)):
        place = folder_of(tmp_path / str(number), {"pytorch": {"model_data": "data"}}, {})
        (place / "data").mkdir()
        torch.save({"a": torch.zeros(1)}, place / "data/model.pth", _use_new_zipfile_serialization=zipped)
        with pytest.raises(Denied, match="pickle"):
            load(place)


def edited(place: Path, change: Callable[[str, bytes], bytes | None]) -> None:
    """Rewrite the members of a zip archive."""
    with zipfile.ZipFile(place) as old:
        members = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(place, "w") as new:
        for name, data in members.items():
            made = change(name, data)
            if made is not None:
                new.writestr(name, made)


def test_skops_files_are_judged_by_what_would_run(tmp_path: Path) -> None:
    """H11: a file that names os.system, under a trusted heading or in its metadata, loads nothing."""
    saved = save(MODEL, tmp_path / "m")
    file = saved.folder / "model.skops"

    def named(name: str, data: bytes) -> bytes:
        if name != "schema.json":
            return data
        schema = json.loads(data)
        schema["content"]["content"]["fit_intercept"] = {
            "__class__": "system", "__module__": "os", "__loader__": "FunctionNode", "__id__": 1,
        }  # fmt: skip
        return json.dumps(schema).encode()

    edited(file, named)
    about = mlmodel.read(saved.folder)
    about["flavors"]["sklearn"]["skops_trusted_types"] = ["os.system"]
    (saved.folder / "MLmodel").write_text(mlmodel.text(about))
    with pytest.raises(Denied, match=r"os\.system|posix\.system"):
        load(saved.folder)


def test_a_random_state_out_of_range_is_refused(tmp_path: Path) -> None:
    """H13: numpy would read beyond the state's key."""
    model = SGDRegressor(random_state=np.random.RandomState(1)).fit(X, Y)
    saved = save(model, tmp_path / "m")
    assert load(saved.folder).predict(X).shape == (20,)

    def wild(name: str, data: bytes) -> bytes:
        if name != "schema.json":
            return data
        text = data.decode()
        at = text.index('"pos"')
        return (text[:at] + text[at:].replace('"content": "', '"content": "9999', 1)).encode()

    edited(saved.folder / "model.skops", wild)
    with pytest.raises(Damaged, match="random state"):
        load(saved.folder)


def test_trees_that_lead_out_of_themselves_are_refused(tmp_path: Path) -> None:
    """H13: a crafted tree would make scikit-learn read memory that is not its own."""
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.tree import DecisionTreeRegressor

    from keepwell.models.flavors.sound import check_trees

    rows = np.random.default_rng(1).random((300, 2))
    boosted = HistGradientBoostingRegressor(max_iter=2).fit(rows, rows[:, 0])
    check_trees(boosted)
    boosted._predictors[0][0].nodes["left"][0] = 10**6
    with pytest.raises(Damaged):
        check_trees([boosted])
    tree = DecisionTreeRegressor().fit(rows, rows[:, 0])
    check_trees({"a": tree})
    state = tree.tree_.__getstate__()
    state["nodes"]["left_child"][0] = 0  # it would go round in a circle
    tree.tree_.__setstate__(state)
    with pytest.raises(Damaged):
        check_trees(tree)


@pytest.mark.parametrize("how", ["flag", "crc", "name", "twice", "bomb", "objects", "shape"])
def test_archives_that_two_readers_would_read_differently_are_refused(tmp_path: Path, how: str) -> None:
    """H15, H19: flag bits, checksums, names, doubles, bombs, arrays of objects, shapes beyond the file."""
    import io

    saved = save(MODEL, tmp_path / "m")
    file = saved.folder / "model.skops"
    data = bytearray(file.read_bytes())
    array = next(n for n in zipfile.ZipFile(file).namelist() if n.endswith(".npy"))
    if how == "flag":
        data[6] |= 1
    elif how == "crc":
        data[data.index(b"NUMPY") + 130] ^= 0xFF
    elif how == "name":
        data[30] ^= 1
    if how in ("flag", "crc", "name"):
        file.write_bytes(data)
    elif how in ("twice", "bomb"):
        name, more = ("schema.json", b"{}") if how == "twice" else ("more", bytes(8 << 20))
        with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name, more)
    else:
        held = io.BytesIO()
        np.save(held, np.array([Marker(str(tmp_path / "marker"))], dtype=object), allow_pickle=True)
        huge = held.getvalue()
        if how == "shape":
            header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000000,), }"
            huge = b"\x93NUMPY\x01\x00" + len(header.ljust(118)).to_bytes(2, "little") + header.ljust(118)
        edited(file, lambda name, old: huge if name == array else old)
    with pytest.raises(Damaged):
        load(saved.folder)
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize("location", ["../../canary", "/etc/hostname", "weights.bin", ""])
def test_onnx_with_weights_in_other_files_is_refused(tmp_path: Path, location: str) -> None:
    """H17: on load and on save, whatever the location says; also deep within the graph."""
    import onnx
    from onnx import TensorProto, helper

    (tmp_path / "canary").write_bytes(bytes(64))
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])
    plain = helper.make_node("Identity", ["w"], ["y"])
    constant = helper.make_node("Constant", [], ["y"], value=tensor)
    inner = helper.make_graph([constant], "inner", [], [output])
    branch = helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)
    condition = helper.make_tensor_value_info("c", TensorProto.BOOL, [])
    graphs = [
        helper.make_graph([plain], "g", [], [output], initializer=[tensor]),
        helper.make_graph([constant], "g", [], [output]),
        helper.make_graph([branch], "g", [condition], [output]),
    ]
    for number, graph in enumerate(graphs):
        model = helper.make_model(graph)
        with pytest.raises(InvalidInput, match="in other files"):
            save(model, tmp_path / f"s{number}")
        files = {"model.onnx": model.SerializeToString(), "weights.bin": bytes(64)}
        place = folder_of(tmp_path / str(number), {"onnx": {"data": "model.onnx"}}, files)
        with pytest.raises(InvalidInput, match="in other files"):
            load(place)
    assert onnx.__version__


@pytest.mark.parametrize(
    "change",
    [
        ('"torch.ops.aten.relu.default"', '"torch.os.system"'),
        ('"torch.ops.aten.relu.default"', '"_operator.methodcaller"'),
        ('"torch.ops.aten.relu.default"', '"torch.ops.aten.__class__.x"'),
        ("Symbol('s", "__import__('os').system('true') or Symbol('s"),
        ('"builtins.tuple"', '"os.tuple"'),
    ],
)
def test_exported_programs_that_name_code_are_refused(tmp_path: Path, change: tuple[str, str]) -> None:
    import torch

    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU())
    saved = save(model, tmp_path / "m", options={"form": "pt2"}, input_example=X[:2])
    old, new = change
    escaped = [(old, new), (old.replace('"', '\\"'), new.replace('"', '\\"'))]

    def swap(name: str, data: bytes) -> bytes:
        text = data.decode("utf-8", "surrogateescape")
        for a, b in escaped if name.endswith("model.json") else ():
            text = text.replace(a, b)
        return text.encode("utf-8", "surrogateescape")

    edited(saved.folder / "data/model.pt2", swap)
    with pytest.raises(Denied):
        load(saved.folder)


def test_example_inputs_of_an_exported_program_are_not_read(tmp_path: Path) -> None:
    import torch

    saved = save(torch.nn.Linear(2, 1), tmp_path / "m", options={"form": "pt2"}, input_example=X[:2])
    evil = pickle.dumps(Marker(str(tmp_path / "marker")))
    edited(saved.folder / "data/model.pt2", lambda name, data: evil if "sample_inputs" in name else data)
    assert load(saved.folder).predict(X).shape == (20, 1)
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize(
    ("module", "kind", "config"),
    [
        ("keras.config", "enable_unsafe_deserialization", {}),
        ("keras.layers", "Lambda", {}),
        ("keras.layers", "TextVectorization", {"vocabulary": "/etc/hostname"}),
        ("os", "system", {}),
        ("builtins", "eval", {}),
        (None, "Dense", {}),
        (
            "keras.layers",
            "Dense",
            {"activation": {"class_name": "function", "config": "os.system", "module": "builtins"}},
        ),
    ],
)
def test_keras_files_that_name_anything_but_layers_are_refused(
    tmp_path: Path, module: str | None, kind: str, config: dict[str, Any]
) -> None:
    """H09, E15: before Keras sees the file, so that nothing can switch its safe mode off."""
    layer = {"module": module, "class_name": kind, "config": config, "registered_name": None}
    model = {"module": "keras", "class_name": "Sequential", "config": {"layers": [layer]}, "registered_name": None}
    place = folder_of(tmp_path / "m", {"tensorflow": {"data": "data", "model_type": "keras"}}, {})
    (place / "data").mkdir()
    with zipfile.ZipFile(place / "data/model.keras", "w") as archive:
        archive.writestr("config.json", json.dumps(model))
        archive.writestr("metadata.json", "{}")
    with pytest.raises(Denied, match="names"):
        load(place)
    assert describe(place).verdict == "refused"


@pytest.mark.parametrize(
    "text",
    [
        "flavors: {sklearn: {pickled_model: ../../etc/passwd}}",
        "flavors: {sklearn: {pickled_model: /etc/passwd}}",
        'flavors: {sklearn: {pickled_model: "a\\0b"}}',
        "flavors: {sklearn: {pickled_model: 3}}",
        "flavors: {xgboost: {data: $(touch marker), model_class: xgboost.core.Booster}}",
        "flavors: {nonsense: {data: x}}",
        "flavors: [sklearn]",
        "flavors: {}",
        "a: &a [x, x]\nb: [*a, *a]\nflavors: {sklearn: {}}",
        "!!python/object/apply:os.system [true]",
        "flavors: {sklearn: {pickled_model: f}}\nsignature: {inputs: 3}",
        "[" * 200,
        "\x00",
    ],
)
def test_an_mlmodel_file_that_means_harm_is_refused(tmp_path: Path, text: str) -> None:
    """H21 and group A: what a folder names is a plain file in it, and nothing of it is run or followed."""
    (tmp_path / "MLmodel").write_text(text)
    (tmp_path / "f").write_bytes(b"PK")
    with pytest.raises((InvalidInput, Damaged, NotSupported)):
        load(tmp_path)


def test_an_environments_policy_decides_and_the_ledger_tells(kit: Kit, tmp_path: Path) -> None:
    place = pickled(tmp_path / "m", MODEL)
    with pytest.raises(Denied):
        open_model(kit, place, "dev", "person:ann")
    with kit.write() as tx:
        change_policy(tx, kit.call("person:ann"), "dev", reason="an old model", pickle=True)
    with open_model(kit, place, "dev", "person:ann", model="demand") as loaded:
        assert np.allclose(loaded.predict(X), Y)
    with pytest.raises(Denied):
        open_model(kit, place, "prod", "person:ann")
    with kit.read() as tx:
        found = [entry.body for entry in entries(tx, kind="model.unsafe_loaded")]
    assert [(b["environment"], b["model"], b["flavor"]) for b in found] == [("dev", "demand", "sklearn")]
    assert str(found[0]["digest"]).startswith("sha256:")


def test_the_onnx_form_is_kept_only_where_it_answers_alike(people: pl.DataFrame, tmp_path: Path) -> None:
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    rows = people.drop("income")
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["workclass", "education"]),
        (StandardScaler(), ["age", "hours-per-week"]),
    )
    model = make_pipeline(columns, LogisticRegression(max_iter=300)).fit(rows, people["income"].to_numpy())
    saved = save(model, tmp_path / "m", onnx_rows=rows)
    verdict = saved.facts["onnx"]
    assert verdict["rows"] == len(rows) and verdict["equal"] >= 0.99
    assert ("onnx" in saved.flavors) == verdict["holds"] == (saved.folder / "model.onnx").exists()
    assert verdict["holds"], verdict
    fast = load(saved.folder, flavor="onnx").predict(rows)
    assert (fast["label"] == model.predict(rows)).all()
    assert describe(saved.folder).facts["onnx"] == verdict
    strict = save(model, tmp_path / "n", onnx_rows=rows[:5])
    assert strict.facts["onnx"]["holds"] is False and "onnx" not in strict.flavors
