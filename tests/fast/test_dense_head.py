"""The dense head: what it learns, what it says, and what it cannot know."""

import warnings

import numpy as np
import pytest
import torch

from eels_bayes import tensor_file
from eels_bayes.data.flags import Flag
from eels_bayes.fast.classifier import load_fast
from eels_bayes.fast.dense_head import DenseHeads, fit_dense
from eels_bayes.fast.fast_file import KIND
from eels_bayes.prediction.gp_heads import Gaussians

UNKNOWN = ("aleatoric", "encoder", "classifier", "value", "value_sd")
NEEDS_ONNX = "backend='onnx' is an extra: pip install 'eels-bayes[onnx]'"


# --- the network by itself


def heads(seed=0, latent_dim=3, n_classes=4):
    """A head of random weights, sure here and unsure there."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        head = DenseHeads(latent_dim, n_classes)
        head.center, head.width = torch.randn(latent_dim), torch.rand(latent_dim) + 0.5
    with torch.no_grad():
        head.layers[-1].weight *= 20.0
    return head.eval().requires_grad_(False)


def mixtures(seed=0, n=30, n_components=4, latent_dim=3):
    """Weights (n, R), means and variances (n, R, D)."""
    generator = torch.Generator().manual_seed(seed)
    weights = torch.softmax(2 * torch.randn(n, n_components, generator=generator), 1)
    mean = 2 * torch.randn(n, n_components, latent_dim, generator=generator)
    return weights, mean, torch.rand(mean.shape, generator=generator)


def gaussians(weights, mean, var):
    """The Gaussians of all mixtures, and how many mixtures there are."""
    pixel = torch.arange(len(weights)).repeat_interleave(weights.shape[1])
    flat = (weights.flatten(), pixel, mean.flatten(0, 1), var.flatten(0, 1))
    none = torch.zeros(weights.numel(), 4), torch.zeros(len(weights), 4)
    return Gaussians(*flat, *none), len(weights)


def test_probabilities_are_averaged_over_the_mixture():
    head, (weights, mean, var) = heads(), mixtures()
    parts = head(*gaussians(weights, mean, var), None).classes
    each = torch.softmax(head.logits(mean), 2)
    expected = (weights.unsqueeze(2) * each).sum(1)
    torch.testing.assert_close(parts.probabilities, expected)
    torch.testing.assert_close(parts.probabilities.sum(1), torch.ones(30))
    torch.testing.assert_close(parts.weights, weights.flatten())
    # and it reads one latent where there is one
    alone = head(*gaussians(torch.ones(30, 1), mean[:, :1], var[:, :1]), None).classes
    torch.testing.assert_close(alone.probabilities, each[:, 0])
    assert each.max() > 0.95 and each.amax(2).min() < 0.7


def test_it_knows_the_total_alone():
    found = heads()(*gaussians(*mixtures()), None)
    parts = found.classes
    entropy = torch.special.entr(parts.probabilities.double()).sum(1).float()
    torch.testing.assert_close(parts.total, entropy, rtol=1e-4, atol=1e-6)
    for unknown in (*parts[2:5], found.value, found.value_sd):
        assert unknown.shape == (30,) and torch.isnan(unknown).all()


def test_sure_probabilities_have_a_finite_entropy():
    head = heads()
    with torch.no_grad():
        head.layers[-1].weight *= 1e4
    parts = head(*gaussians(*mixtures()), None).classes
    assert (parts.probabilities == 0).any() and torch.isfinite(parts.total).all()
    assert (parts.total >= 0).all()


@pytest.mark.parametrize("n", [1, 30])
def test_another_prior_tilts_by_bayes_rule(n):
    head, given = heads(), gaussians(*mixtures())
    plain = head(*given, None).classes
    generator = torch.Generator().manual_seed(1)
    ratio = torch.exp(torch.randn(n, 4, generator=generator)).expand(30, -1)
    of_gaussians = ratio[given[0].pixel]
    found = head(*given, of_gaussians).classes
    expected = plain.probabilities * ratio
    expected = expected / expected.sum(1, keepdim=True)
    torch.testing.assert_close(found.probabilities, expected)
    entropy = torch.special.entr(expected).sum(1)
    torch.testing.assert_close(found.total, entropy, rtol=1e-4, atol=1e-5)
    # components weigh as much more as their classes do
    weights, mean, _ = mixtures()
    each = torch.softmax(head.logits(mean), 2)
    evidence = weights * (each * ratio.unsqueeze(1)).sum(2)
    torch.testing.assert_close(found.weights, (evidence / evidence.sum(1, keepdim=True)).flatten())
    same = head(*given, torch.full_like(of_gaussians, 2.0)).classes
    torch.testing.assert_close(same.probabilities, plain.probabilities)
    torch.testing.assert_close(same.weights, plain.weights)


def test_scripted_equals_eager():
    head, given = heads(), gaussians(*mixtures())
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".torch.jit.script. is deprecated")
        scripted = torch.jit.script(head)
    tilted = torch.tensor([[1.0, 2.0, 0.5, 4.0]]).expand(len(given[0].pixel), -1)
    for ratio in (None, tilted):
        expected = head(*given, ratio)
        for _ in range(3):  # the executor specialises after its first calls
            found = scripted(*given, ratio)
            for one, other in zip(found.classes, expected.classes, strict=True):
                torch.testing.assert_close(one, other, equal_nan=True)
            assert torch.isnan(found.value).all() and torch.isnan(found.value_sd).all()


def test_a_bad_row_stays_alone():
    head, (weights, mean, var) = heads(), mixtures()
    expected = head(*gaussians(weights, mean, var), None).classes.probabilities
    mean[3, 1] = torch.nan
    found = head(*gaussians(weights, mean, var), None).classes.probabilities
    others = torch.arange(30) != 3
    assert torch.isnan(found[3]).all()
    torch.testing.assert_close(found[others], expected[others])


# --- its training


def clusters(seed, n=600, apart=6.0):
    """Latents (n, 3) far from the origin and of unequal widths, and which of 4 classes they are."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(4, (n,), generator=generator)
    centers = apart * torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    latents = centers[labels] + torch.randn(n, 3, generator=generator)
    return latents * torch.tensor([0.01, 1.0, 100.0]) + torch.tensor([5.0, -50.0, 0.0]), labels


