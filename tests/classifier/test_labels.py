"""Labels of pixels and of latents: kept together, drawn from, and read by the classifier."""

import math

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from eels_bayes.classifier.labels import N_POSTERIOR, Labelled, nothing_labelled
from eels_bayes.latent.mixtures import GaussianMixture

N_BINS, DIM = 7, 3


class Encoder:
    """Reads a profile's first numbers as two Gaussians, known to a spread of its level."""

    axes = torch.linalg.qr(torch.randn(DIM, DIM, generator=torch.Generator().manual_seed(0))).Q

    def __call__(self, profile, level):
        mean = torch.stack([profile[:, :DIM], profile[:, :DIM] + 100.0], 1)
        weight = profile[:, -1].clamp(0.01, 0.99)
        return GaussianMixture(
            torch.stack([weight, 1 - weight], 1).log(),
            mean,
            level.view(-1, 1, 1).expand_as(mean),
            self.axes,
        )


def some(n_pixels, n_latents, seed=0):
    rng = np.random.default_rng(seed)
    profile = torch.as_tensor(rng.random((n_pixels, N_BINS)), dtype=torch.float32)
    level = torch.full((n_pixels,), 0.1)
    latent = torch.as_tensor(rng.normal(size=(n_latents, DIM)), dtype=torch.float32)
    names = rng.choice(["a", "b", "c"], n_pixels + n_latents).tolist()
    return Labelled(profile, level, tuple(names[:n_pixels]), latent, tuple(names[n_pixels:]))


def test_nothing_is_labelled_at_first():
    nothing = nothing_labelled(N_BINS, DIM)
    assert nothing.names == () and len(nothing.codes(("a", "b"))) == 0
    assert nothing.draws(Encoder()).shape == (0, N_POSTERIOR, DIM)


def test_labels_stay_with_what_they_label():
    one, two = some(3, 2, seed=1), some(2, 4, seed=2)
    both = one.joined(two)
    assert both.names == one.pixel_names + two.pixel_names + one.latent_names + two.latent_names
    torch.testing.assert_close(both.profile, torch.cat([one.profile, two.profile]))
    torch.testing.assert_close(both.latent, torch.cat([one.latent, two.latent]))
    codes = both.codes(("c", "a", "b"))
    assert [("c", "a", "b")[k] for k in codes] == list(both.names)
    assert codes.dtype == torch.int64
    draws = both.draws(Encoder())
    assert draws.shape == (11, N_POSTERIOR, DIM)
    torch.testing.assert_close(draws[:3], one.draws(Encoder())[:3])
    torch.testing.assert_close(draws[5:7], one.draws(Encoder())[3:])


def test_joining_nothing_changes_nothing():
    one, nothing = some(3, 2), nothing_labelled(N_BINS, DIM)
    for both in (one.joined(nothing), nothing.joined(one)):
        assert both.names == one.names
        torch.testing.assert_close(both.draws(Encoder()), one.draws(Encoder()))


@given(seed=st.integers(0, 1000), n=st.integers(1, 8))
def test_draws_of_a_pixel_do_not_depend_on_the_others(seed, n):
    whole = some(n, 0, seed)
    order = np.random.default_rng(seed).permutation(n)
    other = Labelled(
        whole.profile[order],
        whole.level[order],
        tuple(whole.pixel_names[i] for i in order),
        whole.latent,
        (),
    )
    draws = whole.draws(Encoder())
    torch.testing.assert_close(other.draws(Encoder()), draws[order])
    assert torch.equal(whole.draws(Encoder()), draws)


def test_draws_come_from_every_gaussian_by_its_weight():
    weight = torch.tensor([0.0, 0.25, 0.5, 1.0])
    profile = torch.zeros(4, N_BINS)
    profile[:, -1] = weight
    given = Labelled(profile, torch.full((4,), 0.1), ("a",) * 4, torch.zeros(0, DIM), ())
    first = (given.draws(Encoder())[..., 0] < 50).sum(1)
    expected = [round(N_POSTERIOR * float(w)) for w in weight]
    assert first.tolist() == expected


def test_many_draws_have_the_mixtures_moments():
    one = some(2, 0)
    draws = one.draws(Encoder(), n_draws=4000)
    first = draws[..., 0] < 50
    for i in range(2):
        near = draws[i][first[i]]
        error = 0.1 / math.sqrt(len(near))
        assert ((near.mean(0) - one.profile[i, :DIM]).abs() < 5 * error).all()
        torch.testing.assert_close(near.std(0), torch.full((DIM,), 0.1), rtol=0.1, atol=0)


def test_latents_lie_along_the_encoders_axes():
    one = some(0, 3)
    draws = one.draws(Encoder())
    assert (draws == draws[:, :1]).all()  # known exactly
    torch.testing.assert_close(draws[:, 0] @ Encoder.axes.T, one.latent)
