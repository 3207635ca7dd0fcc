"""Problems as data: what is wrong with a configuration, where, and what to type."""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from django.core.exceptions import ImproperlyConfigured

from powercrud_tracking.config.dashboard_config import SETTING_KEYS


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong: its check id, what, and what to type."""

    id: str
    message: str
    hint: str

    def __str__(self) -> str:
        return f"{self.message} {self.hint}"


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a configuration was written, and so what may stand in it.

    Args:
        name: what errors call it.
        keys: the keys allowed there.
        in_python: written in Python code, where callables and PowerCRUD's words are welcome.
    """

    name: str
    keys: frozenset[str] = frozenset(SETTING_KEYS)
    in_python: bool = False

    def label(self, name: str) -> str:
        return f"{self.name}['{name.upper()}']"


class ConfigurationError(ImproperlyConfigured):
    """A configuration was refused, in the words that ``manage.py check`` prints."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def refuse(problems: Iterable[Problem]) -> None:
    """Raise at the first problem, if there is one.

    Raises:
        ConfigurationError: an ``ImproperlyConfigured``.
    """
    for problem in problems:
        raise ConfigurationError(problem)


def get_guess(word: str, known: Iterable[str], otherwise: str) -> str:
    """Return a hint that guesses what was meant, or ``otherwise``."""
    guesses = get_close_matches(word, sorted(known), n=1)
    return f"Did you mean {guesses[0]!r}?" if guesses else otherwise
