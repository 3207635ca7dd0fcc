"""Validate the models, fields and functions that a configuration refers to.

The class that ``MANAGER_CLASS`` names is checked in ``factory``, where managers are known.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist
from django.db import models

from powercrud_tracking.config.dashboard_config import (
    DEFAULT_FIELDS,
    FIELD_ALIASES,
    DashboardConfig,
    load,
)
from powercrud_tracking.config.keys import FUNCTION_NAMES
from powercrud_tracking.config.problems import Problem, Source, get_suggestion

MIN_NAME_LENGTH = 36
MIN_STATUS_LENGTH = 11

type Field = models.Field[Any, Any]
"""A field of a record model, of any type."""


def find_field(model: type[models.Model], name: str) -> Field | None:
    """Return the model's own column of that name, or ``None``."""
    try:
        field = model._meta.get_field(name)
    except FieldDoesNotExist:
        return None
    if not isinstance(field, models.Field) or not field.concrete or field.many_to_many:
        return None
    return field


def find_mapped_field(
    config: DashboardConfig, model: type[models.Model], logical: str
) -> Field | None:
    """Return the field that stores a logical name, or ``None`` if it is not stored."""
    name = config.field_map.get(logical, DEFAULT_FIELDS[logical])
    return None if name is None else find_field(model, name)


def find_reference_problems(config: DashboardConfig, source: Source) -> Iterator[Problem]:
    """Yield the problems of the table and of the functions that a configuration names."""
    yield from find_table_problems(config, source)
    yield from find_function_problems(config, source)


# --- functions ---------------------------------------------------------------------------


def find_function_problems(config: DashboardConfig, source: Source) -> Iterator[Problem]:
    """Yield the problems of the dotted paths of functions."""
    for name in FUNCTION_NAMES:
        target = getattr(config, name)
        if not isinstance(target, str):
            continue
        try:
            found = load(target, source.label(name))
        except ImportError as exc:
            yield Problem(
                id="powercrud_tracking.E011",
                message=f"{exc}.",
                hint="Check the spelling of the path, and that its module imports.",
            )
            continue
        if not callable(found):
            yield Problem(
                id="powercrud_tracking.E012",
                message=f"{source.label(name)} names {target!r}, which cannot be called: "
                f"it is {found!r}.",
                hint="Name a function.",
            )


# --- the table ---------------------------------------------------------------------------


def find_table_problems(config: DashboardConfig, source: Source) -> Iterator[Problem]:
    """Yield the problems of the record model, its field map and the defaults of a new row."""
    try:
        model = apps.get_model(config.record_model)
    except (LookupError, ValueError):
        yield Problem(
            id="powercrud_tracking.E005",
            message=f"{source.label('record_model')} names {config.record_model!r}, "
            "which is no installed model.",
            hint=get_suggestion(
                config.record_model,
                [m._meta.label for m in apps.get_models()],
                "Add its app to INSTALLED_APPS and check the spelling of the model.",
            ),
        )
        return
    unsuitable = _find_unsuitable(model)
    if unsuitable is not None:
        reason, hint = unsuitable
        yield Problem(
            id="powercrud_tracking.E006",
            message=f"{source.label('record_model')} names {config.record_model!r}, which {reason}",
            hint=hint,
        )
        return
    yield from _find_mapping_problems(config, source, model)
    yield from _find_shared_field_problems(config, source, model)
    yield from _find_default_problems(config, source, model)
    yield from _find_name_problems(config, source, model)
    yield from _find_status_problems(config, source, model)


def _find_unsuitable(model: type[models.Model]) -> tuple[str, str] | None:
    """Return why a model cannot be a record table and what to do, or ``None`` if it can."""
    if model._meta.proxy and (concrete := model._meta.concrete_model):
        return "is a proxy and has no table of its own.", f"Name {concrete._meta.label!r}."
    if model._meta.parents:
        return (
            "inherits from a concrete model: its row would be spread over two tables.",
            "Inherit from powercrud_tracking.models.AbstractAsyncTaskRecord, or from models.Model.",
        )
    return None


