"""What a run accepts: JSON parameters, metrics that are numbers or marks, secrets masked."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepwell.core.errors import InvalidInput
from keepwell.core.secrets import HIDDEN, hide_credentials
from keepwell.tracking import rules
from keepwell.tracking.model import Input


@given(st.floats())
def test_a_metric_is_a_finite_number_or_a_mark(value: float) -> None:
    stored = rules.accept_metrics({"m": value})["m"]
    if math.isfinite(value):
        assert stored == value
    else:
        assert isinstance(stored, str)
        with pytest.raises(TypeError):
            assert stored < 1.0  # type: ignore[operator]


def test_marks() -> None:
    given = {"a": math.nan, "b": math.inf, "c": -math.inf, "d": None, "e": 0, "f": np.float32(0.5), "g": -0.0}
    assert rules.accept_metrics(given) == {
        "a": "NaN", "b": "Infinity", "c": "-Infinity", "d": "unknown", "e": 0.0, "f": 0.5, "g": 0.0
    }  # fmt: skip


@pytest.mark.parametrize("value", ["0.5", True, [1], object()])
def test_what_is_no_metric(value: object) -> None:
    with pytest.raises(InvalidInput, match="must be a number"):
        rules.accept_metrics({"m": value})  # type: ignore[dict-item]


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 251, "\x1b[2J", 3])
def test_names_are_printable(name: object) -> None:
    for accept in (rules.accept_metrics, rules.accept_params, rules.accept_artifacts):
        with pytest.raises(InvalidInput):
            accept({name: 1})  # type: ignore[operator]


def test_params_are_json() -> None:
    given = {"alpha": 0.1, "layers": [8, 4], "nested": {"on": True, "none": None}}
    assert rules.accept_params(given) == given
    for bad in (math.nan, {"a": math.inf}, object(), b"x"):
        with pytest.raises(InvalidInput):
            rules.accept_params({"p": bad})
    with pytest.raises(InvalidInput, match="at most"):
        rules.accept_params({f"p{i}": i for i in range(10_001)})


@pytest.mark.parametrize(
    "name",
    ["password", "db_password", "PASSWD", "api_key", "apikey", "API-KEY", "aws.secret", "access_token", "token",
     "private_key", "github_token", "credentials"],
)  # fmt: skip
def test_secrets_are_hidden(name: str) -> None:
    assert rules.mask(name, "hunter2") == HIDDEN
    assert rules.mask("outer", {name: "hunter2", "n": 1}) == {name: HIDDEN, "n": 1}
    assert rules.accept_tags({name: "hunter2"}) == {name: HIDDEN}


@pytest.mark.parametrize("name", ["max_tokens", "tokenizer", "token_column", "passes", "key", "keys", "secretary"])
def test_other_names_are_not(name: str) -> None:
    assert rules.mask(name, "value") == "value"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("https://user:tok@example.com/x.git", "https://(hidden)@example.com/x.git"),
        ("postgresql+psycopg://u:p@db:5432/x", "postgresql+psycopg://(hidden)@db:5432/x"),
        ("see https://t@a.b and ssh://git@c.d/e", "see https://(hidden)@a.b and ssh://(hidden)@c.d/e"),
        ("https://example.com/a@b", "https://example.com/a@b"),
        ("git@example.com:team/x.git", "git@example.com:team/x.git"),
        ("a@b", "a@b"),
        ("https://u:p@ss@example.com/", "https://(hidden)@example.com/"),
    ],
)
def test_credentials_of_addresses_are_hidden(text: str, masked: str) -> None:
    assert hide_credentials(text) == masked
    assert rules.mask("remote", [text]) == [masked]


@given(st.text(max_size=200))
def test_masking_ends_and_is_stable(text: str) -> None:
    assert hide_credentials(hide_credentials(text)) == hide_credentials(text)


def test_inputs_and_artifacts_name_digests() -> None:
    good = "sha256:" + "0" * 64
    assert rules.accept_artifacts({"model": good}) == {"model": good}
    assert rules.accept_inputs([Input(kind="dataset", name="d", digest=good)])
    for bad in ("x", "/etc/passwd", good.upper()):
        with pytest.raises(InvalidInput):
            rules.accept_artifacts({"model": bad})
        with pytest.raises(InvalidInput):
            rules.accept_inputs([Input(kind="file", name="d", digest=bad)])
    with pytest.raises(InvalidInput, match="at most"):
        rules.accept_inputs([Input(kind="file", name="d")] * 10_001)
    with pytest.raises(InvalidInput, match="must be text"):
        rules.accept_tags({"a": 1})  # type: ignore[dict-item]


@pytest.mark.parametrize("text", ["\ud800", "a\0b", "x" * 100_001])
def test_text_that_no_database_keeps(text: str) -> None:
    with pytest.raises(InvalidInput):
        rules.accept_tags({"t": text})
    with pytest.raises(InvalidInput):
        rules.accept_param_texts({"p": text})
    with pytest.raises(InvalidInput):
        rules.accept_tags({text: "t"})


def test_native_values_as_text() -> None:
    given = {"a": "x", "b": 0.1, "c": True, "d": None, "e": [1, "y"]}
    assert rules.accept_param_texts(given) == {
        "a": ("x", False), "b": ("0.1", True), "c": ("true", True), "d": ("null", True), "e": ('[1, "y"]', True)
    }  # fmt: skip
