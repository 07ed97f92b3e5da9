"""How fine a profile's bins must be to show an edge: from the series' own mean spectrum."""

import math

from torch import Tensor

from eels_bayes.preprocessing.windows import BIN_WIDTHS, bin_channels

LOST = 0.02  # share of the edge's structure that bins may average away; chosen, not tuned
SURE = 3.0  # errors by which more must be lost before finer bins are taken


def sharp_channels(edge: Tensor, variance: Tensor, step: float) -> int:
    """Channels of the widest bins (`windows.BIN_WIDTHS`) that keep an edge's structure.

    What bins lose is the spread of the edge within them, the noise's share of it taken off.

    Parameters
    ----------
    edge, variance : Tensor (L,)
        Mean spectrum in the window without its background, and its noise variance.
    step : float
        Channel width, eV.
    """
    structure = float((edge - edge.mean()).square().sum() - variance.sum())
    for width in BIN_WIDTHS:
        n = bin_channels(step, width)
        whole = len(edge) // n * n
        rows = edge[:whole].reshape(-1, n)
        share = variance[:whole] * (1 - 1 / n)
        lost = float((rows - rows.mean(1, keepdim=True)).square().sum() - share.sum())
        if lost <= LOST * structure + SURE * math.sqrt(2 * float(share.square().sum())):
            return n
    return bin_channels(step, BIN_WIDTHS[-1])
