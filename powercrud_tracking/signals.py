"""The signal that is sent for each recorded event."""

from django.dispatch import Signal

task_recorded = Signal()
"""Sent after an event has been written and committed.

``sender`` is the record model; the arguments are ``task_name`` (str), ``event``
(``lifecycle.Event``), ``status`` (``lifecycle.Status`` of the row as it is after the commit, or
``None`` if the table keeps no status) and ``values`` (dict of logical names to the values
of the event). Sent with ``send_robust``: Django logs the error of a receiver that
raises, and the task is not affected.
"""
