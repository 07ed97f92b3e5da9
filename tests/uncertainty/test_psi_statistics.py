"""Closed-form moments against quadrature, Monte Carlo and their limits."""

import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eels_bayes.uncertainty.packed_gp import GPConstants, pack, place
from eels_bayes.uncertainty.psi_statistics import (
    Moments,
    distinct_moments,
    gp_moments,
    psi1,
    psi2,
)


def random_constants(seed, n_inducing, dim, n_classes, *, spread=1.0, reach=1.0, noise=0.5):
    """Return a random sparse GP in float64; inducing covariance with a nugget of 1e-3 s2."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    inducing = spread * normal(n_inducing, dim)
    lengthscale = reach * math.sqrt(dim) * torch.exp(0.5 * normal(dim))
    outputscale = torch.exp(normal(1)[0] + 1.0)
    scaled = inducing / lengthscale
    kernel = outputscale * torch.exp(-0.5 * torch.cdist(scaled, scaled).square())
    eye = torch.eye(n_inducing, dtype=torch.float64)
    upper = torch.linalg.cholesky(kernel + 1e-3 * outputscale * eye).mT
    factor = noise * normal(n_classes, n_inducing, n_inducing) / math.sqrt(n_inducing)
    A = torch.linalg.solve_triangular(upper, 1.5 * normal(n_inducing, n_classes), upper=True)
    half = torch.linalg.solve_triangular(upper, eye - factor @ factor.mT, upper=True)
    B = torch.linalg.solve_triangular(upper, half.mT, upper=True)
    return GPConstants(inducing, lengthscale, outputscale, normal(n_classes), A, B)


def kernel_at(points, constants):
    """Return k(points, U) written out from the definition."""
    difference = (points.unsqueeze(-2) - constants.inducing) / constants.lengthscale
    return constants.outputscale * torch.exp(-0.5 * difference.square().sum(-1))


def functions_at(points, constants):
    """Return mean (n, K) and variance (n, K) of the functions at points without spread."""
    kernel = kernel_at(points, constants)
    explained = ((kernel @ constants.B) * kernel).sum(-1).T
    return constants.mean + kernel @ constants.A, constants.outputscale - explained


def cast(constants, dtype):
    return GPConstants(*(part.to(dtype) for part in constants))


def scripted(function):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".torch.jit.script. is deprecated")
        return torch.jit.script(function)


def monte_carlo(mean, var, constants, seed, n_draws=100_000):
    """Return {moment: (estimate, standard error)} for one input (D,) from plain draws."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(n_draws, len(mean), generator=generator, dtype=torch.float64)
    means, variances = [], []
    for part in (mean + var.sqrt() * noise).split(10_000):
        f, v = functions_at(part, constants)
        means.append(f)
        variances.append(v)
    f, v = torch.cat(means), torch.cat(variances)
    centred = f - f.mean(0)
    products = centred.unsqueeze(2) * centred.unsqueeze(1)
    root = math.sqrt(n_draws)
    return {
        "mean": (f.mean(0), f.std(0) / root),
        "cov_encoder": (products.mean(0), products.std(0) / root),
        "var_classifier": (v.mean(0), v.std(0) / root),
    }


def assert_moments_agree(mean, var, constants, seed):
    exact = gp_moments(mean.unsqueeze(0), var.unsqueeze(0), constants)
    variance = torch.diagonal(exact.cov_encoder[0]) + exact.var_classifier[0]
    scale = float(variance.max())
    scales = {"mean": math.sqrt(scale), "cov_encoder": scale, "var_classifier": scale}
    for name, (estimate, error) in monte_carlo(mean, var, constants, seed).items():
        # 1 % of scale, and five standard errors of the reference itself
        tolerance = 0.01 * scales[name] + 5.0 * error
        deviation = (getattr(exact, name)[0] - estimate).abs()
        assert (deviation <= tolerance).all(), (name, deviation, tolerance)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**31),
    dim=st.integers(1, 16),
    n_inducing=st.integers(2, 30),
    n_classes=st.integers(1, 5),
    spread=st.floats(0.3, 3.0),
    reach=st.floats(0.5, 3.0),
    noise=st.floats(0.0, 1.2),
    log_var=st.lists(st.one_of(st.just(-math.inf), st.floats(-7.0, 4.0)), min_size=16, max_size=16),
)
def test_moments_match_monte_carlo(seed, dim, n_inducing, n_classes, spread, reach, noise, log_var):
    constants = random_constants(
        seed, n_inducing, dim, n_classes, spread=spread, reach=reach, noise=noise
    )
    generator = torch.Generator().manual_seed(seed + 1)
    mean = 1.5 * torch.randn(dim, generator=generator, dtype=torch.float64)
    var = torch.tensor(log_var[:dim], dtype=torch.float64).exp()
    assert_moments_agree(mean, var, constants, seed + 2)


