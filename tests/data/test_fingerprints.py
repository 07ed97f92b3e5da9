import dataclasses
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from eels_bayes.data.energy_resampling import shift_and_broaden
from eels_bayes.data.fingerprints import FingerprintLibrary
from eels_bayes.data.variations import Variations
from eels_bayes.forward_model.continuum import extended

ENERGY = np.arange(100.0, 160.0, 0.25)


def bump(centre: float = 130.0, sigma: float = 2.0, height: float = 1.0) -> np.ndarray:
    return height * np.exp(-0.5 * ((ENERGY - centre) / sigma) ** 2)


@pytest.fixture
def small() -> FingerprintLibrary:
    """Two classes with two and one fingerprints, values and a nuisance."""
    return FingerprintLibrary.from_arrays(
        ENERGY,
        [bump(), bump(height=3), bump(height=10)],
        [0, 0, 1],
        values=[0.5, 0.1],
        nuisances=bump(140),
    )


def test_example_is_the_documented_library() -> None:
    library = FingerprintLibrary.example()
    assert library.intensity.shape == (12, 801)
    assert library.energy[0] == 600 and library.energy[-1] == 800
    assert library.class_names == ("50 % F", "25 % F", "12.5 % F", "0 % F")
    assert library.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert library.class_values is not None
    np.testing.assert_allclose(library.class_values, [0.5, 0.25, 0.125, 0.0])
    spectra = library.class_spectra
    np.testing.assert_allclose(spectra.max(axis=1), [1.0, 0.64, 0.3, 0.0], atol=1e-12)
    np.testing.assert_allclose(library.intensity[[0, 2]].max(axis=1), [0.92, 1.08])
    np.testing.assert_array_equal(spectra[3], 0)
    assert library.nuisances.max() == 1
    assert 697 <= library.energy[library.nuisances[0].argmax()] <= 700


def test_example_is_an_edge_like_the_published_one(data_dir: Path) -> None:
    # The shapes are ours; this asks only that they are hard to tell apart in the same way.
    with np.load(data_dir / "mxene_f_k_fingerprints.npz", allow_pickle=False) as file:
        published = FingerprintLibrary.from_arrays(
            file["energy"], file["intensity"], file["label"], values=file["fluorine_fraction"]
        )
    ours = FingerprintLibrary.example().resample(published.energy)
    for a, b in zip(ours.class_spectra[:3], published.class_spectra[:3], strict=True):
        assert a @ b / np.sqrt((a @ a) * (b @ b)) > 0.99
        assert 0.85 < a.max() / b.max() < 1.5
    np.testing.assert_allclose(ours.class_values, published.class_values)


def test_names_become_classes_in_order_of_appearance_or_of_class_names() -> None:
    rows, labels = np.ones((3, len(ENERGY))), ["b", "a", "b"]
    library = FingerprintLibrary.from_arrays(ENERGY, rows, labels)
    assert library.class_names == ("b", "a") and library.labels.tolist() == [0, 1, 0]
    library = FingerprintLibrary.from_arrays(ENERGY, rows, labels, class_names=["a", "b"])
    assert library.class_names == ("a", "b") and library.labels.tolist() == [1, 0, 1]


def test_values_are_per_class_or_per_fingerprint() -> None:
    rows = np.ones((3, len(ENERGY)))
    by_class = FingerprintLibrary.from_arrays(ENERGY, rows, [1, 0, 1], values=[0.1, 0.7])
    assert by_class.values is not None and by_class.class_values is not None
    assert by_class.values.tolist() == [0.7, 0.1, 0.7]
    each = FingerprintLibrary.from_arrays(ENERGY, rows, [1, 0, 1], values=[0.6, 0.1, 0.8])
    assert each.class_values is not None
    np.testing.assert_allclose(each.class_values, [0.1, 0.7])
    # One fingerprint a class: values stand beside the labels
    single = FingerprintLibrary.from_arrays(ENERGY, rows[:2], [1, 0], values=[0.6, 0.1])
    assert single.class_values is not None
    np.testing.assert_allclose(single.class_values, [0.1, 0.6])
    assert FingerprintLibrary.from_arrays(ENERGY, rows, [1, 0, 1]).class_values is None


