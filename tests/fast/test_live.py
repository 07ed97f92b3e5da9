"""Streams: order, what each policy does with a fast source, errors, the end, and the drift.

A stand-in classifier makes results a function of the counts, and events instead of pauses make
either side the faster one, so that nothing here depends on how busy the machine is.
"""

import contextlib
import itertools
import math
import queue
import threading
import time
from typing import ClassVar, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from eels_bayes.data.flags import Flag
from eels_bayes.fast.live import LiveClassifier

ENERGY = 500.0 + 0.5 * np.arange(80)  # eV
LINE = 520.0  # eV
PATIENCE = 30.0  # s that a test waits for another thread before it fails


class Reading(NamedTuple):
    probabilities: np.ndarray
    labels: np.ndarray
    total: np.ndarray
    aleatoric: np.ndarray
    encoder: np.ndarray
    classifier: np.ndarray
    novelty: np.ndarray
    value: np.ndarray
    value_sd: np.ndarray
    flag: np.ndarray


def line(shift=0.0, height=500.0):
    """A line on a flat background at LINE + shift; counts (E,)."""
    return 50.0 + height * np.exp(-0.5 * ((ENERGY - LINE - shift) / 2.0) ** 2)


LAGS = np.arange(-6.0, 6.0, 0.01)  # eV
LINES = np.stack([line(lag) - line(lag).mean() for lag in LAGS])


class StandIn:
    """A compiled classifier: class probabilities are shares of the counts in two halves."""

    energy = ENERGY
    class_names = ("low", "high")

    def __init__(self, aligned=False, hook=None):
        self.aligned, self.hook = aligned, hook
        self.sizes, self.threads, self.estimates = [], [], 0

    def __call__(self, counts, shift=0.0):
        assert counts.shape[1:] == ENERGY.shape and (
            isinstance(shift, float) or shift.shape == (len(counts),)
        )
        self.sizes.append(len(counts))
        self.threads.append(torch.get_num_threads())
        if self.hook is not None:
            self.hook()
        ok = np.isfinite(counts).all(1)
        good = np.where(ok[:, None], counts, np.nan).astype(float)
        halves = np.stack([np.abs(good[:, :40]).sum(1), np.abs(good[:, 40:]).sum(1)], axis=1)
        share = halves / halves.sum(1, keepdims=True)
        entropy = -(share * np.log(share)).sum(1)
        labels = np.where(ok, share[:, 1] > share[:, 0], -1).astype(np.int64)
        centre = (good * ENERGY).sum(1) / good.sum(1) - shift
        rest = [entropy, entropy, 0 * entropy, 0 * entropy, 0 * entropy, centre, 0 * entropy]
        return Reading(share, labels, *rest, np.where(ok, 0, 1))

    def _plan(self, shift):
        """Nothing is to be made ready."""

    def drift(self, counts):
        """Maximum of the correlation with the line, to a hundredth of an eV."""
        self.estimates += 1
        assert self.aligned and np.isfinite(counts).all()
        return float(LAGS[(LINES @ np.mean(counts, axis=0)).argmax()])


def spectra(n, seed=0):
    """Counts (n, E) of which no two are alike."""
    rng = np.random.default_rng(seed)
    return rng.poisson(rng.uniform(20, 200, (n, 1)) * rng.uniform(0.5, 1.5, (n, len(ENERGY))))


def reader_threads():
    return [one for one in threading.enumerate() if one.name.startswith("eels_bayes ")]


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    for thread in reader_threads():
        thread.join(PATIENCE)
    assert not reader_threads()


class Gated:
    """A source that gives its first item at once, the others when `opened`, and tells its end."""

    def __init__(self, items):
        self.items, self.given = items, 0
        self.opened, self.done = threading.Event(), threading.Event()

    def __iter__(self):
        for item in self.items:
            if self.given:
                assert self.opened.wait(PATIENCE)
            self.given += 1
            yield item
        self.done.set()

    def let_all_come(self):
        """Open, and wait until the last item is queued."""
        self.opened.set()
        assert self.done.wait(PATIENCE)


