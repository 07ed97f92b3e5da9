"""Which pixel to label and which to measure again: against another library, by hand, and in use."""

import copy
import dataclasses
import functools
import itertools
import json
import math
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import entr
from skactiveml.pool._bald import batch_bald as theirs

import eels_bayes as eb
from eels_bayes import active, classifier, heads, update
from eels_bayes.active import ActiveLoop, Query, best, joint_information
from eels_bayes.forward_model import fit_forward_model
from eels_bayes.gp import fit_gp

STEPS = 120  # of the GP


def draws(seed, n_draws=20, n=9, n_classes=3, concentration=0.7):
    """Class probabilities (S, n, K) under draws of a function."""
    return np.random.default_rng(seed).dirichlet(np.full(n_classes, concentration), (n_draws, n))


def single(p):
    """BALD scores (n,) of draws."""
    return entr(p.mean(0)).sum(1) - entr(p).sum(2).mean(0)


def joint_entropy(p, batch):
    """Of a batch's labels, by enumeration: nats."""
    n_draws, _, n_classes = p.shape
    total = 0.0
    for labels in itertools.product(range(n_classes), repeat=len(batch)):
        given_f = np.ones(n_draws)
        for i, y in zip(batch, labels, strict=True):
            given_f = given_f * p[:, i, y]
        total += entr(given_f.mean())
    return total


def batch_information(p, batch):
    """I(y of the batch; f), nats, by enumeration."""
    return joint_entropy(p, batch) - entr(p[:, batch]).sum(2).mean(0).sum()


# Scores of a batch from the draws


