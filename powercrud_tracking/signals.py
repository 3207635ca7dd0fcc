"""The signals: one for each recorded event, and one for each action on a task."""

from django.dispatch import Signal

task_recorded = Signal()
"""Sent after an event has been written and committed.

``sender`` is the record model; the arguments are ``task_name`` (str), ``event``
(``lifecycle.Event``), ``status`` (``lifecycle.Status`` of the row as it is after the commit, or
``None`` if the table keeps no status) and ``values`` (dict of logical names to the values
of the event). Sent with ``send_robust``: Django logs the error of a receiver that
raises, and the task is not affected.
"""

task_acted = Signal()
"""Sent after somebody has cancelled, retried or deleted a task, or has tried to.

``sender`` is the record model; the arguments are ``task_name`` (str), ``action``
(``lifecycle.Action``), ``outcome`` (``lifecycle.Outcome``), ``by`` (the user, text, or ``None``),
``reason`` and ``message`` (str), and ``new_task_name`` (str, of a retry). Sent after the commit
with ``send_robust``.
"""
