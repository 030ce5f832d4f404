"""What the search grammar refuses, in MLflow's words."""

from __future__ import annotations

from typing import Any

from common import client, refused, seen


def no(text: str, says: str, **options: Any) -> None:
    refused("INVALID_PARAMETER_VALUE", says, client.search_runs, [seen["zoo"]], text, **options)


def check_unknown_entity() -> None:
    no("m.loss > 1", "Invalid entity type 'm'. Valid values are")


def check_unknown_attribute() -> None:
    no("attributes.foo = 'x'", "Invalid attribute key 'foo' specified")
    no("foo = 'x'", "Invalid attribute key 'foo' specified")


def check_metric_against_text() -> None:
    no("metrics.loss > 'a'", "Expected numeric value type for metric. Found 'a'")


def check_param_against_number() -> None:
    no("params.kind = 5", "Expected a quoted string value for parameter")
    no("tags.env = dev", "Parameter value is either not quoted or unidentified quote types used for string value dev")


def check_wrong_operators() -> None:
    no("metrics.loss LIKE '1'", "Expected numeric value type for metric. Found '1'")
    no("metrics.loss == 1", "Invalid comparator '==' not one of")
    no("params.kind > 'a'", "Invalid comparator '>' not one of")
    no("tags.env > 'a'", "Invalid comparator '>' not one of")


def check_or_is_not_in_the_grammar() -> None:
    no("params.kind = 'a' OR params.kind = 'b'", "Invalid clause(s) in filter string")


def check_half_a_clause() -> None:
    no("metrics.loss >", "Invalid c")
    no("metrics.loss", "Invalid clause(s) in filter string")


def check_lists_where_they_are_not() -> None:
    no("params.kind IN ('a')", "")
    no("run_id IN ()", "While parsing a list in the query")
    no("run_id IN (1)", "While parsing a list in the query")


def check_null_where_it_is_not() -> None:
    no("metrics.loss IS NULL", "IS NULL / IS NOT NULL")


def check_order_clauses() -> None:
    no("", "Invalid ordering key in order_by clause 'metrics.loss FOO'", order_by=["metrics.loss FOO"])
    no("", "Invalid attribute key", order_by=["attributes.foo"])
    no("", "Invalid entity type", order_by=["foo.bar"])


def check_results_asked_for() -> None:
    no("", "Invalid value 0 for parameter 'max_results' supplied. It must be a positive integer", max_results=0)
    no("", "Invalid value 50001 for parameter 'max_results'", max_results=50_001)
    refused("INVALID_PARAMETER_VALUE", "It must be at most 50000", client.search_experiments, max_results=50_001)


def check_page_tokens() -> None:
    no("", "Invalid page token, could not base64-decode", page_token="abc")
    no("", "Invalid page token, decoded value", page_token="aGVsbG8=")
    no("", "Invalid page token", page_token="eyJvZmZzZXQiOiAtNX0=")


def check_experiment_filters() -> None:
    def search(text: str, **options: Any) -> Any:
        return client.search_experiments(filter_string=text, **options)

    refused("INVALID_PARAMETER_VALUE", "Invalid attribute key 'foo' specified", search, "foo = 'x'")
    refused("INVALID_PARAMETER_VALUE", "Invalid", search, "name > 'x'")
    refused("INVALID_PARAMETER_VALUE", "Invalid", search, "", order_by=["foo"])


def check_filters_run_nothing() -> None:
    for text in ("().__class__ = 'x'", "__import__('os') = 'x'", "1=1; DROP TABLE runs", "run_id = '' OR 1=1 --'"):
        no(text, "")
    assert client.search_runs([seen["zoo"]], "tags.env = ''' OR ''1''=''1'") == []
