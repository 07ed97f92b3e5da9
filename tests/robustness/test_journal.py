"""A journal's answers reach the items that they are about, once each, whatever happens."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eels_bayes.active import ActiveLoop, Query
from eels_bayes.active.loop import MOST_FAILURES
from eels_bayes.active.pool_identity import identity_of
from helpers import tiny_models

resource = pytest.importorskip("resource")  # limits the size of files, as a full disk does


class Scores:
    """Of each item its own number, and classes."""

    def __init__(self, values, class_names):
        self.values, self.class_names = np.asarray(values, dtype=float), class_names


class Learner:
    """Remembers what it was told."""

    def __init__(self, class_names=("a", "b")):
        self.told, self.class_names = [], class_names

    def predict(self, items, *, show_progressbar=True):
        return Scores(items, self.class_names)

    def update(self, items, labels, *, show_progressbar=True):
        self.told += zip(np.asarray(items).tolist(), labels, strict=True)


POOL = np.random.default_rng(0).permutation(20).astype(float)
ORDER = np.argsort(-POOL, kind="stable").tolist()  # as they are asked about


def highest(scores, k):
    return np.argsort(-scores.values, kind="stable")[:k]


def answer(item):
    return "ab"[item % 2]


def loop(journal, learner=None, oracle=answer, pool=POOL, **options):
    settings = {"acquisition": highest, "budget": 6, "batch_size": 2, "journal": journal}
    return ActiveLoop(learner or Learner(), pool, oracle, **settings | options)


def run(*args, **options):
    one = loop(*args, **options)
    one.run(show_progressbar=False)
    return one


@pytest.fixture
def journal(tmp_path):
    return tmp_path / "journal.jsonl"


def queries(journal):
    """What stands below the first line."""
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    assert "journal" in lines[0] and not any("journal" in line for line in lines[1:])
    return [Query(**line) for line in lines[1:]]


# Of which pool


def test_the_first_line_says_of_which_pool_and_classes(journal, project_root):
    run(journal)
    head = json.loads(journal.read_text().splitlines()[0])
    assert head["n_items"] == len(POOL) and head["class_names"] == ["a", "b"]
    assert head["journal"] == 1 and head["package"]
    assert len(head["in_order"]) == len(head["in_any_order"]) == 64


@pytest.mark.parametrize(
    ("pool", "text"),
    [
        (POOL[::-1], "is the journal of these items in another order: its answers would go to"),
        (POOL[:15], "is the journal of a pool of 20 items, and this one has 15: its"),
        (POOL + (POOL == 7), r"is the journal of a pool of other items \(written by version"),
    ],
    ids=["order", "size", "items"],
)
def test_another_pool_is_refused(journal, pool, text):
    run(journal)
    before, learner = journal.read_bytes(), Learner()
    with pytest.raises(ValueError, match=text + r"(?s:.*)Give the pool that it was written for"):
        loop(journal, learner, pool=pool)
    assert journal.read_bytes() == before and not learner.told


@pytest.mark.parametrize("pool", [POOL.copy(), POOL.tolist()], ids=["copy", "list"])
def test_the_same_pool_made_again_is_welcome(journal, pool):
    one = run(journal)
    assert loop(journal, pool=pool).history == one.history


def test_spectra_are_told_apart_by_order_and_noise():
    spectra = tiny_models.spectra()
    again = tiny_models.preprocessor()(tiny_models.signals(), show_progressbar=False)
    assert identity_of(again) == identity_of(spectra)
    order = np.roll(np.arange(len(spectra)), 1)
    moved, found = identity_of(spectra[order]), identity_of(spectra)
    assert moved.in_order != found.in_order and moved.in_any_order == found.in_any_order
    noisier = replace(spectra, level=spectra.level * np.float32(2))
    assert identity_of(noisier).in_any_order != found.in_any_order


@pytest.mark.filterwarnings("ignore:fit:UserWarning")
def test_a_reordered_map_is_refused_by_the_real_classifier(journal):
    spectra = tiny_models.spectra()
    clf = tiny_models.fitted_copy()
    names = clf.class_names
    options = {"acquisition": "entropy", "budget": 1, "journal": journal}
    ActiveLoop(clf, spectra, lambda item: names[0], **options).run(show_progressbar=False)
    assert json.loads(journal.read_text().splitlines()[0])["class_names"] == list(names)
    with pytest.raises(ValueError, match="these items in another order"):
        ActiveLoop(tiny_models.fitted(), spectra[::-1], lambda item: names[0], **options)
    again = ActiveLoop(tiny_models.fitted(), spectra, lambda item: names[0], **options)
    assert again.n_answers == 1


class Objects:
    """Neither numbers nor text."""

    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        return POOL[index]


def test_of_other_things_the_number_is_compared(journal):
    run(journal, pool=Objects(20))
    assert json.loads(journal.read_text().splitlines()[0])["in_order"] is None
    assert loop(journal, pool=Objects(20)).n_answers == 6
    with pytest.raises(ValueError, match="a pool of 20 items, and this one has 19"):
        loop(journal, pool=Objects(19))


@pytest.mark.parametrize("pool", [[object()] * 3, [[1], [2, 3]]], ids=["objects", "ragged"])
def test_items_that_are_no_array_have_no_digest(pool):
    assert identity_of(pool)[1:] == (None, None)


def test_a_journal_without_a_first_line_is_refused(journal):
    run(journal)
    journal.write_bytes(journal.read_bytes().split(b"\n", 1)[1])
    before, learner = journal.read_bytes(), Learner()
    with pytest.raises(ValueError, match=r"line 1, is no first line .*; give a journal of this"):
        loop(journal, learner)
    assert journal.read_bytes() == before and not learner.told


def test_items_that_came_out_otherwise_take_the_first_line_of_a_new_journal(journal, tmp_path):
    one, same = run(journal), POOL * (1 + 1e-15)
    with pytest.raises(ValueError, match="put the first line of a new journal of this pool in"):
        loop(journal, pool=same)
    run(tmp_path / "new.jsonl", pool=same, budget=1)
    first = (tmp_path / "new.jsonl").read_bytes().splitlines(keepends=True)[0]
    journal.write_bytes(first + journal.read_bytes().split(b"\n", 1)[1])
    assert loop(journal, pool=same).history == one.history


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"journal": 2}, "is a journal of format 2, written by version .*; this version reads 1?"),
        ({"in_order": ...}, r"line 1, is no first line of a journal \(KeyError\('in_order'\)\)"),
    ],
)
def test_a_first_line_that_cannot_be_read(journal, change, text):
    run(journal)
    head, rest = journal.read_text().split("\n", 1)
    entries = {k: v for k, v in (json.loads(head) | change).items() if v is not ...}
    journal.write_text(json.dumps(entries) + "\n" + rest)
    with pytest.raises(ValueError, match=text):
        loop(journal)


@pytest.mark.parametrize("size", [1, 15, 80])
def test_a_first_line_that_was_cut_off_is_written_again(journal, size):
    one = run(journal)
    whole = journal.read_bytes()
    journal.write_bytes(whole[:size])
    with pytest.warns(UserWarning, match="ends in the middle of line 1, which is dropped"):
        other = loop(journal)
    other.run(show_progressbar=False)
    assert [q.item for q in queries(journal)] == [q.item for q in one.history]
    assert journal.read_bytes().splitlines()[0] == whole.splitlines()[0]


def test_a_learner_that_knows_more_classes_is_said(journal):
    run(journal)
    with pytest.warns(UserWarning, match=r"classes \['a', 'b'\], and this one knows \['a', 'b', "):
        loop(journal, Learner(("a", "b", "c")))


# Two loops at once


def test_two_loops_at_once_are_refused(journal):
    second = loop(journal)
    texts = []

    def oracle(item):
        for start in (lambda: second.run(show_progressbar=False), lambda: loop(journal)):
            with pytest.raises(RuntimeError, match=r"another loop is running on .*: wait") as one:
                start()
            texts.append(str(one.value))
        return answer(item)

    one = run(journal, oracle=oracle, budget=2)
    assert len(texts) == 4 and not second.history
    assert queries(journal) == one.history


def test_a_loop_that_another_one_overtook_is_refused(journal):
    learner = Learner()
    late = loop(journal, learner)
    one = run(journal)
    with pytest.raises(RuntimeError, match="holds other questions than this loop's history"):
        late.run(show_progressbar=False)
    assert not learner.told and queries(journal) == one.history
    assert run(journal, learner).history == one.history and len(learner.told) == 6


SCRIPT = """
import sys, time
sys.path.insert(0, {folder!r})
import test_journal as t
from pathlib import Path

