"""Cancel, retry and delete tasks."""

from powercrud_tracking.actions.cancelling import cancel
from powercrud_tracking.actions.deleting import delete
from powercrud_tracking.actions.log import ActionResult
from powercrud_tracking.actions.retrying import retry

__all__ = ["ActionResult", "cancel", "delete", "retry"]
