"""The loop and its journal, with a learner that costs nothing."""

import json
from dataclasses import dataclass

import numpy as np
import pytest

from eels_bayes.active import ActiveLoop, Query
from eels_bayes.classifier import update


class Pool(list):
    """Items of a pool: numbers that a fake learner reads; indexed like an array."""

    def __getitem__(self, index):
        if isinstance(index, (int, np.integer)):
            return super().__getitem__(index)
        return Pool(super(Pool, self).__getitem__(i) for i in np.arange(len(self))[index])


@dataclass
class Doubts:
    """What acquisitions read of a prediction."""

    classifier: np.ndarray
    ok: np.ndarray
    class_names: tuple[str, ...]

    def __len__(self):
        return len(self.ok)


class Learner:
    """Knows an item's class once it was told; doubts the higher numbers more."""

    def __init__(self, class_names=("a", "b", "c")):
        self.told, self.n_updates = {}, 0
        self.class_names = class_names

    def predict(self, items, *, show_progressbar=True):
        numbers = np.asarray(list(items), dtype=float)
        return Doubts(np.abs(numbers), numbers >= 0, self.class_names)

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
    one = loop(learner, lambda item: 1 / 0, budget=3)
    text = r"failed 5 times in a row, at last about item 1: ZeroDivisionError: division by zero; "
    with pytest.raises(RuntimeError, match=text):
        one.run(show_progressbar=False)
    assert [q.item for q in one.history] == FIRST and learner.n_updates == 0
    assert all(q.error.startswith("ZeroDivisionError") for q in one.history)


IMPOSSIBLE = [None, [1, 2], [], len, "", b"a", 1.0, np.float64(1), True, np.True_, -1, 3]


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
    one = loop(oracle=lambda item: given if item == 3 else "a", budget=2)
    query = one.run(show_progressbar=False)[0]
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
    learner.told.clear()
    failed = loop(learner, lambda item: -(item == 3), **options | {"journal": None})
    error = failed.run(show_progressbar=False)[0].error
    assert error == "ValueError: the oracle gave -1; a class name or an index is needed"


class Growing(Learner):
    """Names classes of its own, as many as it was told of, and learns no others by index."""

    def update(self, items, labels, *, show_progressbar=True):
        names = update._names(labels, self.class_names)
        super().update(items, names)
        self.class_names = tuple(dict.fromkeys([*self.class_names, *sorted(set(names))]))


def test_an_index_in_the_journal_stays_the_class_that_was_meant(tmp_path):
    """One of a class that the loop itself has named, learned again at once with its name."""
    answers = dict(zip(FIRST, ["z", "y", 2, 3, "c"], strict=True))
    options = {"batch_size": 1, "journal": tmp_path / "journal.jsonl"}
    one, other = Growing(("a", "b")), Growing(("a", "b"))
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
            f"The answers about items [3, 5] are not learned, but kept in {place}: correct there "
            "what the learner cannot take, and run goes on."
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
    assert seen == [0, 2, 3, 4, 5]  # each, below the first line, before the next is asked for
    lines = [json.loads(line) for line in journal.read_text().splitlines()[1:]]
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
    assert len(journal.read_text().splitlines()) == 1 + 4
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
    first = written(journal)[0].decode()
    journal.write_text(first + line + "\n" + json.dumps(good) + "\n")
    with pytest.raises(ValueError, match=text):
        loop(journal=journal)


def written(journal, n=3):
    """A journal's lines, the first of which says of which pool."""
    loop(journal=journal, budget=n).run(show_progressbar=False)
    return journal.read_bytes().splitlines(keepends=True)


@pytest.mark.parametrize("size", [1, 5, 10, 40, -3])
def test_a_line_that_was_cut_off_is_asked_again(tmp_path, size):
    journal = tmp_path / "journal.jsonl"
    lines = written(journal)
    journal.write_bytes(b"".join(lines[:3]) + lines[3][:size])
    with pytest.warns(
        UserWarning, match=r"journal\.jsonl ends in the middle of line 4, which is dr"
    ):
        one = loop(journal=journal)
    assert [q.item for q in one.history] == FIRST[:2]
    assert journal.read_bytes() == b"".join(lines[:3])
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
    content = b"".join(written(journal, 1)[: 2 * before]) + text.encode("latin-1")
    journal.write_bytes(content)
    wrong = "line 3, is no query" if before else "line 1, is no first line of a journal"
    with pytest.raises(ValueError, match=wrong):
        loop(journal=journal)
    assert journal.read_bytes() == content


def test_a_line_cut_off_within_the_journal_is_refused(tmp_path):
    journal = tmp_path / "journal.jsonl"
    lines = written(journal)
    content = lines[0] + lines[1] + lines[2][:20] + b"\n" + lines[3][:20]
    journal.write_bytes(content)
    with pytest.raises(ValueError, match="line 3, is no query"):
        loop(journal=journal)
    assert journal.read_bytes() == content


def test_an_empty_journal_is_a_new_one(tmp_path):
    journal = tmp_path / "journal.jsonl"
    journal.touch()
    assert loop(journal=journal).history == []


def test_options_that_cannot_be():
    with pytest.raises(ValueError, match="acquisition is 'variance'; one of 'bald', 'entropy'"):
        loop(acquisition="variance")
    for budget, batch_size in ((0, 1), (1, 0), (-1, 1)):
        with pytest.raises(ValueError, match="must be a whole number of at least 1, got"):
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