def same(results, others):
    assert [r.number for r in results] == [r.number for r in others]
    assert [r.shift for r in results] == [r.shift for r in others]
    for one, other in zip(results, others, strict=True):
        for field, expected in zip(one.reading, other.reading, strict=True):
            np.testing.assert_array_equal(field, expected)


# ------------------------------------------------------------------------------------- results


def test_results_are_those_of_the_classifier_in_order():
    counts = spectra(30)
    live = LiveClassifier(StandIn())
    results = list(live.run(counts))
    expected = StandIn()(counts, np.zeros(30))
    assert [r.number for r in results] == list(range(30))
    for result in results:
        for field, all_of_them in zip(result.reading, expected, strict=True):
            np.testing.assert_array_equal(field, all_of_them[result.number])
        assert result.shift == 0.0
    counters = live.counters
    assert (counters.received, counters.classified, counters.dropped) == (30, 30, 0)
    assert counters.flagged == counters.waiting == 0


def test_time_stamps_follow_one_another():
    results = list(LiveClassifier(StandIn()).run(spectra(20)))
    for before, after in itertools.pairwise(results):
        assert before.received <= after.received and before.classified <= after.classified
    for result in results:
        assert result.received <= result.classified
        assert result.latency == result.classified - result.received


def test_latency_percentiles_are_of_the_results_in_ms():
    live = LiveClassifier(StandIn())
    assert math.isnan(live.counters.p50) and math.isnan(live.counters.p999)
    latency = [1e3 * result.latency for result in live.run(spectra(200))]
    found = live.counters
    expected = np.percentile(latency, [50, 99, 99.9])
    np.testing.assert_allclose([found.p50, found.p99, found.p999], expected)


def test_spectra_that_cannot_be_read_are_flagged_and_counted():
    counts = spectra(6).astype(float)
    counts[2, 7] = np.nan
    counts[4] = np.inf
    live = LiveClassifier(StandIn(aligned=True))
    results = list(live.run(counts))
    assert [r.number for r in results if r.reading.flag] == [2, 4]
    assert results[2].reading.labels == -1 and np.isnan(results[2].reading.probabilities).all()
    assert live.counters.flagged == 2 and live.counters.classified == 6


def test_a_source_may_fill_its_buffer_anew():
    counts = spectra(10)
    buffer = np.empty_like(counts[0])

    def camera():
        for row in counts:
            buffer[:] = row
            yield buffer

    source = Gated(camera())
    live = LiveClassifier(StandIn())
    run = live.run(source)
    results = [next(run)]
    source.let_all_come()
    results += run
    same(results, list(LiveClassifier(StandIn()).run(counts)))


@given(
    splits=st.lists(st.integers(0, 7), min_size=1, max_size=20),
    queue_size=st.integers(1, 9),
    batch_size=st.integers(1, 9),
    policy=st.sampled_from(["block", "batch"]),
)
def test_any_split_into_batches_gives_the_same(splits, queue_size, batch_size, policy):
    counts = spectra(sum(splits)).astype(float)
    counts[3::10] = np.nan
    items = np.split(counts, np.cumsum(splits)[:-1])
    fast = StandIn(aligned=True)
    live = LiveClassifier(
        fast, queue_size=queue_size, batch_size=batch_size, policy=policy, drift=10
    )
    results = list(live.run(items))
    same(results, list(LiveClassifier(StandIn(aligned=True), drift=10).run(counts)))
    assert max(fast.sizes, default=0) <= min(batch_size, queue_size)
    assert live.counters.classified == live.counters.received == len(counts)


# ------------------------------------------------------------------------------------ policies