@pytest.fixture(scope="module")
def trained():
    return fit_dense(*clusters(0), 4, show_progressbar=False)


def at(head, latents):
    """Probabilities (n, K) at latents (n, D) without spread."""
    with torch.no_grad():
        given = gaussians(
            torch.ones(len(latents), 1), latents[:, None], torch.zeros(len(latents), 1, 3)
        )
        return head(*given, None).classes.probabilities


def test_separable_classes_are_learned(trained):
    latents, labels = clusters(1)
    probabilities = at(trained, latents)
    assert (probabilities.argmax(1) == labels).float().mean() > 0.98
    assert torch.nn.functional.nll_loss(probabilities.log(), labels) < 0.05


def test_overlapping_classes_leave_doubt():
    latents, labels = clusters(2, apart=1.0)
    head = fit_dense(latents, labels, 4, show_progressbar=False)
    probabilities = at(head, clusters(3, apart=1.0)[0])
    assert 0.3 < probabilities.amax(1).mean() < 0.8


def test_same_seed_same_head_and_global_generators_untouched(trained):
    latents, labels = clusters(0)
    before = torch.get_rng_state()
    again = fit_dense(latents.double(), labels.int(), 4, show_progressbar=False)  # of any type
    assert torch.equal(torch.get_rng_state(), before)
    for name, value in trained.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
    other = fit_dense(latents, labels, 4, seed=1, show_progressbar=False)
    assert not torch.equal(other.layers[0].weight, trained.layers[0].weight)


# --- compiled


@pytest.fixture(scope="module")
def signals(series):
    return series.signals


@pytest.fixture(scope="module")
def counts(signals):
    """Counts (320, E) with some rows that cannot be read."""
    rows = np.concatenate([signal.data.reshape(80, -1) for signal in signals]).astype(np.float32)
    rows[3, 900], rows[50], rows[77] = np.nan, 7.0, -rows[77]
    return rows


@pytest.fixture(scope="module")
def fitted(quick_classifier):
    return quick_classifier


@pytest.fixture(scope="module")
def energy(signals):
    return signals[0].axes_manager.signal_axes[0].axis


def compiled(fitted, energy, **options):
    return fitted.compile(fitted.preprocessor, energy=energy, show_progressbar=False, **options)


@pytest.fixture(scope="module")
def dense(fitted, energy):
    return compiled(fitted, energy, head="dense")


@pytest.fixture(scope="module")
def reading(dense, counts):
    return dense(counts)


def assert_same(one, other, tolerance=1e-6):
    for name in one._fields:
        np.testing.assert_allclose(
            getattr(one, name), getattr(other, name), rtol=0, atol=tolerance, err_msg=name
        )


