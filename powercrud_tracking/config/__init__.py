"""Configuration of the package."""

from powercrud_tracking.config.dashboard_config import DashboardConfig

__all__ = ["DashboardConfig"]
