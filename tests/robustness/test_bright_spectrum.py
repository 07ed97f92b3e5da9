"""One spectrum far too bright is not the drift of its image."""

import numpy as np
import pytest

from helpers import tiny_models

pytestmark = pytest.mark.filterwarnings("ignore:fit:UserWarning")


@pytest.mark.parametrize("factor", [30.0, 1e6, 1e20])
def test_a_spectrum_far_too_bright_does_not_move_the_others(factor):
    signal = tiny_models.signals()[0].deepcopy()
    pre = tiny_models.fitted().preprocessor
    expected = pre(signal, show_progressbar=False)
    signal.change_dtype("float32")
    spike = np.roll(signal.data[2, 1], 200)  # its edges lie elsewhere
    signal.data[2, 1] = factor * spike
    found = pre(signal, show_progressbar=False)
    others = np.setdiff1d(np.arange(len(expected)), [np.ravel_multi_index((2, 1), (5, 4))])
    np.testing.assert_array_equal(found.flag[others], expected.flag[others])
    np.testing.assert_allclose(found.shift[others], expected.shift[others], atol=0.5)
