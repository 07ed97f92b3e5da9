"""A stream that learns: what follows it, what is swapped in and when, and the way back.

Where results are compared, a stream is learned from in the caller's own thread, so that nothing
depends on which of two threads is the faster one.
"""

import copy
import logging
import pickle
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

import eels_bayes as eb
from eels_bayes.data.flags import Flag
from eels_bayes.fast import fast_file
from eels_bayes.fast.adaptation import Adaptation, Follower
from eels_bayes.fast.classifier import FastClassifier
from eels_bayes.fast.following import FOLLOWING, Followed, State
from eels_bayes.fast.live import LiveClassifier
from eels_bayes.fast.live_adapter import LiveAdapter
from eels_bayes.fast.stream_em import (
    BALANCE,
    Fitted,
    StreamEM,
    begun,
    expectation,
    expected_weights,
    maximisation,
)
from eels_bayes.fast.stream_reading import StreamReading
from eels_bayes.fast.torchscript_backend import scripted
from eels_bayes.forward_model.model_evidence import evidence_of

OPTIONS = Adaptation(memory=1000, class_memory=300, step=64)
PATIENCE = 60.0  # s that a test waits for another thread before it fails
CALM = eb.simulate.Process(drift_image=0.0, drift_row=0.0, thickness_image=0.1)


@pytest.fixture(scope="module")
def fast(quick_classifier, series):
    energy = series.signals[0].axes_manager[-1].axis
    return quick_classifier.compile(quick_classifier.preprocessor, energy=energy)


def stream(images=slice(None), seed=5, n_images=8):
    """Counts (n, E) and labels (n,) of images of a series without drift, in no order."""
    series = eb.simulate.annealing_series(n_images, (18, 16), seed=seed, process=CALM)
    counts = np.concatenate([s.data.reshape(-1, s.data.shape[-1]) for s in series.signals[images]])
    labels = series.truth.label.to_numpy()[images].ravel()
    order = np.random.default_rng(seed).permutation(len(labels))
    return counts[order], labels[order]


def again(series, fast, n, seed=0):
    """Counts, labels and drifts of the fit's own pixels, counted anew n times, in no order."""
    mean = eb.simulate.mean_counts(series.truth, series.model).to_numpy()
    rng = np.random.default_rng(seed)
    counts = rng.poisson(np.tile(mean, (n, 1, 1, 1, 1)))
    shift = [fast.drift(counts[:, i].reshape(-1, counts.shape[-1])) for i in range(len(mean))]
    shift = np.broadcast_to(np.array(shift)[:, None, None], counts.shape[:-1]).ravel()
    labels = np.tile(series.truth.label.to_numpy(), (n, 1, 1, 1)).ravel()
    order = rng.permutation(len(labels))
    return counts.reshape(-1, counts.shape[-1])[order], labels[order], shift[order]


def read_and_learned(adapter, counts, shift):
    """Probabilities (n, K) of a stream, each step of which is learned from when it was read."""
    step, found = adapter.options.step, []
    shift = np.broadcast_to(shift, len(counts))
    for start in range(0, len(counts), step):
        some, by = counts[start : start + step], shift[start : start + step]
        reading = adapter.read(some, by)
        found.append(reading.probabilities)
        usable = reading.flag == 0
        adapter.learn(list(zip(some[usable], by[usable], strict=True)))
        adapter.take(start + step)
    return np.concatenate(found)


def nll(probabilities, labels):
    return -np.log(probabilities[np.arange(len(labels)), labels].clip(1e-6)).mean()


def same_reading(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


# ------------------------------------------------------------------------- what is moved, and how


def test_what_was_fitted_is_read_as_before(fast, series):
    counts = series.signals[1].data.reshape(80, -1)
    adapter = LiveAdapter(fast, OPTIONS, 1)
    followed = adapter._follower._followed
    fitted = followed.tensors(followed.fitted, followed.components(followed.fitted))
    assert set(fitted) == set(FOLLOWING)
    for name, tensor in fitted.items():
        adapter._buffers[name].copy_(tensor)
    adapter._frozen = False
    found, expected = adapter.read(counts, 0.0), fast(counts, 0.0)
    np.testing.assert_array_equal(found.flag, expected.flag)
    np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=2e-3)
    np.testing.assert_allclose(found.value, expected.value, atol=0.2, rtol=0.02)


