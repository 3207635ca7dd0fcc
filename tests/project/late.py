"""A manager of an old name: nothing but a queued task names it, and no process imports it."""

from powercrud_tracking.managers import ModelTrackingAsyncManager


class LateManager(ModelTrackingAsyncManager):
    pass
