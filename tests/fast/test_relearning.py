"""A stream's model fitted anew: which spectra are kept, when it is read by, and the way back."""

import copy
import logging
import pickle
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch

import eels_bayes as eb
from eels_bayes.classifier.stream_refit import OF_ONE_DRIFT
from eels_bayes.fast import relearning
from eels_bayes.fast.adaptation import Adaptation, Follower
from eels_bayes.fast.classifier import FastClassifier
from eels_bayes.fast.relearning import Relearning
from eels_bayes.fast.reservoir import Reservoir
from eels_bayes.fast.stream_em import Seen
from helpers import tiny_models

pytestmark = pytest.mark.filterwarnings("ignore:fit:UserWarning")

OPTIONS = Adaptation(memory=1000, class_memory=300, step=64)
PATIENCE = 60.0  # s that a test waits for another thread before it fails


@pytest.fixture(scope="module")
def fast(quick_classifier, series):
    energy = series.signals[0].axes_manager[-1].axis
    return quick_classifier.compile(quick_classifier.preprocessor, energy=energy)


@pytest.fixture(scope="module")
def worse(fast):
    """A model whose continuum lies elsewhere."""
    parts = copy.deepcopy(fast._parts)
    parts.graph.reader.encoder.evidence.offset += 0.5
    return FastClassifier(*parts)


@pytest.fixture(scope="module")
def counts():
    """Of a series, in no order."""
    signals = eb.simulate.annealing_series(4, (12, 10), seed=5).signals
    drawn = np.concatenate([s.data.reshape(-1, s.data.shape[-1]) for s in signals])
    return np.random.default_rng(0).permutation(drawn).astype(np.float32)


@pytest.fixture
def few(monkeypatch):
    """Spectra that models are compared on, of whatever classes."""
    monkeypatch.setattr(relearning, "RECENT", 64)
    monkeypatch.setattr(relearning, "LEAST_SHARE", 0.0)


class Given:
    """A fit anew that is known beforehand."""

    pixels = 50

    def __init__(self, fast, after=(100,)):
        self.fast, self.after, self.asked, self.stopped = fast, after, [], 0

    def check(self, fast):
        pass

    def stop(self):
        self.stopped += 1

    def __call__(self, fast, counts, shift):
        self.asked.append((counts, shift))
        if self.fast is None:
            raise RuntimeError("no memory")
        return self.fast


