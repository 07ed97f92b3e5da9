"""A map while it is scanned: what is known of each pixel so far, and what a new one changes."""

import copy
import pickle

import numpy as np
import pytest
import torch

import eels_bayes as eb
from eels_bayes.data.flags import Flag
from eels_bayes.fast.classifier import FastReading
from eels_bayes.field.prior import Coupling
from helpers import tiny_models

pytestmark = pytest.mark.filterwarnings("ignore:fit:UserWarning")

SHAPE = (12, 10)
K = 4
COUPLING = Coupling(torch.tensor([1.2, 1.2]), torch.tensor(1.0), torch.tensor(1e-3))


@pytest.fixture(scope="module")
def fast():
    """Whose classes are equally frequent."""
    fast = copy.copy(tiny_models.compiled())
    fast.library = fast.library | {"class_weights": [1 / K] * K}
    return fast


def reading(probabilities, flag=None):
    """What a compiled classifier says, of which only classes and flags matter here."""
    p = np.asarray(probabilities, dtype=np.float32)
    flag = np.zeros(p.shape[:-1], dtype=np.int64) if flag is None else np.asarray(flag)
    p = np.where((flag == 0)[..., None], p, np.nan)
    nothing = np.full(p.shape[:-1], np.nan, dtype=np.float32)
    return FastReading(p, p.argmax(-1), *[nothing] * 7, flag)


def scanned(fast, seed=0, sd=0.9):
    """Two domains of neighbouring classes, and what noisy pixels say of them by Bayes' rule."""
    rng = np.random.default_rng(seed)
    labels = np.ones(SHAPE, dtype=int)
    labels[:, 5:] = 2
    seen = labels.ravel() + sd * rng.standard_normal(labels.size)
    likelihood = np.exp(-0.5 * ((seen[:, None] - np.arange(K)) / sd) ** 2)
    p = likelihood * fast.library["class_weights"]
    return labels.ravel(), p / p.sum(1, keepdims=True)


def nll(p, labels):
    return -np.log(p.reshape(-1, K)[np.arange(len(labels)), labels]).mean()


def test_each_pixel_sharpens_those_before_it(fast):
    labels, alone = scanned(fast)
    scan = eb.LiveMap(fast, SHAPE, coupling=COUPLING)
    at_once = []
    for number, p in enumerate(alone):
        changed = scan.add(reading(p), number)
        assert changed.max(initial=0) <= number
        at_once.append(scan.probabilities.reshape(-1, K)[number])
        assert np.isnan(scan.probabilities.reshape(-1, K)[number + 1 :]).all()
    causal, later = nll(np.array(at_once), labels), nll(scan.probabilities, labels)
    assert later < causal - 0.05 < nll(alone, labels) - 0.2
    np.testing.assert_allclose(scan.probabilities.sum(-1), 1.0, rtol=1e-6)
    np.testing.assert_array_equal(scan.labels, scan.probabilities.argmax(-1))


def test_what_changed_is_told(fast):
    _, alone = scanned(fast, seed=1)
    scan, told = eb.LiveMap(fast, SHAPE, coupling=COUPLING), 0
    for number, p in enumerate(alone):
        before = scan.probabilities.reshape(-1, K)
        labels = scan.labels.ravel()
        changed = scan.add(reading(p), number)
        after = scan.probabilities.reshape(-1, K)
        away = np.abs(after - before).max(1) >= 0.1
        expected = away | (scan.labels.ravel() != labels)
        expected[number] |= True
        np.testing.assert_array_equal(changed, np.flatnonzero(expected))
        told += len(changed) - 1
    assert told > 10


