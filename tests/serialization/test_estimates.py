import pytest

from powercrud_tracking.serialization.estimates import Measure, find_measure


class TestNoMeasure:
    @pytest.mark.parametrize(
        "text",
        [None, "", "starting update", "page 3", "0/0", "a/b", "50 percent"],
        ids=repr,
    )
    def test_a_text_without_numbers_has_no_measure(self, text):
        assert find_measure(text) is None


class TestFraction:
    @pytest.mark.parametrize(
        ("text", "fraction", "percent"),
        [
            ("updating: 3/10", 0.3, 30),
            ("3/10", 0.3, 30),
            ("3 of 10", 0.3, 30),
            ("3 / 10", 0.3, 30),
            ("1.5/3.0", 0.5, 50),
            ("30%", 0.3, 30),
            ("30.5 %", 0.305, 30),
            ("0/7", 0.0, 0),
            ("7/7", 1.0, 100),
            ("199/200", 0.995, 99),
            ("12/10", 1.0, 100),
            ("120%", 1.0, 100),
            ("1/2 (99%)", 0.5, 50),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_the_fraction_is_read_from_the_text(self, text, fraction, percent):
        measure = find_measure(text)

        assert measure.fraction == pytest.approx(fraction)
        assert measure.percent == percent


class TestRemaining:
    def test_without_elapsed_time_rate_and_remaining_time_are_unknown(self):
        assert find_measure("3/10") == Measure(fraction=0.3, rate=None, remaining=None)

    def test_while_nothing_is_done_the_remaining_time_is_unknown(self):
        assert find_measure("0/10", elapsed=5) == Measure(fraction=0, rate=None, remaining=None)

    def test_after_no_time_the_remaining_time_is_unknown(self):
        assert find_measure("3/10", elapsed=0) == Measure(fraction=0.3, rate=None, remaining=None)

    def test_with_a_clock_that_goes_back_the_remaining_time_is_unknown(self):
        assert find_measure("3/10", elapsed=-60) == Measure(fraction=0.3, rate=None, remaining=None)

    def test_the_rate_of_a_share_is_in_units(self):
        assert find_measure("4/10", elapsed=8) == Measure(fraction=0.4, rate=0.5, remaining=12)

    def test_the_rate_of_a_percentage_is_a_fraction(self):
        assert find_measure("50%", elapsed=10) == Measure(fraction=0.5, rate=0.05, remaining=10)

    @pytest.mark.parametrize("text", ["10/10", "12/10", "100%"])
    def test_when_all_is_done_no_time_remains(self, text):
        assert find_measure(text, elapsed=10).remaining == 0


@pytest.mark.parametrize("text", ["9" * 400 + "/" + "9" * 400, "5/" + "9" * 400, "9" * 400 + "%"])
def test_numbers_of_hundreds_of_digits_give_a_percentage_or_none(text):
    measure = find_measure(text, elapsed=1.0)

    assert measure is None or 0 <= measure.percent <= 100
