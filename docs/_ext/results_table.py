"""The directive ``classifiers``: tables and words made from the scores of benchmarks/accuracy.py.

Nothing here knows who is better. Sentences are made from the numbers of the file, so that a page
cannot claim what was not measured.
"""

import json
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

LIMIT, BASE, ABLATION = "exact posterior", "class mix only", "forward model without networks"
ALONE, IMAGE = "eels_bayes", "eels_bayes, context='image'"
WITH_IMAGE = ", weights by image"  # ends the names of peers that learn the mix of each image
SCORES = {"nll": "NLL", "accuracy": "accuracy", "brier": "Brier score", "ece": "ECE"}
NOT_RUN = "\N{EM DASH}"
DIGITS = 3  # as shown; what is equal so is no win

Doses = dict[str, dict[str, dict[str, float]]]


def groups(doses: Doses) -> dict[str, list[str]]:
    """Methods that read pixels alone, and those that know their image; ours first, then by NLL.

    Some may have been run at some doses alone.
    """
    rows = [doses["1"], *doses.values()] if "1" in doses else list(doses.values())
    nll = {name: one["nll"] for row in reversed(rows) for name, one in row.items()}
    order = sorted(nll, key=lambda name: nll[name])
    with_image = [name for name in order if name.endswith(WITH_IMAGE)]
    special = {LIMIT, BASE, ABLATION, ALONE, IMAGE, *with_image}
    return {
        ALONE: [name for name in order if name not in special],
        IMAGE: with_image,
    }


def wins(doses: Doses, ours: str, score: str, others: list[str]) -> dict[str, list[str]]:
    """By dose, those of the others whose score is better than ours by a digit that is shown."""
    found = {}
    for dose, rows in doses.items():
        mine = round(rows[ours][score], DIGITS)
        theirs = {name: round(rows[name][score], DIGITS) for name in others if name in rows}
        sign = -1 if score == "accuracy" else 1
        better = [name for name, value in theirs.items() if sign * value < sign * mine]
        if better:
            found[dose] = sorted(better, key=lambda name: sign * theirs[name])
    return found


def sentences(doses: Doses) -> list[str]:
    """What is best at which dose, and where others are better: one line a score and group."""
    said = []
    known = next(iter(doses.values()))
    by_group = groups(doses)
    compared = [
        ("Pixel by pixel", ALONE, by_group[ALONE]),
        ("With the mix of each image", IMAGE, by_group[IMAGE]),
        ("A part of eels_bayes alone", ALONE, [name for name in (ABLATION,) if name in known]),
    ]
    for kind, ours, others in compared:
        if ours not in known or not others:
            continue
        for score, name in SCORES.items():
            better = wins(doses, ours, score, others)
            if not better:
                said.append(f"{kind}, {name}: nothing is better at any dose.")
                continue
            parts = [
                f"at dose {dose}, "
                + ", ".join(f"{one} ({_number(doses[dose][one], score)})" for one in names)
                + f" against {_number(doses[dose][ours], score)}"
                for dose, names in better.items()
            ]
            said.append(f"{kind}, {name}: better are, {'; '.join(parts)}.")
    return said


def _number(row: dict[str, float], score: str) -> str:
    return f"{row[score]:.{DIGITS}f}"


class Classifiers(SphinxDirective):
    """``{classifiers} PATH [TITLE]``: what was run, a table a score, and what others do better.

    With a title, links to the sections have it, where a page has more than one file.
    """

    required_arguments = 1
    optional_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        path = (Path(self.env.srcdir) / self.arguments[0]).resolve()
        self.env.note_dependency(str(path))
        table = json.loads(path.read_text(encoding="utf-8"))
        doses: Doses = table["doses"]
        images, *shape = table["shape"]
        height, width = shape
        what = (
            f"Version {table['version']}, seed {table['seed']}: {images} images of {height} x "
            f"{width} pixels, of which {table['pixels']} are scored at each dose."
        )
        lines = nodes.bullet_list()
        for line in sentences(doses):
            lines += nodes.list_item("", nodes.paragraph("", line))
        return [
            nodes.paragraph("", what),
            self._section("NLL in nats (accuracy)", _table(doses, ("nll", "accuracy"))),
            self._section("Brier score (ECE)", _table(doses, ("brier", "ece"))),
            self._section("Where others are better", lines),
        ]

    def _section(self, title: str, content: nodes.Element) -> nodes.section:
        name = " ".join([*self.arguments[1:], title])
        section = nodes.section(ids=[nodes.make_id(name)], names=[name])
        section += [nodes.title(title, title), content]
        return section


def _table(doses: Doses, scores: tuple[str, str]) -> nodes.table:
    known = {name for row in doses.values() for name in row}
    by_group = groups(doses)
    rows = [
        ("the limit", [LIMIT]),
        ("pixel by pixel", [ALONE, ABLATION, *by_group[ALONE], BASE]),
        ("with the mix of each image", [IMAGE, *by_group[IMAGE]]),
    ]
    table = nodes.table(classes=["constants", "scores"])
    group = nodes.tgroup(cols=1 + len(doses))
    table += group
    for width in (40, *[15] * len(doses)):
        group += nodes.colspec(colwidth=width)
    head, body = nodes.thead(), nodes.tbody()
    group += [head, body]
    head += _row(["method", *(f"dose {dose}" for dose in doses)], [False] * (1 + len(doses)))
    for title, names in rows:
        heading = nodes.entry(
            "", nodes.paragraph("", "", nodes.emphasis("", title)), morecols=len(doses)
        )
        body += nodes.row("", heading, classes=["place"])
        ranked = [name for name in names if name in known and name not in (ABLATION, BASE)]
        for name in (name for name in names if name in known):
            cells, best = [name + " *" * (name == ABLATION)], [name in (ALONE, IMAGE)]
            for of_dose in doses.values():
                row = of_dose.get(name)
                if row is None:  # was not run at this dose
                    cells.append(NOT_RUN)
                    best.append(False)
                    continue
                cells.append(f"{_number(row, scores[0])} ({_number(row, scores[1])})")
                least = min(_number(of_dose[one], scores[0]) for one in ranked if one in of_dose)
                best.append(name in ranked and name != LIMIT and cells[-1].startswith(least + " "))
            body += _row(cells, best)
    return table


def _row(texts: list[str], strong: list[bool]) -> nodes.row:
    found = nodes.row()
    for text, bold in zip(texts, strong, strict=True):
        inside: Any = nodes.strong(text, text) if bold else nodes.Text(text)
        found += nodes.entry("", nodes.paragraph("", "", inside))
    return found


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("classifiers", Classifiers)
    return {"parallel_read_safe": True}
