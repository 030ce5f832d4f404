"""Schedules come due when cron says, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepwell.charter.crons import check_cron, last_moment, next_moments
from keepwell.core.errors import InvalidInput

MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))
FIELDS = st.sampled_from(["*", "0", "5", "*/7", "1,3", "1-4"])


@given(MOMENTS, st.tuples(FIELDS, FIELDS, st.just("*"), st.just("*"), FIELDS).map(" ".join))
def test_the_last_and_the_next_moment_enclose_now(now: datetime, cron: str) -> None:
    last, following = last_moment(cron, now), next_moments(cron, now, 2)
    assert last is not None
    assert last <= now < following[0] < following[1]
    assert next_moments(cron, last) == following[:1]
    assert last_moment(cron, following[0]) == following[0]
    assert all(m.tzinfo is not None and m.second == 0 for m in (last, *following))


def test_mondays_at_five() -> None:
    now = datetime(2026, 1, 5, 5, tzinfo=UTC)
    assert last_moment("0 5 * * MON", now) == now
    assert next_moments("0 5 * * MON", now) == [now + timedelta(weeks=1)]
    assert last_moment("0 5 * * MON", now - timedelta(microseconds=1)) == now - timedelta(weeks=1)


@given(st.text())
def test_any_text_is_a_schedule_or_refused(text: str) -> None:
    try:
        assert check_cron(text) == text
    except InvalidInput as error:
        assert error.message.isprintable()


@given(st.lists(st.text("0123456789*/-,LW#MON", min_size=1, max_size=6), min_size=5, max_size=5).map(" ".join))
def test_any_five_fields_are_a_schedule_or_refused(text: str) -> None:
    try:
        check_cron(text)
    except InvalidInput:
        return


@pytest.mark.parametrize(
    "text", ["", "* * * * * *", "0 5 * *", "@daily", "0 0 31 2 *", "60 * * * *", "0 0 * * " + "1," * 60 + "1"]
)
def test_what_is_no_schedule_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        check_cron(text)
