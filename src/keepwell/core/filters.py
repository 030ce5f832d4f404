"""The search grammar of MLflow: comparisons joined by AND, and order clauses. Text in, values out.

The grammar and its messages follow MLflow's documentation of `search_runs`, `search_experiments`,
`search_registered_models`, `search_model_versions` and `search_logged_models`: clients match on the messages.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NoReturn, TypeAlias

from keepwell.core.errors import InvalidInput
from keepwell.core.filter_values import read_list, with_whole

Entity = Literal["attribute", "metric", "parameter", "tag", "dataset"]
Value: TypeAlias = "str | int | float | tuple[str, ...] | None"

NUMERIC_OPS = ("=", "!=", "<", "<=", ">", ">=")
TEXT_OPS = ("=", "!=", "LIKE", "ILIKE")
LIST_OPS = ("IN", "NOT IN")
NULL_OPS = ("IS NULL", "IS NOT NULL")


@dataclass(frozen=True, slots=True)
class Comparison:
    """One comparison: what is compared (`metric` `loss`), how (upper case), and with what.

    The value is a number for metrics, a whole one for numeric attributes (all of which are whole), a tuple of texts for
    IN and NOT IN, None for IS NULL.
    """

    entity: Entity
    key: str
    op: str
    value: Value = None


@dataclass(frozen=True, slots=True)
class Order:
    """One order clause."""

    entity: Entity
    key: str
    ascending: bool = True


@dataclass(frozen=True, slots=True)
class Kind:
    """What can be searched for one kind of thing.

    Attributes:
        entities: every word for an entity, and the entity it stands for.
        shown: the words that an error names.
        attributes: attributes that can be compared.
        numeric: those of them that are numbers.
        ordered: attributes that can be ordered by.
        order_entities: entities that can be ordered by.
        aliases: attribute to the one it stands for.
        lists: attributes that compare with a list; None for all that are text.
        nulls: entities for which IS NULL is allowed.
        datasets: keys of the dataset entity.
    """

    entities: dict[str, Entity]
    shown: tuple[str, ...]
    attributes: tuple[str, ...]
    numeric: frozenset[str]
    ordered: tuple[str, ...]
    order_entities: frozenset[Entity] = frozenset(("attribute",))
    aliases: dict[str, str] = field(default_factory=dict)
    lists: frozenset[str] | None = frozenset()
    nulls: frozenset[Entity] = frozenset()
    datasets: tuple[str, ...] = ()


_METRICS: dict[str, Entity] = dict.fromkeys(("metric", "metrics"), "metric")
_PARAMS: dict[str, Entity] = dict.fromkeys(("parameter", "parameters", "param", "params"), "parameter")
_TAGS: dict[str, Entity] = dict.fromkeys(("tag", "tags"), "tag")
_ATTRIBUTES: dict[str, Entity] = dict.fromkeys(("attribute", "attributes", "attr", "run"), "attribute")
_DATASETS: dict[str, Entity] = dict.fromkeys(("dataset", "datasets"), "dataset")
_RUN_KEYS = ("artifact_uri", "end_time", "run_id", "run_name", "start_time", "status", "user_id")

RUNS = Kind(
    entities={**_METRICS, **_PARAMS, **_TAGS, **_ATTRIBUTES, **_DATASETS},
    shown=("metric", "parameter", "tag", "attribute", "dataset"),
    attributes=(*_RUN_KEYS, "created", "Created", "run name", "Run name", "Run Name"),
    numeric=frozenset(("start_time", "end_time", "created", "Created")),
    ordered=(*_RUN_KEYS, "created", "Created"),
    order_entities=frozenset(("attribute", "metric", "parameter", "tag")),
    aliases={"created": "start_time", "Created": "start_time", "run name": "run_name", "Run name": "run_name",
             "Run Name": "run_name"},
    lists=frozenset(("run_id",)),
    nulls=frozenset(("tag", "parameter")),
    datasets=("name", "digest", "context"),
)  # fmt: skip
_EXPERIMENT_KEYS = ("name", "experiment_id", "creation_time", "last_update_time")
EXPERIMENTS = Kind(
    entities={"attribute": "attribute", **_TAGS},
    shown=("attribute", "tag", "tags"),
    attributes=_EXPERIMENT_KEYS,
    numeric=frozenset(("creation_time", "last_update_time")),
    ordered=_EXPERIMENT_KEYS,
    lists=frozenset(("experiment_id",)),
    nulls=frozenset(("tag",)),
)
REGISTERED_MODELS = Kind(
    entities={"attribute": "attribute", **_TAGS},
    shown=("attribute", "tag", "tags"),
    attributes=("name",),
    numeric=frozenset(("creation_timestamp", "last_updated_timestamp")),
    ordered=("name", "timestamp", "last_updated_timestamp", "creation_timestamp"),
    lists=frozenset(("name",)),
)
MODEL_VERSIONS = Kind(
    entities={"attribute": "attribute", **_TAGS},
    shown=("attribute", "tag", "tags"),
    attributes=("name", "version_number", "run_id", "source_path"),
    numeric=frozenset(("version_number", "creation_timestamp", "last_updated_timestamp")),
    ordered=("name", "version_number", "creation_timestamp", "last_updated_timestamp"),
    lists=frozenset(("name", "run_id")),
)
_MODEL_KEYS = ("name", "model_id", "model_type", "status", "source_run_id", "creation_timestamp", "creation_time",
               "last_updated_timestamp", "last_updated_time")  # fmt: skip
LOGGED_MODELS = Kind(
    entities={"attributes": "attribute", "metrics": "metric", "params": "parameter", "tags": "tag"},
    shown=("attributes", "metrics", "params", "tags"),
    attributes=(*_MODEL_KEYS, "experiment_id", "creation_timestamp_ms", "last_updated_timestamp_ms"),
    numeric=frozenset((*_MODEL_KEYS[-4:], "creation_timestamp_ms", "last_updated_timestamp_ms")),
    ordered=_MODEL_KEYS,
    order_entities=frozenset(("attribute", "metric")),
    aliases={"creation_time": "creation_timestamp", "creation_timestamp_ms": "creation_timestamp",
             "last_updated_time": "last_updated_timestamp", "last_updated_timestamp_ms": "last_updated_timestamp"},
    lists=None,
)  # fmt: skip

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<text>'(?:[^']|'')*')
    | (?P<list>\((?:[^()'"]|'(?:[^']|'')*'|"[^"]*")*\))
    | (?P<number>-?(?:\d+\.\d*|\.\d+|\d+)(?:[eE][+-]?\d+)?(?![\w.]))
    | (?P<op><=|>=|!=|<>|==|=|<|>)
    | (?P<word>(?:[^\W\d]\w*|`[^`]*`|"[^"]*")(?:\.(?:\w+|`[^`]*`|"[^"]*"|'[^']*'))*)
    )""",
    re.VERBOSE,
)
_LONGEST = 100_000
MOST_COMPARISONS = 40
MOST_ORDERS = 10
"""A search joins a table for each; SQLite joins 64 at most."""


