"""Bad arguments of the public names: an error of our own that says which, and what would do.

One row is a call and what its error must say. Whatever is made of numbers that are only compared,
NaN among them, would else pass every comparison and end as another result.
"""

import functools
from dataclasses import fields

import numpy as np
import pytest
import torch

import eels_bayes as eb
from eels_bayes import active, diagnostics, metrics, plots, simulate
from helpers import tiny_models

pytestmark = pytest.mark.filterwarnings("ignore:fit:UserWarning")

NAN, INF = float("nan"), float("inf")
NO_WHOLE = (NAN, INF, -INF, -1, 2.5, "3", True, None, [2], 1j)  # of at least 0, and so of 1 or 2
NO_SHARE = (NAN, INF, 0, 1, -0.5, 1.5, "0.9", True, None, [0.5])
NEGATIVE = (NAN, INF, -INF, -1.0, "1", True, None, [1.0], 1j)
NOT_POSITIVE = (*NEGATIVE, 0.0)
NO_WINDOW = (
    (NAN, 700),
    (600, INF),
    (700, 600),
    (600, 600),
    (600,),
    (600, 650, 700),
    "67",
    ("600", "700"),
    (True, 700),
    600,
    {},
)
OUR_ERRORS = (TypeError, ValueError)


@functools.cache
def prediction():
    return tiny_models.fitted().predict(tiny_models.spectra(), show_progressbar=False)


def preprocessor(**options):
    return eb.Preprocessor(**{"window": (677, 737), "dispersion": 1.0} | options)


def denoise(**options):
    return tiny_models.fitted().denoise(tiny_models.spectra(), **options)


def diagnostic(name, **options):
    return getattr(diagnostics, name)(tiny_models.fitted(), tiny_models.spectra(), **options)


def compare_priors(**options):
    clf = tiny_models.fitted()
    return diagnostics.compare_priors(clf, clf, tiny_models.spectra(), **options)


def gain(**options):
    return active.encoder_gain(tiny_models.fitted(), tiny_models.spectra(), **options)


def fit_gp(n_classes=2, **options):
    latents = torch.linspace(-1.0, 1.0, 8, dtype=torch.float32).unsqueeze(1)
    labels = torch.tensor([0, 1] * 4)
    return eb.fit_gp(latents, labels, n_classes, show_progressbar=False, **options)


def loop(**options):
    clf = tiny_models.fitted()
    return active.ActiveLoop(clf, tiny_models.spectra(), str, **{"budget": 3} | options)


def live(**options):
    return eb.LiveClassifier(tiny_models.compiled(), **options)


def compiled(**options):
    clf = tiny_models.fitted()
    given = {"preprocessor": clf.preprocessor, "energy": tiny_models.energy()} | options
    return clf.compile(given.pop("preprocessor"), show_progressbar=False, **given)


def update(new, labels=None, **options):
    return tiny_models.fitted_copy().update(new, labels, show_progressbar=False, **options)


def fit(spectra):
    return tiny_models.unfitted().fit(spectra, show_progressbar=False)


def predict(spectra=None, **options):
    spectra = tiny_models.spectra() if spectra is None else spectra
    return tiny_models.fitted().predict(spectra, show_progressbar=False, **options)


def library(**options):
    energy = np.arange(600.0, 800.0)
    given = {
        "energy": energy,
        "intensity": np.ones((2, len(energy))),
        "labels": ["a", "b"],
    } | options
    return eb.FingerprintLibrary.from_arrays(**given)


def vary(n):
    return eb.FingerprintLibrary.example().vary(n, np.random.default_rng(0))


def score(name, probabilities=((0.5, 0.5), (0.2, 0.8)), labels=(0, 1), **options):
    return getattr(metrics, name)(probabilities, labels, **options)


