"""Formulas of the pages: drawn by their outlines, and each of them can be."""

import importlib.util
import re

import pytest


@pytest.fixture(scope="module")
def formulas(project_root):
    pytest.importorskip("sphinx")
    path = project_root / "docs" / "_ext" / "formulas.py"
    spec = importlib.util.spec_from_file_location("formulas", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def box(svg):
    left, top, width, height = map(float, re.search(r'viewBox="([^"]*)"', svg)[1].split())
    return left, top, left + width, top + height


def test_a_drawing_holds_its_outlines_and_says_what_it_is(formulas):
    svg = formulas.drawing("a <\n  \\frac{b}{c}")
    assert 'aria-label="a &lt; \\frac{b}{c}"' in svg and 'fill="currentColor"' in svg
    left, top, right, bottom = box(svg)
    numbers = re.findall(r"-?\d+\.\d", re.search(r'd="([^"]*)"', svg)[1])
    x, y = [float(n) for n in numbers[::2]], [float(n) for n in numbers[1::2]]
    assert left < min(x) and max(x) < right and top < min(y) and max(y) < bottom
    # What is written below the line hangs below it.
    assert bottom > 20 and "vertical-align:-" in svg


def test_size_follows_the_text(formulas):
    width = [
        float(re.search(r"width:([\d.]+)em", formulas.drawing("x + y", scale))[1])
        for scale in (1.0, 2.0)
    ]
    assert width[1] == pytest.approx(2 * width[0], abs=0.002)
    assert 1.0 < width[0] < 4.0


def test_what_cannot_be_set_is_an_error(formulas):
    with pytest.raises(ValueError, match="nosuchcommand"):
        formulas.drawing(r"\nosuchcommand{x}")


def test_every_formula_of_the_pages_can_be_set(formulas, project_root):
    pages = sorted((project_root / "docs" / "theory").glob("*.md"))
    text = "\n".join(page.read_text("utf-8") for page in pages)
    found = re.findall(r"```\{math\}\n(.*?)```", text, re.S) + re.findall(r"\$([^$\n]+)\$", text)
    assert len(found) > 60
    for one in found:
        formulas.drawing(one)
