"""Calculated edges: as strong as the pixels show them, and named as they are asked for."""

import numpy as np
import pytest
from exspy.components import EELSCLEdge
from exspy.signals import EELSSpectrum

import eels_bayes as eb

BEAM = (200.0, 10.0, 20.0)
SIZE = (12, 10)


def edge(energy, subshell, step=2.0):
    """Its cross-section, the highest for 1."""
    component = EELSCLEdge(subshell, GOS="hydrogenic")
    component.fine_structure_active = False
    component.set_microscope_parameters(*BEAM, step)
    shape = component.function(energy)
    return shape / shape.max()


def spectra_of(amplitude, rng, subshell="O_K", **metadata):
    """Pixels with an edge of these heights (counts) on a background."""
    energy = 400.0 + 2.0 * np.arange(150)
    mean = 3e4 * (energy / 400) ** -3.0 + amplitude[..., None] * edge(energy, subshell)
    signal = EELSSpectrum(rng.poisson(mean).astype(np.float32))
    axis = signal.axes_manager[-1]
    axis.offset, axis.scale, axis.units = 400.0, 2.0, "eV"
    if metadata:
        signal.set_microscope_parameters(**metadata)
    pre = eb.Preprocessor((510, 690), background=(420, 500), noise=(1.0, 0.0))
    return pre(signal, show_progressbar=False)


@pytest.fixture(scope="module")
def oxygen():
    """Pixels, and how much oxygen each of them shows; a third has none."""
    rng = np.random.default_rng(0)
    amplitude = np.where(rng.random(SIZE) < 1 / 3, 0.0, rng.uniform(3e3, 9e3, SIZE))
    known = {"beam_energy": BEAM[0], "convergence_angle": BEAM[1], "collection_angle": BEAM[2]}
    return spectra_of(amplitude, rng, **known), amplitude


def test_the_intensity_is_that_of_the_pixels_that_show_the_edge(oxygen):
    spectra, amplitude = oxygen
    library = eb.hydrogenic_library(["O_K"], spectra)
    assert library.class_names == ("O", "none")
    height, none = library.intensity.max(1)
    assert none == 0.0
    assert height == pytest.approx(amplitude[amplitude > 0].mean(), rel=0.1)


def test_a_class_of_two_edges_shows_half_of_each(oxygen):
    spectra, _ = oxygen
    library = eb.hydrogenic_library(["O_K", "V_L3", "O_K+V_L3"], spectra)
    assert library.class_names == ("O", "V", "O + V", "neither")
    one, two, both = (library.intensity[library.labels == k] for k in range(3))
    np.testing.assert_allclose(both, 0.5 * (one + two), rtol=1e-12)


def test_what_the_file_does_not_state_is_assumed_and_said(rng):
    spectra = spectra_of(np.full((4, 4), 5e3), rng, beam_energy=BEAM[0])
    with pytest.warns(UserWarning, match="assumed: convergence angle 10 mrad, collection angle 20"):
        assumed = eb.hydrogenic_library(["O_K"], spectra)
    given = eb.hydrogenic_library(["O_K"], spectra, beam=BEAM)
    np.testing.assert_array_equal(assumed.intensity, given.intensity)


def test_edges_that_no_pixel_shows_are_said(rng):
    spectra = spectra_of(np.full((5, 5), -80.0), rng)  # what lies beneath is a bit steeper
    with pytest.warns(UserWarning, match="none of 25 pixels shows O by more than 3 errors"):
        library = eb.hydrogenic_library(["O_K"], spectra, beam=BEAM)
    assert (library.intensity[:-1].max(1) > 0).all()


@pytest.mark.parametrize(
    ("edges", "error", "message"),
    [
        ("O_K", TypeError, "edges is 'O_K'; give a list of names"),
        ([], TypeError, "give a list of names"),
        (["La_M5"], ValueError, "'La_M5'; K and L shells have hydrogenic cross-sections"),
        (["Qq_K"], ValueError, "edges holds 'Qq_K': The given element Qq is not in the database"),
        (["V_L3", "V_L2"], ValueError, "V_L3, V_L2: shells of one element have hydrogenic"),
        (["Cu_L3"], ValueError, "begins at 931 eV, behind the window 510 to 688 eV"),
    ],
)
def test_edges_that_cannot_be(oxygen, edges, error, message):
    with pytest.raises(error, match=message):
        eb.hydrogenic_library(edges, oxygen[0])


def test_spectra_that_cannot_be(oxygen):
    with pytest.raises(TypeError, match="spectra is a list; make Spectra with a Preprocessor"):
        eb.hydrogenic_library(["O_K"], [1.0])
    spectra = oxygen[0][~oxygen[0].ok]
    with pytest.raises(ValueError, match="none of 0 pixels is usable"):
        eb.hydrogenic_library(["O_K"], spectra)
    with pytest.raises((TypeError, ValueError), match=r"beam is .*; three positive numbers"):
        eb.hydrogenic_library(["O_K"], oxygen[0], beam=(200.0,))
