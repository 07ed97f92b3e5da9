"""Whether the sizes of a model file's tensors fit together."""

from __future__ import annotations

from typing import Any

from torch import Tensor

# Sizes of what no constructor checks, one letter a dimension; digits are themselves. What shares a
# letter fits together: K classes of the library, G of the GP, N = G + 1, D latent, A of them that
# the GPs read, L channels, E modes of the misfit.
SHAPES = {
    "energy": "L",
    "shown.energy": "L",
    "vae.log_b": "",
    "vae.scale": "",
    "vae.fingerprints": "GJL",
    "vae.class_weights": "N",
    "encoder.axes": "DD",
    "encoder.offset": "CD",
    "encoder.slope": "CSD",
    "encoder.spread": "CD",
    "preprocessor._ready": "",
    "gp.inducing": "MA",
    "gp.variational_mean": "GM",
    "continuum.energy": "B",
    "continuum.window": "2",
    "continuum.reference": "2",
    "continuum.free": "QB",
    "forward.mean_profile": "B",
    "forward.middle": "B",
    "forward.spread": "B",
    "forward.mean": "P",
    "forward.covariance": "PP",
    "forward.class_weights": "K",
    "forward.pair_weights": "KK",
    "forward.log_likelihood": "I",
    "misfit.shape": "BE",
    "misfit.amplitude": "K",
    "misfit.shared": "KE",
    "misfit.covariance": "KEKE",
    "novelty.whitening": "UW",
    "novelty.center": "W",
    "novelty.dominant": "CK",
    "value.inducing": "VA",
    "value.lengthscale": "A",
    "value.outputscale": "",
    "value.mean": "1",
    "value.A": "V1",
    "value.B": "1VV",
    "value.noise_var": "",
    "value.reach": "H",
    "report.n_pixels": "",
    "report.energy": "U",
    "report.chi_square": "",
    "report.chi_square_error": "",
    "report.class_pixels": "K",
    "report.class_chi_square": "K",
    "report.class_chi_square_error": "K",
    "report.residual": "KU",
    "report.band": "KU",
    "report.edge": "KU",
    "report.edge_fit": "KU",
    "report.fingerprint": "KU",
    "learned.class_weights": "G",
    "learned.profile": "YB",
    "learned.level": "Y",
    "learned.latent": "ZD",
}


def check_shapes(tensors: dict[str, Tensor], config: dict[str, Any]) -> None:
    """Raise where sizes disagree, before anything is built from them.

    Raises
    ------
    KeyError, TypeError, ValueError
        If sizes disagree, or the configuration lacks what they are compared with.
    """
    learned = config["learned"]
    n_library, n_classes = len(config["class_names"]), len(learned["class_names"])
    sizes = {"K": n_library, "G": n_classes, "N": n_classes + 1, "D": config["latent_dim"]}
    sizes |= {"Y": len(learned["pixel_names"]), "Z": len(learned["latent_names"]), "1": 1, "2": 2}
    for name, letters in SHAPES.items():
        if name not in tensors:
            continue
        shape = tuple(tensors[name].shape)
        fits = len(shape) == len(letters)
        if not fits or any(
            sizes.setdefault(letter, size) != size
            for letter, size in zip(letters, shape, strict=True)
        ):
            raise ValueError(f"{name} has shape {shape}, which does not fit the rest")