P = functools.partial
WHOLE = {  # argument: calls that take it, with the least that it can be
    "seed": [
        (tiny_models.unfitted, 0),
        (denoise, 0),
        (fit_gp, 0),
        (gain, 0),
        (loop, 0),
        (lambda **o: active.batch_bald(prediction(), 2, **o), 0),
        (lambda **o: active.epig(prediction(), **o), 0),
        (lambda **o: active.random(prediction(), **o), 0),
        (lambda **o: prediction().to_inference_data(**o), 0),
        (P(diagnostic, "nuts"), 0),
        (P(diagnostic, "active_units"), 0),
        (P(diagnostic, "posterior_predictive"), 0),
        (P(diagnostic, "known_pixels"), 0),
        (P(diagnostic, "simulation_based_calibration"), 0),
        (P(diagnostic, "support_distance"), 0),
        (compare_priors, 0),
        (lambda **o: diagnostics.mmd(np.ones((3, 1)), np.ones((3, 1)), **o), 0),
        (simulate.annealing_series, 0),
    ],
    "latent_dim": [(tiny_models.unfitted, 1), (lambda **o: eb.SpectrumVAE(60, **o), 1)],
    "n_channels": [(eb.SpectrumVAE, 1)],
    "n_draws": [
        (denoise, 1),
        (gain, 1),
        (P(diagnostic, "nuts"), 4),
        (P(diagnostic, "posterior_predictive"), 1),
        (P(diagnostic, "simulation_based_calibration"), 1),
        (compare_priors, 1),
        (lambda **o: diagnostics.uniformity([0, 1], **o), 1),
    ],
    "n_warmup": [(P(diagnostic, "nuts"), 1)],
    "n_chains": [(P(diagnostic, "nuts"), 2)],
    "n": [
        (vary, 0),
        (P(diagnostic, "known_pixels"), 1),
        (P(diagnostic, "simulation_based_calibration"), 1),
        (P(diagnostic, "support_distance"), 1),
    ],
    "n_permutations": [
        (P(diagnostic, "support_distance"), 1),
        (lambda **o: diagnostics.mmd(np.ones((3, 1)), np.ones((3, 1)), **o), 1),
    ],
    "n_functions": [
        (lambda **o: active.batch_bald(prediction(), 2, **o), 1),
        (lambda **o: active.epig(prediction(), **o), 1),
    ],
    "k": [(lambda **o: active.batch_bald(prediction(), **o), 1)],
    "budget": [(loop, 1)],
    "batch_size": [(loop, 1), (live, 1), (fit_gp, 1)],
    "queue_size": [(live, 1)],
    "threads": [(live, 1)],
    "n_classes": [(fit_gp, 2)],
    "n_inducing": [(fit_gp, 2)],
    "steps": [(fit_gp, 1), (P(eb.Schedule, 3), 1)],
    "epochs": [(P(eb.Schedule, steps=3), 1)],
    "patience": [(P(eb.Schedule, 3, 3), 1)],
    "draws": [(lambda **o: prediction().to_inference_data(**o), 1)],
    "chains": [(lambda **o: prediction().to_inference_data(**o), 1)],
    "n_bins": [(P(score, "ece"), 1), (P(score, "reliability"), 1)],
    "n_images": [(simulate.annealing_series, 1)],
    **{
        field.name: [(eb.Effort, 1)]
        for field in fields(eb.Effort)
        if isinstance(field.default, int)
    },
}
SHARES = {
    "level": [denoise, lambda **o: prediction().value_interval(**o)],
}
POSITIVE = {
    "dispersion": [preprocessor],
    "unit": [preprocessor],
    "align_to": [P(preprocessor, align=(565, 600))],
    "learning_rate": [P(eb.Schedule, 3, 3), fit_gp],
    "gp_learning_rate": [eb.Effort],
    "scale": [lambda **o: eb.SpectrumVAE(60, **o)],
    "dose": [
        simulate.annealing_series,
        P(diagnostic, "known_pixels"),
        P(diagnostic, "simulation_based_calibration"),
    ],
    "bandwidth": [lambda **o: diagnostics.mmd(np.ones((3, 1)), np.ones((3, 1)), **o)],
}
MAY_BE_NONE = {"dispersion", "align_to", "dose", "bandwidth"}
WINDOWS = ("window", "background", "normalize", "align")
CHOICES = {
    "prior": [tiny_models.unfitted],
    "likelihood": [tiny_models.unfitted, lambda **o: eb.SpectrumVAE(60, **o)],
    "context": [predict],
    "head": [compiled],
    "backend": [compiled, lambda **o: saved_and_loaded(**o)],
    "policy": [live],
    "acquisition": [loop],
    "align_by": [preprocessor],
    "background_model": [preprocessor],
    "noise": [preprocessor],
}


