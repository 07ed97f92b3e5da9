"""Which pixel to label and which to measure again: scores, by hand and of a fitted classifier."""

import copy
import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from scipy.special import entr

import eels_bayes as eb
from eels_bayes import active
from eels_bayes.active import ActiveLoop, best
from eels_bayes.active.mutual_information import joint_information
from eels_bayes.prediction import map_posterior

# Scores of a prediction


def prediction(p, part, flag):
    """Of probabilities p, with the classifier's part of the doubt."""
    n, n_classes = p.shape
    total = entr(p).sum(1)
    nan = np.where(flag == 0, 0.0, np.nan)
    info = eb.ImageInfo((n,), ({"name": "x", "size": n},), {}, "", eb.EnergyAxis(0.0, 1.0, 10))
    return eb.Prediction(
        probabilities=p + nan[:, None],
        labels=np.where(flag == 0, p.argmax(1), -1),
        class_names=tuple("abcdefg"[:n_classes]),
        total=total + nan,
        aleatoric=total - part + nan,
        encoder=nan,
        classifier=part + nan,
        novelty=nan,
        value=np.full(n, np.nan),
        value_sd=np.full(n, np.nan),
        latent_mean=np.zeros((n, 2)) + nan[:, None],
        latent_sd=np.ones((n, 2)) + nan[:, None],
        flag=flag,
        image=np.zeros(n, dtype=np.int64),
        position=np.arange(n),
        images=(info,),
    )


@pytest.fixture
def some():
    rng = np.random.default_rng(0)
    flag = np.zeros(30, dtype=np.int64)
    flag[[0, 11, 29]] = int(eb.Flag.DEAD)
    part = rng.random(30)
    return prediction(rng.dirichlet(np.ones(4), 30), part, flag)


SCORES = {
    "entropy": active.entropy,
    "margin": active.margin,
    "bald": active.bald,
    "random": active.random,
}


def test_scores_are_what_they_are_called(some):
    ok = some.ok
    np.testing.assert_array_equal(active.entropy(some)[ok], some.total[ok])
    np.testing.assert_array_equal(active.bald(some)[ok], some.classifier[ok])
    second, first = np.sort(some.probabilities[ok], 1)[:, -2:].T
    np.testing.assert_allclose(active.margin(some)[ok], second - first)
    assert (active.margin(some)[ok] <= 0).all()
    assert (active.random(some, seed=1) != active.random(some, seed=2))[ok].all()
    np.testing.assert_array_equal(active.random(some, seed=1), active.random(some, seed=1))


@pytest.mark.parametrize("name", SCORES)
def test_flagged_pixels_are_never_chosen(some, name):
    scores = SCORES[name](some)
    assert scores.shape == (30,) and scores.dtype == np.float64
    assert (scores[~some.ok] == -np.inf).all() and np.isfinite(scores[some.ok]).all()
    for k in (1, 5, 27, 30, 100):
        chosen = best(SCORES[name])(some, k)
        assert len(chosen) == min(k, 27) and len(set(chosen.tolist())) == len(chosen)
        assert some.ok[chosen].all()
        assert (np.diff(scores[chosen]) <= 0).all()
        left = np.setdiff1d(np.flatnonzero(some.ok), chosen)
        assert not len(left) or scores[left].max() <= scores[chosen].min()


def test_ties_go_to_the_first(some):
    chosen = best(lambda pred: np.zeros(len(pred)))(some, 4)
    assert chosen.tolist() == [0, 1, 2, 3]


def test_batch_bald_needs_a_prediction_that_draws(some):
    with pytest.raises(ValueError, match="pred cannot draw pixels jointly; use one that EELSCl"):
        active.batch_bald(some, 2)


# With a fitted classifier


def frame_of(series, seed):
    """Signals of the same pixels, with Poisson noise of their own."""
    rng = np.random.default_rng(seed)
    gain = series.process.gain
    mean = eb.simulate.mean_counts(series.truth, series.model, dose=series.dose).to_numpy()
    signals = []
    for signal, counts in zip(series.signals, mean, strict=True):
        signals.append(signal.deepcopy())
        signals[-1].data = (rng.poisson(counts / gain) * gain).astype(np.float32)
    return signals


