"""View mixin that records the tasks of a PowerCRUD view."""

from collections.abc import Mapping
from typing import Any, ClassVar

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from powercrud_tracking import factory, poll
from powercrud_tracking.config import packing
from powercrud_tracking.config.keys import VIEW_KEYS
from powercrud_tracking.config.problems import Problem, Source
from powercrud_tracking.config.validation import find_problems, get_valid_setting, require_valid
from powercrud_tracking.managers import ModelTrackingAsyncManager


class AsyncDashboardMixin:
    """Use the configured manager for a view's tasks; list it before PowerCRUD's mixins.

    ``async_dashboard`` overrides keys of the setting for this view::

        class BookView(AsyncDashboardMixin, PowerCRUDAsyncMixin, CRUDView):
            model = Book
            async_dashboard = {"FORMAT_USER": "shop.tracking.full_name"}

    Raises:
        django.core.exceptions.ImproperlyConfigured: it is listed after PowerCRUD's
            mixins, or ``async_dashboard`` is wrong; the message names the view.
    """

    async_dashboard: ClassVar[Mapping[str, Any]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # PowerCRUD's mixins set the same attributes, and so override the bases listed after them
        # (seen with 0.9.16).
        after = cls.__mro__[cls.__mro__.index(AsyncDashboardMixin) + 1 :]
        before = cls.__mro__[: cls.__mro__.index(AsyncDashboardMixin)]
        shadowing = [base for base in before if base.__module__.startswith("powercrud.")]
        if shadowing and not any(base.__module__.startswith("powercrud.") for base in after):
            raise ImproperlyConfigured(
                f"{cls.__name__} lists AsyncDashboardMixin after "
                f"{shadowing[0].__name__}, which overrides its attributes. Write "
                f"class {cls.__name__}(AsyncDashboardMixin, PowerCRUDAsyncMixin, CRUDView)."
            )

    @classmethod
    def get_async_dashboard_source(cls) -> Source:
        """Return the name of this view's configuration for errors, and the keys allowed in it."""
        return Source(name=f"{cls.__name__}.async_dashboard", keys=VIEW_KEYS)

    @classmethod
    def find_async_dashboard_problems(cls) -> list[Problem]:
        """Return every problem of ``async_dashboard``."""
        source = cls.get_async_dashboard_source()
        try:
            base = factory.get_manager().config
        except ImproperlyConfigured:
            # An invalid setting is reported by its own check.
            base = get_valid_setting()
        return list(find_problems(cls.async_dashboard, base=base, source=source))

    def get_async_manager_class(self) -> type[ModelTrackingAsyncManager]:
        """Return the configured manager class."""
        return factory.get_manager_class()

    def get_async_manager_class_path(self) -> str:
        """Return the dotted path from which a worker imports the same class."""
        return factory.PATH

    def get_async_manager_config(self) -> dict[str, Any]:
        """Return this view's overrides as plain JSON, with fingerprint and signature."""
        # The settings and the attributes of MANAGER_CLASS, as in the worker.
        base = factory.get_manager().config
        source = self.get_async_dashboard_source()
        config = require_valid(self.async_dashboard, base=base, source=source)
        return packing.pack(config, base, path=factory.PATH)

    def async_queue_success(
        self, request: HttpRequest, task_name: str, selected_ids: list[int]
    ) -> HttpResponse:
        """Show PowerCRUD's modal with what the task does, a link to its page and a cancel button.

        Only for a user who may open the page, and cancel the task.
        """
        # The base classes listed after this one have no type annotations.
        view: Any = self
        parent: Any = super()
        config = view.get_async_manager().config
        self._message = poll.build_message_of_queued(task_name, config, request)
        response: HttpResponse = parent.async_queue_success(request, task_name, selected_ids)
        return response

    def get_modal_context(self) -> dict[str, Any]:
        """Add what the task does, the link and the button to the modal of a queued task."""
        parent: Any = super()
        context: dict[str, Any] = parent.get_modal_context()
        if message := getattr(self, "_message", ""):
            # The modal replaces what the poll returns every second, and the keyboard focus is lost.
            context["message"] = message
            context["progress_url"] = f"{reverse('powercrud:async_progress')}?{poll.LINKED}=1"
        return context