@given(
    splits=st.lists(st.integers(0, 7), max_size=15),
    queue_size=st.integers(1, 9),
    batch_size=st.integers(1, 9),
    policy=st.sampled_from(["block", "drop_oldest", "batch"]),
    leave=st.integers(1, 60),
)
def test_every_spectrum_is_accounted_for(splits, queue_size, batch_size, policy, leave):
    counts = spectra(sum(splits))
    live = LiveClassifier(StandIn(), queue_size=queue_size, batch_size=batch_size, policy=policy)
    seen = []
    with contextlib.closing(live.run(np.split(counts, np.cumsum(splits)[:-1]))) as run:
        for result in run:
            seen.append(result.number)
            now = live.counters
            assert len(seen) <= now.classified <= now.received - now.dropped
            if len(seen) == leave:
                break
    assert seen == sorted(set(seen))
    end = live.counters
    assert end.received == end.classified + end.dropped and end.waiting == 0
    if len(seen) < leave:
        assert end.received == len(counts) and end.classified == len(seen)
        assert policy == "drop_oldest" or end.dropped == 0


def test_drop_oldest_keeps_the_newest():
    source = Gated(spectra(21))
    live = LiveClassifier(StandIn(), queue_size=4, policy="drop_oldest")
    run = live.run(source)
    first = next(run)
    source.let_all_come()
    now = live.counters
    assert (now.received, now.classified, now.dropped, now.waiting) == (21, 1, 16, 4)
    assert [first.number, *(r.number for r in run)] == [0, 17, 18, 19, 20]
    end = live.counters
    assert (end.received, end.classified, end.dropped, end.waiting) == (21, 5, 16, 0)


@pytest.mark.parametrize(
    ("policy", "sizes"), [("block", [1, 1, 1, 1, 1]), ("drop_oldest", [1, 4]), ("batch", [1, 4])]
)
def test_what_waits_is_read_together_where_nothing_else_is_asked(policy, sizes):
    source, fast = Gated(spectra(5)), StandIn()
    run = LiveClassifier(fast, queue_size=4, policy=policy).run(source)
    next(run)
    source.let_all_come()
    assert [r.number for r in run] == [1, 2, 3, 4]
    assert fast.sizes == sizes


def test_drop_oldest_keeps_the_newest_of_a_large_item():
    live = LiveClassifier(StandIn(), queue_size=4, policy="drop_oldest")
    assert [r.number for r in live.run([spectra(10)])] == [6, 7, 8, 9]
    assert live.counters.dropped == 6


def test_block_makes_the_source_wait_and_loses_nothing():
    source = Gated(spectra(30))
    source.opened.set()
    live = LiveClassifier(StandIn(), queue_size=4)
    numbers = []
    for result in live.run(source):
        numbers.append(result.number)
        # the one in the reader's hands waits for a place
        assert source.given <= len(numbers) + 4 + 1
    assert numbers == list(range(30))
    assert live.counters.dropped == 0


def test_batch_classifies_what_waits_in_one_call():
    source = Gated(spectra(21))
    fast = StandIn()
    run = LiveClassifier(fast, queue_size=100, batch_size=8, policy="batch").run(source)
    numbers = [next(run).number]
    source.let_all_come()
    numbers += [r.number for r in run]
    assert numbers == list(range(21))
    assert fast.sizes == [1, 8, 8, 4]


def test_other_policies_keep_the_items_apart():
    counts = spectra(12)
    source = Gated([counts[0], counts[1], counts[2:5], counts[5:12]])
    fast = StandIn()
    run = LiveClassifier(fast, batch_size=4).run(source)
    next(run)
    source.let_all_come()
    assert len(list(run)) == 11
    assert fast.sizes == [1, 1, 3, 4, 3]


# -------------------------------------------------------------------------------------- queues


@pytest.mark.parametrize("kind", [queue.Queue, queue.SimpleQueue])
def test_a_queue_ends_with_none(kind):
    counts, source = spectra(9), kind()
    for item in (counts[0], counts[1:4], counts[4:], None, counts[0]):
        source.put(item)
    results = list(LiveClassifier(StandIn()).run(source))
    same(results, list(LiveClassifier(StandIn()).run(counts)))
    np.testing.assert_array_equal(source.get_nowait(), counts[0])  # is left for others


