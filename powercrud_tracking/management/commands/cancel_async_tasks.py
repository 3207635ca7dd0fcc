"""``manage.py cancel_async_tasks``."""

from django.core.management.base import CommandParser

from powercrud_tracking.lifecycle import Action, Status
from powercrud_tracking.management.action_command import ActionCommand


class Command(ActionCommand):
    help = (
        "Cancel tasks by name, or all that match filters: queued tasks at once, running ones at "
        "their next progress report."
    )
    action = Action.CANCEL
    statuses = (Status.PENDING, Status.IN_PROGRESS)

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--reason", default="", metavar="TEXT", help="shown on the pages of the tasks"
        )
