"""Where inducing points begin: spread over the latents."""

from __future__ import annotations

import torch
from torch import Tensor

SAME_POINT = 1e-12  # squared distance in lengthscales below which two points are one: rounding


def spread_points(points: Tensor, n_points: int, generator: torch.Generator) -> Tensor:
    """Choose distinct rows that lie apart, by the seeding of k-means++.

    Arthur and Vassilvitskii, SODA 2007: each further row is drawn with a probability that goes
    with its squared distance to the nearest one chosen so far.

    Parameters
    ----------
    points : Tensor
        (N, D), in units in which all axes count alike.
    n_points : int
        Rows to choose, at most; no more than are distinct.
    generator : torch.Generator
        Draws the rows.

    Returns
    -------
    Tensor
        (n_points or fewer, D).
    """
    chosen = [int(torch.randint(len(points), (1,), generator=generator))]
    squared = (points - points[chosen[0]]).square().sum(1)
    while len(chosen) < n_points and squared.max() > SAME_POINT:
        chosen.append(int(torch.multinomial(squared, 1, generator=generator)))
        squared = torch.minimum(squared, (points - points[chosen[-1]]).square().sum(1))
    return points[chosen]
