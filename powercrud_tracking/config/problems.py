"""Configuration problems as data: the error, its place and a hint."""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from django.core.exceptions import ImproperlyConfigured

from powercrud_tracking.config.dashboard_config import SETTING_KEYS


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A configuration problem: check id, message and hint."""

    id: str
    message: str
    hint: str

    def __str__(self) -> str:
        return f"{self.message} {self.hint}"


@dataclass(frozen=True, kw_only=True)
class Source:
    """The place where a configuration was written, which decides what is allowed in it.

    Args:
        name: its name in error messages.
        keys: the keys allowed there.
        in_python: whether it is written in Python code, where callables and PowerCRUD's key names
            are allowed.
    """

    name: str
    keys: frozenset[str] = frozenset(SETTING_KEYS)
    in_python: bool = False

    def label(self, name: str) -> str:
        return f"{self.name}['{name.upper()}']"


def raise_first(problems: Iterable[Problem]) -> None:
    """Raise an error for the first problem, if there is one.

    Raises:
        ImproperlyConfigured: with the message that ``manage.py check`` prints.
    """
    for problem in problems:
        raise ImproperlyConfigured(str(problem))


def get_suggestion(word: str, known: Iterable[str], otherwise: str) -> str:
    """Return a hint that suggests a similar name, or ``otherwise``."""
    guesses = get_close_matches(word, sorted(known), n=1)
    return f"Did you mean {guesses[0]!r}?" if guesses else otherwise
