import pytest

from powercrud_tracking.checks import check_columns


def find_messages():
    return [(message.id, message.msg) for message in check_columns()]


def test_the_built_in_table_lacks_no_column():
    assert find_messages() == []


def test_the_warning_names_each_feature_that_will_be_missing(settings):
    settings.POWERCRUD_ASYNC_DASHBOARD = {"RECORD_MODEL": "project.NameOnlyRecord"}

    [(check_id, text)] = find_messages()

    assert check_id == "powercrud_tracking.W005"
    assert text.startswith("project.NameOnlyRecord has no field for some logical names")
    for feature in ("launched_by_id: My tasks", "func: titles", "started_at: queue times"):
        assert feature in text
    for feature in ("worker: whether", "attempts: the number"):
        assert feature in text


def test_a_logical_name_mapped_to_none_is_no_warning(settings):
    names = ("launched_by_id", "func", "started_at", "worker")
    settings.POWERCRUD_ASYNC_DASHBOARD = {
        "RECORD_MODEL": "project.NameOnlyRecord",
        "FIELD_MAP": dict.fromkeys(names),
    }

    [(_, text)] = find_messages()

    assert "attempts" in text
    assert not any(name in text for name in names)


@pytest.mark.parametrize("setting", [{"RECORD_MODEL": "shop.Nothing"}, {"RECORD_MODE": "x"}])
def test_an_invalid_setting_is_not_reported_by_the_check_of_columns(settings, setting):
    settings.POWERCRUD_ASYNC_DASHBOARD = setting

    assert find_messages() == []