@pytest.fixture(scope="module")
def series():
    return eb.simulate.annealing_series(n_images=4, shape=(10, 8), seed=1)


@pytest.fixture(scope="module")
def pre(series):
    return eb.Preprocessor(
        (677, 737), 0.5, background=(600, 675), normalize=(570, 592.5), align=(565, 600)
    ).calibrate(series.signals)


@pytest.fixture(scope="module")
def spectra(pre, series):
    return pre(series.signals, show_progressbar=False)


def fit(spectra):
    clf = eb.EELSClassifier(eb.FingerprintLibrary.example(), latent_dim=4, effort=eb.Effort.quick())
    return clf.fit(spectra, show_progressbar=False)


@pytest.fixture(scope="module")
def clf(spectra):
    return fit(spectra)


def with_flags(spectra, rows):
    bad = {name: getattr(spectra, name).copy() for name in ("profile", "level", "spike")}
    for part in bad.values():
        part[rows] = np.nan
    flag = spectra.flag.copy()
    flag[rows] = int(eb.Flag.NON_FINITE)
    return eb.Spectra(**(vars(spectra) | bad | {"flag": flag}))


def test_predicted_gain_is_what_a_second_frame_brings(clf, series, spectra, pre):
    """The pixels are measured again: the mean drop of their entropy is the one expected."""
    before = clf.predict(spectra, show_progressbar=False).total
    expected = eb.active.encoder_gain(clf, spectra, n_draws=24)
    drops = []
    for seed in (1, 2, 3):
        both = eb.combine([spectra, pre(frame_of(series, seed), show_progressbar=False)])
        drops.append(before - clf.predict(both, show_progressbar=False).total)
    off = np.mean(drops, 0) - expected
    error = off.std() / math.sqrt(len(off))
    assert abs(off.mean()) < 4 * error
    assert expected.mean() > 4 * error  # so that the first is no accident
    assert np.corrcoef(np.mean(drops, 0), expected)[0, 1] > 0.3


def test_another_frame_is_not_expected_to_harm(clf, spectra):
    gain = eb.active.encoder_gain(clf, spectra)
    assert gain.shape == (len(spectra),) and np.isfinite(gain).all()
    assert gain.mean() > 0
    total = clf.predict(spectra, show_progressbar=False).total
    assert (gain <= total + 1e-5).all()


def test_gain_falls_as_frames_add_up(clf, spectra):
    found = [eb.active.encoder_gain(clf, spectra, frames=f).mean() for f in (1, 6, 256)]
    assert (np.diff(found) < 0).all()
    assert abs(found[-1]) < 0.1 * found[0]


def test_frames_count_pixel_by_pixel(clf, spectra):
    frames = np.where(np.arange(len(spectra)) % 2 == 0, 1.0, 1e4)
    gain = eb.active.encoder_gain(clf, spectra, frames=frames)
    assert np.abs(gain[1::2]).max() < 0.05
    assert np.abs(gain[::2]).max() > 0.1


def test_gain_is_repeatable_and_touches_no_global_generator(clf, spectra):
    state = torch.get_rng_state()
    one = eb.active.encoder_gain(clf, spectra[:40], seed=3)
    np.testing.assert_array_equal(eb.active.encoder_gain(clf, spectra[:40], seed=3), one)
    assert torch.equal(torch.get_rng_state(), state)
    assert (eb.active.encoder_gain(clf, spectra[:40], seed=4) != one).any()


def test_gain_of_flagged_pixels(clf, spectra):
    gain = eb.active.encoder_gain(clf, with_flags(spectra[:20], [0, 7]))
    assert (gain[[0, 7]] == -np.inf).all() and np.isfinite(np.delete(gain, [0, 7])).all()
    nothing = eb.active.encoder_gain(clf, with_flags(spectra[:5], range(5)))
    assert (nothing == -np.inf).all()


