"""What can be configured."""

from powercrud_tracking.config.dashboard_config import DashboardConfig

__all__ = ["DashboardConfig"]
