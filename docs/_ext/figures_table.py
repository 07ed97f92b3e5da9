"""The directive ``figures``: tables made from the numbers of benchmarks/figures.py.

What a table says of who is better is read from its numbers.
"""

import json
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

ASKED = 0.99  # accuracy on the surest half that was aimed at
Estimate = list[float]  # mean and the ends of its 95 % interval
Row = list[str]


def with_interval(estimate: Estimate, digits: int = 2, sign: str = "") -> str:
    """A mean and its interval."""
    mean, low, high = (f"{x:{sign}.{digits}f}".replace("-", "\N{MINUS SIGN}") for x in estimate)
    return f"{mean} ({low} to {high})"


def silhouettes(found: dict[str, Any]) -> tuple[str, list[Row]]:
    """By temperature, true classes."""
    rows = [["temperature", "latents", "PCA(10)", "difference"]]
    for name, row in found["silhouette"]["true"].items():
        three = (row["first"], row["second"], row["difference"])
        rows.append([name, *(with_interval(one) for one in three)])
    above = sum(row["difference"][1] > 0 for row in found["silhouette"]["true"].values())
    return f"The difference's interval is above 0 at {above} of {len(rows) - 1} temperatures.", rows


def sds(found: dict[str, Any]) -> tuple[str, list[Row]]:
    """Before the edge, by true class."""
    rows = [["class", "mean of denoised pixels", "with each pixel's own doubt", "PCA(10)"]]
    rows += [
        [name, *(with_interval(one, 4) for one in row)] for name, row in found["sd_before"].items()
    ]
    below = sum(row[1][2] < row[2][1] for row in found["sd_before"].values())
    return (
        f"Ours, each pixel's own doubt included, is below PCA's, intervals apart, in {below} of "
        f"{len(rows) - 1} classes.",
        rows,
    )


def ratios(found: dict[str, Any]) -> tuple[str, list[Row]]:
    """Signal to noise of every way."""
    ways = found["snr"]["ways"]
    rows = [["way", "mean SNR (dB)"]]
    rows += [[name, with_interval(x, 1)] for name, x in ways.items() if " less " not in name]
    gain = next(x for name, x in ways.items() if " less 32" in name)
    return (
        f"Of {found['snr']['pixels']} pixels. One denoised pixel against an average of 32: "
        f"{with_interval(gain, 1, '+')} dB.",
        rows,
    )


def heights(found: dict[str, Any]) -> tuple[str, list[Row]]:
    """What limits the ratio: the height of a pixel's edge."""
    heads = (
        "median SNR (dB)",
        "as its band expects",
        "with the height right",
        "error of the height",
    )
    rows = [["true class", *heads]]
    for name, row in found["snr"]["classes"].items():
        off = f"{100 * row['height_rms']:.0f} %"
        decibels = [f"{row[key]:.1f}" for key in ("snr", "by_band", "height_right")]
        rows.append([name, *decibels, off])
    best = max(found["snr"]["classes"].values(), key=lambda row: row["snr"])
    return (
        f"At best {best['snr']:.1f} dB: the height of a single pixel's edge is known to "
        f"{100 * best['height_rms']:.0f} %, and with this one number right it would be "
        f"{best['height_right']:.1f} dB.",
        rows,
    )


def biases(found: dict[str, Any], where: str) -> tuple[str, list[Row]]:
    """Error of a level: truly, read as, of all pixels, and of those that the model draws."""
    names = {"denoise": "ours", "PCA(10)": "PCA(10)", "as measured": "as measured"}
    rows = [["pixels", "spectra", "bias", "rms error"]]
    for kind, row in found["shoulder"][where].items():
        for name in (name for name in names if name in row):
            first = f"{kind} ({row['pixels']})" if name == "denoise" else ""
            bias = with_interval(row[name]["bias"], 3, "+")
            rows.append([first, names[name], bias, f"{row[name]['rms'][0]:.3f}"])
    truly = found["shoulder"][where]["truly without fluorine"]
    return (
        f"Edge units; the truth is {truly['truth']:.3f} without fluorine and "
        f"{found['shoulder'][where]['all pixels']['truth']:.3f} on average.",
        rows,
    )


def surest(found: dict[str, Any]) -> tuple[str, list[Row]]:
    """Accuracy on the surest half, and the limit."""
    half = found["surest_half"]
    some = str(half["limit_pixels"])
    rows = [["read", "by", "pixels", "accuracy"]]
    for context in ("pixel", "image", "neighbours"):
        for name, by, pixels in (
            (f"eels_bayes, {context}", "eels_bayes", "all"),
            (f"eels_bayes, {context}, the same pixels", "eels_bayes", some),
            (f"exact posterior, {context}", "exact posterior", some),
        ):
            if name in half:
                rows.append([f'context="{context}"', by, pixels, with_interval(half[name], 3)])
    exact = half["exact posterior, pixel"][0]
    verdict = "reaches" if exact >= ASKED else "does not reach"
    contexts = [name for name in ("pixel", "image", "neighbours") if f"eels_bayes, {name}" in half]
    ours = {name: half[f"eels_bayes, {name}"][0] for name in contexts}
    met = [f"{name} ({value:.4g})" for name, value in ours.items() if value >= ASKED]
    missed = [f"{name} ({value:.3g})" for name, value in ours.items() if value < ASKED]
    ends = [f"met with context {' and '.join(met)}"] * bool(met)
    ends += [f"not with {' and '.join(missed)}"] * bool(missed)
    return (
        f"{ASKED:g} was asked for at dose 1: {', '.join(ends)}. The exact posterior of single "
        f"pixels, {exact:.3f}, {verdict} {ASKED:g}. {some} pixels were drawn at random.",
        rows,
    )


def seconds(found: dict[str, Any]) -> tuple[str, list[Row]]:
    """Of each figure's call."""
    rows = [["call", "s of processor time"]]
    rows += [[f"eb.plots.{name}", f"{used:.1f}"] for name, (_, used) in found["seconds"].items()]
    images, height, width = found["shape"]
    return f"Of {images * height * width} spectra on one slow core, the prediction given.", rows


PARTS = {
    "Silhouettes of the embeddings": silhouettes,
    "Standard deviation before the edge": sds,
    "Signal to noise of a denoised pixel": ratios,
    "What limits it": heights,
    "What is left in the shoulder": lambda found: biases(found, "shoulder"),
    "What is left at the peak": lambda found: biases(found, "peak"),
    "Accuracy on the surest half": surest,
    "Time of each figure": seconds,
}


class Figures(SphinxDirective):
    """``{figures} PATH PART``: a sentence and a table of one part."""

    required_arguments = 2
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        file, part = self.arguments
        path = (Path(self.env.srcdir) / file).resolve()
        self.env.note_dependency(str(path))
        said, rows = PARTS[part](json.loads(path.read_text(encoding="utf-8")))
        return [_table(rows), nodes.paragraph("", said)]


def _table(rows: list[Row]) -> nodes.table:
    table = nodes.table(classes=["scores"])
    group = nodes.tgroup(cols=len(rows[0]))
    table += group
    for column in zip(*rows, strict=True):
        group += nodes.colspec(colwidth=max(map(len, column)))
    head, body = nodes.thead(), nodes.tbody()
    group += [head, body]
    for k, cells in enumerate(rows):
        row = nodes.row()
        for text in cells:
            row += nodes.entry("", nodes.paragraph("", text))
        if k:
            body += row
        else:
            head += row
    return table


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("figures", Figures)
    return {"parallel_read_safe": True}
