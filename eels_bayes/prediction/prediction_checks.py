"""Whether the arrays of a prediction fit together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eels_bayes.data.flags import Flag
from eels_bayes.prediction.quantities import PixelQuantities


def check_prediction(prediction: PixelQuantities, per_pixel: Sequence[str]) -> None:
    """Raise ValueError unless they do; ``per_pixel`` names those with a row a pixel."""
    flag, labels, images = prediction.flag, prediction.labels, prediction.images
    n, n_classes = len(flag), len(prediction.class_names)
    shapes: dict[str, tuple[int, ...]] = {name: (n,) for name in per_pixel}
    shapes["probabilities"] = (n, n_classes)
    shapes["latent_mean"] = shapes["latent_sd"] = (n, *prediction.latent_mean.shape[1:2])
    for name, shape in shapes.items():
        if getattr(prediction, name).shape != shape:
            raise ValueError(
                f"{name} has shape {getattr(prediction, name).shape}; {shape} is needed: "
                f"{n} pixels as in flag, {n_classes} classes as in class_names"
            )
    if np.any((labels < 0) != (flag != 0)) or np.any(labels >= n_classes):
        raise ValueError(f"labels must be 0..{n_classes - 1}, and -1 exactly where flag is not 0")
    unread = ~np.isfinite(prediction.probabilities).all(1) & (flag == 0)
    if unread.any():
        raise ValueError(
            f"probabilities of {int(unread.sum())} pixels are not finite, but their flag is 0: "
            f"flag them, as {Flag.NO_ANSWER!r}"
        )
    image, position = prediction.image, prediction.position
    sizes = np.array([int(np.prod(info.shape)) for info in images], dtype=int)
    if n and (image.min() < 0 or image.max() >= len(sizes)):
        raise ValueError(
            f"image runs from {image.min()} to {image.max()}; images has {len(sizes)} entries"
        )
    if n and (position.min() < 0 or np.any(position >= sizes[image])):
        raise ValueError("position leaves the navigation shape of its image")