def test_a_moved_population_gives_the_evidence_of_a_model_with_it(quick_classifier, fast, spectra):
    forward, rng = quick_classifier.fitted.forward, np.random.default_rng(1)
    root = np.linalg.cholesky(forward.covariance)
    mean = forward.mean + root @ rng.normal(0.0, 1.0, len(root))
    wider = root @ np.diag(rng.uniform(0.5, 2.0, len(root))) @ root.T
    weights = forward.pair_weights * rng.uniform(0.3, 3.0, forward.pair_weights.shape)
    weights /= weights.sum()
    model = replace(forward, mean=mean, covariance=wider, pair_weights=weights)
    expected = evidence_of(model)
    encoder = copy.deepcopy(fast.graph.reader.encoder)
    followed = Followed(encoder, fast.population, len(fast.class_names))
    state = followed.fitted._replace(
        weight=torch.from_numpy(model.components()[1]),
        mean=torch.from_numpy(mean),
        covariance=torch.from_numpy(wider),
    )
    tensors = followed.tensors(state, followed.components(state))
    for name, tensor in tensors.items():
        if name.startswith("evidence.") and name not in ("evidence.middle", "evidence.spread"):
            getattr(encoder.evidence, name.removeprefix("evidence.")).copy_(tensor)
    inputs = torch.from_numpy(spectra.profile), torch.from_numpy(spectra.level)
    with torch.no_grad():
        one, other = encoder.evidence(*inputs), expected(*inputs)
    np.testing.assert_allclose(one.log_probability.exp(), other.log_probability.exp(), atol=5e-3)
    np.testing.assert_allclose(one.unknown, other.unknown, atol=0.02, rtol=1e-3)
    np.testing.assert_allclose(one.residual, other.residual, atol=5e-3)


def test_more_noise_is_found(fast):
    counts, _ = stream()
    rng = np.random.default_rng(0)
    twice = 2.0 * rng.binomial(counts.astype(int), 0.5)  # twice the variance, the same mean
    found = []
    for given in (counts, twice):
        follower = Follower(fast, Adaptation(memory=256, class_memory=256, step=64))
        shift = fast.drift(given)
        for some in np.array_split(given[:768], 12):
            follower.learn(some, np.full(len(some), shift))
        found.append(float(follower._running.state.noise))
    # as the noise of a spectrum's bins is taken from these counts' fit
    assert found[0] == pytest.approx(1.0, abs=0.15)
    assert found[1] / found[0] == pytest.approx(2.0, abs=0.25)


def fitted_of(followed):
    return Fitted(followed.fitted, followed.directions, followed.single, followed.n_classes)


def test_compiled_steps_are_those_of_plain_python(fast):
    counts, _ = stream()
    counts = torch.from_numpy(counts[:48].astype(np.float32))
    counts[5] = torch.nan  # is left out
    shift = torch.tensor([0.1, -0.2, 0.1, 0.4]).repeat(12)
    followed = Followed(fast.graph.reader.encoder, fast.population, len(fast.class_names))
    reading = StreamReading(fast.graph, fast._preprocessor, followed).eval()
    known = followed.tensors(followed.fitted, followed.components(followed.fitted))
    bins = known["evidence.middle"], known["evidence.spread"]
    steps, running, now = scripted(StreamEM(followed)), begun(followed), None
    with torch.no_grad():
        seen, one = scripted(reading)(counts, shift, *bins), reading(counts, shift, *bins)
        now = followed.components(running.state)
        step, other = steps.expectation(seen, now), expectation(one, now)
        found = steps.maximisation(running, step, 600.0, 300.0)
        wanted = maximisation(running, other, fitted_of(followed), 600.0, 300.0)
    assert len(seen.noise) == 47
    for few in (seen, one), (step, other), (found[0].state, wanted.state):
        for a, b in zip(*few, strict=True):
            torch.testing.assert_close(a, b)
    # spectra of several drifts are those of each by itself, in their order
    for k in (0, 1, 3, 6, 47):
        alone = reading(counts[k : k + 1], shift[k : k + 1], *bins)
        torch.testing.assert_close(alone.along[0], seen.along[k - (k > 5)], rtol=1e-3, atol=1e-4)