def test_rows_sum_to_one_and_parts_are_unknown(reading):
    ok = reading.flag == 0
    probabilities = reading.probabilities[ok]
    np.testing.assert_allclose(probabilities.sum(1), 1.0, atol=1e-5)
    entropy = -(probabilities * np.log(probabilities + 1e-30)).sum(1)
    np.testing.assert_allclose(reading.total[ok], entropy, atol=1e-5)
    for name in UNKNOWN:
        assert np.isnan(getattr(reading, name)).all(), name
    np.testing.assert_array_equal(reading.labels[ok], probabilities.argmax(1))
    assert len(np.unique(reading.labels[ok])) >= 3


def test_flags_and_novelty_are_those_of_the_gp(fitted, energy, counts, reading):
    gp = compiled(fitted, energy)(counts)
    np.testing.assert_array_equal(reading.flag, gp.flag)
    assert reading.flag[3] == Flag.NON_FINITE and (reading.flag[[3, 50, 77]] != 0).all()
    assert (reading.flag != 0).sum() == 3
    bad = reading.flag != 0
    assert np.isnan(reading.probabilities[bad]).all() and (reading.labels[bad] == -1).all()
    np.testing.assert_array_equal(reading.novelty, gp.novelty)
    ok = ~bad
    # both were taught by the same latents
    assert (reading.labels == gp.labels)[ok].mean() > 0.85


def test_compiling_again_gives_the_same_head(fitted, energy, counts, reading):
    torch.rand(3)
    before = torch.get_rng_state()
    again = compiled(fitted, energy, head="dense")
    assert torch.equal(torch.get_rng_state(), before)
    assert_same(again(counts), reading, 0.0)


def test_it_says_what_it_is_and_keeps_the_gp_of_the_model(fitted, dense, signals, counts):
    assert dense.head == "dense" and "head 'dense'" in repr(dense)
    spectra = fitted.preprocessor(signals)
    assert np.isfinite(fitted.predict(spectra).classifier).all()


def test_the_head_survives_the_file(dense, counts, reading, tmp_path):
    path = tmp_path / "model.fast"
    dense.save(path)
    again = load_fast(path)
    assert again.head == "dense" and repr(again) == repr(dense)
    assert_same(again(counts), reading)
    again.save(tmp_path / "second.fast")
    for one, other in zip(
        tensor_file.read(path, KIND), tensor_file.read(tmp_path / "second.fast", KIND), strict=True
    ):
        assert one.keys() == other.keys()


def test_a_head_of_the_other_kind_is_refused(dense, fitted, energy, tmp_path):
    path = tmp_path / "model.fast"
    for fast, other in ((dense, "gp"), (compiled(fitted, energy), "dense")):
        fast.save(path)
        tensors, config = tensor_file.read(path, KIND)
        tensor_file.write(path, KIND, tensors, {**config, "head": other})
        with pytest.raises(ValueError, match=r"(?s)holds no complete fast classifier \(.*heads"):
            load_fast(path)


def test_every_part_of_the_head_is_needed_in_the_file(dense, tmp_path):
    path = tmp_path / "model.fast"
    dense.save(path)
    tensors, config = tensor_file.read(path, KIND)
    mine = [name for name in tensors if name.startswith("reader.heads.")]
    assert len(mine) == 8
    for name in mine:
        changes = (
            {k: v for k, v in tensors.items() if k != name},
            {**tensors, name: tensors[name][:-1]},
        )
        for change in changes:
            tensor_file.write(path, KIND, change, config)
            with pytest.raises(ValueError, match=rf"{name.removeprefix('reader.')}"):
                load_fast(path)
    tensor_file.write(path, KIND, tensors, {**config, "class_names": ["a", "b"]})
    with pytest.raises(ValueError, match="holds no complete fast classifier"):
        load_fast(path)


def test_onnx_reads_the_same(fitted, energy, counts, reading):
    for package in ("onnx", "onnxruntime"):
        pytest.importorskip(package, reason=NEEDS_ONNX)
    found = compiled(fitted, energy, head="dense", backend="onnx")(counts)
    np.testing.assert_allclose(found.probabilities, reading.probabilities, rtol=0, atol=1e-4)
    np.testing.assert_allclose(found.total, reading.total, rtol=0, atol=1e-3)
    np.testing.assert_array_equal(found.flag, reading.flag)
    for name in UNKNOWN:
        assert np.isnan(getattr(found, name)).all(), name