@pytest.mark.parametrize("seed", range(4))
def test_first_choice_is_that_of_single_scores(seed):
    p = draws(seed)
    chosen, information = joint_information(p, 1)
    scores = theirs(p.copy(), 1, random_state=0)[0]
    np.testing.assert_allclose(single(p), scores, atol=1e-5)  # they clip at 1e-7
    assert chosen[0] == single(p).argmax()
    assert information[0] == pytest.approx(single(p).max())


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("n_classes", [2, 3, 4])
def test_batches_are_those_of_scikit_activeml(seed, n_classes):
    k = 4
    p = draws(seed, n_draws=4 * 4**3, n_classes=n_classes)
    chosen, information = joint_information(p, k)
    # as many samples as would have theirs enumerate all joint outcomes, as ours does
    scores = theirs(p.copy(), k, n_MC_samples=n_classes**k, random_state=0)
    np.testing.assert_array_equal(chosen, np.nanargmax(scores, 1))
    np.testing.assert_allclose(information, np.nanmax(scores, 1), atol=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_information_is_that_of_all_joint_outcomes(seed):
    p = draws(seed, n_draws=12, n=6)
    chosen, information = joint_information(p, 4)
    assert len(set(chosen.tolist())) == 4
    for size in range(1, 5):
        batch = chosen[:size].tolist()
        assert information[size - 1] == pytest.approx(batch_information(p, batch), abs=1e-10)
        # greedy: no other last pixel would have taught more
        others = np.setdiff1d(np.arange(6), batch[:-1])
        scores = [batch_information(p, [*batch[:-1], i]) for i in others]
        assert information[size - 1] == pytest.approx(max(scores), abs=1e-10)


@pytest.mark.parametrize("seed", range(3))
def test_sampled_outcomes_agree_with_all_of_them(seed, monkeypatch):
    p = draws(seed, n_draws=30, n=7)
    exact, _ = joint_information(p, 5)
    monkeypatch.setattr(active, "EXACT", 40)
    runs = [joint_information(p[:, exact], 5, seed=s) for s in range(40)]
    found = [
        [information[3], batch_information(p[:, exact], chosen[:4].tolist())]
        for chosen, information in runs
    ]
    off = np.subtract(*np.transpose(found))  # by 40 of 81 outcomes, which estimate the rest
    assert abs(off.mean()) < 4 * off.std() / math.sqrt(len(off)) + 0.01
    assert off.std() < 0.2


def test_sampled_outcomes_are_repeatable(monkeypatch):
    monkeypatch.setattr(active, "EXACT", 20)
    p = draws(0, n=12)
    one, other = joint_information(p, 8, seed=3), joint_information(p, 8, seed=3)
    np.testing.assert_array_equal(one[0], other[0])
    np.testing.assert_array_equal(one[1], other[1])
    assert len(set(one[0].tolist())) == 8


@given(
    seed=st.integers(0, 10_000),
    n_draws=st.integers(1, 12),
    n_classes=st.integers(2, 4),
    concentration=st.floats(0.05, 5.0),
)
@settings(max_examples=50)
def test_information_grows_and_is_bounded(seed, n_draws, n_classes, concentration):
    p = draws(seed, n_draws, 6, n_classes, concentration)
    chosen, information = joint_information(p, 4)
    assert (np.diff(information, prepend=0.0) >= -1e-9).all()
    assert (information <= np.cumsum(single(p)[chosen]) + 1e-9).all()
    # no more than there is to know: which of the draws it is
    assert (information <= math.log(n_draws) + 1e-9).all()
    gains = np.diff(information, prepend=0.0)
    assert (np.diff(gains) <= 1e-9).all()  # submodular, chosen greedily


@pytest.mark.parametrize("seed", range(4))
def test_information_about_others_is_that_of_the_joint_distribution(seed):
    """By plain loops over pairs: H(y) + H(y*) - H(y, y*)."""
    p, targets = draws(seed), draws(seed + 10, n=5)
    found = active.information_about(p, targets)
    for i in range(p.shape[1]):
        each = []
        for j in range(targets.shape[1]):
            pair = np.einsum("sk,sc->kc", p[:, i], targets[:, j]) / len(p)
            apart = entr(p[:, i].mean(0)).sum() + entr(targets[:, j].mean(0)).sum()
            each.append(apart - entr(pair).sum())
        assert found[i] == pytest.approx(np.mean(each), abs=1e-12)
    # of functions that are known, no label says anything
    known = np.repeat(p.mean(0, keepdims=True), 3, axis=0)
    np.testing.assert_allclose(active.information_about(known, known[:, :4]), 0.0, atol=1e-12)


def test_two_copies_of_one_pixel_teach_little_more_than_one():
    """Two draws that disagree on pixels 0 and 1 alike, and others that do on pixel 2."""
    sure, unsure = [0.98, 0.02], [0.02, 0.98]
    same = np.array([sure, sure, unsure, unsure])
    other = np.array([[0.9, 0.1], [0.1, 0.9], [0.9, 0.1], [0.1, 0.9]])
    p = np.stack([same, same, other, np.full((4, 2), 0.5)], 1)
    chosen, information = joint_information(p, 3)
    assert chosen.tolist() == [0, 2, 1]
    assert np.argsort(-single(p), kind="stable")[:2].tolist() == [0, 1]  # single scores take both
    gain = np.diff(information)
    assert gain[0] > 5 * gain[1]


def test_more_than_there_are():
    p = draws(1, n=3)
    chosen, information = joint_information(p, 10)
    assert sorted(chosen.tolist()) == [0, 1, 2] and len(information) == 3


def test_nothing_to_choose_from():
    chosen, information = joint_information(np.zeros((4, 0, 3)), 2)
    assert chosen.shape == information.shape == (0,)
    assert chosen.dtype.kind == "i"


# Scores of a prediction


class Pool(list):
    """Items of a pool: numbers that a fake learner reads; indexed like an array."""

    def __getitem__(self, index):
        if isinstance(index, (int, np.integer)):
            return super().__getitem__(index)
        return Pool(super(Pool, self).__getitem__(i) for i in np.arange(len(self))[index])


def prediction(probabilities, classifier_part=None, flag=None):
    """A prediction whose doubt is half the classifier's."""
    p = np.asarray(probabilities, dtype=np.float64)
    n, n_classes = p.shape
    flag = np.zeros(n, dtype=np.int64) if flag is None else np.asarray(flag)
    total = entr(p).sum(1)
    part = 0.5 * total if classifier_part is None else np.asarray(classifier_part, dtype=float)
    nan = np.where(flag == 0, 0.0, np.nan)
    info = eb.ImageInfo((n,), ({"name": "x", "size": n},), {}, "", (0.0, 1.0))
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


def test_information_given_latents_is_the_average_over_them():
    rng = np.random.default_rng(3)
    p = rng.dirichlet(np.ones(3), size=(2, 40, 9))  # (T, S, n, K)
    chosen, information = joint_information(p, 3)
    of_batch = np.mean([batch_information(one, chosen.tolist()) for one in p])
    assert information[-1] == pytest.approx(of_batch)
    same, twice = joint_information(np.stack([p[0], p[0]]), 3), joint_information(p[0], 3)
    np.testing.assert_array_equal(same[0], twice[0])
    np.testing.assert_allclose(same[1], twice[1])


def test_draws_tell_only_what_pixels_share_where_they_are_known_alone():
    p = draws(0, 60, 6)
    p = np.concatenate([p, p[:, :1]], 1)  # the last is the first once more
    own = np.array([batch_information(p, [i]) for i in range(7)])
    one, other = joint_information(p, 4), joint_information(p, 4, alone=own)
    np.testing.assert_array_equal(one[0], other[0])
    np.testing.assert_allclose(one[1], other[1])
    chosen, information = joint_information(p, 7, alone=own + np.array([9, 0, 0, 0, 0, 8, 9]))
    assert sorted(chosen[:3].tolist()) == [0, 5, 6]
    assert information[0] == pytest.approx(own[0] + 9)


# The loop, with a learner that costs nothing


class Learner:
    """Knows an item's class once it was told; doubts the higher numbers more."""

    def __init__(self, n_classes=3):
        self.told, self.n_updates = {}, 0
        self.n_classes = n_classes

    def predict(self, items, *, show_progressbar=True):
        flag = [int(eb.Flag.DEAD) if item < 0 else 0 for item in items]
        p = np.full((len(items), self.n_classes), 1 / self.n_classes)
        return prediction(p, np.abs(np.asarray(list(items), dtype=float)) / 100, flag)

    def update(self, items, labels, *, show_progressbar=True):
        assert len(items) == len(labels)
        self.n_updates += 1
        for item, label in zip(items, labels, strict=True):
            assert item not in self.told  # nothing is learned twice
            self.told[item] = label


POOL = Pool([5, 1, -7, 9, 3, 8])  # the highest first: items 3, 5, 0, 4, 1; 2 is flagged
FIRST = [3, 5, 0, 4, 1]


def loop(learner=None, oracle=lambda item: "abc"[item % 3], **options):
    settings = {"budget": 4, "batch_size": 2} | options
    return ActiveLoop(learner or Learner(), POOL, oracle, **settings)


def test_loop_asks_about_the_best_until_the_budget_is_spent():
    learner = Learner()
    rounds = []
    one = loop(learner)
    history = one.run(after_round=lambda o: rounds.append(o.n_answers), show_progressbar=False)
    assert history is one.history
    assert [q.item for q in history] == FIRST[:4]
    assert [q.round for q in history] == [0, 0, 1, 1]
    assert [q.answer for q in history] == ["abc"[i % 3] for i in FIRST[:4]]
    assert all(q.error == "" and q.seconds >= 0 for q in history)
    assert learner.told == {POOL[i]: "abc"[i % 3] for i in FIRST[:4]}
    assert learner.n_updates == 2 and rounds == [2, 4]
    assert one.n_answers == 4
    assert one.open_items.tolist() == [1, 2]
    one.run(show_progressbar=False)  # nothing is left to do
    assert len(one.history) == 4 and learner.n_updates == 2


@pytest.mark.parametrize(("budget", "batch_size", "sizes"), [(5, 2, [2, 2, 1]), (3, 10, [3])])
def test_last_batch_keeps_the_budget(budget, batch_size, sizes):
    history = loop(budget=budget, batch_size=batch_size).run(show_progressbar=False)
    rounds = [q.round for q in history]
    assert [rounds.count(r) for r in range(max(rounds) + 1)] == sizes


def test_loop_stops_when_nothing_usable_is_open():
    one = loop(budget=100, batch_size=4)
    history = one.run(show_progressbar=False)
    assert [q.item for q in history] == FIRST
    assert one.open_items.tolist() == [2]  # flagged


def test_loop_stops_when_everything_was_asked():
    pool = Pool([1, 2, 3])
    history = ActiveLoop(Learner(), pool, lambda i: 0, budget=10).run(show_progressbar=False)
    assert [q.item for q in history] == [2, 1, 0]


def test_a_failing_oracle_is_recorded_and_its_item_put_aside():
    def oracle(item):
        if item in (3, 0):
            raise TimeoutError(f"no beam at {item}")
        return "a"

    learner = Learner()
    one = loop(learner, oracle, budget=3)
    history = one.run(show_progressbar=False)
    assert [q.item for q in history] == FIRST
    assert [q.answer for q in history] == [None, "a", None, "a", "a"]
    assert history[0].error == "TimeoutError: no beam at 3" and history[1].error == ""
    assert sorted(learner.told) == sorted(POOL[i] for i in (5, 4, 1))


def test_an_oracle_that_always_fails_ends_the_loop():
    learner = Learner()
    history = loop(learner, lambda item: 1 / 0, budget=3).run(show_progressbar=False)
    assert [q.item for q in history] == FIRST and learner.n_updates == 0
    assert all(q.error.startswith("ZeroDivisionError") for q in history)


IMPOSSIBLE = [None, [1, 2], [], "abc".join, "", b"a", 1.0, np.float64(1), True, np.True_, -1, 3]


@pytest.mark.parametrize("given", IMPOSSIBLE, ids=repr)
def test_an_impossible_answer_is_a_failure_of_its_query(given, tmp_path):
    journal = tmp_path / "journal.jsonl"
    learner = Learner()
    answers = {3: given, 0: given}
    history = loop(learner, lambda item: answers.get(item, "a"), journal=journal).run(
        show_progressbar=False
    )
    assert [q.item for q in history] == FIRST
    assert [q.answer for q in history] == [None, "a", None, "a", "a"]
    assert history[0].error == (
        f"ValueError: the oracle gave {given!r}; a class name or an index of ('a', 'b', 'c') is "
        "needed"
    )
    assert sorted(learner.told) == sorted(POOL[i] for i in (5, 4, 1))
    again = Learner()
    assert loop(again, journal=journal, budget=3).run(show_progressbar=False) == history
    assert again.told == learner.told


POSSIBLE = [
    (np.int64(2), "c"),
    (np.uint8(1), "b"),
    (0, "a"),
    (np.array(1), "b"),
    ("b", "b"),
    (np.str_("b"), "b"),
    ("a new one", "a new one"),
]


@pytest.mark.parametrize(("given", "kept"), POSSIBLE)
def test_answers_are_kept_as_names(given, kept, tmp_path):
    journal = tmp_path / "journal.jsonl"
    history = loop(oracle=lambda item: given, budget=1, journal=journal).run(show_progressbar=False)
    assert history[0].answer == kept and type(history[0].answer) is str
    assert loop(budget=1, journal=journal).history == history


@pytest.mark.parametrize("given", [*IMPOSSIBLE, *(given for given, _ in POSSIBLE)], ids=repr)
def test_an_answer_is_possible_where_a_classifier_learns_from_it(given):
    query = loop(oracle=lambda item: given, budget=1).run(show_progressbar=False)[0]
    try:
        learned = update._names([given], tuple("abc"))
    except (TypeError, ValueError):
        learned = (None,)
    if not isinstance(given, np.ndarray):  # which the classifier leaves to the loop
        assert learned == (query.answer,)


@pytest.mark.parametrize(("given", "kept"), [(np.int64(7), 7), ("b", "b")])
def test_learners_without_class_names_have_the_last_word(given, kept, tmp_path):
    """What they predict here is a score alone."""
    learner = Learner()
    learner.predict = lambda items, show_progressbar: np.asarray(items)
    options = {"acquisition": lambda pred, k: np.argsort(-pred)[:k]}
    options["journal"] = tmp_path / "journal.jsonl"
    history = loop(learner, lambda item: given, **options).run(show_progressbar=False)
    assert [q.answer for q in history] == [kept] * 4
    assert type(history[0].answer) is type(kept)
    assert loop(**options).history == history
    failed = loop(learner, lambda item: -1, **options | {"journal": None})
    error = failed.run(show_progressbar=False)[0].error
    assert error == "ValueError: the oracle gave -1; a class name or an index is needed"


class Growing(Learner):
    """Names classes of its own, as many as it was told of, and learns no others by index."""

    def __init__(self):
        super().__init__(n_classes=2)
        self.class_names = ("a", "b")

    def predict(self, items, *, show_progressbar=True):
        return dataclasses.replace(super().predict(items), class_names=self.class_names)

    def update(self, items, labels, *, show_progressbar=True):
        names = update._names(labels, self.class_names)
        super().update(items, names)
        self.class_names = tuple(dict.fromkeys([*self.class_names, *sorted(set(names))]))
        self.n_classes = len(self.class_names)


def test_an_index_in_the_journal_stays_the_class_that_was_meant(tmp_path):
    """One of a class that the loop itself has named, learned again at once with its name."""
    answers = dict(zip(FIRST, ["z", "y", 2, 3, "c"], strict=True))
    options = {"batch_size": 1, "journal": tmp_path / "journal.jsonl"}
    one, other = Growing(), Growing()
    loop(one, answers.get, **options).run(show_progressbar=False)
    assert one.class_names == ("a", "b", "z", "y")
    loop(other, answers.get, **options).run(show_progressbar=False)
    assert one.told == other.told == dict(zip([POOL[i] for i in FIRST], "zyzy", strict=False))


@pytest.mark.parametrize("kept", [True, False])
def test_what_a_learner_refuses_is_not_lost(kept, tmp_path):
    journal = tmp_path / "journal.jsonl" if kept else None
    learner = Learner()
    learn, learner.update = learner.update, lambda *args, **options: [][1]
    one = loop(learner, journal=journal)
    for _ in range(2):  # nor does it ask on
        with pytest.raises(IndexError, match="list index") as caught:
            one.run(show_progressbar=False)
        assert [q.item for q in one.history] == FIRST[:2]
        (note,) = caught.value.__notes__
        place = f"history and in {journal}" if kept else "history"
        assert note == (
            f"The answers about items [3, 5] are not learned, but kept in {place}: once the "
            "learner takes them, run goes on from there."
        )
    if kept:
        one = loop(learner, journal=journal)
    learner.update = learn
    one.run(show_progressbar=False)
    assert [q.item for q in one.history] == FIRST[:4]
    assert learner.told == {POOL[i]: "abc"[i % 3] for i in FIRST[:4]}


def test_journal_is_written_line_by_line(tmp_path):
    journal = tmp_path / "journal.jsonl"
    seen = []

    def oracle(item):
        seen.append(len(journal.read_text().splitlines()) if journal.exists() else 0)
        if item == 5:
            raise OSError("no disk")
        return 1

    history = loop(oracle=oracle, journal=journal).run(show_progressbar=False)
    assert seen == list(range(5))  # each is there before the next is asked for
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    assert [Query(**line) for line in lines] == history
    assert lines[1]["answer"] is None and lines[1]["error"] == "OSError: no disk"


def interrupted(at):
    """An oracle that is stopped by hand at one item, once."""
    stopped = []

    def oracle(item):
        if item == at and not stopped:
            stopped.append(item)
            raise KeyboardInterrupt
        return "abc"[item % 3]

    return oracle


@pytest.mark.parametrize("at", FIRST[:4])
def test_an_interrupted_loop_goes_on(at):
    learner = Learner()
    one = loop(learner, interrupted(at))
    with pytest.raises(KeyboardInterrupt):
        one.run(show_progressbar=False)
    before = list(one.history)
    assert [q.item for q in before] == FIRST[: FIRST.index(at)]
    one.run(show_progressbar=False)
    assert one.history[: len(before)] == before
    assert [q.item for q in one.history] == FIRST[:4]
    assert learner.told == {POOL[i]: "abc"[i % 3] for i in FIRST[:4]}


@pytest.mark.parametrize("at", FIRST[:4])
def test_a_crashed_program_goes_on_from_its_journal(at, tmp_path):
    journal = tmp_path / "journal.jsonl"
    one = loop(oracle=interrupted(at), journal=journal)
    with pytest.raises(KeyboardInterrupt):
        one.run(show_progressbar=False)
    learner = Learner()
    other = loop(learner, journal=journal)
    assert other.n_answers == FIRST.index(at)
    asked = []
    other.oracle = lambda item: (asked.append(item), "abc"[item % 3])[1]
    other.run(show_progressbar=False)
    assert asked == FIRST[FIRST.index(at) : 4]  # nobody is asked twice
    assert learner.told == {POOL[i]: "abc"[i % 3] for i in FIRST[:4]}
    assert len(journal.read_text().splitlines()) == 4
    rounds = [q.round for q in other.history]
    assert rounds == sorted(rounds)


def test_learning_that_was_interrupted_is_done_again():
    learner = Learner()
    update, calls = learner.update, []

    def stopped(*args, **options):
        calls.append(1)
        if len(calls) == 1:
            raise KeyboardInterrupt
        update(*args, **options)

    learner.update = stopped
    one = loop(learner)
    with pytest.raises(KeyboardInterrupt):
        one.run(show_progressbar=False)
    assert one.n_answers == 2 and not learner.told
    one.run(show_progressbar=False)
    assert len(learner.told) == 4


def test_a_finished_journal_is_learned_and_nothing_is_asked(tmp_path):
    journal = tmp_path / "journal.jsonl"
    loop(journal=journal).run(show_progressbar=False)
    learner = Learner()
    history = loop(learner, lambda item: 1 / 0, journal=journal).run(show_progressbar=False)
    assert len(history) == 4 and len(learner.told) == 4 and learner.n_updates == 1


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("{nonsense", r"journal\.jsonl, line 2, is no query"),
        ('{"round": 0, "item": 1}', r"line 2, is no query"),
        ('{"round": 0, "thing": 1}', r"line 2, is no query"),
        ("[1, 2]", r"line 2, is no query"),
        ("", r"line 2, is no query .*; give a journal of this loop or another file"),
        (
            '{"round": 0, "item": 6, "answer": "a", "error": "", "seconds": 1.0}',
            r"line 2, asks about item 6; the pool has 6",
        ),
        (
            '{"round": 0, "item": -1, "answer": "a", "error": "", "seconds": 1.0}',
            r"line 2, asks about item -1; the pool has 6",
        ),
        (
            '{"round": 0, "item": "5", "answer": "a", "error": "", "seconds": 1.0}',
            r"line 2, is no query",
        ),
    ],
)
def test_a_journal_that_is_none(tmp_path, line, text):
    journal = tmp_path / "journal.jsonl"
    good = {"round": 0, "item": 3, "answer": "a", "error": "", "seconds": 0.1}
    journal.write_text(json.dumps(good) + "\n" + line + "\n" + json.dumps(good) + "\n")
    with pytest.raises(ValueError, match=text):
        loop(journal=journal)


