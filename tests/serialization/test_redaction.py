import json

import pytest

from powercrud_tracking.serialization.payloads import to_json, to_text
from powercrud_tracking.serialization.redaction import (
    DEFAULT_REDACT,
    MASK,
    compile_redaction,
    redact_text,
)
from powercrud_tracking.serialization.texts import cut_start

LIMIT = 16384


REDACT = compile_redaction(DEFAULT_REDACT)


def store(value):
    return to_json(value, limit=LIMIT, redact=REDACT)


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
        *(
            "pw",
            "PW",
            "user_pw",
            "pw2",
            "pw_hash",
            "userPw",
            "pass1",
            "pass_2",
            "DB_PASS2",
            "dbPass",
        ),
        *("db_url", "DB_URL", "dbUrl", "DATABASE_URI", "postgresql_url", "mongodb_uri", "amqp_url"),
        *("X-Auth", "x_auth", "HTTP_X_AUTH", "auth1", "auth_code", "authCode", "auth_data"),
        *(
            "access_code",
            "backup_codes",
            "verificationCode",
            "userPin",
            "pin2",
            "OTP1",
            "webhook_url",
        ),
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
        *(
            "authentic",
            "authenticity",
            "co_author",
            "author_code",
            "author_key",
            "AUTHOR",
            "Authors",
        ),
        *(
            "encompass",
            "compass1",
            "surpass",
            "bypass2",
            "passing",
            "passage",
            "passport",
            "paused",
        ),
        *(
            "power",
            "pwm",
            "spw",
            "thumb_url",
            "feedback_url",
            "image_uri",
            "urls",
            "auction",
            "PINNED",
        ),
        *(
            "userPinned",
            "signUp",
            "designSystem",
            "zip_code",
            "country_code",
            "code",
            "accessed_at",
        ),
    ],
)
def test_an_innocent_key_is_not_redacted(key):
    assert store({key: "value"}) == {key: "value"}


def test_a_project_s_patterns_replace_the_built_in_ones():
    redact = compile_redaction(["^iban$", "(?i)health"])

    result = to_json({"IBAN": 1, "Health_record": 2, "password": 3}, limit=LIMIT, redact=redact)

    assert result == {"IBAN": MASK, "Health_record": MASK, "password": 3}


def test_without_patterns_no_key_is_redacted():
    assert compile_redaction([]) is None
    assert to_json({"password": 1}, limit=LIMIT) == {"password": 1}


def test_a_pattern_that_is_no_regular_expression_is_refused():
    with pytest.raises(Exception, match="unterminated character set"):
        compile_redaction(["fine", "[a"])


def test_patterns_are_compiled_once():
    assert compile_redaction(["a", "b"]) is compile_redaction(iter(["a", "b"]))


