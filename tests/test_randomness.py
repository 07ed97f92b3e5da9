"""Random streams: what a seed means must not change, and the process's streams are left alone."""

import numpy as np
import pytest
import torch

from eels_bayes.randomness import DiagnosticStream, Stream, own_randomness, stream


@pytest.mark.parametrize("use", [*Stream, *DiagnosticStream])
def test_a_stream_is_that_of_its_seed_and_number(use):
    expected = np.random.default_rng([611, int(use)]).random(4)
    np.testing.assert_array_equal(stream(611, use).random(4), expected)


@pytest.mark.parametrize("uses", [Stream, DiagnosticStream])
def test_uses_of_one_seed_are_apart(uses):
    first = {stream(5, use).random() for use in uses}
    assert len(first) == len(uses)


def test_randomness_of_ones_own_leaves_the_process_alone():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    with own_randomness(7):
        inside = torch.rand(2)
    assert torch.equal(torch.rand(2), expected)
    with own_randomness(7):
        assert torch.equal(torch.rand(2), inside)
