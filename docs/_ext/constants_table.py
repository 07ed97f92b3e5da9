"""The directive ``constants``: every number that decides something, read from the source.

Nothing is imported. A module's constants are its UPPER_CASE assignments that hold a number, told by
the comment behind them and the comment lines right above; options are the fields of dataclasses
with a number as default, told by the class's docstring. So the page cannot go stale.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

UNITS = (
    *("eV", "keV", "kV", "nm", "mrad", "s", "ms", "nats", "sd", "share", "counts", "electrons"),
    *("channels", "pixels", "bins", "latents", "spectra", "draws", "steps", "rows", "pairs"),
)
LONGEST = 72  # characters of a value that are shown


@dataclass(frozen=True)
class Row:
    """One number: where it stands, its name, its value as written, and what is said of it."""

    place: str
    name: str
    value: str
    text: str

    @property
    def unit(self) -> str:
        """The unit that the words begin with, or end with after "in" or a comma."""
        first = re.match(r"[A-Za-z]+", self.text)
        if first and first[0] in UNITS:
            return first[0]
        named = re.search(r"(?:, |\bin )(eV|keV|kV|nats|nm)\b", self.text)
        return named[1] if named else ""


def constants(path: Path, place: str) -> Iterator[Row]:
    """Of one module."""
    source = path.read_text(encoding="utf-8")
    lines = source.splitlines()
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign):
            targets, value = node.targets, node.value
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            targets, value = [node.target], node.value
        else:
            continue
        names = [one.id for target in targets for one in _names(target)]
        if not names or not all(re.fullmatch(r"_?[A-Z][A-Z0-9_]*", name) for name in names):
            continue
        if isinstance(value, ast.Dict | ast.Set) or not _has_number(value):
            continue
        yield Row(place, ", ".join(names), _shown(source, value), _comments(lines, node))


def options(path: Path, place: str) -> Iterator[Row]:
    """Fields of a module's dataclasses."""
    source = path.read_text(encoding="utf-8")
    lines = source.splitlines()
    for node in ast.parse(source).body:
        if not isinstance(node, ast.ClassDef) or not any(
            "dataclass" in ast.unparse(one) for one in node.decorator_list
        ):
            continue
        told = _parameters(ast.get_docstring(node) or "")
        for field in node.body:
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and field.value is not None
                and _has_number(field.value)
            ):
                name = field.target.id
                text = _sentences(told.get(name, ""), _behind(lines, field))
                if text:  # the rest is a state, not an option
                    yield Row(f"{place}.{node.name}", name, _shown(source, field.value), text)


def _names(target: ast.expr) -> list[ast.Name]:
    return [one for one in ast.walk(target) if isinstance(one, ast.Name)]


def _has_number(value: ast.expr) -> bool:
    return any(
        isinstance(one, ast.Constant) and type(one.value) in (int, float) for one in ast.walk(value)
    )


def _shown(source: str, value: ast.expr) -> str:
    text = " ".join((ast.get_source_segment(source, value) or "").split())
    return text if len(text) <= LONGEST else text[:LONGEST].rstrip(", (") + " …"


def _comments(lines: list[str], node: ast.stmt) -> str:
    """The comment lines above a statement, or above the group it stands in, and that behind it."""
    behind, row = _behind(lines, node), node.lineno - 2
    if not behind:  # what is said of the first of a group holds for the next ones
        while row >= 0 and re.match(r"_?[A-Z][A-Z0-9_, ]* = ", lines[row]):
            row -= 1
    above: list[str] = []
    while row >= 0 and lines[row].startswith("#"):
        above.insert(0, lines[row].lstrip("# "))
        row -= 1
    return _sentences(" ".join(above), behind)


def _behind(lines: list[str], node: ast.stmt) -> str:
    end = lines[(node.end_lineno or node.lineno) - 1].encode()[node.end_col_offset or 0 :].decode()
    return end.partition("#")[2].strip()


def _sentences(*parts: str) -> str:
    return ". ".join(part.rstrip(".") for part in parts if part)


def _parameters(docstring: str) -> dict[str, str]:
    """What numpydoc's sections say of each name."""
    told: dict[str, str] = {}
    names: list[str] = []
    for line in docstring.splitlines():
        if re.match(r"[A-Za-z_]\w*(, \w+)*( :|$)", line):
            names = [name.strip() for name in line.partition(" :")[0].split(",")]
        elif line.startswith("    ") and names:
            for name in names:
                told[name] = f"{told.get(name, '')} {line.strip()}".strip()
        elif line.strip():
            names = []
    return told


class Constants(SphinxDirective):
    """``{constants} PATH``: one section a wing and one for the options, below a package folder."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        package = (Path(self.env.srcdir) / self.arguments[0]).resolve()
        wings: dict[str, list[Row]] = {}
        defaults: list[Row] = []
        for path in sorted(package.rglob("*.py")):
            self.env.note_dependency(str(path))
            parts = path.relative_to(package).with_suffix("").parts
            place = ".".join(parts).removesuffix(".__init__")
            wing = parts[0] if len(parts) > 1 else "Top level"
            wings.setdefault(wing, []).extend(constants(path, place))
            defaults += options(path, place)
        wings = {wing: rows for wing, rows in wings.items() if rows}
        order = sorted(wings, key=lambda wing: (wing != "Top level", wing))
        found = [self._section(wing, wings[wing]) for wing in order]
        return [*found, self._section("Defaults of options", defaults)]

    def _section(self, title: str, rows: list[Row]) -> nodes.section:
        section = nodes.section(ids=[f"constants-{nodes.make_id(title)}"], names=[title])
        section += nodes.title(title, title)
        table = nodes.table(classes=["constants", "colwidths-given"])
        group = nodes.tgroup(cols=4)
        table += group
        for width in (26, 18, 8, 48):
            group += nodes.colspec(colwidth=width)
        head, body = nodes.thead(), nodes.tbody()
        group += [head, body]
        head += _row(["name", "value", "unit", "what it is, and how it was found"], [])
        place = ""
        for row in rows:
            if row.place != place:
                place = row.place
                heading = nodes.paragraph("", "", nodes.literal(place, place))
                body += nodes.row("", nodes.entry("", heading, morecols=3), classes=["place"])
            body += _row([row.name, row.value, row.unit, row.text or "—"], [0, 1])
        section += table
        return section


def _row(texts: list[str], literal: list[int]) -> nodes.row:
    found = nodes.row()
    for index, text in enumerate(texts):
        inside = nodes.literal(text, text) if index in literal else nodes.Text(text)
        if index == 3:
            paragraph = nodes.paragraph()
            # names in backticks, as comments and docstrings write them
            for number, part in enumerate(re.split(r"`+", text)):
                paragraph += nodes.literal(part, part) if number % 2 else nodes.Text(part)
        else:
            paragraph = nodes.paragraph("", "", inside)
        found += nodes.entry("", paragraph)
    return found


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("constants", Constants)
    return {"parallel_read_safe": True}
