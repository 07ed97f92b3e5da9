"""How much pixels vary: a step of an MM algorithm, against the marginal likelihood it climbs."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import eels_bayes as eb
from eels_bayes.data.variations import Variations
from eels_bayes.forward_model.factor_moments import CommonMoments
from eels_bayes.forward_model.library_step import VARIATION_PIXELS, varied

GIVEN = replace(eb.FingerprintLibrary.example(), variations=Variations(0.2, 0.4, 0.1))
SLOPE, NOISE = 1.0, 0.5  # of a pixel's one number y = SLOPE * deviation + noise


def expectation(y, library):
    """What pixels (n,) say of intensity alone; of the other two factors they say nothing."""
    variance = (SLOPE * library.variations.intensity) ** 2
    shrink = variance / (variance + NOISE**2)
    mean = shrink * y / (SLOPE * library.variations.intensity)
    nothing = np.zeros(3)
    return SimpleNamespace(
        n=len(y),
        common=CommonMoments(
            nothing,  # the mean is known here
            np.array([(mean**2).mean(), 0.0, 0.0]),
            np.array([shrink, 0.0, 0.0]),
        ),
    )


def objective(y, library):
    """Log-likelihood of the pixels and the inverse-gamma prior of the given variations, nats."""
    sd, given = library.variations.intensity, GIVEN.variations.intensity
    variance = (SLOPE * sd) ** 2 + NOISE**2
    prior = -0.5 * VARIATION_PIXELS * (2.0 * np.log(sd) + (given / sd) ** 2)
    return prior - 0.5 * (np.log(variance) + y**2 / variance).sum()


@pytest.mark.parametrize("truth", [0.02, 0.1, 0.3])
def test_every_step_climbs_and_few_are_needed_where_pixels_say_little(rng, truth):
    y = SLOPE * truth * rng.standard_normal(4000) + NOISE * rng.standard_normal(4000)
    library, course = GIVEN, []
    for _ in range(60):
        course.append(objective(y, library))
        library = varied(GIVEN, library, expectation(y, library))
    assert (np.diff(course) > -1e-9).all()
    grid = [
        objective(y, replace(GIVEN, variations=Variations(0.2, 0.4, sd)))
        for sd in np.geomspace(0.005, 0.6, 4000)
    ]
    assert course[-1] > max(grid) - 0.05  # nats, of all pixels together


def test_what_pixels_say_nothing_of_stays(rng):
    y = NOISE * rng.standard_normal(100)
    found = varied(GIVEN, GIVEN, expectation(y, GIVEN)).variations
    assert (found.shift, found.broadening) == pytest.approx((0.2, 0.4))
    none = replace(GIVEN, variations=Variations(0.0, 0.4, 0.1))
    assert varied(none, none, expectation(y, none)).variations.shift == 0.0
