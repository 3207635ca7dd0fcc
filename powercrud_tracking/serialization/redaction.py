"""Which keys hold secrets, so that their values are not stored."""

import functools
import re
from collections.abc import Callable, Iterable

# Long words are searched anywhere, so that "userPassword" and "x-csrf-token" match. Short ones
# must stand alone between separators: "pin" and "user_pin" match, "shipping" and "pinned" do
# not. Nothing matches "author", "compass", "passenger" or "primary_key". Where a word has an
# innocent meaning too ("session", "signature"), hiding too much is the lesser harm.
DEFAULT_REDACT: tuple[str, ...] = (
    r"pass[\W_]?(?:word|wd|code|phrase|key)|passwort|pwd",
    r"(?:^|[\W_])pass$",
    r"token(?!iz|is)|bearer|oauth",
    r"secret|credential|cookie|session|sessid|csrf|xsrf|signature",
    r"(?:api|access|private|secret|signing|encryption|master|auth|ssh|host)[\W_]?key",
    r"authori[sz]ation|auth[\W_]?header|basic[\W_]?auth|^auth$",
    r"security[\W_]?(?:code|answer|question)|recovery[\W_]?code|social[\W_]?security",
    r"credit[\W_]?card|(?<!dis)card[\W_]?(?:number|num|no)(?:$|[\W_])",
    r"connection[\W_]?string|(?:database|broker|redis)[\W_]?url",
    r"(?:^|[\W_])(?:pin|otp|totp|mfa|ssn|cvv2?|cvc2?|jwt|creds?|sig|dsn)(?:$|[\W_])",
)
"""Keys whose values are not stored, as regular expressions."""

MASK = "********"
"""What is stored in place of a redacted value."""

_REMEMBERED = 64


def compile_redaction(patterns: Iterable[str]) -> re.Pattern[str] | None:
    """Return one pattern that finds what any of ``patterns`` finds, whatever the case.

    ``None`` if there are none. The result is cached.

    Raises:
        re.error: one of them is not a regular expression.
    """
    return _compile_redaction(tuple(patterns))


@functools.lru_cache(maxsize=64)
def _compile_redaction(patterns: tuple[str, ...]) -> re.Pattern[str] | None:
    for pattern in patterns:
        re.compile(pattern)  # an error here speaks of this pattern, not of all joined
    # Flags for a whole pattern, "(?i)", may not stand inside another: make them local.
    scoped = (re.sub(r"^\(\?([imsx]+)\)(.*)$", r"(?\1:\2)", p, flags=re.S) for p in patterns)
    return re.compile("|".join(f"(?:{p})" for p in scoped), re.IGNORECASE) if patterns else None


@functools.lru_cache(maxsize=64)
def get_judge(redact: re.Pattern[str] | None) -> Callable[[str], bool]:
    if redact is None:
        return lambda key: False
    search = redact.search
    # The same few keys come with every task, and searching costs more than all else.
    remember = functools.lru_cache(maxsize=1024)(lambda key: search(key) is not None)
    return lambda key: remember(key) if len(key) <= _REMEMBERED else search(key) is not None
