"""``import eels_bayes`` is light, and its lazy names are what the type checker and users see."""

import ast
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

import eels_bayes

HEAVY = {"torch", "pyro", "gpytorch", "hyperspy", "exspy", "matplotlib", "sklearn", "scipy"}
HEAVY |= {"numpy", "xarray", "arviz", "pandas", "dask", "safetensors", "tqdm"}


def loaded_by(code: str, root: Path) -> set[str]:
    """Top-level packages in a fresh interpreter after running `code`."""
    script = f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True
    )
    return {name.partition(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}


def test_import_loads_no_heavy_package(project_root: Path) -> None:
    loaded = loaded_by("import eels_bayes; dir(eels_bayes); eels_bayes.__version__", project_root)
    assert "eels_bayes" in loaded
    assert not loaded & HEAVY


def test_the_probe_sees_heavy_packages(project_root: Path) -> None:
    assert "numpy" in loaded_by("import eels_bayes, numpy", project_root)


@pytest.mark.parametrize(
    "name",
    [
        "preprocessing.noise",
        "preprocessing.preprocessor",
        "forward_model.pixel_posterior",
        "uncertainty.psi_statistics",
        "uncertainty.decomposition",
        "latent.networks",
        "prediction.pixel_reader",
    ],
)
def test_script_safe_modules_load_neither_pyro_nor_gpytorch(project_root: Path, name: str) -> None:
    loaded = loaded_by(f"import eels_bayes.{name}", project_root)
    assert "torch" in loaded
    assert not loaded & {"pyro", "gpytorch", "hyperspy", "exspy", "matplotlib", "arviz"}


@pytest.mark.parametrize("name", eels_bayes.__all__)
def test_public_name_is_its_modules_own(name: str) -> None:
    home, _, attribute = eels_bayes._HOME[name].partition(":")
    module = importlib.import_module(f"eels_bayes.{home}")
    assert getattr(eels_bayes, name) is (getattr(module, attribute) if attribute else module)
    assert getattr(eels_bayes, name).__doc__, "a public name says what it is"


@pytest.mark.parametrize("wing", ["", "plots", "diagnostics", "active", "simulate"])
def test_names_are_the_same_for_users_and_type_checkers(wing: str) -> None:
    package = importlib.import_module(f"eels_bayes.{wing}".rstrip("."))
    tree = ast.parse(Path(package.__file__ or "").read_text())
    guarded = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    homes = {name: home.replace(":", ".") for name, home in package._HOME.items()}
    assert guarded == {name: f"{package.__name__}.{home}" for name, home in homes.items()}
    assert sorted(package.__all__) == sorted(package._HOME)
    assert set(package.__all__) <= set(dir(package))


@pytest.mark.parametrize("wing", ["plots", "diagnostics", "active", "simulate"])
def test_names_of_a_wing_stay_its_own_when_its_modules_are_loaded(wing: str) -> None:
    package = importlib.import_module(f"eels_bayes.{wing}")
    for home in sorted(set(package._HOME.values())):
        importlib.import_module(f"{package.__name__}.{home.partition(':')[0]}")
    for name, home in package._HOME.items():
        module, _, attribute = home.partition(":")
        own = getattr(importlib.import_module(f"{package.__name__}.{module}"), attribute)
        assert getattr(package, name) is own


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'eels_bayes' has no attribute 'absent'"):
        eels_bayes.absent  # noqa: B018


def test_the_package_is_typed() -> None:
    assert Path(eels_bayes.__file__).with_name("py.typed").is_file()
