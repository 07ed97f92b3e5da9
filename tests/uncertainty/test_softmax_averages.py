"""Averages of a softmax over nodes: two ways to the same numbers, and a bound that holds."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eels_bayes.uncertainty.quadrature import few_nodes
from eels_bayes.uncertainty.softmax_averages import (
    contrast_factors,
    contrasts,
    few_node_averages,
    half_variances,
    likely_others,
    node_averages,
)


def gaussians(n_classes, m, width, seed):
    """Means (m, K) and covariances (2, m, K, K) of m Gaussian logits, and a generator."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*size):
        return torch.randn(*size, generator=generator, dtype=torch.float64)

    root = width * normal(2, m, n_classes, n_classes)
    return 2 * normal(m, n_classes), root @ root.transpose(2, 3), generator


def of_contrasts(cov, n_classes):
    """Covariances (2, K K, m) of contrasts from those of logits (2, m, K, K)."""
    of_covariance, _ = contrasts(n_classes)
    return torch.stack([of_covariance @ of_one.flatten(1).t() for of_one in cov])


@given(
    n_classes=st.integers(2, 6),
    width=st.sampled_from([0.0, 0.1, 1.0, 3.0]),
    weighted=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(max_examples=40)
def test_a_softmax_at_each_pair_of_nodes_says_the_same(n_classes, width, weighted, seed):
    mean, cov, generator = gaussians(n_classes, 7, width, seed)
    factor = contrast_factors(of_contrasts(cov, n_classes), n_classes)
    ratio = torch.rand(7, n_classes, generator=generator, dtype=torch.float64) + 0.01
    given = mean, factor, *few_nodes(n_classes), ratio if weighted else None
    torch.testing.assert_close(few_node_averages(*given), node_averages(*given))


@given(n_classes=st.integers(2, 7), seed=st.integers(0, 99))
@settings(max_examples=20)
def test_few_nodes_keep_mean_and_covariance(n_classes, seed):
    for nodes in few_nodes(n_classes):
        torch.testing.assert_close(nodes.mean(0), torch.zeros(n_classes - 1, dtype=torch.float64))
        second = nodes.T @ nodes / len(nodes)
        torch.testing.assert_close(second, torch.eye(n_classes - 1, dtype=torch.float64))


@given(
    n_classes=st.integers(2, 5),
    width=st.sampled_from([0.1, 0.5, 1.0, 2.0]),
    seed=st.integers(0, 99),
)
@settings(max_examples=30)
def test_other_classes_have_no_more_than_the_bound(n_classes, width, seed):
    mean, cov, generator = gaussians(n_classes, 9, width, seed)
    mean[:, 0] += 6.0  # sure, some of them
    whole = cov.sum(0)
    half = half_variances(torch.eye(n_classes**2, dtype=torch.float64))
    given = of_contrasts(cov, n_classes).sum(0)
    half = (half @ given).view(n_classes, n_classes, -1)
    difference = whole.diagonal(dim1=1, dim2=2)
    difference = difference.unsqueeze(2) + difference.unsqueeze(1) - 2 * whole
    torch.testing.assert_close(2 * half, difference.permute(1, 2, 0))
    bound = likely_others(mean, half)
    root = torch.linalg.cholesky(whole + 1e-12 * torch.eye(n_classes, dtype=torch.float64))
    noise = torch.randn(4000, 9, n_classes, 1, generator=generator, dtype=torch.float64)
    p = torch.softmax(mean + (root @ noise).squeeze(3), 2)
    others = 1 - p
    error = others.std(0) / 4000**0.5
    assert (others.mean(0) - 4 * error).amin(1).le(bound + 1e-9).all()
