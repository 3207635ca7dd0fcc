"""What all pages on records share: the layout, and where one is."""

from typing import Any

from django.views.generic import TemplateView

from powercrud_tracking.access import may_view_records
from powercrud_tracking.config import get_config


class RecordPage(TemplateView):
    """A page on records, inside the layout that the settings name.

    ``section`` is the entry of the navigation that leads here.
    """

    section = ""

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(
            base_template=get_config().base_template,
            may_view_all=may_view_records(self.request.user),
            section=self.section,
            **kwargs,
        )
