"""Fit of the GP classifier to latents and their classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor
from tqdm.auto import tqdm

from eels_bayes import validation
from eels_bayes.adam import Adam, falling
from eels_bayes.gp.classifier import GPClassifier
from eels_bayes.gp.inducing_points import spread_points
from eels_bayes.gp.quiet_gpytorch import gpytorch
from eels_bayes.gp.variational_model import SharedKernelGP
from eels_bayes.randomness import own_randomness
from eels_bayes.training import learning

# Nugget on the inducing values, squared logits. It bounds the entries of A and B, which float32
# prediction needs, and is far below any variance that matters to a softmax.
JITTER = 1e-2
LIKELIHOOD_SAMPLES = 16  # of the functions, in each step's expected likelihood; chosen, not tuned
LEAST_SCALE = 1e-3  # of the widest dimension's sd: a constant dimension has no scale of its own


@learning()
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

    Adam on the ELBO (Hensman et al., AISTATS 2015) in float64, learning rate falling to zero along
    a half cosine. Inputs are scaled to unit variance for training, so the result does not depend on
    their unit.

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
        Float64 on the CPU; its ``loss`` holds the negative ELBO per latent of every step, nats.

    Raises
    ------
    ValueError
        If the latents or labels are of the wrong shape, not finite or of one class only.

    Examples
    --------
    Two classes that lie apart along one axis of the latent:

    >>> import torch, eels_bayes as eb
    >>> latents = torch.tensor([[-2.0], [-1.5], [-1.0], [1.0], [1.5], [2.0]])
    >>> labels = torch.tensor([0, 0, 0, 1, 1, 1])
    >>> gp = eb.fit_gp(latents, labels, 2, n_inducing=4, steps=8, show_progressbar=False)
    >>> mean, var = gp.latent_function(torch.tensor([[-1.5], [1.5]]))
    >>> mean.argmax(1).tolist()
    [0, 1]
    """
    options = {"steps": steps, "n_inducing": n_inducing, "batch_size": batch_size}
    _check_training_data(latents, labels, n_classes, options | {"seed": seed}, learning_rate)
    latents = latents.detach().to("cpu", torch.float64)
    labels = labels.detach().to("cpu", torch.int64)
    centre, scale = latents.mean(0), latents.std(0, correction=0)
    scale = scale.clamp(min=LEAST_SCALE * float(scale.max()))
    points = (latents - centre) / scale
    generator = torch.Generator().manual_seed(seed)
    model = SharedKernelGP(spread_points(points, n_inducing, generator), n_classes, JITTER)
    batches = _batches(len(points), n_classes, batch_size, generator)
    # the likelihood's samples come from the global generator
    with (
        own_randomness(seed),
        gpytorch.settings.num_likelihood_samples(LIKELIHOOD_SAMPLES),
    ):
        losses = _train(
            model, points, labels, batches, steps, learning_rate, show_progressbar=show_progressbar
        )
    return _classifier_of(model, centre, scale, losses)


def _batches(
    n_latents: int, n_classes: int, batch_size: int, generator: torch.Generator
) -> Iterator[Tensor]:
    """Indices of the latents of one step after another, without end.

    GPyTorch's softmax likelihood reads exactly K latents as K classes, so no step has that many.
    """
    if n_latents <= max(batch_size, n_classes):
        everything = torch.arange(n_latents)
        if n_latents == n_classes:
            everything = everything.repeat(2)
        while True:
            yield everything
    size = batch_size if batch_size != n_classes else batch_size + 1
    while True:
        yield torch.randint(n_latents, (size,), generator=generator)


def _train(
    model: SharedKernelGP,
    points: Tensor,
    labels: Tensor,
    batches: Iterator[Tensor],
    steps: int,
    learning_rate: float,
    *,
    show_progressbar: bool,
) -> list[float]:
    """Adam on the ELBO with the kernel's priors; the loss per latent of every step, nats."""
    likelihood = gpytorch.likelihoods.SoftmaxLikelihood(
        num_classes=model.n_classes, mixing_weights=False
    )
    optimizer = Adam(model.parameters())
    losses = []
    for step in tqdm(range(steps), desc="GP", disable=not show_progressbar):
        batch = next(batches)
        optimizer.zero_grad()
        log_likelihood = likelihood.expected_log_prob(labels[batch], model.marginals(points[batch]))
        expected = len(points) * log_likelihood.mean()
        hyperprior = sum(
            prior.log_prob(closure(module)).sum()
            for _, module, prior, closure, _ in model.named_priors()
        )
        divergence = model.variational_strategy.kl_divergence()
        loss = (divergence - hyperprior - expected) / len(points)
        loss.backward()
        optimizer.step(falling(learning_rate, step / steps))
        losses.append(loss.item())
    return losses


def _classifier_of(
    model: SharedKernelGP, centre: Tensor, scale: Tensor, losses: list[float]
) -> GPClassifier:
    """The classifier of latents that were moved by ``centre`` and divided by ``scale``, (D,)."""
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


def _check_training_data(
    latents: Tensor, labels: Tensor, n_classes: int, options: Mapping[str, int], rate: float
) -> None:
    """TypeError or ValueError where `fit_gp` could not learn from these."""
    validation.positive("learning_rate", rate)
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
    validation.whole("n_classes", n_classes, 2)
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
        validation.whole(name, value, {"n_inducing": 2, "seed": 0}.get(name, 1))
