"""Labels of pixels and of latents: kept together, drawn from, and read by the classifier."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from eels_bayes import labelled as module
from eels_bayes.gp import fit_gp
from eels_bayes.labelled import N_POSTERIOR, Labelled, nothing_labelled
from eels_bayes.nets import GaussianMixture

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


def test_many_draws_have_the_mixtures_moments(monkeypatch):
    monkeypatch.setattr(module, "N_POSTERIOR", 4000)
    one = some(2, 0)
    draws = one.draws(Encoder())
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


# The likelihood: a label says that its class fits some of the draws


def clusters(n=120):
    generator = torch.Generator().manual_seed(3)
    labels = torch.arange(n) % 2
    centre = torch.tensor([[0.0, 0.0], [4.0, 0.0]], dtype=torch.float64)
    noise = torch.randn(n, 2, generator=generator, dtype=torch.float64)
    return centre[labels] + 0.7 * noise, labels


def fit(n_classes=3, measured=None, **options):
    settings = {"n_inducing": 12, "steps": 70, "learning_rate": 0.1} | options
    return fit_gp(*clusters(), n_classes, measured=measured, show_progressbar=False, **settings)


def probabilities(gp, points):
    mean, _ = gp.latent_function(torch.as_tensor(points, dtype=torch.float64))
    return torch.softmax(mean, 1)


def test_a_measured_label_of_a_known_latent_is_a_label():
    where = torch.tensor([[2.0, 6.0]] * 6, dtype=torch.float64)
    codes = torch.full((6,), 2)
    gp = fit(measured=(where.unsqueeze(1), codes))
    p = probabilities(gp, [[2.0, 6.0], [0.0, 0.0], [4.0, 0.0]])
    assert p.argmax(1).tolist() == [2, 0, 1]
    assert p[0, 2] > 0.7
    untold = probabilities(fit(), [[2.0, 6.0]])
    assert untold[0, 2] < 0.4
    assert gp.n_classes == 3 and all(math.isfinite(x) for x in gp.loss)


def test_a_label_takes_no_draw_away_from_the_class_that_others_say_it_has():
    """Half of the pixels' draws lie where class 0 is known to be: the label is of the others."""
    generator = torch.Generator().manual_seed(4)
    draws = 0.3 * torch.randn(8, 6, 2, generator=generator, dtype=torch.float64)
    draws[:, :3] += torch.tensor([2.0, 6.0])
    gp = fit(measured=(draws, torch.full((8,), 2)))
    p = probabilities(gp, [[0.0, 0.0], [2.0, 6.0]])
    assert p[0, 0] > 0.8  # class 0 keeps its place
    assert p[1, 2] > 0.6
    # had every draw the label, class 0 would lose some of its place
    every = draws.flatten(0, 1).unsqueeze(1)
    hard = fit(measured=(every, torch.full((48,), 2)))
    assert probabilities(hard, [[0.0, 0.0]])[0, 0] < p[0, 0] - 0.05


def test_going_on_with_what_is_known_gives_what_it_was():
    gp = fit(n_classes=2, steps=120)
    again = fit(n_classes=2, steps=1, learning_rate=1e-6, start=gp)
    points, _ = clusters()
    for one, other in zip(gp.latent_function(points), again.latent_function(points), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(again.lengthscale, gp.lengthscale, rtol=1e-4, atol=0)


def test_a_further_class_begins_at_the_prior_and_the_others_where_they_are():
    gp = fit(n_classes=2)
    where = torch.tensor([[2.0, 6.0], [2.1, 5.8]], dtype=torch.float64).unsqueeze(1)
    measured = (where, torch.tensor([2, 2]))
    options = {"steps": 1, "learning_rate": 1e-6, "start": gp, "n_inducing": 14}
    more = fit(n_classes=3, measured=measured, **options)
    assert more.n_classes == 3
    assert len(gp.inducing) <= len(more.inducing) <= 14
    points, _ = clusters()
    before, after = gp.latent_function(points)[0], more.latent_function(points)[0]
    torch.testing.assert_close(after[:, :2], before, rtol=1e-3, atol=2e-3)
    assert after[:, 2].abs().max() < 1e-3
    found = fit(n_classes=3, measured=measured, start=gp, n_inducing=14)
    p = probabilities(found, [[2.0, 6.0], [0.0, 0.0], [4.0, 0.0]])
    assert p.argmax(1).tolist() == [2, 0, 1]


def test_measured_labels_that_cannot_be():
    where = torch.zeros(2, 4, 2, dtype=torch.float64)
    with pytest.raises(ValueError, match="latents hold NaN or infinity in 4 rows"):
        fit(measured=(where + torch.tensor([[[0.0]], [[math.nan]]]), torch.tensor([0, 1])))
    with pytest.raises(ValueError, match=r"labels must lie in 0\.\.2, got 0\.\.3"):
        fit(measured=(where, torch.tensor([0, 3])))
