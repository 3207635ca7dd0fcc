import pytest
from django.utils import translation

from powercrud_tracking.records.titles import (
    read_changes,
    read_extra,
    read_names,
    without_titles,
    write_title,
)

UPDATED = {"kind": "update", "number": 480, "model": "project.widget"}
DELETED = {"kind": "delete", "number": 3, "model": "project.widget"}


@pytest.mark.parametrize(
    ("title", "text"),
    [
        (UPDATED, "Update of 480 widgets"),
        ({**UPDATED, "number": 1}, "Update of 1 widget"),
        ({**UPDATED, "number": 12345}, "Update of 12,345 widgets"),
        (DELETED, "Deletion of 3 widgets"),
        ({**DELETED, "model": "shop.gone"}, "Deletion of 3 shop.gone"),
        ({**DELETED, "model": "nonsense"}, "Deletion of 3 nonsense"),
        ("Sum of the day", "Sum of the day"),
        ({**DELETED, "kind": "boil"}, ""),
        ({**DELETED, "number": "… [2 more]"}, ""),
        ({"kind": "update"}, ""),
        ({**UPDATED, "kind": ["update"]}, ""),
        (["Sum"], ""),
        (None, ""),
    ],
    ids=repr,
)
def test_a_title_is_written_whatever_is_stored(title, text):
    assert write_title({"title": title}) == text


def test_numbers_have_the_separators_of_the_reader_s_language():
    with translation.override("de"):
        assert "12.345" in write_title({"title": {**UPDATED, "number": 12345}})


@pytest.mark.parametrize(
    ("changes", "texts"),
    [
        ([["price", "7"], ["in stock", "yes"]], ["price → 7", "in stock → yes"]),
        ([["price", ""]], ["price → empty"]),
        ([["tags", "new", "add"]], ["tags → add new"]),
        ([["tags", "new", "remove"]], ["tags → remove new"]),
        ([["tags", "new", "replace"]], ["tags → new"]),
        ([["price", "7"], "… [12 more]"], ["price → 7"]),
        ([["price"], ["price", 7], [], None, {"a": 1}], []),
        ("price", []),
        (None, []),
    ],
    ids=repr,
)
def test_changes_are_read_whatever_is_stored(changes, texts):
    assert [str(each) for each in read_changes({"changes": changes})] == texts


@pytest.mark.parametrize(
    ("names", "texts"),
    [
        (["Bolt", "Nut", "Screw"], ["Bolt", "Nut", "Screw"]),
        (["Bolt"], ["Bolt", "and 2 more"]),
        ([], []),
        ("Bolt", []),
    ],
    ids=repr,
)
def test_names_are_read_with_the_number_of_those_left_out(names, texts):
    assert read_names({"title": DELETED, "names": names}) == texts


@pytest.mark.parametrize(
    ("stored", "extra"),
    [
        ({"a": 1}, {"a": 1}),
        ('{"a": 1}', {"a": 1}),
        ('{"a": ', {}),
        ("text", {}),
        (None, {}),
        ([1], {}),
    ],
    ids=repr,
)
def test_extra_is_read_as_a_mapping(stored, extra):
    assert read_extra(stored) == extra


@pytest.mark.parametrize(
    ("stored", "rest"),
    [
        ({"title": UPDATED, "changes": [["price", "7"]], "options": {}}, {"options": {}}),
        ({"title": DELETED, "names": ["Bolt"]}, {}),
        ({"title": 3, "changes": "many", "a": 1}, {"title": 3, "changes": "many", "a": 1}),
        ({"a": 1}, {"a": 1}),
        (None, None),
        ([1], [1]),
    ],
    ids=repr,
)
def test_what_is_shown_in_words_is_not_shown_again(stored, rest):
    assert without_titles(stored) == rest
