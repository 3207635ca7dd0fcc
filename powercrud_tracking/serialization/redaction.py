"""Secrets that must not be stored: which keys name one, and where a text contains one."""

import re
from collections.abc import Iterable
from functools import cached_property, lru_cache

# Long words are searched anywhere, so that "userPassword" and "x-csrf-token" match. Short ones
# must be whole words, between separators, digits or the capitals of camelCase: "pin", "user_pin"
# and "userPin2" match, "shipping" and "pinned" do not. No pattern matches "author",
# "compass", "passenger" or "primary_key". Words that also have a harmless meaning ("session",
# "signature") are masked: too much is better than a stored secret.
_START = r"(?:^|[\W_]|(?-i:(?<=[a-z\d])(?=[A-Z])))"
_END = r"(?:$|[\W_\d]|(?-i:(?<=[a-z])(?=[A-Z])))"

DEFAULT_REDACT: tuple[str, ...] = (
    r"pass[\W_]?(?:word|wd|code|phrase|key)|passwort|pwd",
    rf"{_START}pass[\W_]?\d*$|{_START}pw{_END}",
    r"token(?!iz|is)|bearer|oauth",
    r"secret|credential|cookie|session|sessid|csrf|xsrf|signature",
    r"(?:api|access|private|secret|signing|encryption|master|auth|ssh|host)[\W_]?key",
    rf"authori[sz]ation|auth[\W_]?(?:header|code|data|string)|basic[\W_]?auth|{_START}auth\d*$",
    r"(?:access|backup|recovery|reset|security|verification)[\W_]?code",
    r"security[\W_]?(?:answer|question)|social[\W_]?security",
    r"credit[\W_]?card|(?<!dis)card[\W_]?(?:number|num|no)(?:$|[\W_])",
    r"connection[\W_]?string",
    r"(?:database|broker|redis|mysql|postgres(?:ql)?|mongo(?:db)?|webhook)[\W_]?ur[il]",
    rf"{_START}(?:db|amqp)[\W_]?ur[il]",
    rf"{_START}(?:pin|otp|totp|mfa|ssn|cvv2?|cvc2?|jwt|creds?|sig|dsn){_END}",
)
"""Keys whose values are not stored, as regular expressions."""

MASK = "********"
"""What is stored in place of a redacted value."""

_CACHED_KEYS = 1024
_CACHED_LENGTH = 64
# Of what is longer, and so no name of anything, beginning and end are searched.
_SEARCHED_LENGTH, _START_LENGTH = 1000, 500
_FLAGS = re.compile(r"^\(\?([imsx]+)\)(.*)$", re.DOTALL)

# The last "@" before the path ends the password. The user stays: it helps to find the account.
_URL_PASSWORD = re.compile(r'(?<=://)([^\s/:"<>]*):[^\s/"<>]+@')
# The credentials in "Authorization: Bearer abc". Without the name of the header, a short word after
# "Bearer" may be prose.
_CREDENTIALS = re.compile(
    r"""
      (?P<header> \bauthori[sz]ation[ ]?:[ ]? )
      (?: (?P<digest> digest[ ] ) [^\r\n'\\]++
        | (?P<scheme> (?: basic | bearer | negotiate | token )[ ] )? [^\s,;"'<>\\]++ )
    | (?P<bearer> \bbearer[ ] ) [\w.~+/=-]{20,}+
    """,
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)
# A key in front of its value: 'key': in a dict or in JSON (in JSON inside JSON quoted by \"),
# ('key', in a pair, and key= in a call, a query string or a list of options.
_KEY = re.compile(
    r"""
      (\()? (?P<quote>\\{0,3}["']) (?P<quoted>[^"'\\\n]{1,64}) (?P=quote) \s? (?(1)[:,]|:) \s?
    | (?<![\w.\-]) (?P<plain>[\w.\-]{1,64}) = (?!=)
    """,
    re.VERBOSE,
)
# The pieces of a value: a quoted text (or its beginning), a bracket, what ends a value, the rest.
_PIECE = re.compile(
    r"""
      (?P<quote>\\{0,3}["']) (?:(?!(?P=quote)) (?:\\.|[^\\\n]))*+ (?P=quote)?
    | (?P<opening>[\[({<])
    | (?P<closing>[\])}>])
    | (?P<end>[\s,;&\\])
    | [^\s,;&"'\\\[\](){}<>]+
    """,
    re.VERBOSE,
)