def test_a_queue_may_fill_during_the_run():
    source = queue.Queue()
    run = LiveClassifier(StandIn()).run(source)
    for number, row in enumerate(spectra(5)):
        source.put(row)
        assert next(run).number == number
    source.put(None)
    assert list(run) == []


def test_leaving_an_empty_queue_ends_the_thread():
    source = queue.Queue()
    source.put(spectra(1)[0])
    run = LiveClassifier(StandIn()).run(source)
    next(run)
    (thread,) = reader_threads()
    run.close()
    assert not thread.is_alive()


# -------------------------------------------------------------------------------- errors, ends


class CameraLost(Exception):
    pass


def test_an_error_of_the_source_comes_after_all_before_it():
    counts = spectra(7)

    def camera():
        yield counts[:4]
        yield counts[4:]
        raise CameraLost("no beam")

    live = LiveClassifier(StandIn(), queue_size=3)
    numbers = []
    with pytest.raises(CameraLost, match="no beam") as caught:
        numbers.extend(r.number for r in live.run(camera()))
    assert caught.value.__notes__ == ["in a live run, after 2 items of its source"]
    assert "camera" in [entry.name for entry in caught.traceback]  # where it was raised
    assert live.counters.classified == live.counters.received == 7
    assert numbers == list(range(7))


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (
            np.zeros((2, 3, 80)),
            r"item 2 .* ndarray, as an array \(2, 3, 80\) .* \(80,\) or \(m, 80\)",
        ),
        (np.zeros(80, complex), "item 2 .* ndarray, .* of complex128"),
        (["a"] * 80, "item 2 .* type list, .* of <U1"),
        ([[1.0], [1.0, 2.0]], "item 2 .* type list, .* of object"),
        (None, r"item 2 .* type NoneType, as an array \(\) of object"),
        (7.0, r"item 2 .* type float, as an array \(\) of float64"),
    ],
)
def test_a_wrong_item_ends_the_run_after_all_before_it(item, message):
    live = LiveClassifier(StandIn())
    numbers = []
    with pytest.raises(ValueError, match=message):
        for result in live.run([*spectra(2), item, *spectra(3)]):
            numbers.append(result.number)
    assert numbers == [0, 1]
    assert live.counters.received == live.counters.classified == 2


@pytest.mark.parametrize("policy", ["block", "drop_oldest", "batch"])
@pytest.mark.parametrize("length", [0, 1, 79, 81])
@pytest.mark.parametrize("n", [None, 1, 3])
def test_spectra_of_another_length_are_flagged_and_the_others_go_on(policy, length, n):
    counts = spectra(6)
    odd = np.zeros(length, dtype=np.uint16) if n is None else np.zeros((n, length))
    live = LiveClassifier(StandIn(aligned=True), policy=policy, drift=4)
    results = list(live.run([*counts[:3], odd, *counts[3:]]))
    n_odd = n or 1
    good = [*results[:3], *results[3 + n_odd :]]
    assert [result.number for result in results] == list(range(6 + n_odd))
    for result in results[3 : 3 + n_odd]:
        assert (result.reading.flag, result.reading.labels) == (int(Flag.OTHER_CHANNELS), -1)
        assert result.reason == "another number of channels than the energy axis has"
        assert np.isnan(result.reading.probabilities).all() and np.isnan(result.reading.total)
    # as if they had not been there, for the drift as well
    alone = LiveClassifier(StandIn(aligned=True), drift=4).run(list(counts))
    for result, expected in zip(good, alone, strict=True):
        assert (result.shift, result.reason) == (expected.shift, "")
        np.testing.assert_array_equal(result.reading.probabilities, expected.reading.probabilities)
    assert (live.counters.received, live.counters.flagged) == (6 + n_odd, n_odd)


