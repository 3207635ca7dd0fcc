"""How the bookshop's task list names people."""

from django.contrib.auth.models import AbstractUser


def full_name_and_login(user: AbstractUser | None) -> str:
    """Return "Ada Keller (admin)", the login alone, or "Nobody" for an anonymous visitor."""
    if user is None:
        return "Nobody"
    full_name = user.get_full_name()
    return f"{full_name} ({user.get_username()})" if full_name else user.get_username()
