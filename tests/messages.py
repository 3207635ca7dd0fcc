"""Brings the catalogues up to date: ``tox run -e messages``.

Done with Babel and Django's own reader of templates, so that neither it nor the tests need the
GNU gettext tools. What is new has no translation yet, and
tests/repository/test_translations.py says so.
"""

import io
import sys
from collections.abc import Iterator
from pathlib import Path

from babel.messages import Catalog
from babel.messages.extract import extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.utils.translation import templatize

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "powercrud_tracking"
LOCALE = PACKAGE / "locale"
KEYWORDS = {
    "_": None,
    "gettext": None,
    "gettext_lazy": None,
    "ngettext": (1, 2),
    "ngettext_lazy": (1, 2),
    "pgettext": ((1, "c"), 2),
    "pgettext_lazy": ((1, "c"), 2),
    "npgettext": ((1, "c"), 2, 3),
    "npgettext_lazy": ((1, "c"), 2, 3),
}
HEADER = """\
# PROJECT, in the language that is named below.
# Distributed under the licence of the package."""


class PlainCatalog(Catalog):
    """A catalogue whose head says nothing that changes by itself: no time, no version."""

    LEFT_OUT = (
        "Generated-By",
        "Language-Team",
        "Last-Translator",
        "PO-Revision-Date",
        "POT-Creation-Date",
        "Report-Msgid-Bugs-To",
    )

    @property
    def mime_headers(self) -> list[tuple[str, str]]:
        headers = super().mime_headers
        return [(name, value.strip()) for name, value in headers if name not in self.LEFT_OUT]


def get_languages() -> list[str]:
    """Return the languages that have a catalogue."""
    return sorted(path.parent.parent.name for path in LOCALE.glob("*/LC_MESSAGES/*.po"))


def get_path(language: str, ending: str = "po") -> Path:
    return LOCALE / language / "LC_MESSAGES" / f"django.{ending}"


def get_sources() -> Iterator[tuple[str, bytes]]:
    """Return the name of each file that may speak to people, and what it is as Python."""
    for path in sorted([*PACKAGE.rglob("*.py"), *PACKAGE.glob("templates/**/*.html")]):
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".html":
            # Its calls stand anywhere in a line: indents that mean nothing must not be read.
            text = "\n".join(line.strip() for line in templatize(text).splitlines())
        yield path.relative_to(ROOT).as_posix(), text.encode()


def extract_messages() -> Catalog:
    """Return all texts of the source, without a translation."""
    catalog = Catalog(fuzzy=False)
    for name, source in get_sources():
        found = extract(
            "python", io.BytesIO(source), keywords=KEYWORDS, comment_tags=["Translators:"]
        )
        for _, message, comments, context in found:
            catalog.add(message, locations=[(name, 0)], auto_comments=comments, context=context)
    return catalog


def read_catalog(language: str) -> Catalog:
    with get_path(language).open("rb") as file:
        return read_po(file, locale=language)


def compile_catalog(catalog: Catalog) -> bytes:
    """Return what Django reads: the .mo file."""
    file = io.BytesIO()
    write_mo(file, catalog)
    return file.getvalue()


def write_catalog(language: str, old: Catalog, template: Catalog) -> Catalog:
    """Write the texts of the source with the translations that there are, and compile them."""
    new = PlainCatalog(
        locale=language,
        project="django-powercrud-tracking",
        version=" ",
        charset="utf-8",
        fuzzy=False,
        header_comment=HEADER,
    )
    for message in template:
        if not message.id:
            continue
        kept = old.get(message.id, message.context)
        new.add(
            message.id,
            kept.string if kept and not kept.fuzzy else None,
            locations=message.locations,
            auto_comments=message.auto_comments,
            user_comments=kept.user_comments if kept else (),
            context=message.context,
        )
    path = get_path(language)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        write_po(file, new, width=98, include_lineno=False, sort_output=False)
    get_path(language, "mo").write_bytes(compile_catalog(new))
    return new


def is_translated(message) -> bool:
    """Return whether each form of a text has its translation."""
    forms = message.string if isinstance(message.string, list | tuple) else [message.string]
    return bool(forms) and all(forms) and not message.fuzzy


def main(added: list[str]) -> int:
    template = extract_messages()
    missing = 0
    for language in sorted({*get_languages(), *added}):
        old = read_catalog(language) if get_path(language).exists() else Catalog(locale=language)
        new = write_catalog(language, old, template)
        left = [message for message in new if message.id and not is_translated(message)]
        missing += len(left)
        print(f"{language}: {len(new)} texts, {len(left)} to translate in {get_path(language)}")
        for message in left:
            print(f"    {message.id!r}")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