def test_expected_weights_are_weights_and_rule_no_class_out(fast):
    followed = Followed(fast.graph.reader.encoder, fast.population, len(fast.class_names))
    nothing = torch.zeros_like(followed.fitted.weight)
    for weight in (
        nothing,
        begun(followed).state.weight,
        nothing.index_fill(0, torch.tensor(1), 1.0),
    ):
        found = expected_weights(weight, fitted_of(followed))
        assert float(found.sum()) == pytest.approx(1.0)
        assert float(found.min()) > 0.0
        assert float(found[: followed.n_classes].min()) > 0.005


def test_classes_are_balanced_with_all_sizes_of_their_edges():
    """As `class_weights.shared_out` has it, where the first class comes in three sizes."""
    double = {"dtype": torch.float64}
    fitted = torch.tensor([0.2, 0.3, 0.25, 0.15, 0.1], **double)
    single, sizes = torch.tensor([0, 1, 0, 0]), [0, 2, 3]
    nothing = torch.zeros(0, **double)
    followed = Fitted(State(fitted, nothing, nothing, nothing), nothing, single, 2)
    seen = torch.tensor([0.05, 0.7, 0.1, 0.05, 0.1], **double)
    found = expected_weights(seen, followed)
    pure = torch.tensor([0.2, 0.7], **double)
    wanted = (pure / pure.sum() + BALANCE / 2) / (1 + BALANCE) * 0.9
    of_class = torch.zeros(2, **double).index_add(0, single, found[:4])
    torch.testing.assert_close(of_class, wanted)
    torch.testing.assert_close(found[sizes] / of_class[0], seen[sizes] / pure[0])
    # a class of which nothing is seen shares out as in the fit
    found = expected_weights(torch.tensor([0.0, 0.9, 0.0, 0.0, 0.1], **double), followed)
    torch.testing.assert_close(found[sizes] / found[0], fitted[sizes] / fitted[0])


# ---------------------------------------------------------------------------------- what it brings


