"""Nothing that people read on our pages stays English in a language that has a catalogue."""

import re
from datetime import datetime, timedelta
from html.parser import HTMLParser

import pytest
from babel.messages.mofile import read_mo
from django.apps import apps
from django.conf import settings as project_settings
from django.template.base import Lexer, TokenType
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.functional import Promise

from powercrud_tracking.dashboard.formats import write_age, write_duration
from powercrud_tracking.lifecycle import Status
from powercrud_tracking.models import AsyncTaskAttempt, AsyncTaskRecord
from powercrud_tracking.poll import build_link
from powercrud_tracking.templatetags.powercrud_tracking_overview import grouped, percent
from tests import messages
from tests.support.rows import NAME

LANGUAGES = {"de": "German", "es": "Spanish", "fr": "French", "ja": "Japanese"}
PLACEHOLDER = re.compile(r"%\(\w+\)[a-z]|%%")
SPOKEN = {"alt", "aria-label", "content-label", "data-copied", "data-label", "data-selected"} | {
    "data-text",
    "data-announcement",
    "label",
    "placeholder",
    "title",
}
"""Attributes that somebody reads or hears."""

ENGLISH = re.compile(
    r"\b(?:the|is|are|of|and|not|what|it|how|when|which|this|that|by|ago|last|latest|now|known"
    r"|tasks?|attempts?|runs?|ran|waited|waiting|queued?|running|succeeded|failed|lost|open|any|all"
    r"|filters?|words|who|overview|hours?|days?|minutes?|started|ended|status|older|newer"
    r"|progress|timeline|clusters? is|alive|unknown|copy|result|arguments|kept|until)\b",
    re.IGNORECASE,
)
SHARED = {
    "arguments": {"fr"},
    "filter": {"de"},
    "minute": {"de", "fr"},
    "minutes": {"fr"},
    "status": {"de"},
}
"""English words that are words of another language, too."""


class Reader(HTMLParser):
    """Collects what people read and hear of a page: no code, no data."""

    def __init__(self):
        super().__init__()
        self.said = []
        self.silent = 0

    def handle_starttag(self, tag, attrs):
        self.silent += tag in {"code", "pre", "script", "style"}
        self.said += [value for name, value in attrs if name in SPOKEN and value]

    def handle_endtag(self, tag):
        self.silent -= tag in {"code", "pre", "script", "style"}

    def handle_data(self, data):
        if not self.silent and data.strip():
            self.said.append(data.strip())


def read_page(content):
    reader = Reader()
    reader.feed(content)
    return reader.said


def get_forms(message):
    """Return the translations of a text, one for each plural form."""
    return message.string if isinstance(message.string, list | tuple) else [message.string]


def get_ids(message):
    return message.id if isinstance(message.id, list | tuple) else [message.id]


def get_key(message):
    context = message.context
    # From a .mo file it comes as it stands there.
    return (*get_ids(message), context.decode() if isinstance(context, bytes) else context)


def get_texts(catalog):
    return {get_key(message): message for message in catalog if message.id}


@pytest.fixture(scope="module", params=LANGUAGES)
def language(request):
    return request.param


@pytest.fixture(scope="module")
def catalog(language):
    return messages.read_catalog(language)


class TestSource:
    def test_its_texts_are_found(self):
        texts = get_texts(messages.extract_messages())

        # Of a template, of a module, and of both with what makes them hard to find.
        assert ("Overview", None) in texts
        assert ("caused by", None) in texts
        assert ("%(waiting)s task is queued.", "%(waiting)s tasks are queued.", None) in texts
        assert ("Open", "tasks") in texts
        assert ("%(number)d day ago", "%(number)d days ago", None) in texts

    @pytest.mark.parametrize(
        "path",
        sorted(messages.PACKAGE.glob("templates/**/*.html")),
        ids=lambda path: path.name,
    )
    def test_a_template_says_nothing_that_is_not_marked(self, path):
        kept, inside = [], ""
        for token in Lexer(path.read_text(encoding="utf-8")).tokenize():
            name = token.contents.split(" ")[0] if token.token_type == TokenType.BLOCK else ""
            if name in {"blocktranslate", "comment"}:
                inside = name
            elif name == f"end{inside}":
                inside = ""
            elif token.token_type == TokenType.TEXT and not inside:
                kept.append(token.contents)
        said = " ".join(read_page("".join(kept)))

        # What a computer measures or reads, and marks.
        left = re.sub(r"\b(?:status|ltr|rtl)\b", "", said)

        assert re.findall(r"[^\W\d_]{2,}", left) == []

    @pytest.mark.parametrize("model", [AsyncTaskRecord, AsyncTaskAttempt])
    def test_a_model_says_nothing_that_is_not_marked(self, model):
        fields = [field for field in model._meta.get_fields() if not field.primary_key]

        assert [f.name for f in fields if not isinstance(f.verbose_name, Promise)] == []
        assert isinstance(model._meta.verbose_name, Promise)
        assert isinstance(model._meta.verbose_name_plural, Promise)
        assert all(isinstance(status.label, Promise) for status in Status)

    def test_the_app_has_a_name_that_is_marked(self):
        assert isinstance(apps.get_app_config("powercrud_tracking").verbose_name, Promise)