def oracle(item):
    if len(seen) == 3:
        print("asking", flush=True)
        time.sleep(600)
    seen.append(item)
    return t.answer(item)

seen = []
t.loop(Path({journal!r}), oracle=oracle).run(show_progressbar=False)
"""


def test_a_killed_program_frees_the_journal_and_loses_nothing(journal, project_root):
    here = Path(__file__).resolve().parent
    script = SCRIPT.format(folder=str(here), journal=str(journal))
    path = os.pathsep.join([str(project_root), str(here.parent)])
    child = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": path},
    )
    try:
        assert child.stdout.readline() == b"asking\n"
        with pytest.raises(RuntimeError, match="another loop is running on"):
            loop(journal)
    finally:
        child.send_signal(signal.SIGKILL)
        child.communicate()
    learner = Learner()
    other = loop(journal, learner)
    assert [q.item for q in other.history] == ORDER[:3]
    other.run(show_progressbar=False)
    assert [q.item for q in other.history] == ORDER[:6] == [q.item for q in queries(journal)]
    assert learner.told == [(POOL[i], answer(i)) for i in ORDER[:6]]


# Where writing fails


class FullDisk:
    """Files may not grow beyond so many bytes: what is too long is written in part."""

    def __init__(self):
        self.before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(self, size):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, self.before[1]))

    def free(self):
        resource.setrlimit(resource.RLIMIT_FSIZE, self.before)


@pytest.fixture
def disk():
    disk = FullDisk()
    yield disk
    disk.free()


@pytest.mark.parametrize("room", [0, 30])
@pytest.mark.parametrize("full", [(0, 3), (2, 3), (2, 5), (0, 5)])
def test_answers_after_a_full_disk_are_written_when_there_is_room(journal, disk, full, room):
    """It is full while the answers of some questions are written, and has room for the rest."""
    asked = []

    def oracle(item):
        if len(asked) == full[0]:
            disk.fill((journal.stat().st_size if asked else 0) + room)
        if len(asked) == full[1]:
            disk.free()
        asked.append(item)
        return answer(item)

    with pytest.warns(UserWarning, match="could not be written .* history alone") as warned:
        one = run(journal, oracle=oracle)
    assert len(warned) == full[1] - full[0]
    assert f"about items {ORDER[full[0] : full[1]]} are" in str(warned[-1].message)
    assert queries(journal) == one.history
    assert [q.item for q in one.history] == ORDER[:6]
    assert loop(journal).history == one.history


def test_a_disk_that_stays_full_keeps_answers_for_the_next_run(journal, disk):
    def oracle(item):
        if len(one.history) == 4:
            disk.fill(journal.stat().st_size + 10)
        return answer(item)

    one = loop(journal, oracle=oracle)
    with pytest.warns(UserWarning, match="could not be written"):
        one.run(show_progressbar=False)
    disk.free()
    one.run(show_progressbar=False)
    assert queries(journal) == one.history and len(one.history) == 6


def test_a_journal_that_was_removed_is_written_again(journal):
    def oracle(item):
        if len(one.history) == 3:
            journal.unlink()
        return answer(item)

    one = loop(journal, oracle=oracle)
    one.run(show_progressbar=False)
    assert queries(journal) == one.history and len(one.history) == 6
    journal.unlink()
    one.run(show_progressbar=False)
    assert queries(journal) == one.history


def test_a_journal_that_something_else_changes_is_left_alone(journal):
    def oracle(item):
        if len(one.history) == 5:
            journal.write_text("mine\n")
        return answer(item)

    one = loop(journal, oracle=oracle)
    with pytest.warns(UserWarning, match="something else has changed it") as warned:
        one.run(show_progressbar=False)
    assert journal.read_text() == "mine\n" and len(one.history) == 6
    assert str(ORDER[5]) in str(warned[-1].message)


def test_a_place_without_a_file_is_refused_before_anybody_is_asked(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(FileNotFoundError, match=r"journal: the folder .*none does not exist; make"):
        loop(tmp_path / "none" / "journal.jsonl")
    with pytest.raises(FileNotFoundError, match=r"journal: the folder .*file does not exist; make"):
        loop(tmp_path / "file" / "journal.jsonl")
    with pytest.raises(IsADirectoryError, match=r"cannot be written \(Is a directory\), so that"):
        loop(tmp_path / "folder")
    with pytest.raises(OSError, match=r"cannot be written \(File name too long\).*shorter name"):
        loop(tmp_path / ("x" * 300))


@pytest.mark.parametrize("what", ["journal.jsonl", "journal.jsonl.lock", "folder"])
def test_what_may_not_be_written_is_refused(journal, what):
    if os.geteuid() == 0:
        pytest.skip("the superuser may write everything")
    run(journal)
    path = journal.parent if what == "folder" else journal.with_name(what)
    if what == "folder":
        journal.with_name("journal.jsonl.lock").unlink()
    path.chmod(0o500)
    try:
        with pytest.raises(PermissionError, match="so that answers would be lost; choose a folder"):
            loop(journal)
    finally:
        path.chmod(0o700)


def test_a_folder_that_went_away_stops_a_run_before_it_asks(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    asked = []
    one = loop(folder / "journal.jsonl", oracle=asked.append)
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    with pytest.raises(FileNotFoundError, match=r"the folder .* does not exist"):
        one.run(show_progressbar=False)
    assert not asked


# An oracle that is broken


def test_an_oracle_that_fails_on_and_on_is_said(journal):
    def oracle(item):
        if item not in ORDER[:2]:
            raise TimeoutError("no beam")
        return answer(item)

    one = loop(journal, oracle=oracle)
    put_aside = ORDER[2 : 2 + MOST_FAILURES]
    with pytest.raises(RuntimeError) as caught:
        one.run(show_progressbar=False)
    assert str(caught.value) == (
        f"the oracle failed 10 times in a row, at last about item {put_aside[-1]}: TimeoutError: "
        f"no beam; mend it and run again. Items {put_aside} are put aside: take them out of "
        f"history and of {journal} to ask about them again"
    )
    assert queries(journal) == one.history and len(one.history) == 2 + MOST_FAILURES
    one.oracle = answer
    one.run(show_progressbar=False)
    assert one.n_answers == 6 and [q.item for q in queries(journal)] == ORDER[:16]


def test_items_taken_out_are_asked_about_again(journal):
    one = loop(journal, oracle=lambda item: 1 / 0)
    with pytest.raises(RuntimeError, match="failed 10 times in a row"):
        one.run(show_progressbar=False)
    one.history.clear()
    journal.write_bytes(journal.read_bytes().splitlines(keepends=True)[0])
    one.oracle = answer
    one.run(show_progressbar=False)
    assert [q.item for q in one.history] == ORDER[:6] == [q.item for q in queries(journal)]
