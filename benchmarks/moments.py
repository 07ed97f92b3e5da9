"""Closed-form GP moments and quadrature nodes against Monte Carlo, and what they cost.

    python benchmarks/moments.py [--models 200] [--draws 100000] [--json]

Random sparse GPs (D from 1 to 16) are met with random Gaussian inputs. Deviations of means and of
(co)variances from Monte Carlo are divided by the standard deviation and by the variance of that
model's functions at that input. They hold the Monte Carlo error too, whose size is given beside
them. The timing compares one spectrum's whole uncertainty with its parts, scripted, on one thread,
in one run.
"""

from __future__ import annotations

import argparse
import json
import math
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from eels_bayes.uncertainty.decomposition import decompose, decompose_latent
from eels_bayes.uncertainty.packed_gp import GPConstants
from eels_bayes.uncertainty.psi_statistics import gp_moments
from eels_bayes.uncertainty.quadrature import default_nodes


def random_constants(
    generator: torch.Generator, n_inducing: int, dim: int, n_classes: int
) -> GPConstants:
    """Return a random sparse GP in float64."""

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    def uniform(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand(1, generator=generator))

    inducing = uniform(0.5, 3.0) * normal(n_inducing, dim)
    lengthscale = math.sqrt(dim) * torch.exp(0.5 * normal(dim) + uniform(-0.7, 1.0))
    outputscale = torch.tensor(math.exp(uniform(-1.0, 3.0)), dtype=torch.float64)
    scaled = inducing / lengthscale
    kernel = outputscale * torch.exp(-0.5 * torch.cdist(scaled, scaled).square())
    eye = torch.eye(n_inducing, dtype=torch.float64)
    upper = torch.linalg.cholesky(kernel + 1e-3 * outputscale * eye).mT
    whitened = 1.5 * normal(n_inducing, n_classes)
    factor = uniform(0.01, 0.9) * normal(n_classes, n_inducing, n_inducing)
    middle = eye - factor @ factor.mT / n_inducing
    A = torch.linalg.solve_triangular(upper, whitened, upper=True)
    half = torch.linalg.solve_triangular(upper, middle, upper=True)
    B = torch.linalg.solve_triangular(upper, half.mT, upper=True)
    mean = normal(n_classes)
    return GPConstants(inducing, lengthscale, outputscale, mean, A, B)


def monte_carlo(
    mean: Tensor, var: Tensor, constants: GPConstants, n_draws: int, generator: torch.Generator
) -> dict[str, tuple[Tensor, Tensor]]:
    """Return (estimate, standard error) of each moment at one input (D,) by plain draws."""
    draws = mean + var.sqrt() * torch.randn(
        n_draws, len(mean), generator=generator, dtype=torch.float64
    )
    distances = torch.cdist(
        draws / constants.lengthscale, constants.inducing / constants.lengthscale
    )
    kernel = constants.outputscale * torch.exp(-0.5 * distances.square())
    f = constants.mean + kernel @ constants.A
    explained = torch.einsum("nm,kml,nl->nk", kernel, constants.B, kernel)
    centred = f - f.mean(0)
    products = centred.unsqueeze(2) * centred.unsqueeze(1)
    root = math.sqrt(n_draws)
    return {
        "mean": (f.mean(0), f.std(0) / root),
        "cov_encoder": (products.mean(0), products.std(0) / root),
        "var_classifier": (
            (constants.outputscale - explained).mean(0),
            explained.std(0) / root,
        ),
    }


def moment_deviations(n_models: int, n_draws: int, seed: int) -> dict[str, dict[str, float]]:
    """Return the worst and root-mean-square relative deviations over random models."""
    generator = torch.Generator().manual_seed(seed)
    found: dict[str, list[tuple[float, float]]] = {}
    for index in range(n_models):
        dim = 1 + index % 16
        n_classes = 2 + index % 4
        constants = random_constants(generator, 8 + index % 25, dim, n_classes)
        mean = 1.5 * torch.randn(dim, generator=generator, dtype=torch.float64)
        log_var = torch.empty(dim, dtype=torch.float64).uniform_(-7.0, 3.0, generator=generator)
        var = torch.zeros(dim, dtype=torch.float64) if index % 10 == 0 else log_var.exp()
        exact = gp_moments(mean.unsqueeze(0), var.unsqueeze(0), constants)
        variance = torch.diagonal(exact.cov_encoder[0]) + exact.var_classifier[0]
        scale = float(variance.max())
        scales = {"mean": math.sqrt(scale), "cov_encoder": scale, "var_classifier": scale}
        estimates = monte_carlo(mean, var, constants, n_draws, generator)
        for name, (estimate, error) in estimates.items():
            deviation = (getattr(exact, name)[0] - estimate).abs().max() / scales[name]
            found.setdefault(name, []).append((float(deviation), float(error.max()) / scales[name]))
    report = {}
    for name, values in found.items():
        deviations, errors = np.array(values).T
        report[name] = {
            "worst": float(deviations.max()),
            "rms": float(np.sqrt((deviations**2).mean())),
            "worst_monte_carlo_standard_error": float(errors.max()),
        }
    return report