@pytest.mark.parametrize("dim", [1, 4, 16])
@pytest.mark.parametrize("var", [0.0, 1e-3, 0.5, 100.0])
def test_moments_match_monte_carlo_over_dimensions_and_variances(dim, var):
    constants = random_constants(dim, 20, dim, 4)
    mean = torch.linspace(-1.0, 1.0, dim, dtype=torch.float64)
    assert_moments_agree(mean, torch.full((dim,), var, dtype=torch.float64), constants, 10 + dim)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**31),
    centre=st.floats(-4.0, 4.0),
    log_sd=st.floats(-6.0, 0.7),
    reach=st.floats(0.7, 3.0),
)
def test_moments_match_gauss_hermite_quadrature_exactly(seed, centre, log_sd, reach):
    constants = random_constants(seed, 8, 1, 3, reach=reach)
    # Gauss-Hermite converges where the kernel is smooth on the scale of the input
    sd = min(math.exp(log_sd), 3.0 * float(constants.lengthscale))
    nodes, weights = np.polynomial.hermite_e.hermegauss(200)
    weights = torch.tensor(weights / weights.sum())
    points = (centre + sd * torch.tensor(nodes)).unsqueeze(1)
    f, v = functions_at(points, constants)
    mean = weights @ f
    centred = f - mean
    exact = gp_moments(
        torch.full((1, 1), centre, dtype=torch.float64),
        torch.full((1, 1), sd**2, dtype=torch.float64),
        constants,
    )
    scale = float(constants.outputscale) * (1 + float(constants.A.abs().max())) ** 2
    close = {"rtol": 1e-7, "atol": 1e-9 * scale}
    torch.testing.assert_close(exact.mean[0], mean, **close)
    torch.testing.assert_close(
        exact.cov_encoder[0], (weights[:, None] * centred).T @ centred, **close
    )
    torch.testing.assert_close(exact.var_classifier[0], (weights @ v).clamp(min=0.0), **close)


def test_psi_statistics_match_quadrature_in_two_dimensions():
    constants = random_constants(0, 6, 2, 3)
    mean = torch.tensor([[0.4, -1.1]], dtype=torch.float64)
    var = torch.tensor([[0.3, 1.7]], dtype=torch.float64)
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    weights = torch.tensor(weights / weights.sum())
    grid = torch.cartesian_prod(torch.tensor(nodes), torch.tensor(nodes))
    weight = torch.cartesian_prod(weights, weights).prod(1)
    kernel = kernel_at(mean + var.sqrt() * grid, constants)
    first, second = (f(mean, var, *constants[:3])[0] for f in (psi1, psi2))
    torch.testing.assert_close(first, weight @ kernel, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(second, (weight[:, None] * kernel).T @ kernel, rtol=1e-9, atol=1e-12)


def test_zero_variance_is_the_plain_posterior():
    constants = random_constants(3, 25, 5, 4)
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(40, 5, generator=generator, dtype=torch.float64)
    moments = gp_moments(points, torch.zeros_like(points), constants)
    f, v = functions_at(points, constants)
    torch.testing.assert_close(moments.mean, f)
    torch.testing.assert_close(moments.var_classifier, v.clamp(min=0.0), rtol=1e-9, atol=1e-9)
    assert (moments.cov_encoder == 0).all()


def test_small_variance_gives_the_delta_method():
    constants = random_constants(4, 12, 3, 3)
    point = torch.tensor([[0.2, -0.3, 0.5]], dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(
        lambda z: functions_at(z.unsqueeze(0), constants)[0][0], point[0]
    )
    moments = gp_moments(point, torch.full_like(point, 1e-10), constants)
    torch.testing.assert_close(
        moments.cov_encoder[0] / 1e-10, jacobian @ jacobian.T, rtol=1e-5, atol=1e-8
    )


def test_far_away_the_prior_returns():
    constants = random_constants(5, 12, 4, 3)
    for dtype in (torch.float32, torch.float64):
        far = torch.full((1, 4), 1e3, dtype=dtype)
        moments = gp_moments(far, torch.full_like(far, 0.1), cast(constants, dtype))
        torch.testing.assert_close(moments.mean[0], constants.mean.to(dtype))
        assert (moments.cov_encoder == 0).all()
        expected = constants.outputscale.to(dtype).expand(1, 3)
        torch.testing.assert_close(moments.var_classifier, expected)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**31), dim=st.integers(1, 16), log_var=st.floats(-12.0, 6.0))
