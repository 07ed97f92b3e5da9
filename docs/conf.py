"""How Sphinx builds these pages: offline, and from the public names alone."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = [str(ROOT), str(HERE / "_ext")]

import gallery_scripts  # noqa: E402
import public_names  # noqa: E402

import eels_bayes  # noqa: E402

project = "eels_bayes"
author = "The eels_bayes developers"
copyright = f"2026, {author}"
version = release = eels_bayes.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
    "constants_table",
    "figures_table",
    "formulas",
    "results_table",
    "public_names",
]
exclude_patterns = ["_build", "gallery_header.rst", "generated/examples"]
templates_path = ["_templates"]
myst_heading_anchors = 3
myst_enable_extensions = ["dollarmath"]

# Nothing is fetched to show a formula.
html_math_renderer = "mathtext"

# Docstrings: numpydoc sections, names in single backticks.
default_role = "py:obj"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"
python_maximum_signature_line_length = 88

# One page a public name.
autosummary_generate = True
autosummary_context = {"members_of": public_names.all_members()}

# The examples take minutes each: they are shown with pictures that tools/gallery_pictures.py has
# kept, and run under pytest, but not run here.
sphinx_gallery_conf = {
    "examples_dirs": str(
        gallery_scripts.prepare(ROOT / "examples", HERE / "generated" / "examples")
    ),
    "gallery_dirs": "gallery",
    "plot_gallery": False,
    "default_thumb_file": str(HERE / "annealing_series.png"),
    "remove_config_comments": True,
    "download_all_examples": False,
    "show_signature": False,
    "write_computation_times": False,
}

html_theme = "pydata_sphinx_theme"
html_title = "eels_bayes"
html_context = {"default_mode": "auto"}  # else the theme complains in the browser
html_static_path = ["_static"]
html_css_files = ["eels_bayes.css"]
html_show_sourcelink = False
# A side bar where there is something below the page.
html_sidebars = {
    page: []
    for page in (
        "index",
        "guide",
        "beside_other_methods",
        "architecture",
        "notation",
        "constants",
        "contributing",
        "changelog",
    )
}
html_theme_options = {
    "show_prev_next": False,
    "navigation_with_keys": False,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
}


def skip(app, what, name, obj, skipped, options):
    """Leave out the fields of a NamedTuple, which its docstring describes already."""
    return True if type(obj).__name__ == "_tuplegetter" else None


def setup(app):
    app.connect("autodoc-skip-member", skip)
