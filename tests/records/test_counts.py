import pytest

from powercrud_tracking.records.counts import Count


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (Count(), "0"),
        (Count(number=9999), "9,999"),
        (Count(number=10_000, has_more=True), "10,000+"),
    ],
    ids=str,
)
def test_a_count_is_written_with_separators_and_a_plus_if_there_are_more(settings, count, text):
    settings.LANGUAGE_CODE = "en-us"

    assert str(count) == text