def test_an_error_of_the_classifier_is_the_callers():
    def fail():
        raise RuntimeError("out of memory")

    live = LiveClassifier(StandIn(hook=fail), queue_size=2)
    with pytest.raises(RuntimeError, match="out of memory"):
        list(live.run(spectra(50)))
    counters = live.counters
    assert counters.classified == counters.waiting == 0
    assert counters.dropped == counters.received > 0


def endless():
    while True:
        yield np.ones(len(ENERGY))


@pytest.mark.parametrize("policy", ["block", "drop_oldest", "batch"])
def test_leaving_the_loop_ends_the_thread(policy):
    live = LiveClassifier(StandIn(), queue_size=3, policy=policy)
    for result in live.run(endless()):
        if result.number >= 5:
            break
    assert not reader_threads()
    end = live.counters
    assert end.received == end.classified + end.dropped and end.waiting == 0


def test_a_silent_source_does_not_hold_the_end_up():
    source = Gated(spectra(3))
    run = LiveClassifier(StandIn()).run(source)
    next(run)
    (thread,) = reader_threads()
    run.close()
    assert thread.is_alive() and thread.daemon
    source.opened.set()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert source.given == 2  # the spectrum it was waiting for, and no more


def test_stop_lets_what_waits_be_classified():
    all_queued, go_on = threading.Event(), threading.Event()

    def camera():
        yield from spectra(5)
        all_queued.set()
        assert go_on.wait(PATIENCE)
        yield spectra(1)

    live = LiveClassifier(StandIn())
    run = live.run(camera())
    assert next(run).number == 0
    assert all_queued.wait(PATIENCE)
    stopping = threading.Thread(target=live.stop)
    stopping.start()
    stopping.join(PATIENCE)
    assert [r.number for r in run] == [1, 2, 3, 4]
    go_on.set()
    assert live.counters.received == 5 and live.counters.dropped == 0


def test_stop_ends_an_endless_source():
    live = LiveClassifier(StandIn(), queue_size=3)
    for result in live.run(endless()):
        if result.number == 20:
            live.stop()
    end = live.counters
    assert end.classified >= 21 and end.received - end.classified == end.dropped <= 1


def test_every_run_counts_anew():
    live = LiveClassifier(StandIn())
    list(live.run(spectra(5)))
    assert [r.number for r in live.run(spectra(3))] == [0, 1, 2]
    assert live.counters.received == 3