def saved_and_loaded(**options):
    """`load_fast` of a good file with bad options."""
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.fast"
        tiny_models.compiled().save(path)
        return eb.load_fast(path, **options)


def of_numbers():
    """Rows (name, call without arguments, what the error says) of arguments that are numbers."""
    kinds = [
        (SHARES, NO_SHARE),
        (POSITIVE, NOT_POSITIVE),
        (CHOICES, ("none of these", 1, NAN, ["gp"])),
        ({name: [preprocessor] for name in WINDOWS}, NO_WINDOW),
    ]
    for calls, values in kinds:
        for name, call in ((key, call) for key in calls for call in calls[key]):
            for value in values:
                if value is not None or name not in MAY_BE_NONE:
                    yield row(name, call, value)
    for name, (call, least) in ((key, given) for key in WHOLE for given in WHOLE[key]):
        for value in (*NO_WHOLE, *range(least)):
            yield row(name, call, value)
    for kind in (eb.Costs, eb.Variations):
        for field in fields(kind):
            for value in NEGATIVE:
                yield row(field.name, kind, value, rf"{kind.__name__}\.{field.name} ")


def row(name, call, value, text=None):
    """One row of the table: a call with one argument that cannot be."""
    return f"{name}={value!r:.30}", P(call, **{name: value}), text or rf"{name}\b"


def of_classifiers():
    """Rows about what classifiers are made of and given."""
    for value in ("cuda:77", "nowhere", 1.5, None, [0]):
        yield row("device", tiny_models.unfitted, value, "device is .* is needed")
    if not torch.cuda.is_available():
        text = "device is 'cuda'.*no graphics card is seen"
        yield row("device", tiny_models.unfitted, "cuda", text)
    for value in ([1, 2], [1, 2, 3, NAN], [1, 1, 1, INF], [-1, 1, 1, 1], "abcd", [[1] * 4]):
        yield row("class_weights", tiny_models.unfitted, value)
        yield row("class_weights", predict, value)
    for value in ("library", None, [1]):
        yield f"library={value!r}", P(eb.EELSClassifier, value), "library is a"
    for value in ("quick", None, 3):
        yield row("effort", tiny_models.unfitted, value, "effort is a")
        yield row("vae", eb.Effort, value, "vae is a")
        yield row("dense", eb.Effort, value, "dense is a")
        yield row("spectra", predict, value or 0, "spectra is a")
        yield f"fit {value!r}", P(fit, value), "spectra is a"
        yield row("preprocessor", compiled, value, "preprocessor is a")
    for value in ([NAN, 1], [2, 1], [1], "ab", None, [[1, 2]], [1, 2, 4]):
        yield row("energy", compiled, value, "energy ")
    for value in (0, NAN, (0, 1), (NAN, 0), (1, -1), (INF, 0), "abc", ("a", 1), (True, 0), ()):
        yield row("noise", preprocessor, value, "noise is")
        yield row("noise", compiled, value, "noise is")
    latents = np.zeros((1, 2))
    for labels in (None, [], [9], [-1], [0.5], [True], [None], [""], ["a", "b"], [[0]], NAN):
        yield f"labels={labels!r}", P(update, latents, labels), "label"
    shapes = (np.zeros(2), np.zeros((1, 3)), np.zeros((0, 2)))
    for bad in (*shapes, [[NAN, 0]], [[1e9, 0]], "ab", None, [[1j, 0]]):
        yield f"latents={bad!r}", P(update, bad, [0]), "latents "
    yield "update library", P(update, eb.FingerprintLibrary.example()), "give the spectra"
    for frames in (3, [], [1], {"a"}):
        yield row("frames", preprocessor, frames, "frames is")
    for dropout in (NAN, 1.0, -0.1, "a", True):
        yield row("dropout", P(eb.SpectrumVAE, 60), dropout)


