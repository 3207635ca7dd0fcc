"""The URLs of a project that shows its tasks elsewhere."""

from powercrud_tracking.factory import DashboardManager

urlpatterns = [DashboardManager.get_urlpatterns()]
