"""Signatures: inferred from what libraries hand over, kept as MLflow keeps them, enforced in one sentence."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from keepwell.core.errors import InvalidInput
from keepwell.models.signatures import Column, Param, Signature, Tensor, enforce, enforce_params, infer, read_signature

ROWS = pl.DataFrame(
    {
        "n": [1, 2, 3],
        "x": [0.5, 1.5, None],
        "t": ["a", "b", "c"],
        "ok": [True, False, True],
        "at": [dt.date(2026, 1, 1)] * 3,
    },
    schema_overrides={"n": pl.Int32},
)
SIGNATURE = infer(ROWS, np.zeros(3), {"k": 1, "names": ["a"], "rate": 0.5})


def test_columns_of_a_table() -> None:
    assert SIGNATURE.inputs == (
        Column("integer", "n"), Column("double", "x", required=False), Column("string", "t"), Column("boolean", "ok"),
        Column("datetime", "at"),
    )  # fmt: skip
    assert SIGNATURE.outputs == (Tensor("float64", (-1,)),)
    assert SIGNATURE.params == (
        Param("k", "long", 1),
        Param("names", "string", ["a"], (-1,)),
        Param("rate", "double", 0.5),
    )


def test_the_json_is_what_mlflow_writes_and_reads() -> None:
    written = infer(pl.DataFrame({"a": [1], "b": ["x"]}), np.zeros((4, 2), "f4"), {"k": 1}).to_dict()
    assert written == {
        "inputs": '[{"type": "long", "name": "a", "required": true}, '
        '{"type": "string", "name": "b", "required": true}]',
        "outputs": '[{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 2]}}]',
        "params": '[{"name": "k", "default": 1, "shape": null, "type": "long"}]',
    }
    assert read_signature(SIGNATURE.to_dict()) == SIGNATURE


@pytest.mark.parametrize(
    "data",
    [
        {"a": [1, 2], "b": ["x", None]},
        [{"a": 1, "b": "x"}, {"a": 2, "b": None}],
        pd.DataFrame({"a": [1, 2], "b": ["x", None]}),
        pl.DataFrame({"a": [1, 2], "b": ["x", None]}),
        pl.DataFrame({"a": [1, 2], "b": ["x", None]}).lazy(),
    ],
    ids=["dict", "records", "pandas", "polars", "lazy"],
)
def test_one_table_has_one_signature_whatever_library_holds_it(data: Any) -> None:
    assert infer(data).inputs == (Column("long", "a"), Column("string", "b", required=False))
    assert len(enforce(infer(data), data)) == 2 if not isinstance(data, pl.LazyFrame) else True


def test_arrow_tables_are_read_by_their_stream() -> None:
    class Stream:
        def __arrow_c_stream__(self, requested_schema: object = None) -> object:
            return ROWS.select("n", "t").__arrow_c_stream__(requested_schema)

    assert infer(Stream()).inputs == (Column("integer", "n"), Column("string", "t"))


def test_pandas_types() -> None:
    frame = pd.DataFrame(
        {
            "small": np.array([1, 2], "int8"), "wide": pd.array([1, None], dtype="Int64"),
            "cat": pd.Categorical(["a", "b"]),
            "at": pd.to_datetime(["2026-01-01", "2026-01-02"]), "raw": [b"x", b"y"], "list": [[1.0], [2.0]],
        }
    )  # fmt: skip
    kinds = {c.name: (c.type, c.required) for c in infer(frame).inputs or () if isinstance(c, Column)}
    assert kinds["small"] == ("integer", True) and kinds["wide"] == ("long", False) and kinds["cat"] == ("string", True)
    assert kinds["at"] == ("datetime", True) and kinds["raw"] == ("binary", True)
    assert kinds["list"][0] == {"type": "array", "items": {"type": "double"}}
    assert enforce(infer(frame), frame).equals(frame)


def test_columns_are_ordered_cast_where_nothing_changes_and_left_out_where_unknown() -> None:
    given = ROWS.select("ok", "t", "at", pl.lit(7).alias("more"), pl.col("n").cast(pl.Int64))
    fitted = enforce(SIGNATURE, given)
    assert fitted.columns == ["n", "t", "ok", "at"]
    assert fitted.schema["n"] == pl.Int32
    pandas = enforce(infer(pd.DataFrame({"x": [0.5]})), pd.DataFrame({"x": [1], "y": [2]}, index=[5]))
    assert list(pandas.columns) == ["x"] and pandas["x"].dtype == float and list(pandas.index) == [5]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (pl.lit("a").alias("n"), "The column 'n' holds text, and the model takes whole numbers of 32 bits there."),
        (pl.lit(0.5).alias("n"), "some values are not whole"),
        (pl.lit(2**40).alias("n"), "some values are too large"),
        (pl.lit(True).alias("n"), "The column 'n' holds true or false"),
        (pl.lit(2**60 + 1).alias("x"), "some values are too large to be exact"),
        (pl.lit(1).alias("t"), "The column 't' holds whole numbers"),
        (pl.lit("2026-01-01").alias("at"), "The column 'at' holds text, and the model takes points in time"),
    ],
)
def test_a_column_of_another_type_is_refused(change: pl.Expr, says: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        enforce(SIGNATURE, ROWS.with_columns(change))
    assert says in caught.value.message


def test_missing_columns_and_other_shapes_are_said() -> None:
    with pytest.raises(InvalidInput, match=r"lacks the columns 'n', 't'.*'N', which the model does not know"):
        enforce(SIGNATURE, ROWS.drop("n", "t").with_columns(N=1))
    with pytest.raises(InvalidInput, match="takes 5 columns; this array has the shape"):
        enforce(SIGNATURE, np.zeros((2, 3)))
    with pytest.raises(InvalidInput, match="takes a table with the columns"):
        enforce(SIGNATURE, "text")
    with pytest.raises(InvalidInput, match="do not make a table"):
        enforce(SIGNATURE, {"n": [1, 2], "t": ["a"]})


def test_a_missing_value_has_no_place_among_whole_numbers() -> None:
    with pytest.raises(InvalidInput, match="some values are missing"):
        enforce(infer(pd.DataFrame({"n": [1, 2]})), pd.DataFrame({"n": [1.0, None]}))


def test_values_from_json_know_one_precision() -> None:
    signature = infer(pl.DataFrame({"x": np.array([0.1], "f4"), "at": [dt.datetime(2026, 1, 1)]}))
    fitted = enforce(signature, [{"x": 0.1, "at": "2026-01-02T03:04:05"}])
    assert fitted.schema["x"] == pl.Float32 and fitted["at"][0] == dt.datetime(2026, 1, 2, 3, 4, 5)
    with pytest.raises(InvalidInput, match="single precision would round"):
        enforce(signature, pl.DataFrame({"x": [0.1], "at": [dt.datetime(2026, 1, 1)]}))


def test_tensors_by_shape_and_type() -> None:
    signature = infer(np.zeros((5, 3), "f4"))
    assert enforce(signature, [[1, 2, 3.5]]).dtype == np.float32
    assert enforce(signature, np.ones((1, 3), "i8")).dtype == np.float32
    for bad, says in (
        (np.zeros((5, 2), "f4"), "has the shape"),
        (np.zeros((5, 3)), "the cast would change values"),
        (np.full((1, 3), 2**24 + 1), "the cast would change values"),
        ([[1], [2, 3]], "different lengths"),
        ([["a", "b", "c"]], "the cast would change values"),
    ):
        with pytest.raises(InvalidInput, match=says):
            enforce(signature, bad)
    named = infer({"a": np.zeros((2, 3)), "b": np.zeros((2,), "i8")})
    assert set(enforce(named, {"a": np.ones((1, 3)), "b": np.ones(1, "i8")})) == {"a", "b"}
    with pytest.raises(InvalidInput, match="lacks the array 'b'"):
        enforce(named, {"a": np.ones((1, 3))})


def test_plain_lists() -> None:
    assert infer(["a", "b"]).inputs == (Column("string"),)
    assert enforce(infer(["a"]), ["x", "y"]) == ["x", "y"]
    with pytest.raises(InvalidInput, match="takes text, not whole numbers"):
        enforce(infer(["a"]), [1])


def test_params_have_defaults_and_types() -> None:
    assert enforce_params(SIGNATURE, None) == {"k": 1, "names": ["a"], "rate": 0.5}
    assert enforce_params(SIGNATURE, {"k": np.int64(3), "rate": 2}) == {"k": 3, "names": ["a"], "rate": 2.0}
    for params, says in (
        ({"z": 1}, "knows no param 'z'; it knows k, names, rate"),
        ({"k": "a"}, "'k' is of the type long, not string"),
        ({"k": 2**70}, "'k' is of the type long"),
        ({"k": True}, "'k' is of the type long, not boolean"),
        ({"names": "a"}, "'names' is a list"),
        ({"names": [1]}, "'names' is of the type string"),
    ):
        with pytest.raises(InvalidInput, match=says):
            enforce_params(SIGNATURE, params)


@pytest.mark.parametrize(
    "value",
    [
        "text",
        {"inputs": "no json"},
        {"inputs": "[" * 100_000},
        {"inputs": [{"type": "nonsense", "name": "a"}]},
        {"inputs": [{"type": "long", "name": "a"}, {"type": "long", "name": "a"}]},
        {"inputs": [{"type": "long", "name": "a"}, {"type": "tensor", "tensor-spec": {"dtype": "f8", "shape": [-1]}}]},
        {"inputs": [{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-2]}}]},
        {"inputs": [{"type": "array", "name": "a", "items": 3}]},
        {"params": [{"name": "a", "type": "long", "shape": [3]}]},
    ],
)
def test_a_signature_that_is_none_is_refused(value: Any) -> None:
    with pytest.raises(InvalidInput):
        read_signature(value)


def test_nested_types_come_back() -> None:
    nested = infer([{"a": {"b": [1.5], "c": None}, "d": 1}])
    assert read_signature(nested.to_dict()) == nested
    old = [{"type": "double", "name": "a", "optional": True}]
    assert read_signature({"inputs": old}) == Signature(inputs=(Column("double", "a", required=False),))
