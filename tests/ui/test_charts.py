from keepwell.server.ui import charts
from keepwell.server.ui.words import percent


def test_a_line_has_gaps_where_nothing_is_known() -> None:
    drawn = charts.sparkline([1.0, None, 2.0, float("nan"), 3.0], label="WMAPE", limit=2.5, say=percent)
    assert drawn.count("h.1") == 3 and 'class="limit"' in drawn and "end over" in drawn and "least" in drawn


def test_no_data_is_said() -> None:
    assert "no data yet" in charts.sparkline([None, None], label="x")
    assert "No data yet" in charts.bars([])
    assert "no values" in charts.histogram([0, 0], [0, 1, 2], label="x")


def test_labels_are_escaped() -> None:
    drawn = charts.bars([charts.Bar("<b>x</b>", 2.0, "2", "bad", "/a?b=1&c=2")], limit=1.0, limit_label="the limit")
    assert "<b>" not in drawn and "&lt;b&gt;" in drawn and "b=1&amp;c=2" in drawn
    assert "<i>" not in charts.sparkline([1.0], label="<i>")


def test_a_histogram_says_each_bin_and_draws_the_other_scaled() -> None:
    drawn = charts.histogram([1, 3], [0.0, 1.0, 2.0], label="x", unit="m", other=[10, 10])
    assert "75.0%" in drawn and "outline" in drawn and drawn.count("<rect") == 2


def test_ratios_become_per_cent_and_unknown_stays_null() -> None:
    made = charts.series([1, 2], [charts.Line("a", [0.1, None])], limit=0.2, ratio=True)
    assert made["lines"] == [{"name": "a", "style": "main", "values": [10.0, None]}]
    assert (made["limit"], made["unit"]) == (20.0, "%")