def test_an_empty_source_gives_nothing():
    live = LiveClassifier(StandIn())
    assert list(live.run([])) == []
    assert list(live.run([np.zeros((0, len(ENERGY)))])) == []
    assert live.counters.received == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"queue_size": 0}, "queue_size must be a whole number of at least 1, got 0"),
        ({"batch_size": 2.5}, "batch_size must be a whole number of at least 1, got 2.5"),
        ({"drift": -1}, "drift must be a whole number of at least 1, got -1"),
        ({"threads": 0}, "threads must be a whole number of at least 1, got 0"),
        ({"policy": "forget"}, "policy is 'forget'; one of 'block', 'drop_oldest', 'batch'"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        LiveClassifier(StandIn(), **options)


def test_what_is_no_source_is_named():
    with pytest.raises(TypeError, match="source is of type int; an iterable of spectra or a queue"):
        LiveClassifier(StandIn()).run(3)


# ------------------------------------------------------------------------------------- threads


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_are_limited_in_the_classifier_alone(three_threads, threads):
    fast = StandIn()
    for _ in LiveClassifier(fast, threads=threads).run(spectra(4)):
        assert torch.get_num_threads() == 3
    assert torch.get_num_threads() == 3
    assert fast.threads == [threads] * 4


def test_the_limit_is_lifted_after_an_error(three_threads):
    def fail():
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        list(LiveClassifier(StandIn(hook=fail)).run(spectra(4)))
    assert torch.get_num_threads() == 3


# --------------------------------------------------------------------------------------- drift


def test_a_shift_is_known_from_the_first_spectrum():
    live = LiveClassifier(StandIn(aligned=True))
    results = list(live.run([line(2.5)] * 5))
    assert [r.shift for r in results] == pytest.approx([2.5] * 5, abs=0.011)
    assert results[0].reading.value == pytest.approx(results[4].reading.value)


def test_the_estimate_follows_a_moving_line_with_the_stated_lag():
    rate, span = 0.01, 40  # eV a spectrum, spectra
    rng = np.random.default_rng(0)
    moving = [rng.poisson(line(rate * k - 2.0)) for k in range(400)]
    results = list(LiveClassifier(StandIn(aligned=True), drift=span).run(moving))
    lag = np.array([(rate * r.number - 2.0 - r.shift) / rate for r in results[4 * span :]])
    # the mean is `span` spectra old, waits up to a quarter of that for its renewal, and a sixteenth
    assert lag.min() > 0.9 * span and lag.max() < 1.4 * span


def test_a_jump_is_forgotten_exponentially():
    span = 40
    jump = [line(0.0)] * 200 + [line(1.0)] * 200
    results = list(LiveClassifier(StandIn(aligned=True), drift=span).run(jump))
    shift = np.array([r.shift for r in results])
    assert np.abs(shift[:200]).max() < 0.011
    assert abs(shift[199 + 2 * span] - (1 - math.exp(-2))) < 0.05
    assert abs(shift[-1] - 1.0) < 0.03


def test_the_estimate_is_renewed_seldom():
    fast = StandIn(aligned=True)
    moving = [line(0.01 * k - 1.0) for k in range(200)]
    shift = [r.shift for r in LiveClassifier(fast, drift=40).run(moving)]
    changed = [k for k in range(1, 200) if shift[k] != shift[k - 1]]
    # made of 1, 2, 4, 8, 16, 26, 36, ... spectra, and in use a sixteenth of these, or of 40, later
    assert set(changed) <= {2, 4, 8, 17, 27, *range(38, 201, 10)}
    assert fast.estimates == 5 + len(range(26, 201, 10))


def test_estimates_are_made_beside_the_reading_and_hold_from_the_same_spectrum_on():
    rng = np.random.default_rng(1)
    moving = [rng.poisson(line(0.01 * k - 1.0)) for k in range(120)]

    class Slow(StandIn):
        made_by: ClassVar[set[str]] = set()

        def drift(self, counts):
            self.made_by.add(threading.current_thread().name)
            time.sleep(0.005)
            return super().drift(counts)

    slow = [r.shift for r in LiveClassifier(Slow(aligned=True), drift=32).run(moving)]
    assert slow == [r.shift for r in LiveClassifier(StandIn(aligned=True), drift=32).run(moving)]
    assert len(set(slow)) > 5
    assert all(name.startswith("eels_bayes drift") for name in Slow.made_by)


def test_spectra_that_are_not_finite_do_not_spoil_the_estimate():
    clean = [line(0.02 * k) for k in range(60)]
    spoilt = [item for row in clean for item in (row, np.full_like(row, np.nan))]
    shift = [r.shift for r in LiveClassifier(StandIn(aligned=True)).run(clean)]
    assert [r.shift for r in LiveClassifier(StandIn(aligned=True)).run(spoilt)][::2] == shift


@pytest.mark.parametrize("height", [3000, 10**9, -(10**9)])
@pytest.mark.parametrize("first", [0, 9])
def test_a_spike_does_not_move_the_others(height, first):
    items = np.array([line(2.0)] * 60)
    items[first, 10:13] += height
    shift = [r.shift for r in LiveClassifier(StandIn(aligned=True), drift=20).run(items)]
    assert shift[1:] == pytest.approx([2.0] * 59, abs=0.1)


@pytest.mark.parametrize(("aligned", "drift"), [(False, 200), (True, None)])
def test_nothing_is_aligned_where_that_is_not_wanted(aligned, drift):
    fast = StandIn(aligned=aligned)
    results = list(LiveClassifier(fast, drift=drift).run([line(2.0)] * 10))
    assert {r.shift for r in results} == {0.0}
    assert fast.estimates == 0