def test_the_end_is_that_of_all_at_once(fast):
    """Messages that went on with the pixels are nearly those of whole maps."""
    _, alone = scanned(fast, seed=2)
    scan = eb.LiveMap(fast, SHAPE, coupling=COUPLING)
    for number, p in enumerate(alone):
        scan.add(reading(p), number)
    whole = eb.LiveMap(fast, SHAPE, coupling=COUPLING)
    for _ in range(30):  # each passes messages on
        whole.add(reading(alone), np.arange(len(alone)))
    away = np.abs(scan.probabilities - whole.probabilities)
    assert away.mean() < 0.01 and away.max() < 0.25
    assert np.abs(alone.reshape(*SHAPE, K) - whole.probabilities).max() > 0.5


def test_a_finished_scan_tells_the_next_how_alike_neighbours_are(fast):
    labels, alone = scanned(fast, seed=3)
    scan = eb.LiveMap(fast, SHAPE)
    scan.add(reading(alone), np.arange(len(alone)))
    cautious = nll(scan.probabilities, labels)
    coupling = scan.finish()
    assert coupling is scan.coupling and coupling.strength.shape == (2,)
    assert nll(scan.probabilities, labels) < cautious
    following = eb.LiveMap(fast, SHAPE, coupling=coupling)
    assert following.coupling is coupling
    noise = np.random.default_rng(0).dirichlet(np.ones(K), len(labels))
    disorder = eb.LiveMap(fast, SHAPE)
    disorder.add(reading(noise), np.arange(len(noise)))
    assert disorder.finish().strength.max() < coupling.strength.min()


def test_doubt_and_what_neighbours_took_of_it(fast):
    _, alone = scanned(fast, seed=4)
    scan = eb.LiveMap(fast, SHAPE, coupling=COUPLING)
    scan.add(reading(alone), np.arange(len(alone)))
    p = scan.probabilities
    np.testing.assert_allclose(scan.total, -(p * np.log(p)).sum(-1), rtol=1e-5)
    before = -(alone * np.log(alone)).sum(1).reshape(SHAPE)
    np.testing.assert_allclose(scan.neighbours, before - scan.total, atol=1e-5)
    assert scan.neighbours.mean() > 0.1


def test_flagged_pixels_are_holes(fast):
    _, alone = scanned(fast, seed=5)
    flag = np.zeros(len(alone), dtype=int)
    flag[[0, 37, 55]] = int(Flag.DEAD)
    scan = eb.LiveMap(fast, SHAPE, coupling=COUPLING)
    for number in range(len(alone)):
        changed = scan.add(reading(alone[number], flag[number]), number)
        assert not np.isin(changed, [0, 37, 55]).any()
    found = np.isnan(scan.probabilities).all(-1).ravel()
    np.testing.assert_array_equal(np.flatnonzero(found), [0, 37, 55])
    assert (scan.labels.ravel()[[0, 37, 55]] == -1).all()
    scan.finish()
    np.testing.assert_array_equal(np.isnan(scan.total).ravel(), found)
    # measured again
    scan.add(reading(alone[37]), 37)
    assert np.isfinite(scan.total.ravel()[37])


@pytest.mark.parametrize("shape", [(1,), (7,), (3, 4, 2), (1, 1)])
def test_scans_of_any_shape(fast, shape):
    n = int(np.prod(shape))
    p = np.random.default_rng(0).dirichlet(np.ones(K), n)
    scan = eb.LiveMap(fast, shape)
    for number in np.random.default_rng(1).permutation(n):
        scan.add(reading(p[number]), number)
    assert scan.labels.shape == shape and np.isfinite(scan.probabilities).all()
    scan.finish()
    assert np.isfinite(scan.total).all()


def test_nothing_is_nothing(fast):
    scan = eb.LiveMap(fast, SHAPE)
    assert len(scan.add(reading(np.zeros((0, K))), [])) == 0
    assert (scan.labels == -1).all() and np.isnan(scan.neighbours).all()
    scan.finish()
    assert (scan.labels == -1).all()


