"""The filters of the list; all of them are in the query string, so that a link can be shared."""

import uuid
from collections import Counter
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.forms.utils import flatatt
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext
from django_filters import CharFilter, DateTimeFilter, FilterSet

from powercrud_tracking.models import AsyncTaskRecordQuerySet
from powercrud_tracking.records.reading import get_rows, get_title
from powercrud_tracking.records.times import find_time, get_local

SEARCHED = 100_000
"""A text is searched in so many of the newest rows, since no index finds a word."""

CHOICES_FROM = 1_000
"""The choices of functions and users are read from so many of the newest rows."""

NEEDED = {
    "func": ("func",),
    "user": ("launched_by_id", "user"),
    "object": ("objects",),
    "queued_from": ("created_at",),
    "queued_to": ("created_at",),
}
"""Filter to the logical names of which the table must store one."""

_MOST_WORDS = 10


class _Select(forms.Select):
    # Django renders a template for each option: hundreds of them took a fifth of the list's time.
    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        options = format_html_join(
            "\n",
            '<option value="{}"{}>{}</option>',
            (
                (choice, SafeString(" selected") if choice == (value or "") else "", label)
                for choice, label in self.choices
            ),
        )
        attributes = flatatt(self.build_attrs(self.attrs, attrs))
        return format_html('<select name="{}"{}>{}</select>', name, attributes, options)


class _TimeInput(forms.DateTimeInput):
    input_type = "datetime-local"

    def __init__(self, attrs: Any = None) -> None:
        super().__init__(attrs, format="%Y-%m-%dT%H:%M")


def _check_time(at: datetime) -> None:
    if find_time(at) is None:
        raise forms.ValidationError(forms.DateTimeField.default_error_messages["invalid"])


class _TimeFilter(DateTimeFilter):  # type: ignore[misc]
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(widget=_TimeInput, validators=[_check_time], **kwargs)


class RecordFilter(FilterSet):  # type: ignore[misc]
    """The filters of the list whose columns the table stores.

    Args:
        data: the parameters of the address.
        queryset: the rows that the user may see.
    """

    q = CharFilter(
        label=_("Search"),
        method="search",
        widget=forms.TextInput(
            attrs={"type": "search", "placeholder": _("Task name, message or objects")}
        ),
    )
    func = CharFilter(label=_("Function"), method="of_func", widget=_Select)
    user = CharFilter(label=_("User"), method="of_user", widget=_Select)
    object = CharFilter(label=_("Objects"), method="on_objects")
    queued_from = _TimeFilter(label=_("Queued from"), method="queued_since")
    queued_to = _TimeFilter(label=_("Queued before"), method="queued_before")

    def __init__(self, data: Any, *, queryset: AsyncTaskRecordQuerySet) -> None:
        super().__init__(data, queryset=queryset)
        for name, needed in NEEDED.items():
            if not any(map(queryset.stores, needed)):
                del self.filters[name]
        self.is_searching = False
        self._labels: dict[str, dict[str, str]] = {}

    # --- conditions ----------------------------------------------------------------------

    def search(self, rows: AsyncTaskRecordQuerySet, name: str, text: str) -> Any:
        """Find a task by its whole name, or tasks that contain each of some words."""
        if _is_task_name(text):
            return rows.named_task(text)
        rows = self._among_newest(rows)
        for word in text.split()[:_MOST_WORDS]:
            rows = rows.mentioning(word)
        return rows

    def of_func(self, rows: AsyncTaskRecordQuerySet, name: str, func: str) -> Any:
        return rows.of_func(func)

    def of_user(self, rows: AsyncTaskRecordQuerySet, name: str, user: str) -> Any:
        if rows.stores("launched_by_id"):
            return rows.launched_by_key(user)
        return self._among_newest(rows).labelled(user)

    def on_objects(self, rows: AsyncTaskRecordQuerySet, name: str, text: str) -> Any:
        return self._among_newest(rows).on_objects(text)

    def queued_since(self, rows: AsyncTaskRecordQuerySet, name: str, at: datetime) -> Any:
        return rows.queued_since(find_time(at))

    def queued_before(self, rows: AsyncTaskRecordQuerySet, name: str, at: datetime) -> Any:
        return rows.queued_before(find_time(at))

    def _among_newest(self, rows: AsyncTaskRecordQuerySet) -> AsyncTaskRecordQuerySet:
        if self.is_searching:
            return rows
        self.is_searching = True
        cutoff = get_rows(using=rows.db).find_time_of_newest(SEARCHED)
        return rows if cutoff is None else rows.queued_since(cutoff)

    # --- active filters ------------------------------------------------------------------

    @property
    def given(self) -> dict[str, str]:
        """The parameters of the active filters, as they are in the address."""
        return {name: self.data[name] for name in self.filters if self.data.get(name)}

    def get_active(self, **others: str) -> list[dict[str, Any]]:
        """Return each active filter: its ``label``, its ``value``, the ``query`` that removes it.

        Args:
            others: further parameters of these query strings.
        """
        given = self.given
        return [
            {
                "label": self.filters[name].label,
                "value": self._describe(name, value),
                "query": get_query(**others, **{n: v for n, v in given.items() if n != name}),
            }
            for name, value in given.items()
        ]

    def _describe(self, name: str, value: str) -> str:
        cleaned = self.form.cleaned_data.get(name)
        if isinstance(cleaned, datetime):
            return date_format(get_local(cleaned), "SHORT_DATETIME_FORMAT")
        return self._labels.get(name, {}).get(value, value)

    # --- choices -------------------------------------------------------------------------

    def set_choices(self) -> None:
        """Set the functions and users of the newest rows as choices of the form, in one query."""
        newest = self.queryset.newest_first()[:CHOICES_FROM]
        # A dict as an ordered set: most rows repeat others.
        found = dict.fromkeys(newest.get_values("func", "launched_by_id", "user"))
        by_key = self.queryset.stores("launched_by_id")
        self._fill_select("func", {func: get_title(func or "") for func, _, _ in found})
        # The newest label of a user wins.
        self._fill_select(
            "user", {key if by_key else user: user for _, key, user in reversed(found)}
        )

    def _fill_select(self, name: str, labels: dict[Any, Any]) -> None:
        if name not in self.filters:
            return
        labels = {str(value): str(label or value) for value, label in labels.items() if value}
        if chosen := self.data.get(name):
            labels.setdefault(chosen, chosen)
        numbers = Counter(labels.values())
        # Labels that are not unique get their value appended.
        labels = {
            value: f"{label} ({value})" if numbers[label] > 1 else label
            for value, label in labels.items()
        }
        self._labels[name] = labels
        ordered = sorted(labels.items(), key=lambda pair: (pair[1].casefold(), pair[0]))
        self.form.fields[name].widget.choices = [("", pgettext("filter", "Any")), *ordered]


def get_query(**values: str) -> str:
    """Return a query string of these parameters, without the empty ones."""
    return urlencode({name: value for name, value in values.items() if value})


def _is_task_name(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