@dataclass(frozen=True, slots=True)
class _Token:
    sort: str
    text: str

    def is_word(self, *words: str) -> bool:
        return self.sort == "word" and self.text.upper() in words


def parse_filter(text: str | None, kind: Kind) -> tuple[Comparison, ...]:
    """Return the comparisons of a filter; none for an empty one.

    Raises:
        InvalidInput: the text is not of the grammar, or names what this kind does not have.
    """
    if not text or not text.strip():
        return ()
    if len(text) > _LONGEST:
        raise InvalidInput(f"The filter is longer than {_LONGEST:,} characters.", where="filter")
    tokens = _tokens(text)
    found: list[Comparison] = []
    place = 0
    while place < len(tokens):
        if found:
            if not tokens[place].is_word("AND"):
                _invalid(tokens[place : place + 1])
            place += 1
        place, comparison = _comparison(tokens, place, kind)
        found.append(comparison)
        if len(found) > MOST_COMPARISONS:
            raise InvalidInput(f"The filter has more than {MOST_COMPARISONS} comparisons.", where="filter")
    return tuple(found)


def parse_order(clauses: Sequence[str], kind: Kind) -> tuple[Order, ...]:
    """Return order clauses such as `metrics.loss DESC`; aliases are resolved.

    Raises:
        InvalidInput: a clause is not of the grammar, names what cannot be ordered by, or is there twice.
    """
    found: list[Order] = []
    if len(clauses) > MOST_ORDERS:
        raise InvalidInput(f"There are more than {MOST_ORDERS} order_by clauses.", where="order_by")
    for clause in clauses:
        order = _order(clause, kind)
        if kind is not EXPERIMENTS and any((o.entity, o.key) == (order.entity, order.key) for o in found):
            raise InvalidInput(f"`order_by` contains duplicate fields: {list(clauses)}", where="order_by")
        found.append(order)
    return tuple(found)