def test_real_counts_go_through(fast):
    """From a compiled classifier to the map, flags and all."""
    counts = np.asarray(tiny_models.signals()[0].data, dtype=float).reshape(20, -1).copy()
    counts[7] = np.nan
    scan = eb.LiveMap(fast, (5, 4))
    for result in eb.LiveClassifier(fast).run(iter(counts)):
        scan.add(result.reading, result.number)
    assert (scan.labels.ravel() == -1).nonzero()[0].tolist() == [7]


@pytest.mark.parametrize(
    ("number", "error", "message"),
    [
        (120, ValueError, "the scan has places 0 to 119"),
        (-1, ValueError, "the scan has places 0 to 119"),
        (1.5, TypeError, "give a whole number"),
        ([3, 4], ValueError, "reading holds 1 pixels of 4 classes; 2 places"),
        ([[3]], TypeError, "give a whole number"),
    ],
)
def test_impossible_places_are_refused(fast, number, error, message):
    scan = eb.LiveMap(fast, SHAPE)
    with pytest.raises(error, match=message):
        scan.add(reading(np.full(K, 0.25)), number)
    with pytest.raises(ValueError, match="names a place twice"):
        scan.add(reading(np.full((2, K), 0.25)), [3, 3])
    assert (scan.labels == -1).all()


def test_a_pixel_that_is_nan_is_a_hole_and_spreads_to_none(fast):
    _, alone = scanned(fast, seed=6)
    alone[37] = np.nan
    scan = eb.LiveMap(fast, SHAPE, coupling=COUPLING)
    scan.add(reading(alone), np.arange(len(alone)))
    assert np.flatnonzero(np.isnan(scan.total)).tolist() == [37]
    assert torch.isfinite(scan.finish().strength).all()


def test_what_is_no_reading_is_refused(fast):
    scan = eb.LiveMap(fast, SHAPE)
    with pytest.raises(TypeError, match="reading is a ndarray; what a compiled classifier says"):
        scan.add(np.full(K, 0.25), 3)
    with pytest.raises(ValueError, match="probabilities that are negative or infinite"):
        scan.add(reading([-1.0, 1.0, 0.5, 0.5]), 3)
    with pytest.raises(TypeError, match="fast is a EELSClassifier; a compiled classifier"):
        eb.LiveMap(tiny_models.fitted(), SHAPE)


def test_a_scan_goes_on_where_it_was_pickled(fast):
    _, alone = scanned(fast, seed=7)
    scan = eb.LiveMap(fast, SHAPE)
    scan.add(reading(alone[:50]), np.arange(50))
    other = pickle.loads(pickle.dumps(scan))
    for one in (scan, other):
        one.add(reading(alone[50:]), np.arange(50, 120))
    np.testing.assert_array_equal(scan.probabilities, other.probabilities)


@pytest.mark.parametrize("shape", [5, "ab", b"ab", (), (3, 0), (2.5, 3)])
def test_impossible_shapes_are_refused(fast, shape):
    with pytest.raises((TypeError, ValueError), match="shape"):
        eb.LiveMap(fast, shape)


def test_a_coupling_of_other_axes_is_refused(fast):
    with pytest.raises(ValueError, match="coupling is of 2 axes, the scan has 1"):
        eb.LiveMap(fast, (7,), coupling=COUPLING)


@pytest.mark.parametrize(
    ("coupling", "message"),
    [
        (1.0, "coupling is a float; that of LiveMap.finish"),
        (Coupling(1.0, 1.0, 0.1), "coupling is a Coupling; that of LiveMap.finish"),
        (COUPLING._replace(strength=torch.tensor([np.nan, 1.0])), "finite costs and a share"),
        (COUPLING._replace(alone=torch.tensor(2.0)), "finite costs and a share"),
        (COUPLING._replace(strength=torch.ones(3, 2)), "coupling holds several"),
    ],
)
def test_what_is_no_coupling_is_refused(fast, coupling, message):
    with pytest.raises((TypeError, ValueError), match=message):
        eb.LiveMap(fast, SHAPE, coupling=coupling)
