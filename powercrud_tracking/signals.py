"""What a project connects to: one signal for each recorded event."""

from django.dispatch import Signal

task_recorded = Signal()
"""Sent after an event has been written and committed.

``sender`` is the record model; the arguments are ``task_name`` (str), ``event``
(``lifecycle.Event``), ``status`` (``lifecycle.Status`` of the row as it is after the commit, or
``None`` if the table keeps no status) and ``values`` (dict of logical names to what the event
brought). Sent with ``send_robust``: a receiver that raises is logged by Django and harms nobody.
"""
