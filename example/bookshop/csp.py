"""The Content-Security-Policy of each page: strict for powercrud_tracking, loose for others."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

HEADER = "Content-Security-Policy"

STRICT = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""For the pages of powercrud_tracking. Their stylesheet draws some marks as data: images."""

LOOSE = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; object-src 'none'; form-action 'self'; base-uri 'self'; "
    "frame-ancestors 'none'"
)
"""For everything else: PowerCRUD's pages hold inline scripts and styles."""


class ContentSecurityPolicyMiddleware:
    """Send the strict policy with the task pages, the loose one with the others."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        match = request.resolver_match
        is_ours = match is not None and "powercrud_tracking" in match.app_names
        response.headers.setdefault(HEADER, STRICT if is_ours else LOOSE)
        return response
