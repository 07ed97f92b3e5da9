"""Evidence of a structure whose edge is not known: linear algebra against sums and integrals."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import multivariate_normal

from eels_bayes.active.missing_structure import SCALES, _basis, _learned, _over_scales, _Pixels
from eels_bayes.forward_model.factor_mixture import Population, Shape

N_PIXELS, N_BINS = 40, 12


@pytest.fixture
def pixels(rng):
    """A few pixels of any kind, on a continuum of two columns."""
    root = rng.standard_normal((2, 2))
    population = Population(np.ones(1), rng.standard_normal(2), root @ root.T + np.eye(2))
    return _Pixels(
        rng.standard_normal((N_PIXELS, N_BINS)),
        rng.uniform(0.5, 2.0, N_PIXELS),
        np.arange(N_PIXELS) % 3,
        rng.standard_normal((N_BINS, 2)),
        population,
    )


@pytest.fixture
def rng():
    return np.random.default_rng(19)


def test_pixels_tell_an_edge_as_generalised_least_squares_does(pixels, rng):
    shape = Shape(rng.standard_normal(N_BINS), rng.standard_normal((N_BINS, 3)))
    along, share = rng.standard_normal((N_BINS, 4)), rng.uniform(size=N_PIXELS)
    information, slope = _learned(pixels, pixels.part(shape), along, share)
    spread = pixels.columns @ pixels.population.covariance @ pixels.columns.T
    spread = spread + shape.loadings @ shape.loadings.T
    center = pixels.columns @ pixels.population.mean + shape.mean
    wanted, towards = 0.0, 0.0
    for row, noise, weight in zip(pixels.target, pixels.noise, share, strict=True):
        inverse = np.linalg.inv(spread + noise * np.eye(N_BINS))
        wanted = wanted + weight * along.T @ inverse @ along
        towards = towards + weight * along.T @ inverse @ (row - center)
    np.testing.assert_allclose(information, wanted, rtol=1e-8)
    np.testing.assert_allclose(slope, towards, rtol=1e-8)


@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize("own", [0.0, 0.7])
def test_an_unknown_shape_is_integrated_out_over_all_scales(scaled, own):
    information, slope = 30.0, 4.0

    def density(b, sd):
        fit = slope * (b - own) - 0.5 * information * (b - own) ** 2
        return np.exp(fit - 0.5 * (b / sd) ** 2) / (sd * np.sqrt(2.0 * np.pi))

    scales = SCALES if scaled else [1.0] * len(SCALES)
    wanted = np.mean([quad(density, -8.0, 8.0, args=(sd,), points=(own,))[0] for sd in scales])
    nats, mean = _over_scales(
        np.array([[information]]), np.array([slope]), np.array([own]), np.array([scaled])
    )
    assert nats == pytest.approx(np.log(wanted), rel=1e-8)
    best = max(scales, key=lambda sd: quad(density, -8.0, 8.0, args=(sd,), points=(own,))[0])
    assert mean[0] == pytest.approx((slope + information * own) / (information + best**-2))


def test_what_lies_beside_the_basis_is_noise_of_any_component(rng):
    energy = np.arange(600.0, 612.0)
    columns, noise = rng.standard_normal((len(energy), 2)), 0.7
    basis = _basis(energy, np.arange(604.0, 608.0, 0.5), columns)
    assert basis.shape == (12, 6)  # four bins hold any of the edge's channels; two columns
    np.testing.assert_allclose(basis.T @ basis, np.eye(6), atol=1e-12)
    pixel = rng.standard_normal(len(energy))
    log_ratio = []
    for to in (np.eye(len(energy)), basis):
        of_two = []
        for size in (1.0, 2.0):
            edge = np.where((energy > 604) & (energy < 607), size, 0.0)
            spread = columns @ columns.T + np.outer(edge, edge)
            covariance = to.T @ (spread + noise * np.eye(len(energy))) @ to
            of_two.append(multivariate_normal(to.T @ edge, covariance).logpdf(to.T @ pixel))
        log_ratio.append(of_two[1] - of_two[0])
    assert log_ratio[0] == pytest.approx(log_ratio[1], abs=1e-9)