class TestText:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("redis://ada:hunter2@host:6379/1", "redis://ada:********@host:6379/1"),
            ("redis://:hunter2@host", "redis://:********@host"),
            ("at postgres+psycopg://a:hunter2@h, x", "at postgres+psycopg://a:********@h, x"),
            ("ftp://a@b.org:hunter2@h/", "ftp://a@b.org:********@h/"),
            ("https://a:hun@ter2@h/", "https://a:********@h/"),
            ("https://a:hun#ter?2@h/", "https://a:********@h/"),
            ("a://b:hunter2@c d://e:hunter2@f", "a://b:********@c d://e:********@f"),
            ("/page?token=hunter2&next=/a", "/page?token=********&next=/a"),
            ("host=h password=hunter2 user=ada", "host=h password=******** user=ada"),
            ("password='hunter2 hunter2' user=a", "password='********' user=a"),
            ("{'password': 'hunter2', 'a': 1}", "{'password': '********', 'a': 1}"),
            ('{"a": {"pin": 1234}}', '{"a": {"pin": "********"}}'),
            ("{'token': None}", "{'token': '********'}"),
            ("{'password': ['hunter2', {'a': 'b'}], 'c': 1}", "{'password': '********', 'c': 1}"),
            ("{'password': Secret('hunter2'), 'a': 1}", "{'password': '********', 'a': 1}"),
            ("{'password': b'hunter2', 'a': 1}", "{'password': '********', 'a': 1}"),
            ("{'password': 'it\\'s hunter2', 'a': 1}", "{'password': '********', 'a': 1}"),
            (
                r'{"a": "{\"pw\": \"hunter2\", \"b\": 1}"}',
                r'{"a": "{\"pw\": \"********\", \"b\": 1}"}',
            ),
            ("[('api_key', ['“hunter2” is wrong'])]", "[('api_key', '********')]"),
            ("('password', 'hunter2', 'a')", "('password', '********', 'a')"),
            ("login(ada, password=get(ada, 'b'), c=d)", "login(ada, password=********, c=d)"),
            ("password='hunter2", "password='********'"),
            ("{'password': ['hunter2', 'hun", "{'password': '********'"),
            ("password=", "password=********"),
            ("  check(password=ask(\nValueError: no", "  check(password=********\nValueError: no"),
            ("Authorization: Bearer hunter2", "Authorization: Bearer ********"),
            ("Authorization: Basic aHVudGVyMg==, b", "Authorization: Basic ********, b"),
            ("proxy-authorization:hunter2; b", "proxy-authorization:********; b"),
            ("-H 'Authorization: Token hunter2' a", "-H 'Authorization: Token ********' a"),
            (
                'Authorization: Digest username="a", response="hunter2"\nHost: a',
                "Authorization: Digest ********\nHost: a",
            ),
            (
                r"b'Authorization: Bearer hunter2\r\nHost: a'",
                r"b'Authorization: Bearer ********\r\nHost: a'",
            ),
            ("sent Bearer eyJhbGci.eyJzdWI.SflKxwRJ to a", "sent Bearer ******** to a"),
        ],
    )
    def test_a_secret_in_a_text_is_masked(self, text, expected):
        assert redact_text(text, REDACT) == expected
        assert redact_text(expected, REDACT) == expected

    @pytest.mark.parametrize(
        "text",
        [
            "http://localhost:8000/",
            "http://localhost:8000/people/a@b.org",
            "http://[::1]:8000/a@b",
            "http://a:80, mail a@b.org",
            '{"url":"http://a:80","mail":"a@b.org"}',
            "ssh://git@host:22/a",
            "Invalid password: too short",
            "Bearer token is missing",
            "The bearer of this letter",
            "The author: Ada",
            "KeyError: 'password'",
            "got an unexpected keyword argument 'token'",
            "fields: ['password', 'price']",
            "password == hunter2",
            "price=3 author=ada next='x'",
            "updating: 3/10",
            "",
        ],
    )
    def test_an_innocent_text_stays_as_it_is(self, text):
        assert redact_text(text, REDACT) == text

    def test_a_dict_in_a_text_can_still_be_read(self):
        data = {"password": [1, {"a": "]"}], "b": {"pin": 1, "c": [None]}, "api_key": "x"}

        masked = redact_text(json.dumps(data), REDACT)

        assert json.loads(masked) == {
            "password": MASK,
            "b": {"pin": MASK, "c": [None]},
            "api_key": MASK,
        }

    def test_a_project_s_patterns_are_used_in_texts(self):
        redact = compile_redaction(["iban"])

        assert redact_text("iban=x password=x a://b:c@d", redact) == (
            "iban=******** password=x a://b:********@d"
        )

    def test_the_end_of_a_text_shows_no_secret_that_the_limit_cuts(self):
        text = "{'password': 'hunter2-hunter2-hunter2', 'a': 1}\n"

        for length in range(2, len(text) + 2):
            end = cut_start(text, length, redact=REDACT)

            assert "hunter" not in end
            assert len(end) <= length

    def test_credentials_in_a_plain_progress_text_are_masked(self):
        text = "sending Authorization: Bearer hunter2"

        assert to_text(text, limit=LIMIT, redact=REDACT) == "sending Authorization: Bearer ********"

    def test_without_patterns_no_text_is_redacted(self):
        assert redact_text("password=x a://b:c@d", None) == "password=x a://b:c@d"

    @pytest.mark.parametrize("length", range(0, 60, 3))
    def test_a_secret_that_the_limit_cuts_is_masked(self, length):
        text = f"{'x' * length} redis://ada:hunter2-hunter2@host password='hunter2-hunter2'"

        assert "hunter" not in to_text(text, limit=64, redact=REDACT)