def _order(clause: str, kind: Kind) -> Order:
    try:
        tokens = _tokens(clause.strip())
    except InvalidInput:
        tokens = []
    bad = f"Invalid order_by clause '{clause}'. Could not be parsed."
    if not tokens or tokens[0].sort != "word" or len(tokens) > 2:
        raise InvalidInput(bad, where="order_by")
    if len(tokens) == 2 and not tokens[1].is_word("ASC", "DESC"):
        raise InvalidInput(f"Invalid ordering key in order_by clause '{clause}'.", where="order_by")
    entity, key = _identifier(tokens[0].text, kind, kind.ordered)
    if entity not in kind.order_entities:
        said = f"Invalid identifier type '{entity}'" if kind is RUNS else f"Invalid order_by entity: {entity}"
        raise InvalidInput(said, where="order_by")
    return Order(entity, kind.aliases.get(key, key) if entity == "attribute" else key, not tokens[1:2] or
                 tokens[1].is_word("ASC"))  # fmt: skip


def _tokens(text: str) -> list[_Token]:
    found, place = [], 0
    while place < len(text.rstrip()):
        match = _TOKEN.match(text, place)
        if match is None:
            rest = text[place:].strip()
            if rest.startswith((";",)) and rest.strip("; "):
                said = f"Search filter contained multiple expression {text!r}. Provide AND-ed expression list."
                raise InvalidInput(said, where="filter")
            raise InvalidInput(f"Invalid clause(s) in filter string: '{rest[:80]}'", where="filter")
        sort = str(match.lastgroup)
        found.append(_Token(sort, match[sort]))
        place = match.end()
    return found


def _comparison(tokens: Sequence[_Token], place: int, kind: Kind) -> tuple[int, Comparison]:
    """Return the place after the comparison that starts at `place`, and the comparison."""
    left = tokens[place] if place < len(tokens) else None
    if left is None or left.sort != "word":
        _invalid(tokens[place:] or tokens[-1:])
    after, op = _operator(tokens, place + 1)
    entity, key = _identifier(left.text, kind, kind.attributes)
    if op in NULL_OPS:
        if entity not in kind.nulls:
            named = " and ".join({"tag": "tags", "parameter": "params"}[e] for e in sorted(kind.nulls, reverse=True))
            said = f"IS NULL / IS NOT NULL is only supported for {named or 'no entity'}, not for '{entity}' '{key}'"
            raise InvalidInput(said, where="filter")
        return after, Comparison(entity, key, op)
    if after >= len(tokens):
        raise InvalidInput(f"Invalid comparison clause. Expected 3 tokens found {after - place}", where="filter")
    value = _value(entity, key, tokens[after], kind)
    _check_op(entity, key, op, value, kind)
    if entity == "attribute" and isinstance(value, int | float):
        op, value = with_whole(op, value)
    found = Comparison(entity, key, op, value)
    return after + 1, replace(found, key=kind.aliases.get(key, key)) if entity == "attribute" else found


def advised(error: InvalidInput) -> InvalidInput:
    """Return an error about a filter or an order with what would be right; MLflow's sentence says what is wrong."""
    example = {"filter": "metrics.loss < 0.1 and params.depth = '4'", "order_by": "metrics.loss ASC"}.get(
        error.where or ""
    )
    if example is None:
        return error
    return InvalidInput(f"{error.message.rstrip('.')}. Write it like {example}", code=error.code, where=error.where)


def _operator(tokens: Sequence[_Token], place: int) -> tuple[int, str]:
    none = _Token("", "")
    first, second, third = [*tokens[place : place + 3], none, none, none][:3]
    if first.sort == "op":
        return place + 1, first.text
    if first.is_word("LIKE", "ILIKE", "IN"):
        return place + 1, first.text.upper()
    if first.is_word("NOT") and second.is_word("IN"):
        return place + 2, "NOT IN"
    if first.is_word("IS") and second.is_word("NULL"):
        return place + 2, "IS NULL"
    if first.is_word("IS") and second.is_word("NOT") and third.is_word("NULL"):
        return place + 3, "IS NOT NULL"
    return _invalid(tokens[place - 1 :])


