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
def test_a_number_is_written_for_people(settings, count, text):
    settings.LANGUAGE_CODE = "en-us"

    assert str(count) == text
