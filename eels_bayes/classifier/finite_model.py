"""Whether a model reads what it knows with finite numbers: what an update must not end without."""

from __future__ import annotations

import torch
from torch import Tensor

from eels_bayes.classifier.fitted import Fitted, reader_of
from eels_bayes.prediction.gp_heads import Gaussians
from eels_bayes.prediction.pixel_reader import Reader

# Norms of the farthest structure's latent: a label at 60 of them changes no pixel's
# probabilities by 0.01, at 200 some by half, and at 2000 the GP's moments overflow.
FARTHEST = 10.0


def check_latents(fitted: Fitted, latents: Tensor) -> None:
    """Raise ValueError where latents (n, D) lie so far out that nothing measured is like them."""
    encoder = fitted.encoder
    reach = float((encoder.offset.norm(dim=1) + encoder.spread.norm(dim=1)).max())
    far = latents.double().norm(dim=1)
    if (outside := far > FARTHEST * reach).any():
        raise ValueError(
            f"{int(outside.sum())} of {len(latents)} latents lie up to {float(far.max()):.3g} from "
            f"the middle of the latent space, structures no farther than {reach:.3g}: give "
            f"latents of this model, as prediction.latent_mean holds them, within "
            f"{FARTHEST * reach:.3g}"
        )


def check_finite(fitted: Fitted) -> None:
    """Raise FloatingPointError unless all numbers of a model are finite, and what it reads too."""
    reader = reader_of(fitted).to(fitted.encoder.offset.device)
    modules = {"VAE": fitted.vae, "reader": reader}
    broken = [
        f"{name}.{part}"
        for name, module in modules.items()
        for part, values in module.state_dict().items()
        if not torch.isfinite(values).all()
    ]
    if not broken and not _reads_components(fitted, reader):
        broken = ["class probabilities at the structures themselves"]
    if broken:
        raise FloatingPointError(
            f"the update ends in numbers that are not finite ({', '.join(broken)}); the classifier "
            "is as it was before: look for labelled pixels or fingerprints with extreme values"
        )


def _reads_components(fitted: Fitted, reader: Reader) -> bool:
    """Whether the heads have finite probabilities where the encoder has its Gaussians."""
    encoder = fitted.encoder
    n = encoder.n_components
    one = torch.ones(n, dtype=torch.float32, device=encoder.offset.device)
    pixel = torch.arange(n, device=one.device)
    var, none = encoder.spread.square(), torch.zeros_like(reader.against)
    read = Gaussians(one, pixel, encoder.offset, var, reader.against, none)
    with torch.no_grad():
        outputs = reader.heads(read, n, None)
    return bool(torch.isfinite(outputs.classes.probabilities).all())
