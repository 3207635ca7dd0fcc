from neapolitan.views import CRUDView
from powercrud.mixins import PowerCRUDAsyncMixin

from powercrud_tracking.mixins import AsyncDashboardMixin
from tests.project.models import Widget


class WidgetView(AsyncDashboardMixin, PowerCRUDAsyncMixin, CRUDView):
    model = Widget
    namespace = None
    base_template_path = "project/base.html"
    fields = ["name", "price", "broken"]
    bulk_fields = ["price", "broken"]
    bulk_delete = True
    bulk_async = True
    bulk_min_async_records = 1
    use_htmx = True
    use_modal = True