def test_gain_errors(clf, spectra):
    with pytest.raises(RuntimeError, match="not fitted"):
        eb.active.encoder_gain(eb.EELSClassifier(clf.library), spectra)
    with pytest.raises(TypeError, match="spectra is a list"):
        eb.active.encoder_gain(clf, [1.0])
    for frames in (0.0, -1.0, np.nan, np.zeros(len(spectra))):
        with pytest.raises(ValueError, match="frames must be positive and finite, got"):
            eb.active.encoder_gain(clf, spectra, frames=frames)
    with pytest.raises(ValueError, match="n_draws must be a whole number of at least 1"):
        eb.active.encoder_gain(clf, spectra, n_draws=0)
    with pytest.raises(ValueError, match="frames"):
        eb.active.encoder_gain(clf, spectra, frames=np.ones(3))


# With neighbours


@pytest.fixture(scope="module")
def beside(clf, spectra):
    return clf.predict(spectra, context="neighbours", show_progressbar=False)


def told(pred, others):
    """The prediction, if all others said this of each pixel's class."""
    states = pred.map_posterior.states.of_classes(np.asarray(others, dtype=float))
    field = pred.map_posterior.field._replace(others=torch.as_tensor(states))
    return replace(pred, map_posterior=replace(pred.map_posterior, field=field))


def test_gain_beside_neighbours_is_what_a_second_frame_brings(clf, monkeypatch):
    """Pixels that are no neighbours are measured again, and all are read with theirs.

    How alike neighbours are is another thing that a frame tells, of all pixels: it is known here.
    """
    dim = eb.simulate.annealing_series(n_images=10, shape=(15, 12), dose=0.1, seed=2)
    spectra = clf.preprocessor(dim.signals, show_progressbar=False)
    before = clf.predict(spectra, context="neighbours", show_progressbar=False)
    across, down = spectra.position % 12, spectra.position // 12
    apart = (across % 3 == 1) & (down % 3 == 1)
    expected = eb.active.encoder_gain(clf, spectra[apart], pred=before[apart], n_draws=24)
    known = partial(map_posterior.learn_field, coupling=before.map_posterior.field.coupling)
    monkeypatch.setattr(map_posterior, "learn_field", known)
    drops = []
    for seed in (1, 2, 3):
        again = clf.preprocessor(frame_of(dim, seed), show_progressbar=False)
        both = eb.combine([spectra, again])
        joined = eb.Spectra.concatenate([both[apart], spectra[~apart]])
        joined = joined[np.lexsort((joined.position, joined.image))]
        later = clf.predict(joined, context="neighbours", show_progressbar=False)
        drops.append((before.total - later.total)[apart])
    off = np.mean(drops, 0) - expected
    error = off.std() / math.sqrt(len(off))
    assert abs(off.mean()) < 4 * error
    alone = eb.active.encoder_gain(clf, spectra[apart], n_draws=24)
    assert abs(np.mean(drops) - alone.mean()) > 4 * error  # of the pixels by themselves


def test_neighbours_that_say_nothing_change_no_gain(clf, spectra, beside):
    nothing = told(beside, np.tile(clf.fitted.class_weights, (len(spectra), 1)))
    found = eb.active.encoder_gain(clf, spectra, pred=nothing, n_draws=24)
    np.testing.assert_allclose(
        found.mean(), eb.active.encoder_gain(clf, spectra, n_draws=24).mean(), rtol=0.05
    )


def test_a_frame_tells_nothing_where_neighbours_are_sure(clf, spectra, beside):
    sure = np.eye(len(beside.class_names))[beside.labels]
    gain = eb.active.encoder_gain(clf, spectra, pred=told(beside, sure))
    assert np.abs(gain).max() < 1e-2
    assert eb.active.encoder_gain(clf, spectra).max() > 0.1


def test_gain_of_some_pixels_beside_neighbours(clf, spectra, beside):
    some = np.arange(5, 45)
    sure = np.eye(len(beside.class_names))[beside.labels]
    sure[some] = clf.fitted.class_weights  # nothing is said of these alone
    gain = eb.active.encoder_gain(clf, spectra[some], pred=told(beside, sure)[some])
    assert gain.max() > 0.1


def test_gain_of_pixels_without_an_answer(clf, spectra, beside):
    flag = beside.flag.copy()
    flag[3] = int(eb.Flag.NO_ANSWER)
    labels = np.where(flag == 0, beside.labels, -1)
    gain = eb.active.encoder_gain(clf, spectra, pred=replace(beside, flag=flag, labels=labels))
    assert gain[3] == -np.inf and np.isfinite(np.delete(gain, 3)).all()


