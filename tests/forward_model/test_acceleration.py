"""Steps that go too far are halved, and what was found worse is never what a fit ends with."""

import dataclasses

import numpy as np
import pytest

import eels_bayes as eb
from eels_bayes.forward_model.acceleration import State, Step, Stepping, accelerated
from eels_bayes.forward_model.edge_shapes import LibraryFit
from eels_bayes.forward_model.factor_mixture import Images, Population
from eels_bayes.forward_model.foreign import Foreign
from eels_bayes.forward_model.misfit import Misfit

WIDTH = np.ones(1)
PLAIN = Stepping(memory=1)


def start(shift: float = 0.0) -> State:
    """A state of which the shift alone matters."""
    population = Population(np.ones(1), np.zeros(1), np.eye(1))
    fit = LibraryFit(shift=shift)
    return State(
        population,
        Images.alike(population),
        fit,
        eb.FingerprintLibrary.example(),
        Misfit.unknown(4, 0),
        Foreign.none(1, 0),
    )


def stepping_to(best: float, stretch: float, seen: list[float]):
    """A step towards the best shift, too long by a factor."""

    def improve(state: State) -> Step:
        shift = state.library_fit.shift
        seen.append(shift)
        height = -((shift - best) ** 2)
        fit = dataclasses.replace(state.library_fit, shift=shift + stretch * (best - shift))
        return Step(dataclasses.replace(state, library_fit=fit), height, height)

    return improve


def test_what_all_pixels_miss_goes_as_far_as_the_library() -> None:
    def missing(shift: float, shared: float) -> State:
        whole = dataclasses.replace(start(shift), misfit=Misfit.unknown(4, 2))
        return dataclasses.replace(
            whole, misfit=dataclasses.replace(whole.misfit, shared=np.full((4, 2), shared))
        )

    before, after = missing(1.0, 0.3), missing(2.0, -0.1)
    for share in (0.0, 0.25, 1.0):
        found = after.with_library_near(before, share)
        assert found.library_fit.shift == pytest.approx(1.0 + share)
        np.testing.assert_allclose(found.misfit.shared, 0.3 - 0.4 * share)


@pytest.mark.parametrize("stretch", [0.5, 1.0, 1.9, 2.5, 7.0])
@pytest.mark.parametrize("memory", [1, 10])
def test_steps_that_go_too_far_arrive(stretch: float, memory: int) -> None:
    found = accelerated(
        start(), stepping_to(2.0, stretch, []), WIDTH, 300, stepping=Stepping(memory=memory)
    )
    assert found.state.library_fit.shift == pytest.approx(2.0, abs=0.1)  # as the slack allows
    assert found.converged
    assert (np.diff(found.likelihood) > -2e-3).all()


def test_steps_that_only_harm_end_where_they_began() -> None:
    seen: list[float] = []
    found = accelerated(start(1.0), stepping_to(1.0 - 1e-9, -1e9, seen), WIDTH, 75, stepping=PLAIN)
    assert found.state.library_fit.shift == pytest.approx(1.0, abs=0.05)
    assert not found.converged
    assert len(seen) < 15  # and no step is tried twice, but for none at all
    assert len(seen) <= len(set(seen)) + 2


def test_what_was_found_worse_is_not_what_it_ends_with() -> None:
    for steps in range(2, 12):
        found = accelerated(start(), stepping_to(2.0, 40.0, []), WIDTH, steps, stepping=PLAIN)
        assert (found.state.library_fit.shift - 2.0) ** 2 <= 4.0 + 1e-9
