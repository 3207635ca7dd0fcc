"""What mypy knows of the names that projects import; it is checked, and never run."""

from collections.abc import Iterator
from typing import Any, assert_type

from django.dispatch import Signal

from powercrud_tracking.config.dashboard_config import DashboardConfig
from powercrud_tracking.factory import DashboardManager, get_manager, get_manager_class
from powercrud_tracking.lifecycle import Status
from powercrud_tracking.managers import ModelTrackingAsyncManager
from powercrud_tracking.mixins import AsyncDashboardMixin
from powercrud_tracking.models import AsyncTaskRecord, AsyncTaskRecordQuerySet
from powercrud_tracking.progress import report, track
from powercrud_tracking.signals import task_recorded


class ShopConfig(DashboardConfig):
    payload_limit = 1024


class ShopManager(ModelTrackingAsyncManager):
    record_model_path = "bookshop.TaskRecord"

    def format_user(self, user: Any) -> str:
        return f"{user}"


class BookView(AsyncDashboardMixin):
    async_dashboard = {"PAYLOAD_LIMIT": 1024}


def use_managers() -> None:
    assert_type(get_manager(payload_limit=1024), ModelTrackingAsyncManager)
    assert_type(get_manager_class(), type[ModelTrackingAsyncManager])
    assert_type(DashboardManager(), ModelTrackingAsyncManager)
    assert_type(BookView().get_async_manager_class(), type[ModelTrackingAsyncManager])
    assert_type(get_manager().config, DashboardConfig)
    assert_type(ShopManager(ShopConfig()).config.payload_limit, int)


def use_progress(names: list[str]) -> None:
    assert_type(track(names), Iterator[str])
    assert_type(report(1, 2, "reading"), None)
    report("1", 2)  # type: ignore[arg-type]


def read_rows() -> None:
    assert_type(AsyncTaskRecord.objects.all().open(), AsyncTaskRecordQuerySet)
    assert_type(AsyncTaskRecord().task_name, str)
    assert_type(Status("failed"), Status)


def tell(sender: Any, task_name: str, **kwargs: Any) -> None: ...


assert_type(task_recorded, Signal)
task_recorded.connect(tell)
