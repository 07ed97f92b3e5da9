"""Draws of whole maps of classes from a field, by Gibbs sampling.

Every second pixel is drawn at once, given its neighbours, which are all of the other colour. Draws
begin at what belief propagation says of single pixels, which is nearly right; sweeps bring in what
pixels have to do with one another (Geman and Geman, IEEE Trans. PAMI 6, 721 (1984)). Each map may
have weights of its own of the classes in each image: what is open of them is open for all pixels.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from eels_bayes.field.coupling import Field
from eels_bayes.field.graph import Graph
from eels_bayes.field.succession import of_label

SWEEPS = 20  # of all pixels before a draw is taken, where each begins nearly right
LEAST = 1e-30  # of a probability, to have a logarithm
CHUNK = 2**22  # draws times pixels times classes at a time, to bound the memory


def draw_maps(
    field: Field,
    graph: Graph,
    n_draws: int,
    *,
    offsets: NDArray[np.float64] | None = None,
    sweeps: int = SWEEPS,
    seed: int = 0,
) -> NDArray[np.int64]:
    """Classes of all pixels together.

    Parameters
    ----------
    field : Field
    graph : Graph
    n_draws : int
        D, each of a chain of its own.
    offsets : (D, I, K) array, optional
        By how much the log weights of the classes differ in each draw, as of
        `weight_doubt.drawn_offsets`.
    sweeps : int
        Before a draw is taken.
    seed : int
        Of the draws.

    Returns
    -------
    ndarray (D, n) of int
    """
    generator = torch.Generator().manual_seed(seed)
    n, n_states = field.local.shape
    begin = field.others.clamp(min=LEAST).log() + field.local[:, :-1]
    at_once = max(1, CHUNK // max(1, n * n_states))
    parts = []
    for start in range(0, n_draws, at_once):
        n_chains = min(at_once, n_draws - start)
        off = begin.new_zeros(n_chains, 1, n_states)
        if offsets is not None:
            off = _of_states(torch.from_numpy(offsets[start : start + n_chains]), field)
        states = _drawn(begin + off[..., :-1], generator)
        states = _swept(states, field, graph, sweeps, generator, off)
        if_alone = _drawn(field.if_alone.log() + off[..., :-1], generator)
        parts.append(field.label[torch.where(states == n_states - 1, if_alone, states)])
    return torch.cat(parts).numpy()


def _swept(
    labels: Tensor,
    field: Field,
    graph: Graph,
    sweeps: int,
    generator: torch.Generator,
    off: Tensor,
) -> Tensor:
    """Labels (D, n) after so many sweeps; ``off`` (D, n or 1, S + 1): added to their weights."""
    n_draws, (n, n_states) = len(labels), field.local.shape
    energies = _energies(field, graph)
    # a neighbour that is not there is in a state of its own, which says nothing
    labels = torch.cat([labels, labels.new_full((n_draws, 1), n_states)], 1)
    of_colour = [torch.from_numpy(np.flatnonzero(graph.colour == colour)) for colour in (0, 1)]
    beside = torch.from_numpy(graph.neighbour)  # -1 is the place behind all
    for _ in range(sweeps):
        for rows in of_colour:
            mine = off if off.shape[1] == 1 else off[:, rows]
            energy = field.local[rows] + mine
            for of_side, (table, which) in zip(beside[:, rows], energies, strict=True):
                energy += table[which[rows], labels[:, of_side]]
            labels[:, rows] = _drawn(energy, generator)
    return labels[:, :n]


def _of_states(offsets: Tensor, field: Field) -> Tensor:
    """Offsets (D, n, S + 1) of each pixel's states by those (D, I, K) of its image's classes."""
    own = offsets.float()[..., field.label][:, field.image]
    alone = (field.if_alone.log() + own).logsumexp(-1, keepdim=True)
    return torch.cat([own, alone], -1)


def _energies(field: Field, graph: Graph) -> list[tuple[Tensor, Tensor]]:
    """Of each side: tables (T, S + 2, S + 1) of the neighbour's state and one's own, and whose."""
    none = torch.zeros(len(field.local), dtype=torch.int64)
    found = [(-pad(penalty.float(), (0, 0, 0, 1))[None], none) for penalty in field.penalty]
    if graph.image is not None:
        follows = of_label(field.log_follows.permute(1, 2, 0), field.label).permute(2, 0, 1)
        follows, image = pad(follows, (0, 1, 0, 1)), torch.from_numpy(graph.image)
        behind = torch.from_numpy(graph.neighbour[-1])
        found.append((pad(follows, (0, 0, 0, 1)), image))
        found.append((pad(follows.mT, (0, 0, 0, 1)), image[behind]))
    return found


def _drawn(log_weight: Tensor, generator: torch.Generator) -> Tensor:
    """One class (D, n) of each by its log weights (D, n, K)."""
    uniform = torch.rand(log_weight.shape, generator=generator, dtype=torch.float32)
    return (log_weight - (-uniform.clamp(min=LEAST).log()).log()).argmax(-1)
