"""The search grammar: what it takes, what each mistake is told, and that no text breaks the parser."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepwell.core.errors import InvalidInput
from keepwell.core.filters import (
    EXPERIMENTS,
    LOGGED_MODELS,
    MODEL_VERSIONS,
    REGISTERED_MODELS,
    RUNS,
    Comparison,
    Kind,
    Order,
    operators,
    parse_filter,
    parse_order,
    quoted,
)

GOOD = [
    (RUNS, "metrics.loss < 0.1", Comparison("metric", "loss", "<", 0.1)),
    (RUNS, "metric.`a b/c` >= -1e-3", Comparison("metric", "a b/c", ">=", -0.001)),
    (RUNS, "metrics.'a b' != .5", Comparison("metric", "a b", "!=", 0.5)),
    (RUNS, 'params."x y" != "z"', Comparison("parameter", "x y", "!=", "z")),
    (RUNS, "param.a='it''s'", Comparison("parameter", "a", "=", "it's")),
    (RUNS, "parameters.lr LIKE '0.%'", Comparison("parameter", "lr", "LIKE", "0.%")),
    (RUNS, "tags.mlflow.source.name ilike '%Train%'", Comparison("tag", "mlflow.source.name", "ILIKE", "%Train%")),
    (RUNS, "tag.é = 'x'", Comparison("tag", "é", "=", "x")),
    (RUNS, "tags.a is  not null", Comparison("tag", "a", "IS NOT NULL")),
    (RUNS, "params.a IS NULL", Comparison("parameter", "a", "IS NULL")),
    (RUNS, "status = 'FINISHED'", Comparison("attribute", "status", "=", "FINISHED")),
    (RUNS, "attributes.`Run Name` = 'x'", Comparison("attribute", "run_name", "=", "x")),
    (RUNS, "`run name` = 'x'", Comparison("attribute", "run_name", "=", "x")),
    (RUNS, "Created > 12", Comparison("attribute", "start_time", ">", 12)),
    (RUNS, "attr.end_time <= 12.5", Comparison("attribute", "end_time", "<=", 12)),
    (RUNS, "end_time < 12.5", Comparison("attribute", "end_time", "<=", 12)),
    (RUNS, "end_time > 12.5", Comparison("attribute", "end_time", ">", 12)),
    (RUNS, "end_time >= -12.5", Comparison("attribute", "end_time", ">", -13)),
    (RUNS, "end_time = 12.5", Comparison("attribute", "end_time", "=", -(1 << 63))),
    (RUNS, "end_time != 1e3", Comparison("attribute", "end_time", "!=", 1000)),
    (RUNS, f"start_time > {10**25}", Comparison("attribute", "start_time", ">", (1 << 63) - 1)),
    (RUNS, f"start_time > -{'9' * 5000}", Comparison("attribute", "start_time", ">", -(1 << 63))),
    (RUNS, "start_time < 1e999", Comparison("attribute", "start_time", "<", (1 << 63) - 1)),
    (RUNS, "run.user_id LIKE 'a%'", Comparison("attribute", "user_id", "LIKE", "a%")),
    (RUNS, "run_id IN ('a', \"b\")", Comparison("attribute", "run_id", "IN", ("a", "b"))),
    (RUNS, "run_id not in ('a')", Comparison("attribute", "run_id", "NOT IN", ("a",))),
    (RUNS, "datasets.name = 'd'", Comparison("dataset", "name", "=", "d")),
    (RUNS, "dataset.context IN ('train','eval')", Comparison("dataset", "context", "IN", ("train", "eval"))),
    (EXPERIMENTS, "name ILIKE 'x%'", Comparison("attribute", "name", "ILIKE", "x%")),
    (EXPERIMENTS, "experiment_id IN ('1','2')", Comparison("attribute", "experiment_id", "IN", ("1", "2"))),
    (EXPERIMENTS, "creation_time > 5", Comparison("attribute", "creation_time", ">", 5)),
    (EXPERIMENTS, "tags.a IS NULL", Comparison("tag", "a", "IS NULL")),
    (REGISTERED_MODELS, "name IN ('a')", Comparison("attribute", "name", "IN", ("a",))),
    (REGISTERED_MODELS, "tag.t = 'v'", Comparison("tag", "t", "=", "v")),
    (MODEL_VERSIONS, "version_number >= 3", Comparison("attribute", "version_number", ">=", 3)),
    (MODEL_VERSIONS, "version_number = '3'", Comparison("attribute", "version_number", "=", 3)),
    (MODEL_VERSIONS, "run_id IN ('a','b')", Comparison("attribute", "run_id", "IN", ("a", "b"))),
    (LOGGED_MODELS, "attributes.creation_time > 3", Comparison("attribute", "creation_timestamp", ">", 3)),
    (LOGGED_MODELS, "metrics.m > 3 ", Comparison("metric", "m", ">", 3.0)),
    (LOGGED_MODELS, "model_type IN ('a')", Comparison("attribute", "model_type", "IN", ("a",))),
]


@pytest.mark.parametrize(("kind", "text", "wanted"), GOOD)
def test_a_comparison(kind: Kind, text: str, wanted: Comparison) -> None:
    assert parse_filter(text, kind) == (wanted,)
    assert parse_filter(f"  {text}  and {text}\n AND {text}", kind) == (wanted, wanted, wanted)


@pytest.mark.parametrize("text", ["", None, "   "])
def test_nothing_filters_nothing(text: str | None) -> None:
    assert parse_filter(text, RUNS) == ()


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        (RUNS, "metrics.loss < 'a'", "Expected numeric value type for metric. Found 'a'"),
        (RUNS, "metrics.loss > nan", "Expected numeric value type for metric. Found nan"),
        (RUNS, "start_time > '1'", "Expected numeric value type for numeric attribute: start_time. Found '1'"),
        (RUNS, "params.x = y", "Parameter value is either not quoted or unidentified quote types used for string"),
        (RUNS, "params.x = 1", "Expected a quoted string value for parameter (e.g. 'my-value'). Got value 1"),
        (RUNS, "tags.x = `y`", "Parameter value is either not quoted"),
        (RUNS, "status = 1", "Expected a quoted string value for attributes. Got value 1"),
        (RUNS, "foo.x = '1'", "Invalid entity type 'foo'. Valid values are ['metric', 'parameter', "),
        (RUNS, "foo = '1'", "Invalid attribute key 'foo' specified. Valid keys are '{"),
        (RUNS, "dataset.foo = '1'", "Invalid dataset key 'foo' specified. Valid keys are '{"),
        (RUNS, "status IN ('a')", "Only ['run_id'] attributes support comparison with a list of quoted string values."),
        (RUNS, "run_id IN ()", "expected a non-empty list of string values, but got empty list"),
        (RUNS, "run_id IN (1)", "but got different type in list"),
        (RUNS, "run_id IN ('a' 'b')", "While parsing a list in the query"),
        (RUNS, "metrics.a IS NULL", "IS NULL / IS NOT NULL is only supported for tags and params, not for 'metric'"),
        (EXPERIMENTS, "name IS NULL", "IS NULL / IS NOT NULL is only supported for tags"),
        (RUNS, "metrics.a LIKE 1", "Invalid comparator 'LIKE' not one of '{"),
        (RUNS, "params.a > '1'", "Invalid comparator '>' not one of '{"),
        (RUNS, "run_id > 'a'", "Invalid comparator '>' not one of '{"),
        (RUNS, "metrics.a == 1", "Invalid comparator '==' not one of '{"),
        (RUNS, "metrics.a > 1; metrics.b > 2", "Search filter contained multiple expression"),
        (RUNS, "metrics.a > 1 OR metrics.b > 2", "Invalid clause(s) in filter string: 'OR'"),
        (RUNS, "metrics.a-b > 1", "Invalid clause(s) in filter string: '-b > 1'"),
        (RUNS, "metrics.a > +1", "Invalid clause(s) in filter string"),
        (RUNS, "1 < metrics.a", "Invalid clause(s) in filter string"),
        (RUNS, "metrics.a >", "Invalid comparison clause"),
        (RUNS, "metrics.a", "Invalid clause(s) in filter string"),
        (RUNS, "AND", "Invalid clause(s) in filter string"),
        (RUNS, "metrics.a > 1 AND", "Invalid clause(s) in filter string"),
        (RUNS, "tags.a = 'x", "Invalid clause(s) in filter string"),
        (EXPERIMENTS, "metrics.a > 1", "Invalid entity type 'metrics'. Valid entity types are ('attribute', 'tag'"),
        (LOGGED_MODELS, "param.a = '1'", "Invalid entity type: 'param'. Expected one of ['attributes', 'metrics'"),
        (MODEL_VERSIONS, "version_number = 'a'", "Expected numeric value type for numeric attribute: version_number."),
        (EXPERIMENTS, "experiment_id > '1'", "Invalid comparator '>'"),
        (REGISTERED_MODELS, "run_id = 'x'", "Invalid attribute key 'run_id' specified."),
    ],
)  # fmt: skip
def test_a_mistake_is_told(kind: Kind, text: str, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_filter(text, kind)
    assert message in caught.value.message


def test_orders() -> None:
    clauses = ["metrics.`a b` DESC", "params.x", "start_time asc", 'tags."t" desc', "attributes.`run_name`", "Created"]
    with pytest.raises(InvalidInput, match="duplicate fields"):
        parse_order(clauses, RUNS)
    assert parse_order(clauses[:5], RUNS) == (
        Order("metric", "a b", False), Order("parameter", "x"), Order("attribute", "start_time"),
        Order("tag", "t", False), Order("attribute", "run_name"),
    )  # fmt: skip
    assert parse_order(["name", "timestamp desc"], REGISTERED_MODELS)[1] == Order("attribute", "timestamp", False)


@pytest.mark.parametrize(
    ("clause", "message"),
    [
        ("metrics.a foo", "Invalid ordering key in order_by clause 'metrics.a foo'."),
        ("a b c", "Invalid order_by clause 'a b c'. Could not be parsed."),
        ("", "Invalid order_by clause ''. Could not be parsed."),
        ("'a'", "Could not be parsed."),
        ("foo", "Invalid attribute key 'foo' specified."),
        ("`Run Name`", "Invalid attribute key 'Run Name' specified."),
        ("datasets.name", "Invalid identifier type 'dataset'"),
    ],
)
def test_a_mistake_in_an_order_is_told(clause: str, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_order([clause], RUNS)
    assert message in caught.value.message


PIECES = st.sampled_from(
    ["metrics.", "params", ".a", "`", "'", '"', " AND ", " and ", "=", "<", ">=", "LIKE", "IN", "(", ")", "1", "-2.5e3",
     " ", ";", "IS", "NOT", "NULL", "status", "x", "é", "\0", ",", "--", "\\", "%"]
)  # fmt: skip


@given(
    st.one_of(st.text(max_size=60), st.lists(PIECES, max_size=14).map("".join)),
    st.sampled_from([RUNS, EXPERIMENTS, MODEL_VERSIONS, LOGGED_MODELS]),
)
def test_any_text_is_a_filter_or_refused(text: str, kind: Kind) -> None:
    for parse in (lambda: parse_filter(text, kind), lambda: parse_order([text], kind)):
        try:
            parse()
        except InvalidInput:
            continue


@given(
    st.text(st.characters(exclude_characters='`"', exclude_categories=("Cs",)), min_size=1, max_size=30),
    st.text(max_size=30).filter(lambda t: "\0" not in t),
)
def test_what_is_quoted_is_read_again(key: str, value: str) -> None:
    text = f"{quoted('tags', key)} = '{value.replace(chr(39), chr(39) * 2)}'"
    assert parse_filter(text, RUNS) == (Comparison("tag", key, "=", value),)


def test_a_long_hostile_filter_is_read_quickly() -> None:
    import time

    for text in (
        "(" * 50_000,
        "'" * 50_001,
        "metrics.a > 1 AND " * 5_000,
        "a." * 40_000,
        "run_id IN (" + "'a'," * 20_000,
    ):
        started = time.process_time()
        with pytest.raises(InvalidInput):
            parse_filter(text, RUNS)
        assert time.process_time() - started < 2
    with pytest.raises(InvalidInput, match="longer"):
        parse_filter("x" * 100_001, RUNS)


def test_operators_for_completion() -> None:
    assert operators("metric", "a", RUNS) == ("=", "!=", "<", "<=", ">", ">=")
    assert "IS NULL" in operators("tag", "a", RUNS) and "IN" in operators("attribute", "run_id", RUNS)
    assert "IN" not in operators("attribute", "status", RUNS)
