"""The Django app."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class TrackingConfig(AppConfig):
    """Registers what listens and what checks."""

    name = "powercrud_tracking"
    verbose_name = _("Task tracking")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connect the receivers and register the checks; nothing else."""
        # Both need the models of other apps, which are loaded only now.
        from powercrud_tracking import checks, receivers

        checks.register()
        receivers.connect()