class SecretKeys(dict[str, bool]):
    """Test which keys name a secret: ``secret_keys["password"]`` is true.

    The same few keys come with every task, and a search costs more than everything else: its
    result is kept for the next time.

    Args:
        patterns: regular expressions, searched without regard to case; a key with a match
            names a secret.
    """

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        self._patterns = tuple(patterns)

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """All patterns in one.

        Raises:
            re.error: one of them is not a regular expression.
        """
        for pattern in self._patterns:
            re.compile(pattern)  # an error here names this pattern, not all of them joined
        # Flags for a whole pattern, "(?i)", are not allowed inside another: make them local.
        scoped = (_FLAGS.sub(r"(?\1:\2)", pattern) for pattern in self._patterns)
        return re.compile("|".join(f"(?:{pattern})" for pattern in scoped), re.IGNORECASE)

    def __missing__(self, key: str) -> bool:
        searched = (
            key if len(key) <= _SEARCHED_LENGTH else key[:_START_LENGTH] + key[-_START_LENGTH:]
        )
        found = bool(self._patterns) and self.pattern.search(searched) is not None
        if len(key) <= _CACHED_LENGTH:
            if len(self) >= _CACHED_KEYS:
                self.clear()
            self[key] = found
        return found


BUILT_IN = SecretKeys(DEFAULT_REDACT)
"""The keys that the built-in list finds."""


def compile_redaction(patterns: Iterable[str]) -> SecretKeys | None:
    """Return the keys that name a secret, or ``None`` if there are no patterns; it is cached.

    Raises:
        re.error: one of the patterns is not a regular expression.
    """
    return _compile_redaction(tuple(patterns))


@lru_cache(maxsize=64)
def _compile_redaction(patterns: tuple[str, ...]) -> SecretKeys | None:
    secret_keys = SecretKeys(patterns)
    # Compile now, so that an invalid pattern raises where it is set.
    return secret_keys if secret_keys.pattern.pattern else None


def redact_text(text: str, redact: SecretKeys | None) -> str:
    """Return ``text`` with the secrets in it replaced by ``MASK``.

    These are the password of an URL (``scheme://user:password@host``), the credentials in
    ``Authorization: Bearer x``, and what follows a matching key: ``'password': 'x'`` as Python and
    JSON write a dict, ``('password', 'x')``, and ``password=x``. A value is replaced up to the end
    of its line at most.

    Args:
        text: any text; the time is proportional to its length.
        redact: tells which keys are secret; nothing is replaced if it is ``None``.
    """
    if redact is None:
        return text
    if "://" in text:
        text = _URL_PASSWORD.sub(rf"\1:{MASK}@", text)
    if may_hold_credentials(text):
        text = _CREDENTIALS.sub(_mask_credentials, text)
    if "=" in text or "'" in text or '"' in text:
        text = _redact_values(text, redact)
    return text


def may_hold_credentials(text: str) -> bool:
    """Return whether ``redact_text()`` may find HTTP credentials in a text; this is fast."""
    lowered = text.lower()
    return "authori" in lowered or "bearer " in lowered


def _mask_credentials(match: re.Match[str]) -> str:
    return "".join([*filter(None, match.groups()), MASK])


def _redact_values(text: str, secret_keys: SecretKeys) -> str:
    parts: list[str] = []
    end = 0
    for key in _KEY.finditer(text):
        start = key.end()
        if key.start() >= end and secret_keys[key["quoted"] or key["plain"]]:
            # Quoted as the key is, so that a dict stays one that can be read.
            quote = key["quote"] or (text[start] if text.startswith(('"', "'"), start) else "")
            parts += text[end:start], quote, MASK, quote
            end = _find_end(text, start)
    return "".join([*parts, text[end:]]) if parts else text


def _find_end(text: str, start: int) -> int:
    """Return where the value ends that begins at ``start``."""
    depth = 0
    for piece in _PIECE.finditer(text, start):
        match piece.lastgroup:
            case "opening":
                depth += 1
            case "closing" if depth == 0:
                return piece.start()
            case "closing":
                depth -= 1
            case "end" if depth == 0 or piece[0] == "\n":
                return piece.start()
    return len(text)