def node_deviations(n_models: int, n_draws: int, seed: int) -> dict[str, float]:
    """Return deviations of the default nodes' probabilities from plain draws of the logits."""
    generator = torch.Generator().manual_seed(seed)
    n_classes = 4
    nodes = default_nodes(n_classes)
    deviations = []
    for index in range(n_models):
        constants = random_constants(generator, 32, 1 + index % 16, n_classes)
        dim = len(constants.lengthscale)
        mean = 1.5 * torch.randn(1, dim, generator=generator, dtype=torch.float64)
        log_var = torch.empty(1, dim, dtype=torch.float64).uniform_(-7.0, 1.0, generator=generator)
        moments = gp_moments(mean, log_var.exp(), constants)
        result = decompose(
            torch.ones(1, 1, dtype=torch.float64),
            moments.mean.unsqueeze(1),
            moments.cov_encoder.unsqueeze(1),
            moments.var_classifier.unsqueeze(1),
            nodes[0],
            nodes[1],
        )
        cov = moments.cov_encoder[0] + torch.diag(moments.var_classifier[0])
        values, vectors = torch.linalg.eigh(cov)
        root = vectors * values.clamp(min=0.0).sqrt()
        noise = torch.randn(n_draws, n_classes, generator=generator, dtype=torch.float64)
        plain = torch.softmax(moments.mean + noise @ root.T, dim=1).mean(0)
        deviations.append(float((result.probabilities[0] - plain).abs().max()))
    return {
        "worst": max(deviations),
        "median": float(np.median(deviations)),
        "rms": float(np.sqrt(np.mean(np.square(deviations)))),
    }


def _median_and_p99(function: Callable[[], object], n_calls: int) -> tuple[float, float]:
    for _ in range(max(n_calls // 10, 20)):
        function()
    times = np.empty(n_calls)
    for i in range(n_calls):
        start = time.perf_counter()
        function()
        times[i] = time.perf_counter() - start
    return float(np.median(times)), float(np.quantile(times, 0.99))


# Plain tuples: a script that returns a NamedTuple to Python builds its class anew on every call.
def _moments(mean: Tensor, var: Tensor, constants: GPConstants) -> tuple[Tensor, Tensor, Tensor]:
    m = gp_moments(mean, var, constants)
    return m.mean, m.cov_encoder, m.var_classifier


def _everything(
    weights: Tensor,
    mean: Tensor,
    var: Tensor,
    constants: GPConstants,
    encoder_nodes: Tensor,
    classifier_nodes: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    d = decompose_latent(weights, mean, var, constants, encoder_nodes, classifier_nodes)
    return d.probabilities, d.total, d.aleatoric, d.encoder, d.classifier


def timings(n_calls: int) -> dict[str, float]:
    """Return milliseconds for one spectrum (R = 8, K = 4, M = 64, D = 16), scripted, float32."""
    generator = torch.Generator().manual_seed(0)
    constants = random_constants(generator, 64, 16, 4)
    constants = GPConstants(*(part.float() for part in constants))
    encoder_nodes, classifier_nodes = (nodes.float() for nodes in default_nodes(4))
    weights = torch.full((1, 8), 0.125)
    mean = torch.randn(1, 8, 16, generator=generator)
    var = 0.1 * torch.rand(1, 8, 16, generator=generator)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".torch.jit.script. is deprecated")
        moments = torch.jit.script(_moments)
        everything = torch.jit.script(_everything)
    report = {}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            for name, function in {
                "moments": lambda: moments(mean[0], var[0], constants),
                "moments_and_decomposition": lambda: everything(
                    weights, mean, var, constants, encoder_nodes, classifier_nodes
                ),
            }.items():
                median, p99 = _median_and_p99(function, n_calls)
                report[f"{name}_median_ms"] = 1e3 * median
                report[f"{name}_p99_ms"] = 1e3 * p99
    finally:
        torch.set_num_threads(threads)
    report["ratio"] = report["moments_and_decomposition_median_ms"] / report["moments_median_ms"]
    return report


def main() -> None:
    """Run all three and print or write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, default=200, help="random models")
    parser.add_argument("--draws", type=int, default=100_000, help="Monte Carlo draws a model")
    parser.add_argument("--calls", type=int, default=2000, help="timed calls")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    result: dict[str, Any] = {
        "moments": moment_deviations(options.models, options.draws, options.seed),
        "probabilities": node_deviations(options.models, options.draws, options.seed + 1),
        "timing": timings(options.calls),
        "models": options.models,
        "draws": options.draws,
    }
    if options.json:
        print(json.dumps(result, indent=2))
        return
    for part in ("moments", "probabilities", "timing"):
        for name, value in result[part].items():
            values = value if isinstance(value, dict) else {name: value}
            print(f"{part:14s} {name:36s}", *(f"{k}={v:.5f}" for k, v in values.items()))


if __name__ == "__main__":
    main()
