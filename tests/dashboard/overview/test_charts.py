import pytest

from powercrud_tracking.dashboard.overview.charts import (
    ABOVE,
    LEAST_HEIGHT,
    build_columns,
    get_ceiling,
    get_share,
)


def get_heights(column):
    return {part.kind: part.height for part in column.parts}


class TestBuildColumns:
    def test_heights_are_as_the_numbers_are(self):
        chart = build_columns(
            [{"good": 50, "bad": 25}, {"good": 100, "bad": 0}], height=ABOVE + 100
        )

        assert [get_heights(column) for column in chart.columns] == [
            {"good": 50, "bad": 25},
            {"good": 100},
        ]

    def test_parts_stand_on_each_other_from_the_bottom(self):
        chart = build_columns([{"good": 50, "bad": 50}], height=ABOVE + 100)

        good, bad = chart.columns[0].parts
        assert good.y + good.height == chart.height
        assert bad.y + bad.height == good.y
        assert bad.y == ABOVE

    def test_little_is_more_than_nothing(self):
        chart = build_columns([{"good": 10_000, "bad": 1, "open": 0}], height=100)

        assert get_heights(chart.columns[0])["bad"] == LEAST_HEIGHT

    def test_no_column_leaves_the_chart(self):
        chart = build_columns([{"good": 10_000, "bad": 1, "open": 1}], height=100)

        assert sum(get_heights(chart.columns[0]).values()) <= 100 - ABOVE

    def test_columns_share_the_width(self):
        chart = build_columns([{"good": 1}] * 4, height=100)

        assert [column.place for column in chart.columns] == ["0%", "25%", "50%", "75%"]
        assert [column.middle for column in chart.columns] == ["12.5%", "37.5%", "62.5%", "87.5%"]

    @pytest.mark.parametrize("values", [[], [{"good": 0}]], ids=["no column", "nothing in it"])
    def test_nothing_is_a_chart_too(self, values):
        chart = build_columns(values, height=100)

        assert [column.parts for column in chart.columns] == [()] * len(values)

    def test_lines_go_from_the_top_to_nought(self):
        chart = build_columns([{"good": 37}], height=ABOVE + 100)

        assert [(line.value, line.y) for line in chart.lines] == [
            (40, ABOVE),
            (20, ABOVE + 50),
            (0, ABOVE + 100),
        ]

    @pytest.mark.parametrize("most", [0, 1, 3, 5, 99, 1390])
    def test_a_line_stands_at_a_whole_number(self, most):
        lines = build_columns([{"good": most}], height=100).lines

        assert all(line.value == int(line.value) for line in lines)
        assert len({line.y for line in lines}) == len(lines)


@pytest.mark.parametrize(
    ("number", "ceiling"),
    [(0, 4), (4, 4), (5, 5), (10, 10), (11, 20), (50, 50), (52, 60), (99, 100), (1390, 2000)],
)
def test_a_scale_ends_at_a_round_number(number, ceiling):
    assert get_ceiling(number) == ceiling


@pytest.mark.parametrize(
    ("number", "most", "share"),
    [(1, 3, "33.333%"), (3, 3, "100%"), (0, 3, "0%"), (5, 3, "100%"), (1, 0, "0%")],
)
def test_a_bar_is_as_long_as_its_share(number, most, share):
    assert get_share(number, most) == share
