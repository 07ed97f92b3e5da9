"""Percent-format scripts as Sphinx-Gallery reads them: titles underlined, commands literal."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType


def prepare(source: Path, target: Path) -> Path:
    """Write what the gallery is made of; files that have not changed stay as they are.

    The pictures are those that ``tools/gallery_pictures.py`` keeps for each script; one that is
    called ``FIGURE.smoke.png`` is of a short run. What each shows stands in ``captions.json``.
    """
    target.mkdir(parents=True, exist_ok=True)
    pages = Path(__file__).parents[1]
    captions = json.loads((pages / "pictures" / "captions.json").read_text("utf-8"))
    wanted = {"GALLERY_HEADER.rst": (pages / "gallery_header.rst").read_text("utf-8")}
    for path in sorted(source.glob("*.py")):
        pictures = sorted((pages / "pictures" / path.stem).glob("*.png"))
        names = [picture.relative_to(pages).as_posix() for picture in pictures]
        shown = captions.get(path.stem, {})
        wanted[path.name] = script(path.read_text("utf-8"), *names, captions=shown)
    for old in target.iterdir():
        if old.name not in wanted:
            old.unlink()
    for name, text in wanted.items():
        path = target / name
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")
    return target


def script(text: str, *pictures: str, captions: Mapping[str, str] = MappingProxyType({})) -> str:
    """One script with a docstring and cells in reStructuredText, its pictures below the first.

    Captions are by the pictures' names; one without has its name.
    """
    quoted = re.match(r'"""(.*?)"""\n', text, flags=re.DOTALL)
    if quoted is None:
        raise ValueError("an example begins with a docstring")
    title, _, rest = quoted[1].partition("\n")
    title = title.removesuffix(".")
    # an indented block is a command to type
    rest = re.sub(r"\n\n(?=    \S)", "\n\n.. code-block:: none\n\n", rest)
    cells = re.sub(r"^# %% (.+)$", _cell, text[quoted.end() :], flags=re.MULTILINE)
    for picture in pictures:
        name = picture.rpartition("/")[2].partition(".")[0]
        said = captions.get(name, name.replace("_", " ").capitalize())
        rest += f"\n.. figure:: /{picture}\n   :alt: {said}\n\n   {said}\n"
    if any(picture.endswith(".smoke.png") for picture in pictures):
        rest += "\nDrawn by a short run (``--smoke``), on simulated data where no file is read.\n"
    if pictures:
        cells += f"\n# sphinx_gallery_thumbnail_path = {pictures[0]!r}\n"
    return f'"""{title}\n{"=" * len(title)}\n{rest}"""\n{cells}'


def _cell(match: re.Match[str]) -> str:
    return f"# %%\n# {match[1]}\n# {'-' * len(match[1])}"
