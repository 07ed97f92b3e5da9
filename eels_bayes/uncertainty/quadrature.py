"""Nodes of the normal distribution: whitened, mirrored, with exact moments."""

import itertools

import torch
from torch import Tensor

# Of encoder and classifier each. For K = 4 probabilities are then off by 0.0015 in the median over
# the wide random models of benchmarks/moments.py, by 0.007 in the root mean square, and by up to
# 0.05 where the functions are as wide as their prior; twice as many plain quasi-random nodes:
# 0.005, 0.011 and 0.045.
MIRRORED_NODES = 32
MOST_MIRRORED = 3  # dimensions: beyond, 32 nodes have no room for all moments
SEEDS = (8, 23)  # scramblings that did best on random models other than the benchmark's
ENCODER_NODES = 64  # of the spread of the latent, in more dimensions than MOST_MIRRORED
CLASSIFIER_NODES = 32  # of the spread of the functions, likewise
QUANTILE_MARGIN = 1e-9  # a Sobol point may be 0 or 1, whose normal quantile is infinite
MOMENT_STEPS = 50  # Gauss-Newton steps at most: 32 nodes in 1 to 3 dimensions need 4 to 7
MOMENT_TOLERANCE = 1e-13  # largest error of a moment: a few roundings of float64
LARGEST_MOVE = 0.5  # sd that a coordinate moves in a step; chosen, not tuned


def normal_nodes(n_nodes: int, dim: int, seed: int = 0) -> Tensor:
    """Return quasi-random nodes of the standard normal distribution.

    Scrambled Sobol points through the normal quantile, shifted and rotated so that their mean is
    zero and their covariance the identity exactly (with no more nodes than dimensions, which
    leaves no room for that, only mean and variances are matched).

    Parameters
    ----------
    n_nodes : int
        Number of nodes, at least 2; powers of two fill space best.
    dim : int
        Dimension, at least 1.
    seed : int
        Seed of the scrambling.

    Returns
    -------
    Tensor
        (n_nodes, dim), float64.

    Raises
    ------
    ValueError
        If ``n_nodes`` is below 2 or ``dim`` below 1.
    """
    if n_nodes < 2:
        raise ValueError(f"n_nodes must be at least 2, got {n_nodes}")
    if dim < 1:
        raise ValueError(f"dim must be at least 1, got {dim}")
    points = _sobol(n_nodes, dim, seed)
    points = points - points.mean(0)
    if n_nodes <= dim:
        return points / points.square().mean(0).sqrt()
    return _whitened(points, 1.0 / n_nodes)


def mirrored_nodes(n_nodes: int, dim: int, seed: int = 0) -> Tensor:
    """Return nodes that average polynomials up to the fifth degree exactly.

    Each of n_nodes / 2 scrambled Sobol points has its mirror image, and all are moved a little so
    that second and fourth moments are those of the standard normal distribution. There must be
    several times as many coordinates as such moments: 32 nodes are enough in three dimensions.

    Parameters
    ----------
    n_nodes : int
        Number of nodes, even.
    dim : int
        Dimension, at least 1.
    seed : int
        Seed of the scrambling.

    Returns
    -------
    Tensor
        (n_nodes, dim), float64.
    """
    points = _sobol(n_nodes // 2, dim, seed)
    half = _with_moments(points, _even_powers(dim), 2.0 / n_nodes)
    return torch.cat((half, -half))


def _sobol(n_nodes: int, dim: int, seed: int) -> Tensor:
    """Scrambled Sobol points through the normal quantile."""
    engine = torch.quasirandom.SobolEngine(dim, scramble=True, seed=seed)
    uniform = engine.draw(n_nodes, dtype=torch.float64).clamp(
        QUANTILE_MARGIN, 1.0 - QUANTILE_MARGIN
    )
    uniform[0] = uniform[0].float()  # the engine makes the first in the default dtype
    return torch.special.ndtri(uniform)


def _whitened(points: Tensor, weight: float) -> Tensor:
    """Points (n, D) turned and scaled to second moments of one."""
    root = torch.linalg.cholesky(weight * points.T @ points)
    return torch.linalg.solve_triangular(root, points.T, upper=False).T.contiguous()


def _even_powers(dim: int) -> Tensor:
    """Powers (C, D) of all monomials of the second and fourth degree, float64."""
    monomials = [
        torch.bincount(torch.tensor(which), minlength=dim)
        for degree in (2, 4)
        for which in itertools.combinations_with_replacement(range(dim), degree)
    ]
    return torch.stack(monomials).double()


def _with_moments(points: Tensor, power: Tensor, weight: float) -> Tensor:
    """Move points (n, D) until the moments ``power`` (C, D) are those of the normal distribution.

    By Gauss-Newton steps, each the smallest that solves the linearised conditions.
    """
    # moments of one coordinate by power: 1 x 3 x ... (p - 1) for even p
    normal_moment = torch.tensor([1.0, 0.0, 1.0, 0.0, 3.0], dtype=torch.float64)
    target = normal_moment[power.long()].prod(1)
    points = _whitened(points, weight)
    for _ in range(MOMENT_STEPS):
        moved = points.unsqueeze(1)
        missing = target - weight * (moved**power).prod(2).sum(0)
        if missing.abs().max() < MOMENT_TOLERANCE:
            break
        slopes = []
        for unit in torch.eye(power.size(1), dtype=torch.float64):
            lower = (power - unit).clamp(min=0.0)  # a factor of 0 stands before what was none
            slopes.append((power @ unit) * (moved**lower).prod(2))
        slope = weight * torch.stack(slopes, 2).transpose(0, 1).flatten(1)  # (C, n D)
        step = torch.linalg.pinv(slope) @ missing
        points = points + (step * (LARGEST_MOVE / step.abs().max()).clamp(max=1.0)).view_as(points)
    return points


def default_nodes(n_classes: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return the encoder and classifier nodes that `decompose` takes for ``n_classes`` classes.

    Parameters
    ----------
    n_classes : int
        Number of classes K.
    seed : int
        Added to the seeds of the scrambling.

    Returns
    -------
    encoder_nodes, classifier_nodes : Tensor
        (Q1, K-1) and (Q2, K-1), float64.

    Raises
    ------
    ValueError
        If ``n_classes`` is below 2.
    """
    if n_classes < 2:
        raise ValueError(f"n_classes must be at least 2, got {n_classes}")
    dim = n_classes - 1
    if dim <= MOST_MIRRORED:
        encoder, classifier = (mirrored_nodes(MIRRORED_NODES, dim, seed + own) for own in SEEDS)
        return encoder, classifier
    return normal_nodes(ENCODER_NODES, dim, seed), normal_nodes(CLASSIFIER_NODES, dim, seed + 1)


def few_nodes(n_classes: int) -> tuple[Tensor, Tensor]:
    """Return as few encoder and classifier nodes as keep means and covariances.

    Along each axis to either side for the encoder, whose spread is the larger one, so that third
    moments are kept, too; the corners of a simplex for the classifier.

    Parameters
    ----------
    n_classes : int
        Number of classes K, at least 2.

    Returns
    -------
    encoder_nodes, classifier_nodes : Tensor
        (2 (K-1), K-1) and (K, K-1), float64.
    """
    dim = n_classes - 1
    axes = dim**0.5 * torch.eye(dim, dtype=torch.float64)
    return torch.cat((axes, -axes)), normal_nodes(n_classes, dim)