def written(journal, n=3):
    """A journal's lines."""
    loop(journal=journal, budget=n).run(show_progressbar=False)
    return journal.read_bytes().splitlines(keepends=True)


@pytest.mark.parametrize("size", [1, 5, 10, 40, -3])
def test_a_line_that_was_cut_off_is_asked_again(tmp_path, size):
    journal = tmp_path / "journal.jsonl"
    lines = written(journal)
    journal.write_bytes(b"".join(lines[:2]) + lines[2][:size])
    with pytest.warns(
        UserWarning, match=r"journal\.jsonl ends in the middle of line 3, which is dr"
    ):
        one = loop(journal=journal)
    assert [q.item for q in one.history] == FIRST[:2]
    assert journal.read_bytes() == b"".join(lines[:2])
    one.run(show_progressbar=False)
    assert [q.item for q in one.history] == FIRST[:4]
    assert loop(journal=journal).history == one.history


def test_the_only_line_may_be_cut_off(tmp_path):
    journal = tmp_path / "journal.jsonl"
    journal.write_bytes(written(journal, 1)[0][:20])
    with pytest.warns(UserWarning, match="in the middle of line 1"):
        assert loop(journal=journal).history == []
    assert journal.read_bytes() == b""


def test_a_last_line_that_lacks_its_end_alone_is_whole(tmp_path):
    journal = tmp_path / "journal.jsonl"
    lines = written(journal)
    journal.write_bytes(b"".join(lines).rstrip())
    one = loop(journal=journal)
    assert one.n_answers == 3
    one.run(show_progressbar=False)
    assert len(loop(journal=journal).history) == 4


