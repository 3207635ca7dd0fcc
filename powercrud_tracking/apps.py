"""The Django app."""

import logging

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from powercrud_tracking.serialization.log_lines import escape_unprintable


class TrackingConfig(AppConfig):
    """Connect the signal receivers and register the system checks."""

    name = "powercrud_tracking"
    verbose_name = _("Task tracking")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connect the receivers, register the checks and the log filter; nothing else."""
        # They need the models of other apps, which are loaded only now.
        from powercrud_tracking import checks, receivers

        checks.register()
        receivers.connect()
        logging.getLogger(self.name).addFilter(escape_unprintable)