def of_readings():
    """Rows about the fast path, streams and what is made of predictions."""

    def fast(counts=None, **options):
        return tiny_models.compiled()(counts, **options)

    def shifted(shift):
        return fast(tiny_models.counts(), shift=shift)

    def some(index, of=prediction):
        return of()[index]

    def decide(gain):
        return eb.decide(prediction(), gain=gain)

    def run(source):
        return live().run(source)

    def image(quantity):
        return prediction().map(quantity)

    coverage = P(diagnostics.interval_coverage, [0.0], [1.0], [0.0])
    no_counts = (np.zeros(3), np.zeros((2, 3, 4)), "abc", None, np.zeros((1, 1600), complex))
    no_index = ("a", None, 1.5, [0.5], np.zeros((2, 2), int))
    table = [
        ("shift", shifted, ("a", [0.0], [[0.0]], 1j)),
        ("counts", fast, no_counts),
        ("drift", live, (0, -1, 2.5, NAN, "3", True)),
        ("source", run, (None, 3, 2.5)),
        ("gain", decide, ("a", [1.0], [[1.0]], [NAN] * 40, [None] * 40)),
        ("frames", gain, (0, -1, NAN, INF, "a", [1, 2], None)),
        ("quantity", image, ("nothing", None, 3)),
        ("index", some, no_index),
        ("index", P(some, of=tiny_models.spectra), no_index),
        ("levels", coverage, (NAN, [0.0], [1.0], [-1], "a", [None])),
        ("threshold", P(diagnostic, "active_units"), NEGATIVE),
    ]
    for name, call, values in table:
        for value in values:
            yield row(name, call, value)


def of_libraries():
    """Rows about fingerprints."""
    energy = np.arange(600.0, 800.0)
    for bad in (NAN, "a", None, np.ones((3, 200)), np.full((2, 200), NAN), np.ones((2, 3))):
        yield f"intensity={bad!r:.20}", P(library, intensity=bad), "intensity|labels"
    for bad in (energy[:3], energy[::-1], np.full(200, NAN), "a", None):
        yield f"energy={bad!r:.20} of library", P(library, energy=bad), "energy|intensity"
    for bad in (["a"], ["a", "b", "c"], None, [0.5, 1.5], [0, -1]):
        yield f"labels={bad!r} of library", P(library, labels=bad), "label|class"
    for bad in ([1.0], [NAN, 1.0], ["a", "b"], [INF, 0.0], 3.0):
        yield f"values={bad!r}", P(library, values=bad), "values"
    for bad in ((1, 0), (NAN, 1), "ab", 1, (0,), ("0", "1")):
        yield (
            f"value_range={bad!r}",
            P(library, values=[0.0, 1.0], value_range=bad),
            "value_range",
        )
    yield "variations", P(library, variations=3), "variations"


def of_metrics():
    """Rows about scores of probabilities."""
    for name in ("accuracy", "brier", "ece", "nll", "reliability", "summary"):
        for bad in ([[0.5, 0.6]], [[NAN, 1.0]], [0.5, 0.5], "a", None, [[1.5, -0.5]]):
            yield f"{name} p={bad!r}", P(score, name, bad, [0]), "probabilities"
        for bad in ([0], [0, 5], [-1, 0], [0.5, 0], ["a", "b"], None):
            yield f"{name} y={bad!r}", P(score, name, labels=bad), "labels"


def of_files():
    """Rows about files, and the axes of what they hold."""

    def calibrate(signal=None, **options):
        signal = tiny_models.signals()[0] if signal is None else signal
        return eb.calibrate_axis(signal, **{"edge": "F_K"} | options)

    for bad in ("", None, 3, (700, 600), (NAN, 700), (600,), True, ("a", "b")):
        yield row("edge", calibrate, bad, "edge")
    for bad in (NAN, INF, "a", "700", [1.0], True, 1j):
        yield row("energy", calibrate, bad, "energy")
    for bad in ("none", 1, None, ["onset"]):
        yield row("feature", calibrate, bad, "feature")
    for bad in (3, "a", [], [None], np.zeros((2, 3))):
        yield f"signal={bad!r:.20}", P(calibrate, bad), "signal|None"
    for load in (eb.load_model, eb.load_fast):
        for bad in (None, 3, 1.5, True, "", b"model", ["model"]):
            yield f"{load.__name__} {bad!r}", P(load, bad), "path is"
    for field in fields(simulate.Process):
        for bad in (NAN, INF, -INF, "1", True, None, [1.0], 1j):
            yield row(field.name, simulate.Process, bad, rf"Process\.{field.name} ")