@pytest.mark.parametrize(
    "text", ["some notes of mine", '{"rows": 1', '{"round": 0}', "[1, 2]", "é"]
)
@pytest.mark.parametrize("before", [0, 1])
def test_another_file_is_left_as_it_is(tmp_path, text, before):
    """Its last line is no line of a journal, and lacks its end as well."""
    journal = tmp_path / "journal.jsonl"
    content = b"".join(written(journal, 1)[:before]) + text.encode("latin-1")
    journal.write_bytes(content)
    with pytest.raises(ValueError, match=f"line {1 + before}, is no query"):
        loop(journal=journal)
    assert journal.read_bytes() == content


def test_a_line_cut_off_within_the_journal_is_refused(tmp_path):
    journal = tmp_path / "journal.jsonl"
    lines = written(journal)
    content = lines[0] + lines[1][:20] + b"\n" + lines[2][:20]
    journal.write_bytes(content)
    with pytest.raises(ValueError, match="line 2, is no query"):
        loop(journal=journal)
    assert journal.read_bytes() == content


def test_an_empty_journal_is_a_new_one(tmp_path):
    journal = tmp_path / "journal.jsonl"
    journal.touch()
    assert loop(journal=journal).history == []


def test_options_that_cannot_be():
    with pytest.raises(ValueError, match=r"acquisition must be one of \['bald', 'entropy', 'mar"):
        loop(acquisition="variance")
    for budget, batch_size in ((0, 1), (1, 0), (-1, 1)):
        with pytest.raises(ValueError, match="budget and batch_size must be at least 1, got"):
            loop(budget=budget, batch_size=batch_size)