class TestCatalogs:
    def test_there_is_one_for_each_language_that_is_claimed(self):
        setup = (messages.ROOT / "setup.cfg").read_text(encoding="utf-8")

        assert messages.get_languages() == sorted(LANGUAGES)
        assert re.findall(r"Natural Language :: (\w+)", setup) == sorted(
            ["English", *LANGUAGES.values()]
        )

    def test_every_text_of_the_source_is_in_it(self, catalog):
        missing = get_texts(messages.extract_messages()).keys() - get_texts(catalog).keys()

        assert missing == set(), "tox run -e messages"

    def test_every_text_is_translated_and_no_translation_is_a_guess(self, catalog):
        left = [message.id for message in catalog if not messages.is_translated(message)]

        assert left == []

    def test_it_holds_nothing_that_the_source_does_not_say(self, catalog):
        old = get_texts(catalog).keys() - get_texts(messages.extract_messages()).keys()

        assert old == set(), "tox run -e messages"
        assert dict(catalog.obsolete) == {}

    def test_a_text_has_as_many_forms_as_its_language(self, catalog):
        wrong = [
            message.id
            for message in catalog
            if isinstance(message.id, list | tuple) and len(message.string) != catalog.num_plurals
        ]

        assert wrong == []

    def test_placeholders_are_those_of_the_text(self, catalog):
        wrong = [
            (message.id, form)
            for message in catalog
            for form in get_forms(message)
            if sorted(PLACEHOLDER.findall(form))
            != sorted(PLACEHOLDER.findall(get_ids(message)[-1]))
            or "%" in PLACEHOLDER.sub("", form)
        ]

        assert wrong == []

    def test_a_sentence_ends_as_its_translation_does(self, catalog):
        marks = {".": ".\u3002", "?": "?\uff1f", ":": ":\uff1a"}

        wrong = [
            form
            for message in catalog
            if message.id
            for form in get_forms(message)
            if form and form[-1] not in marks.get(get_ids(message)[-1][-1], form)
        ]

        assert wrong == []

    def test_what_django_reads_is_what_it_says(self, language, catalog):
        with messages.get_path(language, "mo").open("rb") as file:
            compiled = read_mo(file)

        assert {key: tuple(get_forms(m)) for key, m in get_texts(compiled).items()} == {
            key: tuple(get_forms(m)) for key, m in get_texts(catalog).items()
        }, "tox run -e messages"
        assert compiled.plural_expr == catalog.plural_expr

    def test_the_command_keeps_it_and_writes_the_same_again(
        self, language, catalog, tmp_path, monkeypatch
    ):
        template = messages.extract_messages()
        monkeypatch.setattr(messages, "LOCALE", tmp_path)
        paths = [messages.get_path(language, ending) for ending in ("po", "mo")]

        messages.write_catalog(language, catalog, template)
        written = [path.read_bytes() for path in paths]
        again = messages.read_catalog(language)
        messages.write_catalog(language, again, template)

        assert [path.read_bytes() for path in paths] == written
        assert {key: get_forms(message) for key, message in get_texts(again).items()} == {
            key: get_forms(message) for key, message in get_texts(catalog).items()
        }

    def test_a_mark_has_the_space_before_it_that_french_wants(self):
        texts = [form for message in messages.read_catalog("fr") for form in get_forms(message)]

        tight = [text for text in texts[1:] if re.search(r"[^\u202f\d][:;?!](?!\w)", text)]

        assert tight == []


