import pytest

from powercrud_tracking.dashboard.overview.charts import build_columns, get_ceiling, get_share


def get_parts(column):
    return [(part["kind"], part["y"], part["height"]) for part in column["parts"]]


class TestBuildColumns:
    def test_the_height_of_a_part_is_its_share_of_the_scale(self):
        chart = build_columns([{"good": 50, "bad": 25}, {"good": 100, "bad": 0}])

        assert [get_parts(column) for column in chart["columns"]] == [
            [("good", "50%", "50%"), ("bad", "25%", "25%")],
            [("good", "0%", "100%")],
        ]
        assert [column["y"] for column in chart["columns"]] == ["25%", "0%"]

    def test_columns_share_the_width(self):
        chart = build_columns([{"good": 1}] * 4)

        assert chart["width"] == "25%"
        assert [column["x"] for column in chart["columns"]] == ["0%", "25%", "50%", "75%"]

    @pytest.mark.parametrize("values", [[], [{"good": 0}]], ids=["no column", "an empty column"])
    def test_an_empty_chart_has_no_parts(self, values):
        chart = build_columns(values)

        assert [column["parts"] for column in chart["columns"]] == [[]] * len(values)

    def test_lines_go_from_the_ceiling_to_zero(self):
        assert build_columns([{"good": 37}])["lines"] == [(40, "0%"), (20, "50%"), (0, "100%")]

    @pytest.mark.parametrize("most", [0, 1, 3, 5, 99, 1390])
    def test_lines_are_at_whole_numbers(self, most):
        lines = build_columns([{"good": most}])["lines"]

        assert all(value == int(value) for value, y in lines)
        assert len(dict(lines)) == len({y for value, y in lines})


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
