"""Tell a person what became of an action, on the page to which the answer redirects."""

from urllib.parse import urlencode

from django.contrib import messages
from django.core import signing
from django.http import HttpRequest, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

from powercrud_tracking.records.visibility import may_view_records

RESULT = "result"
"""The parameter that carries the text in a project without Django's messages."""

_SALT = "powercrud_tracking.dashboard.actions.feedback"
_SECONDS = 60


def redirect(
    request: HttpRequest, default: str, text: str, *, is_done: bool
) -> HttpResponseRedirect:
    """Redirect to the page that the form names in ``next``, which shows this text.

    Args:
        request: of the form.
        default: the URL where the form names none, or one that is not on this site.
        text: what became of the action.
        is_done: whether all of it was done.
    """
    url = request.POST.get("next", "")
    # Without allowed hosts only addresses on this site are left; "?page" depends on where one is.
    if not (url.startswith("/") and url_has_allowed_host_and_scheme(url, allowed_hosts=None)):
        url = default
    try:
        messages.add_message(request, messages.SUCCESS if is_done else messages.WARNING, text)
    except messages.MessageFailure:
        # Signed, so that no link puts words into this page.
        signed = signing.dumps([text, is_done], salt=_SALT, compress=True)
        url, hash_mark, fragment = url.partition("#")
        joint = "&" if "?" in url else "?"
        url = f"{url}{joint}{urlencode({RESULT: signed})}{hash_mark}{fragment}"
    return HttpResponseRedirect(url)


def read_messages(request: HttpRequest) -> list[tuple[str, str]]:
    """Return the level and the text of each message that this page shows."""
    if "poll" in request.GET:
        # They are for the next page that somebody opens.
        return []
    found = messages.get_messages(request)
    # A project's layout may have shown them.
    shown = [] if getattr(found, "used", False) else [(each.level_tag, str(each)) for each in found]
    if RESULT in request.GET:
        try:
            text, is_done = signing.loads(request.GET[RESULT], salt=_SALT, max_age=_SECONDS)
        except signing.BadSignature:
            return shown
        shown.append(("success" if is_done else "warning", text))
    return shown


def get_list_url(request: HttpRequest) -> str:
    """Return the URL of the list that this person may see."""
    name = "list" if may_view_records(request.user) else "mine"
    return reverse(f"powercrud_tracking:{name}")