class TestMissing:
    """What somebody forgets is found: tried on catalogues in memory."""

    def test_a_new_text_has_no_translation(self, tmp_path, monkeypatch):
        old = messages.read_catalog("de")
        template = messages.extract_messages()
        template.add("A sentence that is new.")
        monkeypatch.setattr(messages, "LOCALE", tmp_path)

        new = messages.write_catalog("de", old, template)

        left = [message.id for message in new if not messages.is_translated(message)]
        assert left == ["A sentence that is new."]
        again = messages.read_catalog("de")
        assert [m.id for m in again if not messages.is_translated(m)] == left

    def test_one_missing_form_is_one_too_many(self):
        catalog = messages.read_catalog("de")
        message = catalog.get("%(number)d day ago")
        message.string = (message.string[0], "")

        assert not messages.is_translated(message)

    def test_what_is_not_said_any_more_goes(self, tmp_path, monkeypatch):
        old = messages.read_catalog("de")
        old.add("Nobody says this.", "Niemand sagt das.")
        monkeypatch.setattr(messages, "LOCALE", tmp_path)

        new = messages.write_catalog("de", old, messages.extract_messages())

        assert new.get("Nobody says this.") is None


@pytest.fixture
def reader(admin_client, settings):
    """A function that gets a page in a language, as a browser asks for it."""
    settings.MIDDLEWARE = [
        *settings.MIDDLEWARE[:1],
        "django.middleware.locale.LocaleMiddleware",
        *settings.MIDDLEWARE[1:],
    ]

    def get(url, language):
        response = admin_client.get(url, headers={"accept-language": language})
        assert response.status_code == 200
        return response.content.decode()

    yield get
    translation.deactivate()


def at(*when):
    moment = datetime(*when)
    return timezone.make_aware(moment) if project_settings.USE_TZ else moment


@pytest.fixture
def tasks(db):
    """One task of each kind, today and long ago, whose own words are no English."""
    now = timezone.now()
    begun = now - timedelta(minutes=5)
    ends = {
        "pending": {},
        "in_progress": {"started_at": begun, "progress_payload": "3/10"},
        "success": {"started_at": begun, "completed_at": begun + timedelta(seconds=2.5)},
        "failed": {"started_at": begun, "failed_at": now, "attempts": 2},
        "lost": {"started_at": begun, "failed_at": now, "attempts": 1},
    }
    for status, values in ends.items():
        AsyncTaskRecord.objects.create(
            task_name=NAME if status == "failed" else status,
            status=status,
            func="laden.importe.lesen",
            message="ValueError: 7 €" if status in {"failed", "lost"} else "",
            user_label="Zoë",
            affected_objects="Ωmega",
            task_args=[1],
            created_at=begun - timedelta(minutes=4),
            **values,
        )
    AsyncTaskRecord.objects.create(task_name="first", created_at=at(2026, 1, 2, 12, 30))
    for number in (1, 2):
        AsyncTaskAttempt.objects.create(
            task_name=NAME,
            number=number,
            outcome="failed",
            started_at=begun,
            ended_at=now,
            worker="w",
            exception_class="ValueError",
            message="ValueError: 7 €",
            traceback='Traceback (most recent call last):\n  File "/x.py", line 1, in y\n'
            "ValueError: 7 €\n",
        )


PAGES = {
    "overview": reverse("powercrud_tracking:overview"),
    "list": reverse("powercrud_tracking:list"),
    "narrowed list": reverse("powercrud_tracking:list") + "?q=lesen&queued_from=2026-01-01T00:00",
    "nothing found": reverse("powercrud_tracking:list") + "?q=nihil",
    "own": reverse("powercrud_tracking:mine"),
    **{
        status: reverse("powercrud_tracking:detail", args=[name])
        for status, name in {
            "queued": "pending",
            "running": "in_progress",
            "succeeded": "success",
            "failed": NAME,
            "lost": "lost",
        }.items()
    },
}