def test_errors_of_gain_beside_neighbours(clf, spectra, beside):
    with pytest.raises(TypeError, match="pred is a str; give a Prediction of the spectra"):
        eb.active.encoder_gain(clf, spectra, pred="neighbours")
    for other in (beside[::-1], beside[:40]):
        with pytest.raises(ValueError, match="pred is of other pixels than spectra"):
            eb.active.encoder_gain(clf, spectra, pred=other)
    with pytest.raises(ValueError, match="pred is by another model than clf"):
        eb.active.encoder_gain(clf, spectra, pred=replace(beside, model="0" * 16))
    for context in ("pixel", "image"):
        pred = clf.predict(spectra, context=context, show_progressbar=False)
        with pytest.raises(ValueError, match="pred does not know of neighbours; predict with"):
            eb.active.encoder_gain(clf, spectra, pred=pred)


def test_batch_bald_of_a_prediction(clf, spectra):
    pred = clf.predict(spectra, show_progressbar=False)
    chosen = active.batch_bald(pred, 6, n_functions=64, seed=2)
    assert len(set(chosen.tolist())) == 6
    np.testing.assert_array_equal(active.batch_bald(pred, 6, n_functions=64, seed=2), chosen)
    draws = pred.joint.draw_at_latents(200, 8, seed=5)
    naive = best(active.bald)(pred, 6)
    # with few functions the gain of the second pixel is known to 0.02 nats only
    many = active.batch_bald(pred, 6, n_functions=1024, seed=2)
    found = [
        np.mean([joint_information(p[:, rows[:4]], 4)[1][-1] for p in draws])
        for rows in (many, naive)
    ]
    assert found[0] > found[1] - 0.01
    with pytest.raises(ValueError, match="k must be a whole number of at least 1, got 0"):
        active.batch_bald(pred, 0)


def test_a_batch_begins_with_the_most_informative_pixel(clf, spectra):
    pred = clf.predict(spectra, show_progressbar=False)
    assert active.batch_bald(pred, 1).tolist() == best(active.bald)(pred, 1).tolist()


def test_batch_bald_leaves_flagged_pixels_alone(clf, spectra):
    rows = np.arange(0, 12, 2)
    pred = clf.predict(with_flags(spectra[:12], rows), show_progressbar=False)
    chosen = active.batch_bald(pred, 50, n_functions=16)
    assert sorted(chosen.tolist()) == [1, 3, 5, 7, 9, 11]
    nothing = clf.predict(with_flags(spectra[:3], range(3)), show_progressbar=False)
    assert active.batch_bald(nothing, 2).shape == (0,)


def test_a_classifier_learns_from_an_oracle(clf, spectra, series, tmp_path):
    """Pixels of one class have another name; the pool has flagged ones; a crash comes between."""
    names = np.array(["50 % F", "25 % F", "12.5 % F", "no fluorine"])
    truth = names[series.truth["label"].to_numpy().ravel()]
    pool = with_flags(spectra, [0, 3])
    options = {"acquisition": "batch_bald", "batch_size": 6, "budget": 12}
    options["journal"] = tmp_path / "journal.jsonl"
    asked = []

    def oracle(item):
        asked.append(item)
        if len(asked) == 5:
            raise KeyboardInterrupt
        return str(truth[item])

    with pytest.raises(KeyboardInterrupt):
        ActiveLoop(copy.deepcopy(clf), pool, oracle, **options).run(show_progressbar=False)
    learner = copy.deepcopy(clf)
    one = ActiveLoop(learner, pool, oracle, **options)
    assert one.n_answers == 4
    one.run(show_progressbar=False)
    items = [q.item for q in one.history]
    assert len(set(items)) == 12 and not {0, 3} & set(items)
    assert sorted(learner.fitted.labelled.names) == sorted(truth[items])
    assert set(truth[items]) <= set(learner.class_names)
    pred = learner.predict(pool, show_progressbar=False)
    assert pred.probabilities.shape[1] == len(learner.class_names)