def test_covariances_are_symmetric_and_positive(seed, dim, log_var):
    constants = random_constants(seed, 15, dim, 4)
    generator = torch.Generator().manual_seed(seed)
    mean = torch.randn(5, dim, generator=generator, dtype=torch.float64)
    moments = gp_moments(mean, torch.full_like(mean, math.exp(log_var)), constants)
    cov = moments.cov_encoder
    scale = float(constants.outputscale * constants.A.abs().max().square())
    torch.testing.assert_close(cov, cov.mT, rtol=1e-9, atol=1e-10 * scale)
    assert float(torch.linalg.eigvalsh(cov).min()) > -1e-9 * scale
    assert (moments.var_classifier >= 0).all()


@pytest.mark.parametrize("var", [0.0, 1e-6, 1e-3, 0.1, 1.0, 30.0])
def test_float32_keeps_the_moments(var):
    constants = random_constants(6, 64, 16, 4)
    generator = torch.Generator().manual_seed(1)
    mean = torch.randn(50, 16, generator=generator, dtype=torch.float64)
    spread = torch.full_like(mean, var)
    exact = gp_moments(mean, spread, constants)
    single = gp_moments(mean.float(), spread.float(), cast(constants, torch.float32))
    scale = float(constants.outputscale)
    assert (single.mean - exact.mean).abs().max() < 1e-4 * math.sqrt(scale)
    assert (single.var_classifier - exact.var_classifier).abs().max() < 2e-3 * scale
    # no noise floor: the error shrinks with the covariance itself
    error = (single.cov_encoder - exact.cov_encoder).abs().max()
    assert error <= 1e-3 * exact.cov_encoder.abs().max()


def test_extreme_inputs_stay_finite_in_float32():
    constants = cast(random_constants(7, 20, 8, 3), torch.float32)
    mean = torch.tensor([0.0, 1.0, 30.0, 1e3, 1e6]).repeat_interleave(5).unsqueeze(1).expand(-1, 8)
    var = torch.tensor([0.0, 1e-20, 1.0, 1e6, 1e12]).repeat(5).unsqueeze(1).expand(-1, 8)
    for part in gp_moments(mean, var, constants):
        assert torch.isfinite(part).all()


def test_nan_row_stays_alone():
    constants = random_constants(8, 10, 3, 2)
    mean = torch.randn(4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    var = torch.full_like(mean, 0.2)
    clean = gp_moments(mean, var, constants)
    mean[1, 0] = math.nan
    others = [0, 2, 3]
    for found, expected in zip(gp_moments(mean, var, constants), clean, strict=True):
        assert torch.isnan(found[1]).all()
        torch.testing.assert_close(found[others], expected[others])


def test_gradients_match_finite_differences():
    constants = random_constants(9, 6, 2, 2)
    mean = torch.tensor([[0.3, -0.2]], dtype=torch.float64, requires_grad=True)
    var = torch.tensor([[0.2, 0.5]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda m, v: tuple(gp_moments(m, v, constants)), (mean, var))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_script_equals_eager(dtype):
    constants = cast(random_constants(10, 30, 6, 4), dtype)
    generator = torch.Generator().manual_seed(2)
    mean = torch.randn(9, 6, generator=generator, dtype=dtype)
    var = torch.rand(9, 6, generator=generator, dtype=dtype)
    function = scripted(gp_moments)
    for _ in range(3):  # the executor specialises after its first calls
        for found, expected in zip(
            function(mean, var, constants), gp_moments(mean, var, constants), strict=True
        ):
            torch.testing.assert_close(found, expected, rtol=0, atol=0)


def textbook(mean, var, constants):
    """Return the moments from psi statistics as they are printed (Titsias and Lawrence, 2010)."""
    u, square, scale = constants.inducing, constants.lengthscale**2, constants.outputscale
    away = (mean.unsqueeze(1) - u).square() / (square + var).unsqueeze(1)
    first = scale * (1 + var / square).prod(1, keepdim=True).rsqrt() * torch.exp(-away.sum(2) / 2)
    middle = 0.5 * (u.unsqueeze(0) + u.unsqueeze(1))
    apart = ((u.unsqueeze(0) - u.unsqueeze(1)).square() / (4 * square)).sum(2)
    away = (mean[:, None, None] - middle).square() / (square + 2 * var)[:, None, None]
    second = torch.exp(-apart - away.sum(3))
    second = scale**2 * (1 + 2 * var / square).prod(1).rsqrt()[:, None, None] * second
    f = constants.mean + first @ constants.A
    spread = second - first.unsqueeze(2) * first.unsqueeze(1)
    cov = torch.einsum("mc,nml,ld->ncd", constants.A, spread, constants.A)
    explained = torch.einsum("cml,nml->nc", constants.B, second)
    return f, cov, (scale - explained).clamp(min=0.0)


def packed_moments(mean, var, gps):
    """Return the moments of each of several GPs that are read at once."""
    found = distinct_moments(mean, var, pack(gps))
    sizes = [2 * k + k * (k + 1) // 2 for k in (len(gp.mean) for gp in gps)]
    parts = []
    for one, gp in zip(found.split(sizes, 1), gps, strict=True):
        k = len(gp.mean)
        parts.append(Moments(one[:, :k], one[:, place(k)], one[:, k : 2 * k]))
    return parts


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**31),
    dim=st.integers(1, 16),
    sizes=st.lists(st.tuples(st.integers(1, 20), st.integers(1, 5)), min_size=1, max_size=3),
    log_var=st.floats(-6.0, 4.0),
    more=st.integers(0, 3),
)
def test_moments_of_gps_of_any_sizes_are_those_of_the_definition(seed, dim, sizes, log_var, more):
    gps = [random_constants(seed + k, m, dim, c) for k, (m, c) in enumerate(sizes)]
    generator = torch.Generator().manual_seed(seed)
    # of what follows the dimensions that a GP knows it sees nothing
    mean = torch.randn(6, dim + more, generator=generator, dtype=torch.float64)
    var = math.exp(log_var) * torch.rand(6, dim + more, generator=generator, dtype=torch.float64)
    for found, constants in zip(packed_moments(mean, var, gps), gps, strict=True):
        # the textbook's covariance is a difference, and cancels
        size = float(constants.outputscale) ** 2
        size *= float(1 + constants.A.abs().max() ** 2 + constants.B.abs().max())
        known = mean[:, :dim], var[:, :dim]
        for one, expected in zip(found, textbook(*known, constants), strict=True):
            torch.testing.assert_close(one, expected, rtol=1e-9, atol=1e-11 * size)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**31), dim=st.integers(1, 8), log_var=st.floats(-6.0, 4.0))
