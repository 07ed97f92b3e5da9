"""Active learning: which pixel to label, and which to measure again.

Scores are functions of a `Prediction`, in nats where they are information, and -inf at flagged
pixels, which are never chosen. BALD: Houlsby et al., arXiv:1112.5745 (2011). BatchBALD: Kirsch, van
Amersfoort and Gal, NeurIPS 2019. EPIG: Bickford Smith et al., AISTATS 2023.
"""

from __future__ import annotations

import json
import operator
import os
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import entr
from tqdm.auto import tqdm

from eels_bayes.classifier import EELSClassifier
from eels_bayes.evidence import next_frame
from eels_bayes.inference import reader_of, tensor
from eels_bayes.joint import JointPosterior
from eels_bayes.prediction import Prediction
from eels_bayes.spectra import Spectra

__all__ = [
    "ActiveLoop",
    "Query",
    "bald",
    "batch_bald",
    "best",
    "encoder_gain",
    "entropy",
    "epig",
    "margin",
    "random",
]

Array = NDArray[Any]
Score = Callable[[Prediction], Array]
Acquisition = Callable[[Prediction, int], NDArray[np.int64]]

N_FUNCTIONS = 128  # draws of the classifier's functions
EXACT = 1024  # joint outcomes of a batch that are enumerated; beyond, as many are sampled
N_LATENTS = 4  # draws of each pixel's latent
CANDIDATES = 256  # pixels of most single information that a batch is chosen from
CHUNK = 256  # pixels whose joint probabilities are held at a time
ROWS = 4096  # pixels read at a time
TARGETS = 200  # pixels whose classes a label is to tell of
LINE = b'{"round": '  # how each line of a journal begins


def entropy(pred: Prediction) -> Array:
    """Total entropy (n,), nats: uncertainty sampling."""
    return _never(pred, pred.total)


def margin(pred: Prediction) -> Array:
    """Minus the difference (n,) of the two largest class probabilities."""
    largest = np.sort(np.nan_to_num(pred.probabilities), axis=1)
    return _never(pred, largest[:, -2] - largest[:, -1])


def bald(pred: Prediction) -> Array:
    """Classifier information (n,), nats: what a label can teach.

    `I(y; f | z, x)` of the decomposition. What noise hides of the pixel itself is left out: no
    label teaches anything about it.
    """
    return _never(pred, pred.classifier)


def epig(pred: Prediction, *, n_functions: int = N_FUNCTIONS, seed: int = 0) -> Array:
    """What a label is expected to say of the other pixels' classes (n,), nats: for a better map.

    Mutual information of a pixel's class with that of another pixel of the prediction, averaged
    over a random choice of others (Bickford Smith et al., 2023, eq. 6). Unlike `bald` it asks for
    no label of a pixel that is like none of the others.

    Raises
    ------
    ValueError
        If the prediction cannot draw jointly.
    """
    joint = _joint(pred)
    score = np.full(len(pred), -np.inf)
    usable = np.flatnonzero(pred.ok)
    some = np.random.default_rng(seed).permutation(len(usable))[:TARGETS]
    draws = joint[usable].draw(n_functions, seed=seed)
    score[usable] = information_about(draws, draws[:, some])
    return score