def _identifier(text: str, kind: Kind, attributes: Sequence[str]) -> tuple[Entity, str]:
    word, dot, key = text.partition(".") if not text.startswith(("`", '"')) else ("", "", text)
    if not dot:
        entity, key = "attribute", _unquoted(text)
    else:
        found = kind.entities.get(word)
        if found is None:
            raise InvalidInput(_no_entity(word, kind), where="filter")
        entity, key = found, _unquoted(key)
    if entity == "attribute" and key not in attributes:
        listed = ", ".join(map(repr, sorted(attributes)))
        raise InvalidInput(f"Invalid attribute key '{key}' specified. Valid keys are '{{{listed}}}'", where="filter")
    if entity == "dataset" and key not in kind.datasets:
        listed = ", ".join(map(repr, sorted(kind.datasets)))
        raise InvalidInput(f"Invalid dataset key '{key}' specified. Valid keys are '{{{listed}}}'", where="filter")
    return entity, key  # type: ignore[return-value]


def _no_entity(word: str, kind: Kind) -> str:
    """Return what MLflow's server says of a word that is no entity, which differs between the things searched for."""
    if kind is RUNS:
        return f"Invalid entity type '{word}'. Valid values are {list(kind.shown)}"
    if kind is LOGGED_MODELS:
        return f"Invalid entity type: '{word}'. Expected one of {list(kind.shown)}."
    return f"Invalid entity type '{word}'. Valid entity types are {kind.shown}"


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) >= 2 and text[0] == text[-1] and text[0] in "`\"'" else text


def _value(entity: Entity, key: str, token: _Token, kind: Kind) -> Value:
    if entity == "metric":
        if token.sort != "number":
            raise InvalidInput(f"Expected numeric value type for metric. Found {token.text}", where="filter")
        return float(token.text)
    if entity == "attribute" and key in kind.numeric:
        if kind is MODEL_VERSIONS and token.sort == "text" and re.fullmatch(r"'\d{1,18}'", token.text):
            return int(token.text[1:-1])
        if token.sort != "number":
            said = f"Expected numeric value type for numeric attribute: {key}. Found {token.text}"
            raise InvalidInput(said, where="filter")
        return int(token.text) if re.fullmatch(r"-?\d{1,18}", token.text) else float(token.text)
    if token.sort == "text":
        return token.text[1:-1].replace("''", "'")
    if token.sort == "word" and token.text.startswith('"') and token.text.endswith('"'):
        return token.text[1:-1]
    if token.sort == "list" and (entity in ("attribute", "dataset") or kind.lists is None):
        if entity == "attribute" and kind.lists is not None and key not in kind.lists:
            said = f"Only {sorted(kind.lists)} attributes support comparison with a list of quoted string values."
            raise InvalidInput(said, where="filter")
        return read_list(token.text)
    if token.sort == "word" and entity != "attribute":
        said = ("Parameter value is either not quoted or unidentified quote types used for string value "
                f"{token.text}. Use either single or double quotes.")  # fmt: skip
        raise InvalidInput(said, where="filter")
    what = {"attribute": "attributes", "dataset": "dataset attributes"}.get(entity, f"{entity} (e.g. 'my-value')")
    raise InvalidInput(f"Expected a quoted string value for {what}. Got value {token.text}", where="filter")


def _check_op(entity: Entity, key: str, op: str, value: Value, kind: Kind) -> None:
    allowed = operators(entity, key, kind)
    if op not in allowed or (op in LIST_OPS) != isinstance(value, tuple):
        listed = ", ".join(map(repr, allowed))
        raise InvalidInput(f"Invalid comparator '{op}' not one of '{{{listed}}}'", where="filter")


def operators(entity: Entity, key: str, kind: Kind) -> tuple[str, ...]:
    """Return the operators that can stand after a key: for checks, and for completion while a filter is typed."""
    if entity == "metric" or (entity == "attribute" and key in kind.numeric):
        return NUMERIC_OPS
    if entity == "dataset":
        return TEXT_OPS + LIST_OPS
    if entity == "attribute":
        if kind is EXPERIMENTS and key == "experiment_id":
            return ("=", "!=", *LIST_OPS)
        return TEXT_OPS + LIST_OPS if kind.lists is None or key in kind.lists else TEXT_OPS
    return TEXT_OPS + (NULL_OPS if entity in kind.nulls else ()) + (LIST_OPS if kind.lists is None else ())


def quoted(entity_word: str, key: str) -> str:
    """Return how a key is written in a filter: `metrics.loss`, or with backticks where its characters need them."""
    plain = re.fullmatch(r"\w+(\.\w+)*", key) is not None
    quote = '"' if "`" in key else "`"
    return f"{entity_word}.{key}" if plain else f"{entity_word}.{quote}{key}{quote}"


def _invalid(tokens: Sequence[_Token]) -> NoReturn:
    said = " ".join(token.text for token in tokens)
    raise InvalidInput(f"Invalid clause(s) in filter string: '{said[:200]}'", where="filter")
