"""A source names something of ours; every other text is refused before anything is looked up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepwell.core.errors import InvalidInput
from keepwell.models.sources import LoggedSource, RunSource, VersionSource, parse_source

LOGGED = "m-" + "0123456789abcdef" * 2


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("runs:/run_1/model", RunSource("run_1", "model")),
        ("runs:/run_1", RunSource("run_1", "")),
        ("runs:/0123456789abcdef0123456789abcdef/a/b c/", RunSource("0123456789abcdef0123456789abcdef", "a/b c")),
        ("RUNS:/run_1/model", RunSource("run_1", "model")),
        (f"models:/{LOGGED}", LoggedSource(LOGGED, "")),
        (f"models:/{LOGGED}/data", LoggedSource(LOGGED, "data")),
        ("models:/iris/3", VersionSource("iris", number=3)),
        ("models:/iris rose@best", VersionSource("iris rose", alias="best")),
        ("models:/iris/Production", VersionSource("iris", stage="Production")),
        ("models:/iris/latest", VersionSource("iris")),
        ("mlflow-artifacts:/0/run_1/artifacts/model", RunSource("run_1", "model")),
        (f"mlflow-artifacts:/12/models/{LOGGED}/artifacts", LoggedSource(LOGGED, "")),
    ],
)
def test_what_is_ours_is_read(text, found):
    assert parse_source(text) == found


BAD = [
    "file:///etc/",
    "file://127.0.0.1:5000/etc/",
    "http:///#/../../../../etc/",
    "http://x/%2e%2e/%2e%2e/etc",
    "file:etc",
    "file:",
    "FILE:///etc",
    " file:///etc",
    "fi\tle:///etc",
    "file:///etc\r\n",
    "/etc",
    "etc",
    "C:/x",
    "",
    "s3://other-bucket/",
    "gs://x/y",
    "hdfs://x",
    "dbfs:/x",
    "mlflow-artifacts:/../../",
    "mlflow-artifacts://host/0/run_1",
    "mlflow-artifacts:/0/run_1/artifacts/../../x",
    "mlflow-artifacts:/0/run_1/other",
    "mlflow-artifacts:/x/run_1/artifacts",
    "runs:/run_1/../../etc",
    "runs:/run_1/./x",
    "runs:/run_1//x",
    "runs:/../x",
    "runs://run_1/x",
    "runs:/",
    "runs:run_1",
    "runs:/run_1/%2e%2e/x",
    "runs:/run_1/a?b",
    "runs:/run_1/a#b",
    "runs:/run_1/a\\b",
    "runs:/run_1/a\0",
    "runs:/run_1/ a",
    "runs:/run_1/model ",
    " runs:/run_1/model",
    "models:/",
    "models:/iris",
    "models:/iris/1/2",
    "models:/@best",
    "models:/iris@",
    "models:/../iris/1",
    "models://iris/1",
    "models:/iris/1?x=1",
    "models:/m-123",
    "\u202eruns:/run_1/x",
    "runs:/run_1/" + "a" * 2000,
    None,
    7,
    "https://example.org/model",
    "ftp://x",
    "data:,x",
    "jar:file:/x!/y",
]


@pytest.mark.parametrize("text", BAD)
def test_everything_else_is_refused(text):
    with pytest.raises(InvalidInput) as told:
        parse_source(text)
    assert told.value.code == "invalid_source"


@given(st.text(max_size=80))
def test_any_text_is_read_or_refused(text):
    try:
        found = parse_source(text)
    except InvalidInput:
        return
    path = getattr(found, "path", "")
    assert not path.startswith("/") and ".." not in path.split("/")
