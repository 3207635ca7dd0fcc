"""The views that cancel, retry or delete one task."""

import logging
from typing import Any

from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _

from powercrud_tracking.actions.many import act
from powercrud_tracking.dashboard.actions import feedback
from powercrud_tracking.dashboard.pages import RecordPage
from powercrud_tracking.dashboard.task.view import RecordDetail
from powercrud_tracking.lifecycle import Action, Outcome
from powercrud_tracking.poll import IN_MODAL
from powercrud_tracking.records import reading
from powercrud_tracking.records.permissions import may_act
from powercrud_tracking.records.visibility import get_reachable_rows

logger = logging.getLogger("powercrud_tracking")


def get_failure() -> str:
    """Return what is said when the database refuses an action."""
    return _("The database did not accept this. Nothing was changed; try again.")


class ActionView(LoginRequiredMixin, RecordPage):
    """Act on a POST. A GET belongs to a task whose name is this address, if there is one."""

    http_method_names = ("get", "head", "post", "options")

    def get_name_of_address(self) -> str:
        """Return the task name whose page would have this address."""
        raise NotImplementedError

    def get_page(self) -> str:
        """Return the URL of the page with the form."""
        raise NotImplementedError

    def handle_no_permission(self) -> Any:
        if self.request.user.is_authenticated or self.request.method != "POST":
            return super().handle_no_permission()
        # After the login the browser sends a GET.
        return redirect_to_login(self.get_page(), self.get_login_url())

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        name = self.get_name_of_address()
        if get_reachable_rows(request).named_task(name).exists():
            return RecordDetail.as_view()(request, task_name=name)
        return self.http_method_not_allowed(request)


class ActOnTask(ActionView):
    """Do one thing with one task, then redirect."""

    action = Action.CANCEL

    def get_name_of_address(self) -> str:
        return f"{self.kwargs['task_name']}/{self.action}"

    def get_page(self) -> str:
        return reverse("powercrud_tracking:detail", args=[self.kwargs["task_name"]])

    def post(self, request: HttpRequest, task_name: str) -> HttpResponse:
        for record in reading.read(get_reachable_rows(request).named_task(task_name)[:1]):
            if not may_act(request, self.action, record):
                raise PermissionDenied
            return self.act(request, task_name)
        raise Http404

    def act(self, request: HttpRequest, task_name: str) -> HttpResponse:
        try:
            result = act(
                self.action, task_name, by=request.user, reason=request.POST.get("reason", "")
            )
        except DatabaseError:
            logger.exception("Could not %s task %s.", self.action, task_name)
            return self.answer(request, self.get_page(), get_failure(), is_done=False)
        page, is_done = self.get_page(), result.outcome is not Outcome.REFUSED
        if is_done and self.action is Action.RETRY:
            page = reverse("powercrud_tracking:detail", args=[result.task_name])
        elif is_done and self.action is Action.DELETE:
            page = feedback.get_list_url(request)
        return self.answer(request, page, result.message, is_done=is_done)

    def answer(self, request: HttpRequest, page: str, text: str, *, is_done: bool) -> HttpResponse:
        if IN_MODAL not in request.POST:
            return feedback.redirect(request, page, text, is_done=is_done)
        if request.headers.get("HX-Request"):
            # In place of the button.
            return HttpResponse(format_html('<span role="status">{}</span>', text))
        # The browser stays where it is, and the next poll shows what became of the task.
        return HttpResponse(status=204)
