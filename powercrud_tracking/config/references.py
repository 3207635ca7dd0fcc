"""What a configuration refers to: models, fields, functions and classes that must be there."""

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
from powercrud_tracking.config.problems import Problem, Source, get_guess

MIN_NAME_LENGTH = 36
MIN_STATUS_LENGTH = 11


def find_reference_problems(config: DashboardConfig, source: Source) -> Iterator[Problem]:
    """Yield whatever a configuration names that is not there or does not serve."""
    yield from _find_model_problems(config, source)
    yield from _find_function_problems(config, source)
    yield from _find_class_problems(config, source)


def _find_model_problems(config: DashboardConfig, source: Source) -> Iterator[Problem]:
    try:
        model = apps.get_model(config.record_model)
    except (LookupError, ValueError):
        yield Problem(
            id="powercrud_tracking.E005",
            message=f"{source.label('record_model')} names {config.record_model!r}, "
            "which is no installed model.",
            hint=get_guess(
                config.record_model,
                [m._meta.label for m in apps.get_models()],
                "Add its app to INSTALLED_APPS and check the spelling of the model.",
            ),
        )
        return
    if model._meta.proxy:
        yield Problem(
            id="powercrud_tracking.E006",
            message=f"{source.label('record_model')} names {config.record_model!r}, which "
            "is a proxy and has no table of its own.",
            hint=f"Name {model._meta.concrete_model._meta.label!r}.",
        )
        return
    if model._meta.parents:
        yield Problem(
            id="powercrud_tracking.E006",
            message=f"{source.label('record_model')} names {config.record_model!r}, which "
            "inherits from a concrete model: its row would be spread over two tables.",
            hint="Inherit from powercrud_tracking.models.AbstractAsyncTaskRecord, "
            "or from models.Model.",
        )
        return
    yield from _find_field_problems(config, source, model)


def _find_field_problems(
    config: DashboardConfig, source: Source, model: type[models.Model]
) -> Iterator[Problem]:
    for logical, name in config.field_map.items():
        if logical not in DEFAULT_FIELDS:
            yield Problem(
                id="powercrud_tracking.E007",
                message=f"{source.label('field_map')} has an unknown logical name {logical!r}.",
                hint=get_guess(
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
    yield from _find_shared_field_problems(config, source, model)
    if isinstance(config.create_defaults, Mapping):
        for name in config.create_defaults:
            if not _can_be_given(model, name):
                yield _get_missing_field_problem(
                    f"{source.label('create_defaults')} sets {name!r}",
                    name,
                    model,
                    otherwise="",
                )
    yield from _find_name_problems(config, source, model)
    status = find_mapped_field(config, model, "status")
    if status is not None and not _holds_text(status, MIN_STATUS_LENGTH):
        yield Problem(
            id="powercrud_tracking.E010",
            message=f"{model._meta.label}.{status.name} must be a text field of at least "
            f"{MIN_STATUS_LENGTH} characters to hold every status.",
            hint=f"Use models.CharField(max_length=16), or map 'status' to None in "
            f"{source.label('field_map')}.",
        )


def _find_shared_field_problems(
    config: DashboardConfig, source: Source, model: type[models.Model]
) -> Iterator[Problem]:
    """Yield fields that two logical names share: one statement cannot give them two values."""
    held: dict[str, str] = {}
    for logical in DEFAULT_FIELDS:
        field = find_mapped_field(config, model, logical)
        if field is None:
            continue
        other = held.setdefault(field.name, logical)
        if other != logical:
            yield Problem(
                id="powercrud_tracking.E015",
                message=f"{source.label('field_map')} stores both {other!r} and {logical!r} in "
                f"{field.name!r}.",
                hint="Give each a field of its own, or map one of them to None.",
            )


def _get_missing_field_problem(
    what: str, name: str, model: type[models.Model], *, otherwise: str
) -> Problem:
    names = [field.name for field in model._meta.concrete_fields]
    return Problem(
        id="powercrud_tracking.E008",
        message=f"{what}, but {model._meta.label} has no such field.",
        hint=get_guess(name, names, f"Its fields are {', '.join(names)}.{otherwise}"),
    )


def _can_be_given(model: type[models.Model], name: str) -> bool:
    """Whether a new instance of the model takes a value of that name."""
    return find_field(model, name) is not None or name in model._meta._property_names  # type: ignore[attr-defined]


def _find_name_problems(
    config: DashboardConfig, source: Source, model: type[models.Model]
) -> Iterator[Problem]:
    wanted = config.field_map.get("task_name", DEFAULT_FIELDS["task_name"])
    name_field = find_mapped_field(config, model, "task_name")
    if name_field is None:
        if wanted is None or "task_name" not in config.field_map:
            yield Problem(
                id="powercrud_tracking.E009",
                message=f"{model._meta.label} has no field for 'task_name', "
                "by which every row is found.",
                hint=f"Add task_name = models.CharField(max_length=255, unique=True) to it, or "
                f"name its field in {source.label('field_map')}.",
            )
    elif not _is_unique(name_field) or not _holds_text(name_field, MIN_NAME_LENGTH):
        yield Problem(
            id="powercrud_tracking.E009",
            message=f"{model._meta.label}.{name_field.name}, which holds 'task_name', must be "
            f"unique text of at least {MIN_NAME_LENGTH} characters.",
            hint="Use models.CharField(max_length=255, unique=True).",
        )


type Field = models.Field[Any, Any]
"""A field of a record model, whatever it holds."""


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
    """Return the field in which a logical name is stored, or ``None`` if it is not."""
    name = config.field_map.get(logical, DEFAULT_FIELDS[logical])
    return None if name is None else find_field(model, name)


def _is_unique(field: Field) -> bool:
    # A constraint of the model says the same as the field's own word.
    constraints = field.model._meta.total_unique_constraints
    return field.unique or any(each.fields == (field.name,) for each in constraints)


def _holds_text(field: Field, length: int) -> bool:
    if not isinstance(field, models.CharField | models.TextField):
        return False
    return field.max_length is None or field.max_length >= length


def _find_function_problems(config: DashboardConfig, source: Source) -> Iterator[Problem]:
    for name in (
        "create_defaults",
        "format_user",
        "format_objects",
        "format_payload",
        "failed_result",
        "visible",
    ):
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


def _find_class_problems(config: DashboardConfig, source: Source) -> Iterator[Problem]:
    # The managers need a ready registry, and both stand below in the order of imports.
    from powercrud_tracking import factory
    from powercrud_tracking.managers import ModelTrackingAsyncManager

    label = source.label("manager_class")
    message = f"{label} names {config.manager_class!r}, which"
    try:
        found = load(config.manager_class, label)
    except ImportError as exc:
        message = str(exc)
    else:
        if not (isinstance(found, type) and issubclass(found, ModelTrackingAsyncManager)):
            message += " is no subclass of powercrud_tracking.managers.ModelTrackingAsyncManager"
        elif f"{found.__module__}.{found.__qualname__}" == factory.PATH:
            message += " is itself built on the class that is named here"
        else:
            return
    yield Problem(
        id="powercrud_tracking.E013",
        message=f"{message}.",
        hint="Name a subclass of powercrud_tracking.managers.ModelTrackingAsyncManager, "
        "or leave it out.",
    )
