"""Tags for the stylesheet and the scripts that PowerCRUD ships compiled."""

import json
from functools import cache
from pathlib import Path

from django import template
from django.apps import apps
from django.templatetags.static import static
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

ENTRY = "config/static/js/main.js"

register = template.Library()


@cache
def get_files() -> tuple[list[str], str]:
    """Return the stylesheets and the script module, as PowerCRUD's manifest names them."""
    path = Path(apps.get_app_config("powercrud").path) / "assets" / "manifest.json"
    manifest = json.loads(path.read_text())
    entry = manifest[ENTRY]
    chunks = [*(manifest[name] for name in entry["imports"]), entry]
    return [name for chunk in chunks for name in chunk.get("css", [])], entry["file"]


@register.simple_tag
def powercrud_assets() -> SafeString:
    """Link PowerCRUD's stylesheets and load its scripts; the names carry their hash."""
    styles, script = get_files()
    links = format_html_join(
        "\n", '<link rel="stylesheet" href="{}">', ((static(name),) for name in styles)
    )
    module = format_html('<script type="module" src="{}"></script>', static(script))
    return mark_safe(f"{links}\n{module}")