def until(condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def patient(live, counts):
    """Results of a run that lets fits keep up."""
    for k, result in enumerate(live.run(counts)):
        adapter = live._adapter
        if k > 100 + relearning.RECENT:
            until(lambda a=adapter: not a.fitting)
        yield result


def same_reading(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


# ------------------------------------------------------------------------------ what is fitted to


def test_every_spectrum_is_kept_as_probably_as_any_other():
    kept, n = Reservoir(100, 1), 2000
    for k in range(n):
        kept.add(np.array([float(k)]), 0.5 * k)
        if k == 40:
            np.testing.assert_array_equal(kept.kept()[0][:, 0], np.arange(41))
    numbers, shift = kept.kept()
    np.testing.assert_array_equal(shift, 0.5 * numbers[:, 0])
    assert len(np.unique(numbers)) == 100
    assert abs(numbers.mean() - n / 2) < 3.0 * n / np.sqrt(12 * 100)
    numbers[:] = -1.0
    assert kept.kept()[0].min() >= 0.0  # it was a copy


def test_densities_are_those_of_the_mixture_of_gaussians(fast):
    """Of whole profiles, so that models of other directions can be compared."""
    follower, rng = Follower(fast, OPTIONS), np.random.default_rng(0)
    evidence, own = fast.graph.reader.encoder.evidence, follower._frozen
    span = evidence.span.double()
    x = torch.from_numpy(rng.normal(0.0, 3.0, (4, len(span))))
    noise = torch.from_numpy(rng.uniform(0.5, 2.0, 4))
    along = x @ span
    beside = x.square().sum(1) - along.square().sum(1)
    follower._seen = lambda *_: Seen(along, beside, span.shape[0] - span.shape[1], noise)
    found = follower.log_density(np.zeros((4, 1)), np.zeros(4), newest=True)
    loadings = own.axes * own.variance.sqrt().unsqueeze(1)
    covariance = span @ loadings @ loadings.mT @ span.T
    eye = torch.eye(len(span), dtype=torch.float64)
    weight = torch.full((len(own.center),), 0.01 / (len(own.center) - len(own.log_weight)))
    weight = weight.double().log()
    weight[: len(own.log_weight)] = own.log_weight + np.log(0.99)
    for k in range(4):
        of_each = torch.distributions.MultivariateNormal(
            own.center @ span.T, covariance + noise[k] * eye
        ).log_prob(x[k])
        wanted = (weight + of_each).logsumexp(0) + evidence.white.double().log().sum()
        constant = -0.5 * len(span) * np.log(2.0 * np.pi)
        assert found[k] == pytest.approx(float(wanted) - constant, rel=1e-5)


# ------------------------------------------------------------------------------------- what is read


@pytest.mark.usefixtures("few")
def test_a_better_model_is_swapped_in_and_no_result_is_lost(fast, worse, counts, caplog):
    refit = Given(fast)
    live = eb.LiveClassifier(worse, drift=None, adapt=Adaptation(), refit=refit)
    with caplog.at_level(logging.INFO, "eels_bayes.live"):
        results = list(patient(live, counts))
    assert [r.number for r in results] == list(range(len(counts)))
    (swap,) = live.swaps
    assert swap.model == "refitted" and swap.gain > 3.0 * swap.gain_error
    assert "a model that is fitted anew" in caplog.text
    ((seen, shift),) = refit.asked
    assert len(seen) == 50 and (shift == 0.0).all()
    assert {row.tobytes() for row in seen} <= {row.tobytes() for row in counts[:100]}
    for one in results:
        assert one.swap == (one.number >= swap.number)
    late = results[swap.number]
    same_reading(late.reading, fast(counts[late.number], 0.0))
    same_reading(results[0].reading, worse(counts[0], 0.0))
    # what was learned stays, but is not pickled
    (again,) = live.run(counts[:1])
    same_reading(again.reading, fast(counts[0], 0.0))
    assert refit.stopped == 2


@pytest.mark.usefixtures("few")
def test_the_first_model_is_gone_back_to_bit_for_bit(fast, worse, counts):
    live = eb.LiveClassifier(worse, drift=None, adapt=Adaptation(), refit=Given(fast))
    asked, results = None, []
    for result in patient(live, counts):
        results.append(result)
        if asked is None and result.swap:
            asked = result.number
            live.revert()
    assert [s.model for s in live.swaps] == ["refitted", "frozen"]
    for one in results[asked + 1 :]:
        same_reading(one.reading, worse(counts[one.number], 0.0))
    # the next run begins anew, and is fitted anew
    results = list(patient(live, counts))
    same_reading(results[0].reading, worse(counts[0], 0.0))
    assert [s.model for s in live.swaps] == ["refitted", "frozen", "refitted"]


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("fails", [False, True])
def test_a_worse_model_or_none_leaves_the_stream_alone(fast, worse, counts, caplog, fails):
    live = eb.LiveClassifier(
        fast, drift=None, adapt=Adaptation(), refit=Given(None if fails else worse)
    )
    with caplog.at_level(logging.INFO, "eels_bayes.live"):
        results = list(patient(live, counts[:300]))
    assert len(results) == 300 and live.swaps == ()
    said = "fitting anew failed" if fails else "fitted anew has -"
    assert said in caplog.text


@pytest.mark.usefixtures("few")
def test_it_is_fitted_anew_again_and_at_the_end_given_up(fast, counts):
    refit = Given(fast, after=(100, 120, 250))
    adapter = Relearning(fast, OPTIONS, 1, refit)
    for start in range(0, 448, 64):
        some = counts[start : start + 64]
        adapter.keep(some, np.zeros(len(some)), np.zeros(len(some), dtype=int))
        if len(adapter._since) >= 64:
            adapter.wait()
    # where it was time for two, one was enough; the last one waits for what it is compared on
    assert len(refit.asked) == 2
    adapter.start()
    adapter.keep(counts[:10], np.zeros(10), np.ones(10, dtype=int))  # flagged
    assert adapter._kept.seen == 448
    adapter.stop()
    until(lambda: not adapter.fitting)


@pytest.mark.usefixtures("few")
def test_after_a_way_back_at_its_end_the_next_run_learns_from_the_first_model(fast, worse, counts):
    live = eb.LiveClassifier(worse, drift=None, adapt=Adaptation(), refit=Given(fast))
    assert list(patient(live, counts)) and [s.model for s in live.swaps] == ["refitted"]
    live.revert()
    (again,) = live.run(counts[:1])
    same_reading(again.reading, worse(counts[0], 0.0))
    assert live._adapter.now.following and live._adapter._kept.seen == 1


@pytest.mark.usefixtures("few")
def test_what_an_earlier_run_was_fitted_to_is_not_read_by(fast, worse, counts, monkeypatch):
    """The end of a run does not wait for what compiles, nor does the next one take it."""
    monkeypatch.setattr(relearning, "LEAVE", 0.01)
    done = threading.Event()

    class Slow(Given):
        def __call__(self, *given):
            done.wait(PATIENCE)
            return super().__call__(*given)

    refit = Slow(fast)
    adapter = Relearning(worse, Adaptation(), 1, refit)
    adapter.start()
    zeros = np.zeros(100)
    adapter.keep(counts[:100], zeros, zeros.astype(int))
    late = adapter._fit
    adapter.revert()
    adapter.take(0)
    adapter.stop()
    assert refit.stopped == 2  # the second time for what had not begun yet
    adapter.start()
    adapter.keep(counts[:99], zeros[:99], zeros[:99].astype(int))
    done.set()
    late.join(PATIENCE)
    assert adapter._ready is None and len(adapter._since) == 99
    adapter.stop()
    adapter.fit(counts, np.zeros(len(counts)), adapter._ended)
    assert len(refit.asked) == 1  # what has ended asks for nothing


def test_a_program_that_ends_says_nothing_of_the_fit_that_it_ends(
    fast, counts, caplog, monkeypatch
):
    adapter = Relearning(fast, OPTIONS, 1, Given(None))
    assert adapter._due == (100,)
    monkeypatch.setattr(threading, "main_thread", lambda: threading.Thread())  # none that lives
    relearning._fit(adapter, threading.Event(), 100, counts, np.zeros(len(counts)))
    assert not caplog.records and adapter._due == ()  # nor is it begun again


def test_a_stream_that_shows_few_of_the_classes_is_not_fitted_to(fast, counts):
    """By these alone a library is placed wrongly."""
    labels = fast(counts, 0.0).labels
    some = np.concatenate([counts[labels == k] for k in range(3)])
    refit, n = Given(fast, after=(100,)), len(some)
    adapter = Relearning(fast, OPTIONS, 1, refit)
    adapter.start()

    def read(rows):
        flag = adapter.read(rows, 0.0).flag
        adapter.keep(rows, np.zeros(len(rows)), flag)

    read(some)
    assert adapter._kept.seen == n > 100 and not adapter.fitting
    for _ in range(1 + n // (2 * sum(labels == 3))):
        read(counts[labels == 3])
    assert adapter.fitting  # and waits for what it is compared on
    adapter.stop()


# ---------------------------------------------------------------------------------- the fit itself


def test_a_process_fits_what_this_one_would():
    clf, signals = tiny_models.fitted(), tiny_models.signals()
    energy = tiny_models.energy()
    fast = clf.compile(clf.preprocessor, energy=energy, noise=(1.1, 0.2))
    counts = np.tile(tiny_models.counts(), (2, 1)).astype(np.float32)
    shift = np.tile([0.4, -0.4], len(counts) // 2)
    refit = pickle.loads(pickle.dumps(eb.Refit(clf, signals[0])))
    refit.check(fast)
    found = refit(fast, counts, shift)
    assert len(counts) < 2 * OF_ONE_DRIFT
    images = [signals[0].deepcopy(), signals[0].deepcopy()]
    images[1].data = counts[None]
    pre = copy.deepcopy(clf.preprocessor)
    pre.noise = eb.Noise(1.1, 0.2)
    anew = eb.EELSClassifier(clf.library, latent_dim=clf.latent_dim, effort=clf.effort)
    anew.fit(pre(images, show_progressbar=False), show_progressbar=False)
    expected = anew.compile(pre, energy=energy, noise=(1.1, 0.2))
    assert found.model == expected.model
    np.testing.assert_array_equal(
        found(counts[:5], 0.0).probabilities, expected(counts[:5], 0.0).probabilities
    )


def test_a_process_that_fails_says_why(monkeypatch):
    clf = tiny_models.fitted()
    refit = eb.Refit(clf, tiny_models.signals()[0])
    monkeypatch.setattr(
        type(clf), "save", lambda self, path: path.write_text("nothing that can be read")
    )
    with pytest.raises(
        RuntimeError, match=r"the fit ended with 1: ValueError: .*model\.eels: not a"
    ):
        refit(tiny_models.compiled(), tiny_models.counts().astype("float32"), np.zeros(20))
    refit.stop()  # there is none: nothing happens


def test_ctrl_c_is_for_the_process_that_asked(tmp_path):
    """A terminal sends it to both."""
    code = (
        "from eels_bayes.classifier.refit_process import fit_in, os; import signal\n"
        "os.nice = lambda by: os.kill(os.getpid(), signal.SIGINT)\n"
        f"fit_in({str(tmp_path)!r})"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "KeyboardInterrupt" not in ended.stderr and "about.json" in ended.stderr


def test_what_labels_taught_is_not_lost_unsaid():
    clf = tiny_models.fitted_copy()
    clf.update(tiny_models.spectra()[:2], ["new", clf.class_names[0]], show_progressbar=False)
    with pytest.raises(ValueError, match="has learned from labels"):
        eb.Refit(clf, tiny_models.signals()[0])
    energy = tiny_models.energy()
    fast = clf.compile(clf.preprocessor, energy=energy)
    refit = eb.Refit(tiny_models.fitted(), tiny_models.signals()[0])
    with pytest.raises(ValueError, match=r"0 % F, and the stream is read by .*, new: give"):
        eb.LiveClassifier(fast, adapt=True, refit=refit)


def test_what_cannot_be_is_refused(fast):
    clf, signal = tiny_models.fitted(), tiny_models.signals()[0]
    with pytest.raises(ValueError, match=r"Refit.after is \(200, 100\); ascending"):
        eb.Refit(clf, signal, after=(200, 100))
    with pytest.raises(ValueError, match="after and pixels must be a whole number"):
        eb.Refit(clf, signal, pixels=0.5)
    with pytest.raises(ValueError, match="give a fitted EELSClassifier"):
        eb.Refit(tiny_models.unfitted(), signal)
    with pytest.raises(ValueError, match="give a fitted EELSClassifier"):
        eb.Refit(fast, signal)
    with pytest.raises(TypeError, match="ascending numbers"):
        eb.Refit(clf, signal, after=2280)
    other = signal.deepcopy()
    other.axes_manager[-1].offset += 1.0
    with pytest.raises(ValueError, match=r"1600 channels from 391 eV, and the stream 1600 from"):
        eb.LiveClassifier(fast, adapt=True, refit=eb.Refit(clf, other))
    with pytest.raises(ValueError, match="give adapt=True, too"):
        eb.LiveClassifier(fast, refit=Given(fast))
