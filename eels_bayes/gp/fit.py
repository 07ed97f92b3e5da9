"""Fit of the GP classifier to latents and their classes."""

from __future__ import annotations

from collections.abc import Mapping

import gpytorch
import torch
from torch import Tensor
from tqdm.auto import tqdm

from eels_bayes.gp.classifier import JITTER, GPClassifier, SharedKernelGP, spread_points
from eels_bayes.randomness import own_randomness

_LIKELIHOOD_SAMPLES = 16


def _check_training_data(
    latents: Tensor, labels: Tensor, n_classes: int, options: Mapping[str, int]
) -> None:
    if latents.ndim != 2 or not latents.is_floating_point():
        raise ValueError(
            f"latents must be a floating-point tensor (N, D), got {tuple(latents.shape)} "
            f"of {latents.dtype}"
        )
    if labels.shape != latents.shape[:1]:
        raise ValueError(
            f"labels must have one entry for each of the {len(latents)} latents, "
            f"got shape {tuple(labels.shape)}"
        )
    if labels.is_floating_point() or labels.is_complex():
        raise ValueError(f"labels must be integers, got {labels.dtype}")
    if not torch.isfinite(latents).all():
        bad = int((~torch.isfinite(latents)).any(1).sum())
        raise ValueError(f"latents hold NaN or infinity in {bad} rows; drop these first")
    if n_classes < 2:
        raise ValueError(f"n_classes must be at least 2, got {n_classes}")
    present = torch.unique(labels)
    if len(present) < 2:
        raise ValueError(f"labels name one class only ({present.tolist()}); at least two needed")
    if present.min() < 0 or present.max() >= n_classes:
        raise ValueError(
            f"labels must lie in 0..{n_classes - 1}, got {int(present.min())}..{int(present.max())}"
        )
    if not (latents.amax(0) > latents.amin(0)).any():
        raise ValueError("latents are all the same point; nothing can be told apart")
    for name, value in options.items():
        least = 2 if name == "n_inducing" else 1
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")


def fit_gp(
    latents: Tensor,
    labels: Tensor,
    n_classes: int,
    *,
    n_inducing: int = 64,
    steps: int = 600,
    batch_size: int = 512,
    learning_rate: float = 0.03,
    seed: int = 0,
    show_progressbar: bool = True,
) -> GPClassifier:
    """Train the classifier on labelled latents.

    Adam on the ELBO in float64, learning rate falling to zero along a half cosine. Inputs are
    scaled to unit variance for training, so the result does not depend on their unit.

    Parameters
    ----------
    latents : Tensor
        Latent points, (N, D).
    labels : Tensor
        Integer classes, (N,), in 0..K-1; a class may be absent, not all but one.
    n_classes : int
        Number of classes K.
    n_inducing : int
        Number of inducing points, at most; no more than distinct latents are used.
    steps : int
        Number of optimisation steps.
    batch_size : int
        Latents drawn for a step; all of them where there are no more.
    learning_rate : float
        Adam's step at the start.
    seed : int
        Seed of inducing points, batches and likelihood samples; global generators are untouched.
    show_progressbar : bool
        Whether to show a progress bar.

    Returns
    -------
    GPClassifier

    Raises
    ------
    ValueError
        If the latents or labels are of the wrong shape, not finite or of one class only.
    """
    options = {"steps": steps, "n_inducing": n_inducing, "batch_size": batch_size}
    _check_training_data(latents, labels, n_classes, options)
    latents = latents.detach().to("cpu", torch.float64)
    labels = labels.detach().to("cpu", torch.int64)
    centre, scale = latents.mean(0), latents.std(0, correction=0)
    scale = scale.clamp(min=1e-3 * float(scale.max()))  # a constant dimension has no scale
    points = (latents - centre) / scale
    if len(points) <= max(batch_size, n_classes):
        # SoftmaxLikelihood reads exactly K latents as K classes, so never give it that many.
        everything = torch.arange(len(points))
        batch_size = 0
        if len(points) == n_classes:
            everything = everything.repeat(2)
    else:
        batch_size = batch_size if batch_size != n_classes else batch_size + 1

    generator = torch.Generator().manual_seed(seed)
    inducing = spread_points(points, n_inducing, generator)
    model = SharedKernelGP(inducing, n_classes, JITTER)
    likelihood = gpytorch.likelihoods.SoftmaxLikelihood(num_classes=n_classes, mixing_weights=False)
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    losses = []
    # the likelihood's samples come from the global generator
    with (
        own_randomness(seed),
        gpytorch.settings.num_likelihood_samples(_LIKELIHOOD_SAMPLES),
    ):
        for _ in tqdm(range(steps), desc="GP", disable=not show_progressbar):
            if batch_size:
                batch = torch.randint(len(points), (batch_size,), generator=generator)
            else:
                batch = everything
            optimizer.zero_grad()
            found = likelihood.expected_log_prob(labels[batch], model.marginals(points[batch]))
            expected = len(points) * found.mean()
            hyperprior = sum(
                prior.log_prob(closure(module)).sum()
                for _, module, prior, closure, _ in model.named_priors()
            )
            loss = (model.variational_strategy.kl_divergence() - hyperprior - expected) / len(
                points
            )
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
    with torch.no_grad():
        variational = model.base_strategy.variational_distribution
        return GPClassifier(
            inducing=centre + scale * model.base_strategy.inducing_points.detach(),
            lengthscale=scale * model.covar_module.base_kernel.lengthscale.detach()[0],
            outputscale=model.covar_module.outputscale.detach().clone(),
            variational_mean=variational.mean.detach().clone(),
            variational_factor=torch.linalg.cholesky(variational.covariance_matrix).detach(),
            jitter=torch.tensor(JITTER, dtype=torch.float64),
            loss=tuple(losses),
        )