def test_class_weights_follow_a_changed_mix_and_the_nll_falls(fast, series):
    counts, labels, shift = again(series, fast, 12)
    kept = np.flatnonzero((labels >= 2) | (np.arange(len(labels)) % 10 == 0))
    counts, labels, shift = counts[kept], labels[kept], shift[kept]
    adapter = LiveAdapter(fast, OPTIONS, 1)
    found = read_and_learned(adapter, counts, shift)
    late = slice(len(counts) // 2, None)
    before = fast(counts, shift).probabilities
    assert adapter.swaps and adapter.swaps[0].model == "adapted" and adapter.swaps[0].gain > 0.0
    assert nll(found[late], labels[late]) < nll(before[late], labels[late]) - 0.02
    state = adapter._follower._running.state
    fitted = adapter._follower._followed.fitted
    pure = [x.weight[:4] / x.weight[:4].sum() for x in (state, fitted)]
    assert float(pure[0][:2].sum()) < 0.5 * float(pure[1][:2].sum())


def test_a_stream_without_drift_is_not_made_worse(fast, series):
    counts, labels, shift = again(series, fast, 10, seed=1)
    adapter = LiveAdapter(fast, Adaptation(), 1)
    found = read_and_learned(adapter, counts, shift)
    assert adapter._follower.learned > 3000
    assert nll(found, labels) < nll(fast(counts, shift).probabilities, labels) + 0.005


def test_what_is_worse_is_not_read_by_any_more(fast):
    counts, _ = stream()
    follower = Follower(fast, OPTIONS)
    shift = fast.drift(counts)
    for some in np.array_split(counts[:640], 10):
        follower.learn(some, np.full(len(some), shift))
    # read by what is of another class altogether
    state = follower._running.state
    weight = torch.full_like(state.weight, 1e-4)
    weight[0] = 1.0
    other = state._replace(weight=weight / weight.sum(), mean=state.mean + 5.0 * state.mean.abs())
    follower._read_by = follower._followed.components(other)
    follower._now = follower._read_by
    follower._running = follower._running._replace(state=other)
    follower._recent = follower._recent[:0]
    for some in np.array_split(counts[640:960], 5):
        follower.learn(some, np.full(len(some), shift))
        follower._now = follower._read_by  # it does not learn
        follower._running = follower._running._replace(state=other)
    proposal = follower.proposal()
    assert proposal is not None and proposal.components is None and proposal.gain < 0.0
    assert follower.proposal() is None  # it is the frozen model now


def test_what_is_no_better_is_refused_and_said_so(fast, caplog, monkeypatch):
    counts, _ = stream()
    adapter = LiveAdapter(fast, Adaptation(memory=256, class_memory=256, step=64), 1)
    monkeypatch.setattr("eels_bayes.fast.adaptation.CERTAIN", 1e6)
    with caplog.at_level(logging.INFO, "eels_bayes.live"):
        read_and_learned(adapter, counts[:640], fast.drift(counts))
    assert adapter.swaps == []
    (record,) = caplog.records
    assert "no swap after 256 spectra" in record.getMessage()


def test_bad_frames_are_not_learned_from(fast):
    counts, _ = stream()
    counts = counts[:256].astype(np.float32)
    shift = fast.drift(counts)
    bad = np.stack([np.zeros_like(counts[0]), np.full_like(counts[0], np.nan), counts[0]])
    bad[2, 700:] = np.inf
    mixed = np.concatenate([counts[:100], bad, counts[100:]])
    states = []
    for given in (counts, mixed):
        adapter = LiveAdapter(fast, OPTIONS, 1)
        flag = fast(given, shift).flag
        adapter.note(given, np.full(len(given), shift), flag)
        while not adapter._steps.empty():
            adapter.learn(adapter._steps.get())
        states.append(adapter._follower._running.state)
        assert adapter._follower.learned == 256
    for one, other in zip(*states, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    # nor where they come unflagged
    follower = Follower(fast, OPTIONS)
    follower.learn(bad, np.full(3, shift))
    assert follower.learned == 0 and follower.proposal() is None


# ------------------------------------------------------------------------------------- live runs


def until(condition):
    """Wait for another thread."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def adapting_threads():
    return [one for one in threading.enumerate() if one.name == "eels_bayes adapting"]


def patient(live, counts):
    """Results of a run that lets the other thread keep up."""
    for result in live.run(counts):
        adapter = live._adapter
        until(lambda a=adapter: a._steps.empty() or not a.following)
        yield result


def test_results_stay_in_order_and_none_is_lost_at_a_swap(fast, caplog):
    counts = stream(slice(6, 8), seed=11)[0][:420]
    live = LiveClassifier(fast, drift=None, adapt=OPTIONS)
    with caplog.at_level(logging.INFO, "eels_bayes.live"):
        results = list(patient(live, counts))
    assert [r.number for r in results] == list(range(len(counts)))
    swaps = live.swaps
    assert swaps and len(caplog.records) == len(swaps)
    assert [s.number for s in swaps] == sorted(s.number for s in swaps)
    for result in results:
        assert result.swap == sum(s.number <= result.number for s in swaps)
    frozen = [r for r in results if r.swap == 0]
    expected = list(LiveClassifier(fast, drift=None).run(counts[: len(frozen)]))
    for one, other in zip(frozen, expected, strict=True):
        same_reading(one.reading, other.reading)
    assert live.counters.classified == live.counters.received == len(counts)
    until(lambda: not adapting_threads())


def test_revert_restores_the_frozen_answers_bit_for_bit(fast):
    counts = stream(slice(6, 8), seed=11)[0][:420]
    live = LiveClassifier(fast, drift=None, adapt=OPTIONS)
    results, asked = [], None
    for result in patient(live, counts):
        results.append(result)
        if asked is None and result.swap > 0:
            asked = result.number
            live.revert()
    assert asked is not None and live.swaps[-1].number == asked + 1
    assert [s.model for s in live.swaps] == ["adapted", "frozen"]
    expected = list(LiveClassifier(fast, drift=None).run(counts[asked + 1 :]))
    for one, other in zip(results[asked + 1 :], expected, strict=True):
        same_reading(one.reading, other.reading)
    # the next run begins anew
    first = next(iter(live.run(counts)))
    same_reading(first.reading, results[0].reading)
    assert live._adapter._follower.learned == 0


def test_what_was_learned_stays_for_the_next_run_but_is_not_pickled(fast):
    counts = stream(slice(6, 8), seed=11)[0][:420]
    live = LiveClassifier(fast, drift=None, adapt=OPTIONS)
    last = list(patient(live, counts))[-1]
    assert last.swap > 0
    (again,) = live.run(counts[-1:])
    assert again.swap >= last.swap
    other = pickle.loads(pickle.dumps(live))
    assert other.adapt == OPTIONS and other.swaps == ()
    results = list(other.run(counts[:3]))
    same_reading(results[2].reading, fast(counts[2], 0.0))


def test_closing_ends_the_threads(fast):
    counts, _ = stream()
    live = LiveClassifier(fast, adapt=True)
    run = live.run(counts)
    next(run)
    assert adapting_threads()
    run.close()
    until(lambda: not adapting_threads())


def test_an_error_while_learning_leaves_the_stream_alone(fast, caplog, monkeypatch):
    counts, _ = stream()
    live = LiveClassifier(fast, drift=None, adapt=OPTIONS)

    def fail(*_):
        raise RuntimeError("singular")

    monkeypatch.setattr(live._adapter._follower, "learn", fail)
    results = list(live.run(counts[:200]))
    until(lambda: not adapting_threads())
    assert [r.number for r in results] == list(range(200)) and live.swaps == ()
    assert "learning from the stream failed" in caplog.text


def test_without_adapt_there_is_nothing_to_swap(fast):
    live = LiveClassifier(fast)
    live.revert()
    assert live.swaps == () and not adapting_threads()


# ---------------------------------------------------------------------------- files and arguments


def test_files_hold_the_population_and_those_without_are_refused(fast, tmp_path):
    fast.save(tmp_path / "model.fast")
    loaded = eb.load_fast(tmp_path / "model.fast")
    for one, other in zip(loaded.population, fast.population, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    assert fast_file.digest(loaded._parts) == fast_file.digest(fast._parts)
    old = fast._parts._replace(population=None)
    fast_file.write(tmp_path / "old.fast", old)
    without = FastClassifier(*fast_file.read(tmp_path / "old.fast"))
    assert without.population is None
    with pytest.raises(ValueError, match=r"holds no population.*compile it again"):
        LiveClassifier(without, adapt=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"step": 0}, "Adaptation.step"),
        ({"memory": 10.5}, "Adaptation.memory"),
        ({"class_memory": 100, "step": 64}, "must be at least four times step, 64"),
        ({"memory": 200, "step": 64}, "must be at least four times step, 64"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        Adaptation(**options)


def test_flags_are_those_of_the_frozen_model(fast):
    adapter = LiveAdapter(fast, OPTIONS, 1)
    adapter._frozen = False
    counts, _ = stream()
    odd = counts[:2].astype(float)
    odd[1] = np.nan
    reading = adapter.read(odd, 0.0)
    assert reading.flag[0] == 0 and reading.flag[1] & int(Flag.NON_FINITE)


def test_one_spectrum_and_several_are_read_by_the_same_buffers(fast):
    counts, _ = stream()
    adapter = LiveAdapter(fast, OPTIONS, 1)
    adapter._frozen = False
    before = adapter.read(counts[:1], 0.0)
    with torch.no_grad():
        adapter._buffers["evidence.log_weight"][0] += 5.0
        adapter._buffers["evidence.brightness"] *= 0.5
    together = adapter.read(counts[:8], 0.0)
    assert abs(together.probabilities[0] - before.probabilities[0]).max() > 1e-3
    for k in range(8):
        alone = adapter.read(counts[k : k + 1], 0.0)
        np.testing.assert_allclose(alone.probabilities[0], together.probabilities[k], atol=1e-5)
    np.testing.assert_array_equal(  # the frozen one has buffers of its own
        fast.graph.reader.encoder.evidence.log_weight.numpy(),
        LiveAdapter(fast, OPTIONS, 1)._buffers["evidence.log_weight"].numpy(),
    )