def of_figures():
    """Rows about arrays to be drawn."""
    square, latents = np.arange(6.0).reshape(2, 3), np.arange(24.0).reshape(8, 3) % 5

    def bands(**options):
        names = ("mean", "lower", "upper")
        given = {"energy": [1.0, 2, 3], "class_names": ("a", "b")} | dict.fromkeys(names, square)
        return plots.spectra_bands(**given | options)

    def latent(**options):
        given = {"points": latents, "labels": [0, 1] * 4, "class_names": ("a", "b")}
        return plots.latent(**given | options)

    def inspection(**options):
        given = {"energy": [1.0, 2, 3], "mean": [1.0, 2, 3], "bands": {"window": (1, 2)}}
        return plots.inspection(**given | options)

    def reliability(probabilities=((0.5, 0.5),), labels=(0,), **options):
        return plots.reliability(probabilities, labels, **options)

    components = P(latent, component_mean=latents[:4])
    no_numbers = ("a", [1j] * 3, [["a"] * 3] * 2, None)
    no_classes = ("a", None, [0.5] * 8, [5] * 8, ["a"] * 8, [True] * 8)
    table = [
        *((name, bands, no_numbers) for name in ("energy", "mean", "lower", "upper")),
        ("fingerprints", bands, no_numbers[:-1]),
        ("level", bands, NO_SHARE),
        *((name, inspection, no_numbers) for name in ("energy", "mean", "levels", "variances")),
        ("levels", inspection, ([1.0, 2.0], [[1.0]])),
        ("points", latent, (*no_numbers, [1.0, 2.0], latents[:3])),
        ("labels", latent, no_classes),
        ("seed", latent, (-1, 2.5, "a", True)),
        ("component_mean", latent, ("a", [1.0, 2], np.full((4, 3), NAN), latents[:, :2])),
        ("component_sd", components, ("a", [1.0, 2], -np.ones((4, 3)), np.full((4, 3), NAN))),
        ("component_labels", components, ("a", [0.5] * 4, [9] * 4, [0])),
        ("probabilities", reliability, ("a", None, [0.5, 0.5], [[0.5, 0.9]], [[1j, 0]])),
        ("labels", reliability, ("a", None, [0.5], [5], [-1], ["a"], [NAN])),
        ("n_bins", reliability, (*NO_WHOLE, 0)),
        ("limits", P(plots.maps, [square]), ((1, 0), (NAN, 1), "ab", (0,), 3)),
        ("columns", P(plots.maps, [square]), (0, -1, 2.5, "a")),
    ]
    for name, call, values in table:
        for value in values:
            yield row(name, call, value)
    for bad in ("a", [["a", "b"]], np.full((2, 2), 1j), [], [[[1.0]]]):
        yield f"maps {bad!r:.20}", P(plots.maps, [bad]), "images"
        yield f"series_maps {bad!r:.20}", P(plots.series_maps, [[bad]], ("a",), ("b",)), "images"
    for bad in ([[0.5, 1.0]], [[0, 5]], [[NAN, 0.0]], [[True, False]], [["a"]]):
        yield f"class_maps {bad!r}", P(plots.class_maps, bad, ("a", "b")), "labels"
    for bad in ({}, {"a": ([0, 1], [0])}, {"a": ([], [])}, {"a": ("ab", "cd")}, {"a": ([1j], [1])}):
        yield f"risk_coverage {bad!r}", P(plots.risk_coverage, bad), "curves|coverage"
    for bad in ({}, {"training": "ab"}, {"training": [1j]}, {"training": []}):
        yield f"history {bad!r}", P(plots.history, bad), "history"


ROWS = [
    *of_numbers(),
    *of_classifiers(),
    *of_readings(),
    *of_libraries(),
    *of_metrics(),
    *of_files(),
    *of_figures(),
]


@pytest.mark.parametrize(("call", "text"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_bad_input_is_refused(call, text):
    with pytest.raises(OUR_ERRORS, match=text) as caught:
        call()
    # raised by us, not by what would have stumbled over it later
    assert "eels_bayes" in caught.traceback[-1].path.parts


def test_the_table_is_large():
    assert len(ROWS) > 1000