def test_packed_moments_are_symmetric(seed, dim, log_var):
    """In the order of inducing points, of functions and of processes, and in B's two indices."""
    one, other = (random_constants(seed + k, 9, dim, 4) for k in range(2))
    generator = torch.Generator().manual_seed(seed)
    mean = torch.randn(5, dim, generator=generator, dtype=torch.float64)
    var = math.exp(log_var) * torch.rand(5, dim, generator=generator, dtype=torch.float64)
    expected, second = packed_moments(mean, var, [one, other])
    size = float(1 + one.A.abs().max() ** 2 + one.B.abs().max() + other.B.abs().max())
    size *= float(1 + one.outputscale + other.outputscale) ** 2
    close = {"rtol": 1e-9, "atol": 1e-12 * size}
    torch.testing.assert_close(expected.cov_encoder, expected.cov_encoder.mT, rtol=0, atol=0)
    for found, whole in zip(
        packed_moments(mean, var, [other, one]), (second, expected), strict=True
    ):
        for part, same in zip(found, whole, strict=True):
            torch.testing.assert_close(part, same, **close)
    rows = torch.randperm(9, generator=generator)
    moved = one._replace(inducing=one.inducing[rows], A=one.A[rows], B=one.B[:, rows][:, :, rows])
    skew = torch.randn(9, 9, generator=generator, dtype=torch.float64)
    skewed = one._replace(B=one.B + skew - skew.T)
    for same in (moved, skewed):
        for found, whole in zip(gp_moments(mean, var, same), expected, strict=True):
            torch.testing.assert_close(found, whole, **close)
    turned = one._replace(mean=one.mean.flip(0), A=one.A.flip(1), B=one.B.flip(0))
    found = gp_moments(mean, var, turned)
    torch.testing.assert_close(found.mean, expected.mean.flip(1), **close)
    torch.testing.assert_close(found.cov_encoder, expected.cov_encoder.flip(1, 2), **close)
    torch.testing.assert_close(found.var_classifier, expected.var_classifier.flip(1), **close)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_packed_script_equals_eager(dtype):
    packed = pack([cast(random_constants(seed, 20, 6, 3), dtype) for seed in (11, 12)])
    generator = torch.Generator().manual_seed(2)
    mean = torch.randn(9, 6, generator=generator, dtype=dtype)
    var = torch.rand(9, 6, generator=generator, dtype=dtype)
    function, expected = scripted(distinct_moments), distinct_moments(mean, var, packed)
    for _ in range(3):
        torch.testing.assert_close(function(mean, var, packed), expected, rtol=0, atol=0)
