"""What a program has set in torch changes no number: its default dtype, gradients switched off."""

import ast
import contextlib
import functools
import importlib.util

import numpy as np
import pytest
import torch

import eels_bayes as eb
from helpers import tiny_models

pytestmark = pytest.mark.filterwarnings("ignore:fit:UserWarning")
QUANTITIES = ("probabilities", "total", "encoder", "novelty", "value", "value_sd", "latent_sd")


@contextlib.contextmanager
def double_precision():
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


MODES = {
    "float64": double_precision,
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
}


def of_prediction(name, pred):
    return {f"{name}.{quantity}": getattr(pred, quantity) for quantity in QUANTITIES}


def of_reading(name, reading):
    return {f"{name}.{field}": values for field, values in reading._asdict().items()}


def of_model(folder):
    """Preprocessing, fit, predict, update, save and load, and a diagnostic that differentiates."""
    spectra = tiny_models.preprocessor()(tiny_models.signals(), show_progressbar=False)
    numbers = {name: getattr(spectra, name) for name in ("intensity", "sd", "profile", "spike")}
    clf = tiny_models.unfitted().fit(spectra, show_progressbar=False)
    numbers |= tiny_models.model_numbers(clf)
    pred = clf.predict(spectra, show_progressbar=False)
    numbers |= of_prediction("pixel", pred)
    of_image = clf.predict(spectra, context="image", show_progressbar=False)
    numbers |= of_prediction("image", of_image)
    numbers["denoised"] = np.stack(clf.denoise(spectra, n_draws=5)[1:])
    numbers["drawn"] = pred.joint.draw(3)
    clf.save(folder / "model.eels")
    loaded = eb.load_model(folder / "model.eels")
    numbers |= of_prediction("loaded", loaded.predict(spectra, show_progressbar=False))
    numbers["gain"] = eb.active.encoder_gain(loaded, spectra, n_draws=2)
    sampled = eb.diagnostics.nuts(loaded, spectra[:2], n_draws=4, n_warmup=4, n_chains=2, seed=0)
    numbers["nuts"] = sampled.mean
    clf.update(spectra[[0, 1]], [0, "another"], show_progressbar=False)
    return numbers | of_prediction("updated", clf.predict(spectra, show_progressbar=False))


def of_fast_path(folder):
    """Compiled, saved and loaded, by both heads and all backends that take seconds."""
    spectra = tiny_models.spectra()
    clf = tiny_models.fitted()
    numbers = {}
    backends = ["torchscript"] + ["onnx"] * (importlib.util.find_spec("onnxruntime") is not None)
    for backend in backends:
        for head in ("gp", "dense"):
            fast = clf.compile(
                spectra.preprocessor,
                energy=tiny_models.energy(),
                head=head,
                backend=backend,
                show_progressbar=False,
            )
            name = f"{backend} {head}"
            numbers |= of_reading(name, fast(tiny_models.counts()))
            numbers |= of_reading(f"{name} shift", fast(tiny_models.counts()[0], 0.3))
            fast.save(folder / "model.fast")
            loaded = eb.load_fast(folder / "model.fast")
            numbers |= of_reading(f"{name} loaded", loaded(tiny_models.counts(), 0.0))
    live = eb.LiveClassifier(loaded, drift=2)
    results = list(live.run(iter(tiny_models.counts()[:4])))
    return numbers | {"live": np.stack([result.reading.probabilities for result in results])}


def of_parts(folder):
    """A Gaussian process by itself."""
    latents = torch.linspace(-1.0, 1.0, 20, dtype=torch.float32).unsqueeze(1)
    labels = (latents[:, 0] > 0).long()
    gp = eb.fit_gp(latents, labels, 2, n_inducing=4, steps=5, show_progressbar=False)
    return {"mean": gp.latent_function(latents)[0].numpy()}


@functools.cache
def plain(path, folder):
    return path(folder)


@pytest.mark.parametrize("path", [of_model, of_fast_path, of_parts])
@pytest.mark.parametrize("mode", MODES)
def test_numbers_are_those_of_a_plain_run(mode, path, tmp_path, tmp_path_factory):
    expected = plain(path, tmp_path_factory.getbasetemp())
    with MODES[mode]():
        found = path(tmp_path)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert np.asarray(found[name]).dtype == np.asarray(values).dtype, name
        np.testing.assert_array_equal(found[name], values, err_msg=name)


@pytest.mark.parametrize("mode", MODES)
def test_settings_are_as_they_were(mode):
    def settings():
        return torch.get_default_dtype(), torch.is_grad_enabled(), torch.is_inference_mode_enabled()

    with MODES[mode]():
        before = settings()
        of_parts(None)
        tiny_models.unfitted().fit(tiny_models.spectra(), show_progressbar=False)
        assert settings() == before


MADE_IN_THE_DEFAULT = {"empty", "eye", "full", "linspace", "ones", "rand", "randn", "zeros"}


def test_no_tensor_is_made_in_the_default_dtype(project_root):
    found = []
    for path in sorted((project_root / "eels_bayes").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            module, _, name = ast.unparse(node.func).rpartition(".")
            keywords = {keyword.arg for keyword in node.keywords}
            if module == "torch" and name in MADE_IN_THE_DEFAULT and "dtype" not in keywords:
                found.append(f"{path.name}:{node.lineno}: {ast.unparse(node)}")
    assert not found, "\n".join(found)
