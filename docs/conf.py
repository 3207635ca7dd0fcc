"""Sphinx builds the documentation from this: ``tox run -e docs``."""

import sys
from pathlib import Path

import django
from django.conf import settings

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from powercrud_tracking import __version__  # noqa: E402 - the path comes first

# The docstrings are read from the modules, and models need a ready registry.
settings.configure(
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django_q",
        "powercrud",
        "powercrud_tracking",
    ],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    Q_CLUSTER={"orm": "default", "timeout": 60, "retry": 120},
    USE_TZ=True,
)
django.setup()

project = "django-powercrud-tracking"
author = "the contributors"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
python_use_unqualified_type_names = True
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = project
html_static_path = ["_static"]
html_css_files = ["docs.css"]
html_show_copyright = False
html_copy_source = False


INCLUDED_PAGES = {"contributing": "CONTRIBUTING.md", "changelog": "CHANGELOG.md"}
"""Pages in the root of the repository, where people and GitHub look for them."""


def include_page(app, docname, source):
    """Replace the link to a page in the root by its text."""
    if docname in INCLUDED_PAGES:
        text = (ROOT / INCLUDED_PAGES[docname]).read_text(encoding="utf-8").replace("](docs/", "](")
        for name, path in INCLUDED_PAGES.items():
            text = text.replace(f"]({path})", f"]({name}.md)")
        source[0] = text


def setup(app):
    app.connect("source-read", include_page)
