"""The networks: shapes for every window, bounds, independence of rows, scripting."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from eels_bayes.latent.networks import (
    FILTERS,
    KERNELS,
    LOG_SD_MAX,
    LOG_SD_MIN,
    SLOPE,
    ConvEncoder,
    DenseDecoder,
    conv_trunk,
    trunk_length,
)


def spectra(n, n_channels, seed=0):
    return torch.randn(n, n_channels, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=40)
@given(st.integers(1, 400), st.integers(1, 20), st.integers(1, 3))
def test_shapes_for_every_window(n_channels, latent_dim, n):
    x = spectra(n, n_channels)
    assert trunk_length(n_channels) == -(-n_channels // 16)
    assert conv_trunk(1, 0.0)(x.unsqueeze(1)).shape == (n, 64 * trunk_length(n_channels))
    mean, sd = ConvEncoder(n_channels, latent_dim)(x)
    assert mean.shape == sd.shape == (n, latent_dim)
    assert DenseDecoder(n_channels, latent_dim)(mean).shape == (n, n_channels)


def test_the_encoders_layers_are_those_of_the_paper():
    assert (FILTERS, KERNELS, SLOPE) == ((16, 32, 32, 64), (7, 7, 3, 3), 0.3)
    encoder = ConvEncoder(240, 16)
    down = [m for m in encoder.modules() if isinstance(m, nn.Conv1d)]
    assert [m.out_channels for m in down] == list(FILTERS)
    assert [m.kernel_size[0] for m in down] == list(KERNELS)
    assert all(m.stride == (2,) for m in down)
    assert {m.negative_slope for m in encoder.modules() if isinstance(m, nn.LeakyReLU)} == {SLOPE}
    assert not any("Norm" in type(m).__name__ for m in encoder.modules())


def test_every_parameter_learns():
    encoder, decoder = ConvEncoder(48, 3, dropout=0.0), DenseDecoder(48, 3)
    x = spectra(16, 48)
    mean, sd = encoder(x)
    ((decoder(mean + sd) - x).square().mean() + sd.square().mean()).backward()
    for name, parameter in [*encoder.named_parameters(), *decoder.named_parameters()]:
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


@settings(max_examples=25)
@given(st.floats(-12, 12))
def test_sd_stays_within_its_bounds(exponent):
    encoder = ConvEncoder(32, 4).eval()
    mean, sd = encoder(10.0**exponent * spectra(8, 32))
    assert torch.isfinite(mean).all()
    slack = 1e-5
    assert (sd.log() >= LOG_SD_MIN - slack).all() and (sd.log() <= LOG_SD_MAX + slack).all()


def test_dropout_acts_in_training_only():
    encoder, x = ConvEncoder(48, 3, dropout=0.5), spectra(4, 48)
    assert not torch.equal(encoder(x).mean, encoder(x).mean)
    encoder.eval()
    assert torch.equal(encoder(x).mean, encoder(x).mean)
    plain = ConvEncoder(48, 3, dropout=0.0)
    assert not any(isinstance(m, nn.Dropout) for m in plain.modules())


MODULES = {
    "encoder": lambda: (ConvEncoder(48, 3).eval(), spectra(6, 48)),
    "decoder": lambda: (DenseDecoder(48, 3).eval(), spectra(6, 3)),
}


def flat(out):
    return torch.cat([part.flatten(1) for part in out], 1) if isinstance(out, tuple) else out


@pytest.mark.parametrize("which", MODULES)
def test_rows_do_not_see_each_other(which):
    module, x = MODULES[which]()
    whole = flat(module(x))
    poisoned = x.clone()
    poisoned[2] = torch.nan
    mixed = flat(module(poisoned))
    others = torch.arange(6) != 2
    torch.testing.assert_close(mixed[others], whole[others])
    assert torch.isnan(mixed[2]).any()


@pytest.mark.parametrize("which", MODULES)
def test_scripted_equals_eager(which):
    module, x = MODULES[which]()
    for found, wanted in zip(torch.jit.script(module)(x), module(x), strict=True):  # rows or fields
        torch.testing.assert_close(found, wanted)