def information_about(draws: ArrayLike, targets: ArrayLike) -> Array:
    """Mean mutual information (n,) of classes with those of m targets, nats.

    Parameters
    ----------
    draws, targets : (S, n, K) and (S, m, K) array_like
        Class probabilities under the same S draws of the functions.
    """
    p, q = np.asarray(draws, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    n_draws, n, n_classes = p.shape
    flat = q.reshape(n_draws, -1)  # (S, m K)
    of_target = entr(q.mean(0)).sum()
    found = np.empty(n)
    for start in range(0, n, CHUNK):
        rows = p[:, start : start + CHUNK]
        joint = rows.reshape(n_draws, -1).T @ flat / n_draws  # p(y, y*), (n K, m K)
        together = entr(joint).sum(1).reshape(-1, n_classes).sum(1)
        alone = entr(rows.mean(0)).sum(1)
        found[start : start + CHUNK] = alone + (of_target - together) / q.shape[1]
    return found


def random(pred: Prediction, *, seed: int = 0) -> Array:
    """Scores (n,) that put pixels into random order."""
    return _never(pred, np.random.default_rng(seed).random(len(pred)))


def _never(pred: Prediction, score: Array) -> Array:
    return np.where(pred.ok, np.nan_to_num(np.asarray(score, dtype=np.float64)), -np.inf)


def best(score: Score) -> Acquisition:
    """The k pixels of the highest score, the first ones where scores are equal."""

    def acquire(pred: Prediction, k: int) -> NDArray[np.int64]:
        scores = score(pred)
        chosen = np.argsort(-scores, kind="stable")[:k]
        return chosen[np.isfinite(scores[chosen])]

    return acquire


def batch_bald(
    pred: Prediction, k: int, *, n_functions: int = N_FUNCTIONS, seed: int = 0
) -> NDArray[np.int64]:
    """The k pixels whose labels together teach most about the classifier, by greedy choice.

    Parameters
    ----------
    pred : Prediction
        From `EELSClassifier.predict`: it draws pixels jointly.
    k : int
    n_functions : int
        Draws of the functions.
    seed : int

    Returns
    -------
    (k,) array
        Indices, the most informative first; fewer where fewer pixels are usable.

    Raises
    ------
    ValueError
        If the prediction cannot draw jointly, or k is not positive.
    """
    joint = _joint(pred)
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    rows = best(bald)(pred, max(CANDIDATES, k))
    draws = joint[rows].draw_at_latents(n_functions, N_LATENTS, seed=seed)
    chosen, _ = joint_information(draws, k, alone=bald(pred)[rows], seed=seed)
    return rows[chosen]


def _joint(pred: Prediction) -> JointPosterior:
    if pred.joint is None:
        raise ValueError(
            "pred cannot draw pixels jointly; use one that EELSClassifier.predict made"
        )
    return pred.joint


def joint_information(
    draws: ArrayLike, k: int, *, alone: ArrayLike | None = None, seed: int = 0
) -> tuple[NDArray[np.int64], Array]:
    """Greedy batch of most mutual information with the functions (Kirsch et al., 2019, Alg. 1).

    Exact over all joint outcomes as long as these are few, then over outcomes sampled from the
    chosen pixels' joint distribution (their eq. 12).

    Parameters
    ----------
    draws : (S, n, K) or (T, S, n, K) array_like
        Class probabilities of n pixels under S draws of the functions; with T of each pixel's
        latent the information is that given the latents, their average.
    k : int
    alone : (n,) array_like, optional
        Information of each pixel by itself, where it is known better than draws have it: they
        then tell only what a pixel shares with the batch.

    Returns
    -------
    chosen : (k,) array
    information : (k,) array
        Of the batch so far, nats; with sampled outcomes an estimate.
    """
    p = np.asarray(draws, dtype=np.float64)
    rng = np.random.default_rng(seed)
    batches = [_Batch(one, rng) for one in (p if p.ndim == 4 else p[None])]
    missing = np.zeros(p.shape[-2])
    if alone is not None:
        missing = np.asarray(alone) - np.mean([batch.information() for batch in batches], axis=0)
    chosen: list[int] = []
    information: list[float] = []
    for _ in range(min(k, p.shape[-2])):
        score = np.mean([batch.information() for batch in batches], axis=0)
        score = score + missing + missing[chosen].sum()
        score[chosen] = -np.inf
        most = int(score.argmax())
        chosen.append(most)
        information.append(float(score[most]))
        for batch in batches:
            batch.add(most)
    return np.array(chosen, dtype=np.int64), np.array(information)


class _Batch:
    """The joint outcomes of the pixels chosen so far, and how likely each draw makes them."""

    def __init__(self, p: Array, rng: np.random.Generator):
        self.p, self.rng = p, rng
        self.flat = p.transpose(0, 2, 1).reshape(len(p), -1)  # (S, K n)
        self.given = entr(p).sum(2).mean(0)  # E H[y | f], adds up over pixels
        self.given_chosen = 0.0
        self.outcomes = np.ones((1, len(p)))  # p(outcome | f), its rows
        self.weight = np.ones(1)  # of the rows, so that averages are sums over them

    def information(self) -> Array:
        """Mutual information (n,) of the batch and each pixel with the functions, nats."""
        n_draws, n, n_classes = self.p.shape
        joint = (self.outcomes @ self.flat / n_draws).reshape(len(self.outcomes), n_classes, n)
        # H of batch and candidate: -sum over outcomes; rows are weighted where they are sampled
        together: Array = self.weight @ entr(joint).sum(1)
        return together - self.given - self.given_chosen

    def add(self, pixel: int) -> None:
        n_draws, _, n_classes = self.p.shape
        self.given_chosen += self.given[pixel]
        grown = self.outcomes[:, None] * self.p[:, pixel].T[None]
        outcomes, weight = grown.reshape(-1, n_draws), np.repeat(self.weight, n_classes)
        if len(outcomes) > EXACT:
            chance = weight * outcomes.mean(1)
            chance = chance / chance.sum()
            rows, times = np.unique(
                self.rng.choice(len(outcomes), EXACT, p=chance), return_counts=True
            )
            weight = weight[rows] * times / (EXACT * chance[rows])
            outcomes = outcomes[rows]
        self.outcomes, self.weight = outcomes, weight


def encoder_gain(
    clf: EELSClassifier,
    spectra: Spectra,
    *,
    frames: ArrayLike = 1.0,
    n_draws: int = 16,
    seed: int = 0,
) -> Array:
    """Expected drop of each pixel's total entropy (n,) from one more frame, nats.

    Preposterior analysis under the forward model: what the next frame may show is drawn from the
    pixel's own posterior, put together with what is there, and read.

    Parameters
    ----------
    clf : EELSClassifier
        Fitted.
    spectra : Spectra
        n pixels as they are: where they have been measured more than once, of `combine`.
    frames : float or (n,) array_like
        Frames that each pixel's spectrum holds; one more of the same dose is to follow.
    n_draws : int
        Next frames drawn for a pixel.
    seed : int

    Raises
    ------
    RuntimeError
        Before ``fit``.
    ValueError
        If spectra do not fit, or frames are not positive.
    """
    fitted = clf.checked(spectra)
    given = np.asarray(frames, dtype=np.float64)
    if given.shape not in ((), (len(spectra),)):
        raise ValueError(
            f"frames has shape {given.shape}; a number or one for each of {len(spectra)} pixels is "
            "needed"
        )
    held = np.broadcast_to(given, len(spectra))
    if not (held > 0).all() or n_draws < 1:
        raise ValueError(f"frames and n_draws must be positive, got {frames!r} and {n_draws}")
    reader = reader_of(fitted).to(clf.device)
    evidence = fitted.encoder.evidence
    generator = torch.Generator().manual_seed(seed)
    gain = np.full(len(spectra), -np.inf)
    usable = np.flatnonzero(spectra.ok)
    for rows in np.array_split(usable, max(1, -(-len(usable) * n_draws // ROWS))):
        profile, level, spike = (
            tensor(getattr(spectra, name)[rows]).to(clf.device)
            for name in ("profile", "level", "spike")
        )
        times = tensor(held[rows]).to(clf.device)
        with torch.no_grad():
            now = reader(profile, level, spike).total
            later = torch.zeros_like(now)
            for _ in range(n_draws):
                shown = next_frame(evidence, profile, level, times, generator)
                both = (times[:, None] * profile + shown) / (times + 1.0)[:, None]
                shrunk = level * times / (times + 1.0)
                later += reader(both, shrunk, spike).total
        gain[rows] = (now - later / n_draws).cpu().numpy()
    return gain


class Learner(Protocol):
    """What an `ActiveLoop` needs of what learns; `EELSClassifier` is one."""

    def predict(self, spectra: Any, *, show_progressbar: bool = True) -> Any: ...
    def update(self, new: Any, labels: Any, *, show_progressbar: bool = True) -> Any: ...


@dataclass(frozen=True)
class Query:
    """One question to the oracle.

    Attributes
    ----------
    round, item : int
        Number of the batch, and index into the pool.
    answer : str, int or None
        Name of the class, or its index where the learner's predictions have no ``class_names``;
        ``None`` where the oracle failed.
    error : str
        What went wrong; empty where nothing did.
    seconds : float
        That the oracle took.
    """

    round: int
    item: int
    answer: str | int | None
    error: str
    seconds: float


class ActiveLoop:
    """Ask an oracle about the items that teach most, and learn from its answers.

    The oracle may be slow and may fail: what it raises is recorded, the item is put aside, and the
    loop goes on; so it does where the answer can be no class. Every answer is kept as soon as it is
    there, in ``history`` and in the journal, so that nothing paid for is lost to a crash, an
    interruption, or a learner that refuses it; ``run`` goes on from there.

    Parameters
    ----------
    learner : EELSClassifier or Learner
        ``predict`` reads the pool, ``update`` learns.
    pool : Spectra or other sequence
        What may be asked about; indexed by an array of indices.
    oracle : callable
        From an index into the pool to a class name or index: an expert, a simulation, another
        measurement. An index counts the ``class_names`` of the learner's last prediction; a name
        may be that of a new class.
    acquisition : str or callable
        "bald", "batch_bald", "entropy", "epig", "margin", "random"; or a function of a prediction
        of the open items and a number k, which returns the indices of at most k of them (see
        `best`).
    budget : int
        Answers to be had, those of a resumed journal included.
    batch_size : int
        Answers between two updates.
    journal : path-like, optional
        A file of one JSON object for each query. What it holds already is learned first, so that
        it wants the learner as it was before the first query: one that has learned these answers
        already, saved afterwards for example, would count them twice. A last line that was cut off
        in mid-write is dropped with a warning.
    seed : int
        Of a random acquisition.

    Attributes
    ----------
    history : list of Query

    Raises
    ------
    ValueError
        If the acquisition is unknown, numbers are not positive, or the journal is not one of this
        pool.
    """

    def __init__(
        self,
        learner: Learner,
        pool: Any,
        oracle: Callable[[int], str | int],
        *,
        acquisition: str | Acquisition = "bald",
        budget: int,
        batch_size: int = 1,
        journal: str | os.PathLike[str] | None = None,
        seed: int = 0,
    ):
        if budget < 1 or batch_size < 1:
            raise ValueError(
                f"budget and batch_size must be at least 1, got {budget} and {batch_size}"
            )
        self.learner, self.pool, self.oracle = learner, pool, oracle
        self.budget, self.batch_size = budget, batch_size
        self.journal = None if journal is None else Path(journal)
        self._acquire = _acquisition(acquisition, seed)
        self.history: list[Query] = []
        self._n_learned = 0
        if self.journal is not None and self.journal.exists():
            self.history = _read_journal(self.journal, len(pool))

    @property
    def n_answers(self) -> int:
        """Answers had so far."""
        return sum(query.answer is not None for query in self.history)

    @property
    def open_items(self) -> NDArray[np.int64]:
        """Items not asked about yet."""
        asked = [query.item for query in self.history]
        return np.setdiff1d(np.arange(len(self.pool)), asked)

    def run(
        self,
        *,
        after_round: Callable[[ActiveLoop], None] | None = None,
        show_progressbar: bool = True,
    ) -> list[Query]:
        """Ask until the budget is spent or nothing is open; returns the history.

        ``after_round`` is called when a batch has been learned, for example to score a test set.
        """
        bar = tqdm(
            total=self.budget,
            initial=self.n_answers,
            desc="active learning",
            unit="answer",
            disable=not show_progressbar,
        )
        with bar:
            self._learn()
            while self.n_answers < self.budget:
                items = self.open_items
                k = min(self.batch_size, self.budget - self.n_answers)
                if not len(items):
                    break
                pred = self.learner.predict(self.pool[items], show_progressbar=False)
                chosen = items[np.asarray(self._acquire(pred, k), dtype=np.int64)]
                if not len(chosen):  # all that is left is flagged
                    break
                number = self.history[-1].round + 1 if self.history else 0
                for item in chosen.tolist():
                    query = self._ask(number, item, getattr(pred, "class_names", None))
                    bar.update(query.answer is not None)
                self._learn()
                if after_round is not None:
                    after_round(self)
        return self.history

    def _ask(self, number: int, item: int, class_names: Sequence[str] | None) -> Query:
        start = time.perf_counter()
        answer, error = None, ""
        try:
            answer = _answer(self.oracle(item), class_names)
        except Exception as problem:
            error = f"{type(problem).__name__}: {problem}"
        query = Query(number, item, answer, error, time.perf_counter() - start)
        self.history.append(query)
        if self.journal is not None:
            with self.journal.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(query)) + "\n")
        return query

    def _learn(self) -> None:
        """From all answers that are not learned yet."""
        new = [query for query in self.history[self._n_learned :] if query.answer is not None]
        if new:
            items = np.array([query.item for query in new])
            answers = [query.answer for query in new]
            try:
                self.learner.update(self.pool[items], answers, show_progressbar=False)
            except Exception as problem:
                kept = "history" if self.journal is None else f"history and in {self.journal}"
                problem.add_note(
                    f"The answers about items {items.tolist()} are not learned, but kept in "
                    f"{kept}: once the learner takes them, run goes on from there."
                )
                raise
        self._n_learned = len(self.history)


def _acquisition(given: str | Acquisition, seed: int) -> Acquisition:
    if callable(given):
        return given
    if given == "random":
        rng = np.random.default_rng(seed)
        return best(lambda pred: random(pred, seed=int(rng.integers(2**31))))
    known: dict[str, Acquisition] = {
        "bald": best(bald),
        "entropy": best(entropy),
        "margin": best(margin),
        "epig": best(epig),
        "batch_bald": batch_bald,
    }
    if given not in known:
        raise ValueError(f"acquisition must be one of {[*known, 'random']}, got {given!r}")
    return known[given]


def _answer(given: Any, class_names: Sequence[str] | None) -> str | int:
    """The class by its name: an index means another one as soon as the learner knows more."""
    if isinstance(given, str) and given:
        return str(given)
    try:
        index = -1 if isinstance(given, bool) else operator.index(given)
    except TypeError:
        index = -1
    if index < 0 or (class_names is not None and index >= len(class_names)):
        known = "" if class_names is None else f" of {tuple(class_names)}"
        raise ValueError(f"the oracle gave {given!r}; a class name or an index{known} is needed")
    return index if class_names is None else str(class_names[index])


def _read_journal(path: Path, n_items: int) -> list[Query]:
    """What was asked so far, with the file's last line made whole."""
    text = path.read_bytes()
    whole, newline, last = text.rpartition(b"\n")
    cut_off = _is_cut_off(last)
    history = []
    for number, line in enumerate((whole + newline if cut_off else text).splitlines(), 1):
        try:
            query = Query(**json.loads(line))
            outside = not 0 <= query.item < n_items
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{path}, line {number}, is no query ({error}); give a journal of this loop or "
                "another file"
            ) from error
        if outside:
            raise ValueError(
                f"{path}, line {number}, asks about item {query.item}; the pool has {n_items}"
            )
        history.append(query)
    if cut_off:
        warnings.warn(
            f"{path} ends in the middle of line {len(history) + 1}, which is dropped: its item is "
            "open again",
            stacklevel=3,
        )
        os.truncate(path, len(text) - len(last))
    elif last:
        with path.open("ab") as file:
            file.write(b"\n")
    return history


def _is_cut_off(last: bytes) -> bool:
    """Whether the program ended while it wrote this line, and not another program's file."""
    if not last or not last.startswith(LINE[: len(last)]):
        return False
    try:
        json.loads(last)
    except ValueError:
        return True
    return False