def test_from_arrays_copies() -> None:
    rows = np.ones((2, len(ENERGY)))
    library = FingerprintLibrary.from_arrays(ENERGY, rows, [0, 1])
    rows[:] = 7
    np.testing.assert_array_equal(library.intensity, 1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        library.energy = ENERGY  # type: ignore[misc]


def test_resample_to_wide_channels_keeps_the_area() -> None:
    library = FingerprintLibrary.example()
    fine = np.arange(640.0, 760.0, 0.01)
    wide = np.arange(644.0, 760.0, 8.0)
    integrated = library.resample(wide)
    for row, new in zip(library.intensity, integrated.intensity, strict=True):
        values = np.interp(fine, library.energy, row)
        expected = values.reshape(len(wide), -1).mean(1)  # each channel is 800 fine ones
        np.testing.assert_allclose(new, expected, atol=2e-3)


def test_resample_interpolates_fingerprints_and_nuisances(small: FingerprintLibrary) -> None:
    axis = np.arange(110.1, 150.0, 0.3)
    other = small.resample(axis)
    for old, new in ((small.intensity, other.intensity), (small.nuisances, other.nuisances)):
        expected = [np.interp(axis, ENERGY, row) for row in old]
        np.testing.assert_allclose(new, expected)
    assert other.class_names == small.class_names
    np.testing.assert_array_equal(small.resample(ENERGY).intensity, small.intensity)


def test_resample_extends_by_two_channels_and_no_more(small: FingerprintLibrary) -> None:
    tilted = dataclasses.replace(small, intensity=small.intensity + np.arange(len(ENERGY)))
    wider = np.concatenate([ENERGY[0] - [0.5, 0.25], ENERGY, ENERGY[-1] + [0.25, 0.5]])
    extended = tilted.resample(wider)
    np.testing.assert_array_equal(extended.intensity[:, :2], tilted.intensity[:, :1] * [1, 1])
    np.testing.assert_array_equal(extended.intensity[:, -2:], tilted.intensity[:, -1:] * [1, 1])
    message = r"cover 100 to 159.75 eV, but the axis asked for runs from 99.25 .*narrower axis"
    with pytest.raises(ValueError, match=message):
        small.resample(np.arange(99.25, 120, 0.25))
    with pytest.raises(ValueError, match="to 161 eV"):
        small.resample(np.arange(120, 161.1, 0.25))


def test_shift_and_broadening_are_the_analytic_ones() -> None:
    # A Gaussian stays one: its centre moves by the shift, its variance grows by the square of sigma
    shift, sigma = np.array([0.0, 3.3, -7.25, 0.0]), np.array([0.0, 0.0, 4.0, 6.0])
    result = shift_and_broaden(np.stack([bump()] * 4), shift, sigma)
    for row, moved, width in zip(result, shift * 0.25, sigma * 0.25, strict=True):
        wide = np.hypot(2.0, width)
        np.testing.assert_allclose(row, bump(130 + moved, wide, 2 / wide), atol=1e-6)


def test_ends_are_continued_by_their_values() -> None:
    step = np.where(ENERGY < 130, 0.0, 2.0)
    result = shift_and_broaden(np.stack([step, np.full_like(ENERGY, 0.7)]), 5.0, 8.0)
    np.testing.assert_allclose(result[1], 0.7, atol=1e-12)
    np.testing.assert_allclose(result[0, :40], 0.0, atol=1e-9)
    np.testing.assert_allclose(result[0, -40:], 2.0, atol=1e-9)


@hypothesis.given(
    shift=st.floats(-8, 8), sigma=st.floats(0, 8), scale=st.floats(-3, 3), other=st.floats(-8, 8)
)
def test_shift_and_broaden_is_linear_and_shifts_add(
    shift: float, sigma: float, scale: float, other: float
) -> None:
    rows = np.stack([bump(125), bump(135, 3.0)])
    one = shift_and_broaden(rows, shift, sigma)
    mixed = shift_and_broaden(rows[:1] + scale * rows[1:], shift, sigma)
    np.testing.assert_allclose(mixed, one[:1] + scale * one[1:], atol=1e-9)
    np.testing.assert_allclose(
        shift_and_broaden(one, other, 0.0), shift_and_broaden(rows, shift + other, sigma), atol=1e-5
    )


def test_vary_without_variations_returns_the_fingerprints(small: FingerprintLibrary) -> None:
    still = dataclasses.replace(small, variations=Variations(0, 0, 0))
    spectra, labels, values = still.vary(400, np.random.default_rng(1))
    assert values is not None
    distance = np.abs(spectra[:, None] - small.intensity).max(axis=-1)
    nearest = distance.argmin(axis=1)
    assert distance.min(axis=1).max() < 1e-9
    np.testing.assert_array_equal(labels, small.labels[nearest])
    np.testing.assert_array_equal(values, np.array([0.5, 0.5, 0.1])[nearest])
    # Classes are equally likely, and so are the fingerprints within one: 0.25, 0.25, 0.5
    np.testing.assert_allclose(np.bincount(nearest) / 400, [0.25, 0.25, 0.5], atol=0.08)


def test_vary_has_the_stated_distribution(small: FingerprintLibrary) -> None:
    n = 6000  # more than one chunk
    varied = dataclasses.replace(small, variations=Variations(0.3, 0.5, 0.1))
    spectra, labels, _ = varied.vary(n, np.random.default_rng(2), labels=np.ones(n, dtype=int))
    np.testing.assert_array_equal(labels, 1)
    area = spectra.sum(axis=1) / small.intensity[2].sum()
    centre = spectra @ ENERGY / spectra.sum(axis=1)
    variance = spectra @ ENERGY**2 / spectra.sum(axis=1) - centre**2 - 4
    assert abs(area.mean() - 1) < 0.01 and abs(area.std() - 0.1) < 0.005
    assert abs(centre.mean() - 130) < 0.02 and abs(centre.std() - 0.3) < 0.015
    # Half-normal sigma: E[sigma^2] is the square of its scale
    assert abs(variance.mean() - 0.25) < 0.02


def test_vary_is_reproducible_and_takes_labels(small: FingerprintLibrary) -> None:
    one = small.vary(20, np.random.default_rng(3), labels=[0, 1] * 10)
    two = small.vary(20, np.random.default_rng(3), labels=[0, 1] * 10)
    np.testing.assert_array_equal(one[0], two[0])
    assert one[1].tolist() == [0, 1] * 10
    empty, labels, _ = small.vary(0, np.random.default_rng(3))
    assert empty.shape == (0, len(ENERGY)) and labels.shape == (0,)


def test_with_fingerprints_adds_to_old_and_new_classes(small: FingerprintLibrary) -> None:
    axis = np.arange(90.0, 170.0, 0.1)
    more = small.with_fingerprints(axis, np.exp(-axis / 100), [2], values=[0.9])
    assert more.n_classes == 3 and more.class_names[2] == "class 2"
    np.testing.assert_allclose(more.intensity[-1], np.exp(-ENERGY / 100), rtol=1e-6)
    assert more.values is not None and more.values.tolist() == [0.5, 0.5, 0.1, 0.9]
    same = small.with_fingerprints(ENERGY, [bump(), bump()], ["class 1", "new"], values=[0.2, 1.0])
    assert same.class_names == ("class 0", "class 1", "new")
    assert same.labels.tolist() == [0, 0, 1, 1, 2]
    inherited = small.with_fingerprints(ENERGY, bump(), [0])
    assert inherited.values is not None and inherited.values[-1] == 0.5
    assert len(small.intensity) == 3
    np.testing.assert_array_equal(more.nuisances, small.nuisances)


WORDS = {
    "value_name": "valence",
    "value_unit": "e",
    "value_range": (0.0, 8.0),
    "source": "calculated",
}


def words_of(library: FingerprintLibrary) -> dict:
    return {name: getattr(library, name) for name in WORDS}


def test_words_of_a_library_outlast_whatever_is_made_of_it(small: FingerprintLibrary) -> None:
    assert words_of(small) == {
        "value_name": "value",
        "value_unit": "",
        "value_range": (-np.inf, np.inf),
        "source": "",
    }
    rows = [bump(), bump(height=3)]
    named = FingerprintLibrary.from_arrays(ENERGY, rows, [0, 1], values=[2, 3], **WORDS)
    assert words_of(named) == WORDS
    axis = np.arange(110.0, 150.0, 0.5)
    wide = np.arange(100.0, 200.0, 0.5)
    for other in (
        named.resample(axis),
        named.with_fingerprints(ENERGY, bump(), ["new"], values=[8.0]),
        extended(named, wide),
    ):
        assert words_of(other) == WORDS
    with pytest.raises(ValueError, match=r"values run from 2 to 8.5, beyond value_range \(0, 8\)"):
        named.with_fingerprints(ENERGY, bump(), ["new"], values=[8.5])
    example = FingerprintLibrary.example()
    assert example.value_name == "fluorine fraction" and example.value_range == (0.0, 1.0)
    assert "parametric" in example.source


ROWS = np.ones((3, len(ENERGY)))
BAD = ROWS.copy()
BAD[1, 5] = np.nan


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": [0, 0, 0]}, "labels hold 1 class; .* at least two classes"),
        ({"labels": [0, 1]}, r"labels has shape \(2,\); give one label for each of the 3"),
        ({"labels": [0, 2, 2]}, r"labels are \[0, 2\] for the 3 classes .* needs a fingerprint"),
        ({"labels": [0, -1, 1]}, "no other label may occur"),
        ({"labels": ["a", "b", "c"], "class_names": ["a", "b"]}, "'c'.* not among class_names"),
        ({"class_names": ["a", "a"]}, "class_names repeats a name"),
        ({"intensity": BAD}, r"intensity holds NaN or infinity in rows \[1\]"),
        ({"intensity": ROWS[:, 1:]}, r"intensity has shape \(3, 239\); .* 240\) to fit the energy"),
        ({"intensity": "x"}, "intensity is not an array of numbers"),
        ({"energy": ENERGY[::-1]}, "energy does not ascend strictly; sort the axis"),
        ({"energy": ENERGY * np.nan}, "energy holds NaN or infinity"),
        ({"energy": ENERGY[None]}, r"energy has shape \(1, 240\); give a 1-D axis"),
        ({"values": [1, 2, 3, 4]}, r"values has shape \(4,\); give one a class \(2,\)"),
        ({"values": [1, np.inf]}, "values holds NaN or infinity"),
        ({"nuisances": np.ones(7)}, r"nuisances has shape \(1, 7\)"),
        (
            {"values": [-0.1, 1], "value_range": (0, 1)},
            r"values run from -0.1 to 1, beyond value_range \(0, 1\); give a range that holds",
        ),
        ({"value_range": (1, 0)}, r"value_range must be two numbers .* got \(1, 0\)"),
        ({"value_range": (1, 1)}, "value_range must be two numbers"),
        ({"value_range": (0, np.nan)}, "value_range must be two numbers"),
        ({"value_range": 3}, "value_range must be two numbers .* got 3"),
        ({"value_range": (0, 1, 2)}, "value_range must be two numbers"),
        ({"value_name": " "}, "value_name is empty; give the quantity"),
    ],
)
def test_wrong_arrays_are_named(change: dict, message: str) -> None:
    arguments = {"energy": ENERGY, "intensity": ROWS, "labels": [0, 1, 1], **change}
    with pytest.raises(ValueError, match=message):
        FingerprintLibrary.from_arrays(**arguments)


