"""A prediction as tables: a row a class, a row a pixel, and what a notebook shows."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from eels_bayes.prediction.quantities import PixelQuantities
from eels_bayes.word_tables import html_table

if TYPE_CHECKING:
    import pandas

DOUBTS = ("total", "aleatoric", "encoder", "classifier", "novelty")
ALL = "all"  # the row of the summary that is of no one class


def summary(self: PixelQuantities) -> pandas.DataFrame:
    """How many pixels each class has, and how sure they are.

    Returns
    -------
    pandas.DataFrame
        A row a class, by its name, and one of all, "all", which is the last: `pixels`; the means
        of `total`, `aleatoric`, `encoder` and `classifier` (nats) and of `novelty` over these
        pixels; and of `value` where the library has values. NaN where there is no pixel. Flagged
        pixels are in none.

    Examples
    --------
    With ``pred`` a prediction, what is least sure, and why::

        pred.summary().sort_values("total", ascending=False)
    """
    import pandas

    columns = (*DOUBTS, "value") if self.has_value else DOUBTS
    rows = [self.labels == k for k in range(len(self.class_names))] + [self.ok]
    table: dict[str, Any] = {"pixels": [int(mine.sum()) for mine in rows]}
    for name in columns:
        values = getattr(self, name)
        table[name] = [float(np.mean(values[m], dtype=float)) if m.any() else np.nan for m in rows]
    return pandas.DataFrame(table, index=pandas.Index([*self.class_names, ALL], name="class"))


def to_dataframe(self: PixelQuantities) -> pandas.DataFrame:
    """One row a pixel: where it lies, its class, how sure that is, and why it is flagged.

    Returns
    -------
    pandas.DataFrame
        What :meth:`to_xarray` has of single numbers, by the same names, with its coordinates as
        columns and, in place of `labels`, the name of the most probable `class`, missing where
        flagged; then "P(name)", the probability of each class. Latents are left out.
    """
    import pandas

    data = self.to_xarray()
    names = [name for name in data.variables if data[name].dims == ("pixel",)]
    columns = {str(name): data[name].values for name in names if name not in ("pixel", "labels")}
    if not self.has_value:
        columns = {name: x for name, x in columns.items() if not name.startswith("value")}
    classes = pandas.Categorical.from_codes(self.labels, list(self.class_names))
    probabilities = {
        f"P({name})": self.probabilities[:, k] for k, name in enumerate(self.class_names)
    }
    table = pandas.DataFrame({"class": classes} | columns | probabilities)
    return table.rename_axis("pixel")


def html(self: PixelQuantities) -> str:
    """What a notebook shows."""
    table = summary(self)
    cells = [
        (str(name), f"{row.pixels:.0f}", *(_number(x) for x in row.iloc[1:]))
        for name, row in table.iterrows()
    ]
    named = [("pixels", f"{len(self)}, {int(self.ok.sum())} classified")]
    named += [("images", str(len(self.images)))]
    named += [("model", self.model[:8])] if self.model else []
    flagged = Counter(reason for reason in self.reasons() if reason)
    notes = [f"{n} pixels flagged: {reason}" for reason, n in flagged.most_common()]
    return html_table(named, [("class", *table.columns), *cells], notes=notes)


def _number(value: float) -> str:
    """To three digits behind the point; '' where there is none."""
    return "" if np.isnan(value) else f"{value:.3f}"
