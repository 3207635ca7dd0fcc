"""The field map of a record table: logical names to fields."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from django.apps import apps
from django.db import models

from powercrud_tracking.config import setting
from powercrud_tracking.config.dashboard_config import DEFAULT_FIELDS, DashboardConfig
from powercrud_tracking.config.references import Field, find_mapped_field


@dataclass(frozen=True, eq=False)
class RecordMap:
    """The fields of a record model by logical names.

    Args:
        model: the record model.
        fields: logical name to field, of those that the table stores.
    """

    model: type[models.Model]
    fields: Mapping[str, Field]

    @property
    def names(self) -> dict[str, str]:
        return {logical: field.name for logical, field in self.fields.items()}


@lru_cache(maxsize=128)
def get_record_map(config: DashboardConfig) -> RecordMap:
    """Return the record model and the fields of a configuration.

    A default whose field the model lacks is left out.

    Raises:
        LookupError: there is no such model.
    """
    model = apps.get_model(config.record_model)
    found = {logical: find_mapped_field(config, model, logical) for logical in DEFAULT_FIELDS}
    return RecordMap(model, {name: field for name, field in found.items() if field is not None})


setting.clear_when_settings_change(get_record_map)
