"""What the list can be narrowed to. All of it is in the address, so that it can be shared."""

import uuid
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.utils.formats import date_format
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext
from django_filters import CharFilter, DateTimeFilter, FilterSet

from powercrud_tracking.models import AsyncTaskRecordQuerySet
from powercrud_tracking.records.reading import get_rows, get_title
from powercrud_tracking.records.times import find_time, get_local

SEARCHED = 100_000
"""Among how many of the newest rows a text is looked for: no index finds a word."""

OFFERED_FROM = 1_000
"""From how many of the newest rows the functions and people to choose from are taken."""

_MOST_WORDS = 10
_MINUTE = "%Y-%m-%dT%H:%M"


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """One filter that is on.

    Args:
        label: of the filter.
        value: in words.
        query: the address without this filter, behind its "?".
    """

    label: Any
    value: str
    query: str


def _check_time(at: datetime) -> None:
    if find_time(at) is None:
        raise forms.ValidationError(forms.DateTimeField.default_error_messages["invalid"])


class RecordFilter(FilterSet):  # type: ignore[misc]
    """The filters of the list: those whose column the table has.

    Args:
        data: the parameters of the address.
        queryset: the rows that somebody may see.
    """

    q = CharFilter(
        label=_("Words"),
        method="search",
        widget=forms.TextInput(
            attrs={"type": "search", "placeholder": _("Name, message or objects")}
        ),
    )
    func = CharFilter(label=_("Function"), method="of_func", widget=forms.Select)
    user = CharFilter(label=_("Who"), method="of_user", widget=forms.Select)
    object = CharFilter(label=_("Objects"), method="on_objects")
    queued_from = DateTimeFilter(
        label=_("Queued from"), method="queued_since", validators=[_check_time]
    )
    queued_to = DateTimeFilter(
        label=_("Queued before"), method="queued_before", validators=[_check_time]
    )

    NEEDED = {
        "func": ("func",),
        "user": ("launched_by_id", "user"),
        "object": ("objects",),
        "queued_from": ("created_at",),
        "queued_to": ("created_at",),
    }
    """Filter to the logical names of which the table must store one."""

    def __init__(self, data: Any, *, queryset: AsyncTaskRecordQuerySet) -> None:
        super().__init__(data, queryset=queryset)
        for name, needed in self.NEEDED.items():
            if not any(map(queryset.stores, needed)):
                del self.filters[name]
        for name in ("queued_from", "queued_to"):
            if name in self.filters:
                self.filters[name].extra["widget"] = forms.DateTimeInput(
                    attrs={"type": "datetime-local"}, format=_MINUTE
                )
        self.is_searching = False
        self._labels: dict[str, dict[str, str]] = {}

    def search(self, rows: AsyncTaskRecordQuerySet, name: str, text: str) -> Any:
        """Find a task by its whole name, or tasks that mention all of some words."""
        if _is_task_name(text):
            return rows.named_task(text)
        rows = self._among_newest(rows)
        for word in text.split()[:_MOST_WORDS]:
            rows = rows.mentioning(word)
        return rows

    def of_func(self, rows: AsyncTaskRecordQuerySet, name: str, func: str) -> Any:
        return rows.of_func(func)

    def of_user(self, rows: AsyncTaskRecordQuerySet, name: str, who: str) -> Any:
        if rows.stores("launched_by_id"):
            return rows.launched_by_key(who)
        return self._among_newest(rows).labelled(who)

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

    @property
    def given(self) -> dict[str, str]:
        """The parameters of the filters that are on, as they came."""
        return {name: self.data[name] for name in self.filters if self.data.get(name)}

    def get_chosen(self, **others: str) -> list[Chosen]:
        """Return the filters that are on, each with the address without it.

        Args:
            others: further parameters, which all of these addresses keep.
        """
        given = self.given
        return [
            Chosen(
                label=self.filters[name].label,
                value=self._describe(name, value),
                query=get_query(**others, **{n: v for n, v in given.items() if n != name}),
            )
            for name, value in given.items()
        ]

    def _describe(self, name: str, value: str) -> str:
        cleaned = self.form.cleaned_data.get(name)
        if isinstance(cleaned, datetime):
            return date_format(get_local(cleaned), "SHORT_DATETIME_FORMAT")
        return self._labels.get(name, {}).get(value, value)

    def offer_choices(self) -> None:
        """Let the form offer the functions and users of the newest rows, in one query."""
        newest = self.queryset.newest_first()[:OFFERED_FROM]
        # A dict as an ordered set: most rows repeat others.
        found = dict.fromkeys(newest.get_values("func", "launched_by_id", "user"))
        by_key = self.queryset.stores("launched_by_id")
        self._offer("func", {func: get_title(func or "") for func, _, _ in found})
        # The newest label of a user wins.
        self._offer("user", {key if by_key else user: user for _, key, user in reversed(found)})

    def _offer(self, name: str, labels: dict[Any, Any]) -> None:
        if name not in self.filters:
            return
        labels = {str(value): str(label or value) for value, label in labels.items() if value}
        if chosen := self.data.get(name):
            labels.setdefault(chosen, chosen)
        numbers = Counter(labels.values())
        # Values that share a label are told apart.
        labels = {
            v: f"{label} ({v})" if numbers[label] > 1 else label for v, label in labels.items()
        }
        self._labels[name] = labels
        ordered = sorted(labels.items(), key=lambda pair: (pair[1].casefold(), pair[0]))
        self.form.fields[name].widget.choices = [("", pgettext("filter", "Any")), *ordered]


def get_query(**values: str) -> str:
    """Return parameters as an address has them behind its "?", without the empty ones."""
    return urlencode({name: value for name, value in values.items() if value})


def _is_task_name(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
