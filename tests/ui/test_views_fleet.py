from __future__ import annotations

from datetime import UTC, datetime

from keepwell.models.model import MemberStanding
from keepwell.monitoring.model import Incident
from keepwell.monitoring.overview import Pooled
from keepwell.server.ui import views_fleet
from keepwell.server.ui.views_fleet import Row

NOW = datetime(2026, 1, 5, 6, tzinfo=UTC)
AT = "2026-01-01T00:00:00.000000Z"


def member(key: str, state: str = "promoted", champion: str | None = "ver_1") -> MemberStanding:
    latest = "ver_1" if state == "promoted" else "ver_2"
    return MemberStanding(key, latest, 2, state, None, AT, champion, 1 if champion else None, AT if champion else None)  # type: ignore[arg-type]


def rows() -> list[Row]:
    members = [member("a=1"), member("a=2", "held"), member("a=3"), member("a=4", "held", None), member("a=5")]
    errors = [Pooled(f"a={i}", 0.1 * i, 0.5, 30, 10.0 * i, True) for i in (1, 2, 3)]
    signals = [("performance", "a=3", "bad", 0.3), ("staleness", "a=3", "bad", 70.0), ("drift", "a=1", "unknown", None)]
    incident = Incident(
        "inc_1", "performance", "m", "model:m", "t", "watch", (), ("a=1",), {}, "c", "open", NOW, "loop:m"
    )
    return views_fleet.rows_of(members, errors, signals, [incident], frozenset({"a=1", "a=2", "a=3", "a=4"}))


def test_a_row_has_its_worst_state_first() -> None:
    found = {row.key: row for row in rows()}
    assert {key: row.tone for key, row in found.items()} == {
        "a=1": "watch", "a=2": "ok", "a=3": "bad", "a=4": "watch", "a=5": "unknown",
    }  # fmt: skip
    assert found["a=3"].words == (("bad", "decaying"), ("watch", "stale"))
    assert found["a=2"].words == (("none", "with a held challenger"),) and found["a=2"].challenged
    assert found["a=4"].words == (("watch", "without champion"),)
    assert found["a=5"].words == (("unknown", "not judged yet"),) and found["a=5"].error is None


def test_worst_comes_first_and_filters_narrow() -> None:
    all_rows = rows()
    assert [row.key for row in views_fleet.listed(all_rows).rows] == ["a=3", "a=1", "a=4", "a=5", "a=2"]
    assert [row.key for row in views_fleet.listed(all_rows, sort="error").rows][:3] == ["a=3", "a=2", "a=1"]
    assert [row.key for row in views_fleet.listed(all_rows, state="watch").rows] == ["a=1", "a=4"]
    assert [row.key for row in views_fleet.listed(all_rows, word="stale").rows] == ["a=3"]
    assert [row.key for row in views_fleet.listed(all_rows, q="A =2").rows] == ["a=2"]
    assert views_fleet.listed(all_rows, q="nothing").total == 0


def test_pages_have_fifty_rows_and_the_last_is_never_passed() -> None:
    many = [rows()[1]._replace(key=f"a={i:04d}") for i in range(120)]
    shown = views_fleet.listed(many, sort="segment", page=99)
    assert (shown.page, shown.pages, shown.total, len(shown.rows)) == (3, 3, 120, 20)


def test_the_answer_counts_what_is_not_well() -> None:
    assert views_fleet.answer_of(rows()) == ("3 of 5 models", "are not well")
    well = rows()[1:2]
    assert views_fleet.answer_of(well) == ("The model", "is well")
    assert views_fleet.answer_of(well * 2) == ("All 2 models", "are well")
    assert views_fleet.answer_of(rows()[4:]) == ("1 of 1 model", "not judged yet")
    assert views_fleet.counts_of(rows()) == {"bad": 1, "watch": 2, "unknown": 1, "ok": 1}
    assert views_fleet.words_of(rows())[0] == ("bad", "decaying", 1)


def test_weights_are_the_mean_of_those_that_tell() -> None:
    facts = [{"weights": {"lasso": 0.2, "lightgbm": 0.8}}, {"weights": {"lasso": 0.4, "lightgbm": 0.6}}, {"rows": 3}]
    assert [(name, round(value, 6)) for name, value in views_fleet.weights_of(facts)] == [
        ("lightgbm", 0.7), ("lasso", 0.3),
    ]  # fmt: skip
    assert views_fleet.weights_of([{}]) == []
