"""``manage.py retry_async_tasks``."""

from powercrud_tracking.lifecycle import Action, Status
from powercrud_tracking.management.action_command import ActionCommand


class Command(ActionCommand):
    help = (
        "Queue finished tasks again, by name or all that match filters: each as a new task with "
        "the function and the arguments that django-q2 has kept."
    )
    action = Action.RETRY
    statuses = (Status.FAILED, Status.LOST, Status.CANCELLED)