def test_an_acquisition_of_ones_own():
    def last(pred, k):
        return np.flatnonzero(pred.ok)[-k:]

    assert [q.item for q in loop(acquisition=last).run(show_progressbar=False)] == [4, 5, 1, 3]


def test_random_choice_follows_the_seed():
    chosen = [
        [q.item for q in loop(acquisition="random", seed=s).run(show_progressbar=False)]
        for s in (0, 0, 1, 2, 3)
    ]
    assert chosen[0] == chosen[1]
    assert len({tuple(items) for items in chosen}) > 1


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


@pytest.fixture(scope="module", autouse=True)
def small():
    """The same way through everything, with little of it."""

    def brief(*args, steps, **options):
        options["learning_rate"] = 0.08
        return fit_gp(*args, steps=min(steps, STEPS), **options)

    sizes = {"N_LATENTS": 1000, "N_PURE": 20, "N_PURE_ONLY": 150, "N_VALUES": 100}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (sizes | {"N_SIMULATED": 200}).items():
            patch.setattr(heads, name, value)
        patch.setattr(heads, "fit_gp", brief)
        patch.setattr(classifier, "N_CLEAN", 600)
        few = functools.partial(fit_forward_model, iterations=12)
        patch.setattr(classifier, "fit_forward_model", few)
        yield


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
    clf = eb.EELSClassifier(
        eb.FingerprintLibrary.example(), latent_dim=4, vae_schedule=eb.Schedule(5, 12, 3e-3)
    )
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
        with pytest.raises(ValueError, match="frames and n_draws must be positive, got"):
            eb.active.encoder_gain(clf, spectra, frames=frames)
    with pytest.raises(ValueError, match=r"positive, got 1\.0 and 0"):
        eb.active.encoder_gain(clf, spectra, n_draws=0)
    with pytest.raises(ValueError, match="frames"):
        eb.active.encoder_gain(clf, spectra, frames=np.ones(3))


def test_batch_bald_of_a_prediction(clf, spectra):
    pred = clf.predict(spectra, show_progressbar=False)
    chosen = active.batch_bald(pred, 6, n_functions=64, seed=2)
    assert len(set(chosen.tolist())) == 6
    np.testing.assert_array_equal(active.batch_bald(pred, 6, n_functions=64, seed=2), chosen)
    draws = pred.joint.draw_at_latents(200, 8, seed=5)
    naive = best(active.bald)(pred, 6)
    found = [
        np.mean([batch_information(p, rows.tolist()[:4]) for p in draws])
        for rows in (chosen, naive)
    ]
    assert found[0] > found[1] - 0.01
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
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


def test_a_classifier_learns_from_an_oracle(clf, spectra, series, tmp_path, monkeypatch):
    """Pixels of one class have another name; the pool has flagged ones; a crash comes between."""
    monkeypatch.setattr(sys.modules[__name__], "STEPS", 20)
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
