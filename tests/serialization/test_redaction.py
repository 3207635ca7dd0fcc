import pytest

from powercrud_tracking.serialization.payloads import to_json
from powercrud_tracking.serialization.redaction import DEFAULT_REDACT, MASK, compile_redaction

LIMIT = 16384


def store(value):
    return to_json(value, limit=LIMIT, redact=compile_redaction(DEFAULT_REDACT))


@pytest.mark.parametrize(
    "key",
    [
        *("password", "PASSWORD", "passwd", "db_pass", "user_passwd", "newPassword1", "passphrase"),
        *("pass phrase", "pass-phrase", "passcode", "pwd", "token", "access_token", "csrfToken"),
        *("api_key", "apiKey", "API-KEY", "apikey", "x-api-key", "access_key", "aws_secret"),
        *("Authorization", "authorisation", "auth_header", "auth", "oauth", "Cookie", "Set-Cookie"),
        *("credentials", "db_creds", "private_key", "privateKey", "secret_key", "client_secret"),
        *("session", "sessionid", "session_key", "signature", "sig", "bearer", "jwt", "csrf"),
        *("otp", "totp", "pin", "user_pin", "ssn", "card_number", "cardNumber", "credit_card"),
        *("cvv", "cvc", "card-cvv2", "database_url", "dsn", "security_code", "connection_string"),
    ],
)
def test_a_secret_key_is_redacted(key):
    assert store([{"a": {key: {"b": "value"}}}]) == [{"a": {key: MASK}}]


@pytest.mark.parametrize(
    "key",
    [
        *(
            "author",
            "author_id",
            "authority",
            "compass",
            "passenger",
            "passed",
            "bypass",
            "pass_rate",
        ),
        *("tokenized_count", "tokenizer", "key", "primary_key", "keyboard", "monkey", "pinned"),
        *("shipping", "spin", "opinion", "design", "signal", "assign", "card", "discard_number"),
        *("cookbook", "class_number", "book_ids", "username", "url", "currency", "topic", "hotpot"),
    ],
)
def test_an_innocent_key_is_not_redacted(key):
    assert store({key: "value"}) == {key: "value"}


def test_a_project_names_its_own_secrets():
    redact = compile_redaction(["^iban$", "(?i)health"])

    result = to_json({"IBAN": 1, "Health_record": 2, "password": 3}, limit=LIMIT, redact=redact)

    assert result == {"IBAN": MASK, "Health_record": MASK, "password": 3}


def test_no_patterns_redact_nothing():
    assert compile_redaction([]) is None
    assert to_json({"password": 1}, limit=LIMIT) == {"password": 1}


def test_a_pattern_that_is_no_regular_expression_is_refused():
    with pytest.raises(Exception, match="unterminated character set"):
        compile_redaction(["fine", "[a"])


def test_patterns_are_compiled_once():
    assert compile_redaction(["a", "b"]) is compile_redaction(iter(["a", "b"]))
