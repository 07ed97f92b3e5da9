"""The stages of the forward model's fit: when to trust the fingerprints, and when the pixels.

Pixels that fingerprints do not describe are of something else, or the fingerprints are off. Where
few pixels are unlike all classes, the library is trusted, and what it lacks is left out of the fit.
Where most are, it is the library that is off: then its shapes follow the pixels. Pixels may mix
classes when these stand: any two of few classes, of many those that pixels ask for (`pair_step`).
Where few are left that are unlike all, but alike, they are of one structure more
(`foreign_search`); of most pixels it would be the library again.
"""

from __future__ import annotations

from dataclasses import replace

from eels_bayes.arrays import Array
from eels_bayes.forward_model.acceleration import Climb, State, Stepping, accelerated
from eels_bayes.forward_model.em_steps import Problem
from eels_bayes.forward_model.foreign_search import exchanged, with_foreign
from eels_bayes.forward_model.library_step import by_levels
from eels_bayes.forward_model.misfit import MOST_MISFIT
from eels_bayes.forward_model.pair_step import with_pairs

UNKNOWN_SHARE = 0.01  # of pixels that no class describes, beforehand; chosen, not tuned
TRUSTED = 0.05  # relative misfit of a library that is right as far as references go
MOST_UNLIKE = 0.5  # share of the pixels from which on it is the library that is off
FEW = 2000  # pixels that all stages but the last look at: what they find is refined by all
PARTS = 3  # of all steps, after which the next question is asked


def climbed(
    problem: Problem,
    first: State,
    width: Array,
    steps: int,
    stepping: Stepping,
    *,
    show_progressbar: bool,
) -> Climb:
    """Fit from a first state in ``steps`` steps at most; see `acceleration.accelerated`.

    Steps that trusted a library which proves to be off count for nothing.
    """
    few = problem.sample(FEW)
    # a constant share of another class would be taken for what the library misses, and keep it
    pure = replace(few, mixing=False)

    def go(
        pixels: Problem, state: State, most: int, unknown_share: float, most_misfit: float
    ) -> Climb:
        """The climb of one stage."""
        stage = replace(pixels, unknown_share=unknown_share, most_misfit=most_misfit)
        return accelerated(
            state, stage.improve, width, most, stepping=stepping, show_progressbar=show_progressbar
        )

    def ended(before: Climb, most_misfit: float) -> Climb:
        """The last stage, with a structure that the library lacks if the pixels show one."""
        found = with_foreign(few, before.state)
        # what holds most pixels is the library, whatever changes places with it
        if len(found.foreign) and _few_unlike(found):
            tried = [
                go(few, state, part, UNKNOWN_SHARE, most_misfit)
                for state in (found, *exchanged(few, found))
            ]
            # one that holds most pixels is not kept below: it must not win over one that is
            believed = [climb for climb in tried if _few_unlike(climb.state)] or tried
            found = max(believed, key=lambda climb: climb.objective).state
        for state in (found, before.state):
            last = go(problem, state, part, UNKNOWN_SHARE, most_misfit)
            if _few_unlike(last.state):
                break
        return last.after(before)

    def mixing(climb: Climb) -> Climb:
        """With the pairs that pixels ask for, and intensities of any size."""
        asking, library = replace(problem, unknown_share=UNKNOWN_SHARE), climb.state.library
        state = replace(climb.state, library=by_levels(problem.library, library))
        return climb._replace(state=with_pairs(asking, state))

    part = max(1, steps // PARTS)
    if first.misfit.shared_sd <= TRUSTED:
        # how the library stands comes first: of one that is not in place, all pixels are unlike
        standing = go(pure, first, part, 0.0, TRUSTED)
        trusting = go(few, mixing(standing).state, part, UNKNOWN_SHARE, TRUSTED).after(standing)
        if few.unlike(trusting.state, UNKNOWN_SHARE) < MOST_UNLIKE:
            return ended(trusting, TRUSTED)
        following = go(pure, standing.state, part, 0.0, MOST_MISFIT).after(standing)
    else:
        following = go(pure, first, 2 * part, 0.0, MOST_MISFIT)
    return ended(mixing(following), MOST_MISFIT)


def _few_unlike(state: State) -> bool:
    """Whether what is beside the library holds the lesser part of the pixels."""
    return float(state.foreign.share.sum()) < MOST_UNLIKE