def _find_mapping_problems(
    config: DashboardConfig, source: Source, model: type[models.Model]
) -> Iterator[Problem]:
    for logical, name in config.field_map.items():
        if logical not in DEFAULT_FIELDS:
            yield Problem(
                id="powercrud_tracking.E007",
                message=f"{source.label('field_map')} has an unknown logical name {logical!r}.",
                hint=get_suggestion(
                    logical,
                    [*DEFAULT_FIELDS, *FIELD_ALIASES],
                    f"The logical names are {', '.join(DEFAULT_FIELDS)}.",
                ),
            )
        elif name is not None and find_field(model, name) is None:
            yield _get_missing_field_problem(
                f"{source.label('field_map')} stores {logical!r} in {name!r}",
                name,
                model,
                otherwise=" None means: do not store.",
            )


def _find_shared_field_problems(
    config: DashboardConfig, source: Source, model: type[models.Model]
) -> Iterator[Problem]:
    """Yield fields that two logical names share: one UPDATE cannot set a column twice."""
    logical_names: dict[str, str] = {}
    for logical in DEFAULT_FIELDS:
        field = find_mapped_field(config, model, logical)
        if field is None:
            continue
        other = logical_names.setdefault(field.name, logical)
        if other != logical:
            yield Problem(
                id="powercrud_tracking.E015",
                message=f"{source.label('field_map')} stores both {other!r} and {logical!r} in "
                f"{field.name!r}.",
                hint="Give each a field of its own, or map one of them to None.",
            )


def _find_default_problems(
    config: DashboardConfig, source: Source, model: type[models.Model]
) -> Iterator[Problem]:
    if not isinstance(config.create_defaults, Mapping):
        return
    for name in config.create_defaults:
        # Model() also accepts a value for a property with a setter.
        if find_field(model, name) is None and name not in model._meta._property_names:  # type: ignore[attr-defined]
            yield _get_missing_field_problem(
                f"{source.label('create_defaults')} sets {name!r}", name, model
            )


def _get_missing_field_problem(
    what: str, name: str, model: type[models.Model], *, otherwise: str = ""
) -> Problem:
    names = [field.name for field in model._meta.concrete_fields]
    return Problem(
        id="powercrud_tracking.E008",
        message=f"{what}, but {model._meta.label} has no such field.",
        hint=get_suggestion(name, names, f"Its fields are {', '.join(names)}.{otherwise}"),
    )


def _find_name_problems(
    config: DashboardConfig, source: Source, model: type[models.Model]
) -> Iterator[Problem]:
    field = find_mapped_field(config, model, "task_name")
    if field is not None and not (_is_unique(field) and _holds_text(field, MIN_NAME_LENGTH)):
        yield Problem(
            id="powercrud_tracking.E009",
            message=f"{model._meta.label}.{field.name}, which holds 'task_name', must be "
            f"unique text of at least {MIN_NAME_LENGTH} characters.",
            hint="Use models.CharField(max_length=255, unique=True).",
        )
    # A field in the map that the model lacks is reported as a problem of the map.
    elif field is None and config.field_map.get("task_name") is None:
        yield Problem(
            id="powercrud_tracking.E009",
            message=f"{model._meta.label} has no field for 'task_name', by which every row is "
            "found.",
            hint="Add task_name = models.CharField(max_length=255, unique=True) to it, or name "
            f"its field in {source.label('field_map')}.",
        )


def _find_status_problems(
    config: DashboardConfig, source: Source, model: type[models.Model]
) -> Iterator[Problem]:
    field = find_mapped_field(config, model, "status")
    if field is not None and not _holds_text(field, MIN_STATUS_LENGTH):
        yield Problem(
            id="powercrud_tracking.E010",
            message=f"{model._meta.label}.{field.name} must be a text field of at least "
            f"{MIN_STATUS_LENGTH} characters to hold every status.",
            hint="Use models.CharField(max_length=16), or map 'status' to None in "
            f"{source.label('field_map')}.",
        )


def _is_unique(field: Field) -> bool:
    # A constraint of the model has the same effect as unique=True of the field.
    constraints = field.model._meta.total_unique_constraints
    return field.unique or any(each.fields == (field.name,) for each in constraints)


def _holds_text(field: Field, length: int) -> bool:
    if not isinstance(field, models.CharField | models.TextField):
        return False
    return field.max_length is None or field.max_length >= length
