import pytest

from powercrud_tracking.checks import check_action_columns, check_action_permissions
from powercrud_tracking.models import AbstractAsyncTaskRecord
from tests.project.models import BespokeRecord, InheritedRecord

BESPOKE = {
    "RECORD_MODEL": "project.BespokeRecord",
    "FIELD_MAP": {"task_name": "key", "status": "state"},
}


def find_columns():
    return [(each.id, each.msg, each.hint) for each in check_action_columns()]


def find_permissions():
    return [(each.id, each.msg, each.hint) for each in check_action_permissions()]


@pytest.mark.parametrize("model", ["powercrud_tracking.AsyncTaskRecord", "project.InheritedRecord"])
def test_a_table_that_inherits_everything_lacks_nothing(settings, model):
    settings.POWERCRUD_ASYNC_DASHBOARD = {"RECORD_MODEL": model}

    assert find_columns() == find_permissions() == []


def test_the_warning_names_fields_and_actions_and_what_to_type(settings):
    settings.POWERCRUD_ASYNC_DASHBOARD = BESPOKE

    [(check_id, text, hint)] = find_columns()

    assert check_id == "powercrud_tracking.W006"
    assert text == (
        "project.BespokeRecord has no field for some logical names, and so its tasks cannot be "
        "acted on in every way. cancel a running task: cancel_requested_at; retry: queue_id, "
        "retried_by, cancel_requested_at."
    )
    assert "cancel_requested_at = models.DateTimeField(null=True), queue_id = models." in hint


def test_a_table_of_names_lacks_the_status_for_every_action(settings):
    settings.POWERCRUD_ASYNC_DASHBOARD = {"RECORD_MODEL": "project.NameOnlyRecord"}

    [(_, text, hint)] = find_columns()

    assert "delete: status." in text
    assert "status = models.CharField(max_length=16)" in hint


def test_the_id_of_the_queue_is_not_needed_where_the_project_retries_itself(settings):
    settings.POWERCRUD_ASYNC_DASHBOARD = BESPOKE | {"RETRY": "tests.project.tracking.get_defaults"}

    [(_, text, _)] = find_columns()

    assert "retry: retried_by, cancel_requested_at." in text


@pytest.mark.parametrize(
    ("left_out", "actions"),
    [("retried_by", ["cancel a running task"]), ("cancel_requested_at", []), ("status", [])],
)
def test_an_action_is_left_out_on_purpose_by_mapping_one_of_its_names_to_none(
    settings, left_out, actions
):
    field_map = BESPOKE["FIELD_MAP"] | {left_out: None}
    settings.POWERCRUD_ASYNC_DASHBOARD = BESPOKE | {"FIELD_MAP": field_map}

    texts = [text for _, text, _ in find_columns()]

    assert len(texts) == len(actions)
    assert all(action in text for action, text in zip(actions, texts, strict=True))
    assert not any("retry:" in text for text in texts)


def test_a_model_without_the_permissions_of_actions_is_a_warning(settings):
    settings.POWERCRUD_ASYNC_DASHBOARD = BESPOKE

    [(check_id, text, hint)] = find_permissions()

    assert check_id == "powercrud_tracking.W007"
    assert text.startswith(
        "project.BespokeRecord has no permission project.cancel_bespokerecord and no "
        "project.retry_bespokerecord: nobody"
    )
    permissions = AbstractAsyncTaskRecord._meta.default_permissions
    assert f"default_permissions = {permissions!r}".replace("'", '"') in hint


def test_permissions_that_the_model_adds_by_name_count(settings, monkeypatch):
    settings.POWERCRUD_ASYNC_DASHBOARD = BESPOKE
    names = [("cancel_bespokerecord", "Can cancel"), ("retry_bespokerecord", "Can retry")]
    monkeypatch.setattr(BespokeRecord._meta, "permissions", names)

    assert find_permissions() == []


def test_where_the_project_decides_itself_no_permission_is_missing(settings):
    settings.POWERCRUD_ASYNC_DASHBOARD = BESPOKE | {"ALLOWED": "tests.project.tracking.may_retry"}

    assert find_permissions() == []


def test_an_invalid_setting_is_not_reported_by_these_checks(settings):
    settings.POWERCRUD_ASYNC_DASHBOARD = {"RECORD_MODEL": "shop.Nothing"}

    assert find_columns() == find_permissions() == []


def test_the_abstract_model_passes_its_permissions_on():
    assert {"cancel", "retry"} <= {*InheritedRecord._meta.default_permissions}
