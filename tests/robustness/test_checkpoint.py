"""A fit that is killed at any moment goes on from its checkpoint, to the same model bit for bit."""

import dataclasses
import json

import numpy as np
import pytest

import eels_bayes as eb
from eels_bayes import tensor_file, training
from eels_bayes.classifier import checkpoint, fitting, heads, learning
from helpers import tiny_models

pytestmark = pytest.mark.filterwarnings("ignore:fit:UserWarning")

EPOCHS = 3
EFFORT = dataclasses.replace(
    tiny_models.EFFORT, vae=eb.Schedule(epochs=EPOCHS, steps=4, patience=EPOCHS)
)
# Each stage writes once when it ends, the VAE after each epoch besides, and the fit as it begins.
WRITES = ["begin", "forward model", *["epoch"] * EPOCHS, "VAE", "encoder", "value", "GP", "novelty"]


def new(**options):
    return tiny_models.unfitted(**{"effort": EFFORT} | options)


@pytest.fixture(scope="module")
def whole():
    """The same fit, never interrupted and without a checkpoint."""
    return new().fit(tiny_models.spectra(), show_progressbar=False)


class Killed(BaseException):
    """What no code of the package catches."""


def killed_after(monkeypatch, n):
    """End the program, as it were, when so many checkpoints are on the disk; what was written."""
    write, written = tensor_file.write, []

    def wrapped(path, *parts):
        write(path, *parts)
        written.append(path)
        if len(written) == n:
            raise Killed

    monkeypatch.setattr(tensor_file, "write", wrapped)
    return written


def counted(monkeypatch, owner, name):
    """The calls of a function from now on."""
    original, calls = getattr(owner, name), []

    def wrapped(*args, **options):
        calls.append(name)
        return original(*args, **options)

    monkeypatch.setattr(owner, name, wrapped)
    return calls


