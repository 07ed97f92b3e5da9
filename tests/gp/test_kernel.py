"""The kernel and the table of reaches, each against another way to it."""

import math

import numpy as np
import pytest
import torch

from eels_bayes.gp.inducing_points import spread_points
from eels_bayes.gp.kernel import rbf, rbf_of_many
from eels_bayes.gp.reach import N_REACH, gaussian_reach, reach_levels


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def test_both_ways_to_the_kernel_agree():
    points, inducing = normal(50, 3), normal(40, 3, seed=1)
    scales = torch.tensor([0.5, 1.0, 2.0]).double(), torch.tensor(9.0).double()
    kernel = rbf(points, inducing, *scales)
    torch.testing.assert_close(kernel, rbf_of_many(points, inducing, *scales))
    distance = (points[3] - inducing[5]) / scales[0]
    expected = 9.0 * math.exp(-0.5 * float(distance.square().sum()))
    assert kernel[3, 5].item() == pytest.approx(expected)


def test_the_gaussian_reach_holds_the_shares_that_it_says():
    reach = gaussian_reach()
    assert reach.shape == (N_REACH,)
    inside = torch.erf(torch.from_numpy(reach) / math.sqrt(2.0)).numpy()
    np.testing.assert_allclose(inside, reach_levels(), atol=1e-12)


def test_points_that_are_chosen_are_distinct_and_apart():
    points = torch.cat([normal(30, 2), torch.full((30, 2), 8.0).double()])
    generator = torch.Generator().manual_seed(3)
    chosen = spread_points(points, 100, generator)
    assert len(chosen) == 31  # all that are distinct
    few = spread_points(points, 2, generator)
    assert (few[0] - few[1]).norm() > 3.0