def test_wrong_calls_are_named(small: FingerprintLibrary, rng: np.random.Generator) -> None:
    with pytest.raises(TypeError, match="labels has dtype float64; give integers"):
        FingerprintLibrary.from_arrays(ENERGY, ROWS, [0.0, 1.0, 1.0])
    for name in ("value_name", "value_unit", "source"):
        with pytest.raises(TypeError, match=f"{name} is a int; give words"):
            FingerprintLibrary.from_arrays(ENERGY, ROWS, [0, 1, 1], **{name: 3})
    with pytest.raises(ValueError, match=r"labels has shape \(2,\); give one class .* n = 3"):
        small.vary(3, rng, labels=[0, 1])
    with pytest.raises(ValueError, match=r"labels run from 0 to 2; classes are 0..1"):
        small.vary(2, rng, labels=[0, 2])
    with pytest.raises(TypeError, match="labels has dtype float64"):
        small.vary(1, rng, labels=[0.5])
    with pytest.raises(ValueError, match="n must be a whole number of at least 0, got -1"):
        small.vary(-1, rng)
    uneven = small.resample(np.concatenate([ENERGY[:50], ENERGY[60:]]))
    with pytest.raises(ValueError, match="not uniform; call resample"):
        uneven.vary(2, rng)
    with pytest.raises(ValueError, match="values is missing; a new class needs one"):
        small.with_fingerprints(ENERGY, bump(), [2])
    with pytest.raises(ValueError, match=r"values has shape \(5,\)"):
        small.with_fingerprints(ENERGY, bump(), [2], values=[1.0, 2.0])
    with pytest.raises(ValueError, match="this library has no values"):
        dataclasses.replace(small, values=None).with_fingerprints(ENERGY, bump(), [0], values=[1])
    with pytest.raises(ValueError, match=r"cover 120 to 159.75 eV"):
        small.with_fingerprints(ENERGY[80:], bump()[80:], [0])
    with pytest.raises(ValueError, match=r"labels has shape \(2,\); give one label for each of"):
        small.with_fingerprints(ENERGY, bump(), [0, 1])
    for name in ("shift", "broadening", "intensity"):
        with pytest.raises(ValueError, match=rf"Variations\.{name} is -0.1"):
            Variations(**{name: -0.1})
