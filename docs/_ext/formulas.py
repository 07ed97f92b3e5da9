"""Formulas as drawings in the page itself: of its colour and its size, and nothing is fetched.

matplotlib's mathtext sets them, which knows most of TeX's mathematics but no matrices and no
alignment. What it does not know is a warning, which names the formula.
"""

import html

import matplotlib as mpl
from docutils import nodes
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.textpath import TextToPath
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

logger = logging.getLogger(__name__)
EM = 100.0  # units of a drawing that are one em
MARGIN = 4.0  # units about it, so that nothing is cut off
INLINE, BLOCK = 1.1, 1.2  # times the size of the text, whose letters are larger than a formula's
LETTERS = {Path.MOVETO: "M", Path.LINETO: "L", Path.CURVE3: "Q", Path.CURVE4: "C"}


def drawing(latex: str, scale: float = 1.0) -> str:
    """An SVG element of a formula in TeX's notation, ``scale`` times the size of the text.

    Raises
    ------
    ValueError
        Where mathtext cannot set it.
    """
    line = " ".join(latex.split())
    with mpl.rc_context({"mathtext.fontset": "stix"}):
        vertices, codes = TextToPath().get_text_path(
            FontProperties(size=EM), f"${line}$", ismath=True
        )
    path = Path(vertices, codes)
    parts = []
    for points, code in path.iter_segments(simplify=False):
        numbers = " ".join(f"{sign * x:.1f}" for x, sign in zip(points, [1, -1] * 3, strict=False))
        parts.append("Z" if code == Path.CLOSEPOLY else LETTERS[code] + numbers)
    box = path.get_extents()
    left, top = box.x0 - MARGIN, -box.y1 - MARGIN
    width, height = box.width + 2 * MARGIN, box.height + 2 * MARGIN
    style = (
        f"width:{scale * width / EM:.3f}em;height:{scale * height / EM:.3f}em;"
        f"vertical-align:{scale * (box.y0 - MARGIN) / EM:.3f}em"
    )
    label = html.escape(line, quote=True)
    return (
        f'<svg class="formula" role="img" aria-label="{label}" style="{style}" '
        f'viewBox="{left:.1f} {top:.1f} {width:.1f} {height:.1f}" fill="currentColor">'
        f'<path d="{"".join(parts)}"/></svg>'
    )


def _checked(node: nodes.Element, scale: float) -> str:
    try:
        return drawing(node.astext(), scale)
    except ValueError as error:
        logger.warning("a formula cannot be set: %s\n%s", node.astext(), error, location=node)
        return html.escape(node.astext())


def inline(self: HTML5Translator, node: nodes.math) -> None:
    self.body.append(_checked(node, INLINE))
    raise nodes.SkipNode


def block(self: HTML5Translator, node: nodes.math_block) -> None:
    self.body.append(f'<div class="formula">{_checked(node, BLOCK)}</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_html_math_renderer("mathtext", (inline, None), (block, None))
    return {"parallel_read_safe": True}