def test_a_checkpoint_changes_nothing_and_is_written_at_each_step(whole, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        written = killed_after(patch, 0)
        clf = new().fit(tiny_models.spectra(), checkpoint=tmp_path / "c", show_progressbar=False)
    assert len(written) == len(WRITES)
    tiny_models.same_numbers(tiny_models.model_numbers(clf), tiny_models.model_numbers(whole))
    assert clf.history == whole.history


@pytest.mark.parametrize("n", range(1, len(WRITES) + 1))
def test_killed_after_any_write_it_goes_on(whole, tmp_path, monkeypatch, n):
    path = tmp_path / "fit.checkpoint"
    with monkeypatch.context() as patch:
        killed_after(patch, n)
        with pytest.raises(Killed):
            new().fit(tiny_models.spectra(), checkpoint=path, show_progressbar=False)
    with monkeypatch.context() as patch:
        calls = [
            counted(patch, owner, name)
            for owner, name in (
                (fitting, "fit_forward_model"),
                (training, "_epoch"),
                (learning, "fit_noisy_encoder"),
                (heads, "fit_value"),
                (heads, "fit_gp"),
                (learning, "fit_novelty"),
            )
        ]
        clf = new().fit(tiny_models.spectra(), checkpoint=path, show_progressbar=False)
    tiny_models.same_numbers(tiny_models.model_numbers(clf), tiny_models.model_numbers(whole))
    assert clf.history == whole.history
    done = WRITES[:n]  # is not done again
    stages = ("forward model", "epoch", "encoder", "value", "GP", "novelty")
    all_calls = [EPOCHS if stage == "epoch" else 1 for stage in stages]
    left = [n - done.count(stage) for n, stage in zip(all_calls, stages, strict=True)]
    assert [len(c) for c in calls] == left


def test_it_goes_on_after_both_kinds_of_interruption(whole, tmp_path, monkeypatch):
    """Ctrl-C without a checkpoint, and then one: what is in memory is written first."""
    clf, path = new(), tmp_path / "fit.checkpoint"
    with monkeypatch.context() as patch:

        def stopped(*_, **__):
            raise KeyboardInterrupt

        patch.setattr(learning, "fit_noisy_encoder", stopped)
        with pytest.raises(KeyboardInterrupt):
            clf.fit(tiny_models.spectra(), show_progressbar=False)
        with pytest.raises(KeyboardInterrupt):
            clf.fit(tiny_models.spectra(), checkpoint=path, show_progressbar=False)
    with monkeypatch.context() as patch:
        again = counted(patch, fitting, "fit_forward_model")
        fresh = new().fit(tiny_models.spectra(), checkpoint=path, show_progressbar=False)
    assert not again
    tiny_models.same_numbers(tiny_models.model_numbers(fresh), tiny_models.model_numbers(whole))


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A checkpoint of a fit that has its forward model."""
    path = tmp_path_factory.mktemp("begun") / "fit.checkpoint"
    with pytest.MonkeyPatch.context() as patch:
        killed_after(patch, 2)
        with pytest.raises(Killed):
            new().fit(tiny_models.spectra(), checkpoint=path, show_progressbar=False)
    return path


def brighter():
    library = eb.FingerprintLibrary.example()
    library = dataclasses.replace(library, intensity=1.01 * library.intensity)
    return eb.EELSClassifier(library, latent_dim=2, effort=EFFORT)


@pytest.mark.parametrize(
    ("name", "another", "first"),
    [
        ("spectra", new, 1),
        ("options", lambda: new(seed=1), 0),
        ("options", lambda: new(latent_dim=3), 0),
        ("options", lambda: new(effort=tiny_models.EFFORT), 0),
        ("options", lambda: new(class_weights=[1, 1, 1, 2]), 0),
        ("library", brighter, 0),
    ],
)
def test_the_checkpoint_of_another_fit_is_refused_and_stays(begun, name, another, first):
    before, spectra = begun.read_bytes(), tiny_models.spectra()[first:]
    with pytest.raises(ValueError, match=f"checkpoint of a fit with other {name}; name another"):
        another().fit(spectra, checkpoint=begun, show_progressbar=False)
    assert begun.read_bytes() == before


def test_a_damaged_checkpoint_is_refused(begun, tmp_path):
    path, whole = tmp_path / "fit.checkpoint", begun.read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.integers(len(whole), size=5):
        changed = bytearray(whole)
        changed[place] ^= 1
        path.write_bytes(changed)
        with pytest.raises(ValueError, match="checkpoint"):
            new().fit(tiny_models.spectra(), checkpoint=path, show_progressbar=False)


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors, config: tensors.pop("forward.mean"),
        lambda tensors, config: config.pop("variations"),
        lambda tensors, config: config.update(vae={}),
        lambda tensors, config: tensors.update({"forward.mean": tensors["forward.mean"][:-1]}),
        lambda tensors, config: tensors.update({"forward.mean": tensors["forward.mean"].float()}),
    ],
)
def test_one_whose_parts_do_not_fit_says_what_would_do(begun, tmp_path, change):
    path = tmp_path / "fit.checkpoint"
    tensors, config = tensor_file.read(begun, checkpoint.KIND)
    change(tensors, config)
    tensor_file.write(path, checkpoint.KIND, tensors, config)
    with pytest.raises(ValueError, match=r"no fit that can go on.*remove it to begin anew"):
        new().fit(tiny_models.spectra(), checkpoint=path, show_progressbar=False)


def test_a_model_file_is_no_checkpoint_and_is_not_written_over(whole, tmp_path):
    path = tmp_path / "model.eels"
    whole.save(path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="'fit under way' is asked for, and it holds 'classifier'"):
        new().fit(tiny_models.spectra(), checkpoint=path, show_progressbar=False)
    assert path.read_bytes() == before


def test_a_folder_that_is_not_there_is_said_before_the_fit(tmp_path, monkeypatch):
    calls = counted(monkeypatch, fitting, "fit_forward_model")
    with pytest.raises(FileNotFoundError, match="does not exist; make it first"):
        new().fit(tiny_models.spectra(), checkpoint=tmp_path / "none" / "c", show_progressbar=False)
    assert not calls


def test_a_full_disk_does_not_end_the_fit(whole, tmp_path, monkeypatch):
    write, calls = tensor_file.write, []

    def full(*parts):
        calls.append(1)
        if 2 <= len(calls) <= 3:
            raise OSError(28, "No space left on device")
        write(*parts)

    monkeypatch.setattr(tensor_file, "write", full)
    path = tmp_path / "fit.checkpoint"
    with pytest.warns(UserWarning, match="checkpoint not written .*No space left.*the fit goes on"):
        clf = new().fit(tiny_models.spectra(), checkpoint=path, show_progressbar=False)
    tiny_models.same_numbers(tiny_models.model_numbers(clf), tiny_models.model_numbers(whole))
    assert json.dumps(clf.history) == json.dumps(whole.history)