@pytest.mark.django_db
@pytest.mark.usefixtures("tasks")
class TestPages:
    @pytest.mark.parametrize("url", PAGES.values(), ids=PAGES)
    def test_no_english_is_left(self, reader, language, url):
        content = reader(url, language)

        left = {
            (word.lower(), text)
            for text in read_page(content)
            for word in ENGLISH.findall(text)
            if language not in SHARED.get(word.lower(), ())
        }

        assert left == set()
        assert f'<html lang="{language}" dir="ltr">' in content

    @pytest.mark.parametrize("url", PAGES.values(), ids=PAGES)
    def test_the_words_that_are_looked_for_are_those_of_the_english_page(self, reader, url):
        assert len(ENGLISH.findall(" ".join(read_page(reader(url, "en"))))) > 10

    @pytest.mark.parametrize(
        ("language", "words"),
        [
            ("de", ["Fehlgeschlagen", "Wartezeit", "2. Januar 2026 12:30", ">2,5\xa0s<"]),
            ("es", ["Fallo", "Tiempo en cola", "2 de enero de 2026", ">2,5\xa0s<"]),
            ("fr", ["Échouée", "attente", "2 janvier 2026", ">2,5\xa0s<"]),
            ("ja", ["失敗", "待ち時間", "2026年1月2日", ">2.5秒<"]),
        ],
    )
    def test_words_dates_and_numbers_are_those_of_the_language(self, reader, language, words):
        content = reader(PAGES["list"], language)

        assert [word for word in words if word not in content] == []

    def test_one_word_of_english_with_two_meanings_has_two_translations(self, reader):
        admin = reader(reverse("admin:powercrud_tracking_asynctaskrecord_changelist"), "de")

        assert ">Öffnen</a>" in admin
        assert "Aufgabeneinträge" in admin
        assert ">Offen" in reader(PAGES["list"], "de")

    def test_a_language_without_a_catalogue_gets_english(self, reader):
        assert "Queued" in reader(PAGES["list"], "nl")


class TestWords:
    @pytest.mark.parametrize(
        ("language", "words"),
        [
            ("en", "250 ms, 2.5 s, 1 min 40 s, 1 h 1 min, 3 d 2 h; 12,345; 2.4 %"),
            ("de", "250 ms, 2,5 s, 1 Min. 40 s, 1 Std. 1 Min., 3 T. 2 Std.; 12.345; 2,4 %"),
            ("es", "250 ms, 2,5 s, 1 min 40 s, 1 h 1 min, 3 d 2 h; 12 345; 2,4 %"),
            ("fr", "250 ms, 2,5 s, 1 min 40 s, 1 h 1 min, 3 j 2 h; 12 345; 2,4 %"),
            ("ja", "250ミリ秒, 2.5秒, 1分40秒, 1時間1分, 3日2時間; 12,345; 2.4%"),
        ],
    )
    def test_durations_and_numbers(self, language, words):
        with translation.override(language):
            lasted = ", ".join(
                write_duration(seconds) for seconds in (0.25, 2.5, 100, 3660, 266_400)
            )
            written = f"{lasted}; {grouped(12_345)}; {percent(0.024)}"

        assert re.sub(r"\s", " ", written) == words

    @pytest.mark.parametrize(
        ("language", "words"),
        [
            ("en", "now, 1 second ago, 3 hours ago, 1 day ago, 12 months ago, 2 years ago"),
            ("de", "jetzt, vor 1 Sekunde, vor 3 Stunden, vor 1 Tag, vor 12 Monaten, vor 2 Jahren"),
            ("es", "ahora, hace 1 segundo, hace 3 horas, hace 1 día, hace 12 meses, hace 2 años"),
            (
                "fr",
                "maintenant, il y a 1 seconde, il y a 3 heures, il y a 1 jour, il y a 12 mois,"
                " il y a 2 ans",
            ),
            ("ja", "現在, 1秒前, 3時間前, 1日前, 12か月前, 2年前"),
        ],
    )
    def test_ages(self, language, words):
        ages = [
            timedelta(seconds=-9),
            timedelta(seconds=1.5),
            timedelta(hours=3.5),
            timedelta(days=1.5),
            timedelta(days=365),
            timedelta(days=900),
        ]

        with translation.override(language):
            written = ", ".join(write_age(timezone.now() - age) for age in ages)

        assert written.replace("\xa0", " ") == words

    def test_the_way_from_powercrud_s_modal(self):
        with translation.override("de"):
            assert ">Diese Aufgabe verfolgen</a>" in build_link("/")
