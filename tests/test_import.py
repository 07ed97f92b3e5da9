"""``import eels_bayes`` is light, and its lazy names are what the type checker and users see."""

import ast
import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import eels_bayes

HEAVY = {"torch", "pyro", "gpytorch", "hyperspy", "exspy", "matplotlib", "sklearn", "scipy"}
HEAVY |= {"ase", "spglib", "numpy", "xarray", "arviz", "pandas", "dask", "safetensors", "tqdm"}


PACKAGE = Path(eels_bayes.__file__).parent


def imported(face: str) -> Any:
    """A package by its dotted name below ``eels_bayes``."""
    return importlib.import_module(f"eels_bayes.{face}".rstrip("."))


def found_at_home(package: Any, name: str) -> object:
    """What a face's table says that a name is."""
    home, _, attribute = package._HOME[name].partition(":")
    module = importlib.import_module(f"{package.__name__}.{home}")
    return getattr(module, attribute) if attribute else module


# Every package that gives names away lazily, and all of these names.
FACES = sorted(
    ".".join(file.parent.relative_to(PACKAGE).parts)
    for file in PACKAGE.rglob("__init__.py")
    if "\n_HOME" in file.read_text(encoding="utf-8")
)
NAMES = [(face, name) for face in FACES for name in imported(face).__all__]


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


def test_script_safe_modules_load_neither_pyro_nor_gpytorch_nor_scipy(project_root: Path) -> None:
    modules = [
        "preprocessing.noise",
        "preprocessing.preprocessor",
        "forward_model.pixel_posterior",
        "uncertainty.psi_statistics",
        "uncertainty.decomposition",
        "latent.networks",
        "prediction.pixel_reader",
    ]
    loaded = loaded_by("\n".join(f"import eels_bayes.{name}" for name in modules), project_root)
    assert "torch" in loaded
    assert not loaded & {"pyro", "gpytorch", "hyperspy", "exspy", "matplotlib", "arviz", "scipy"}


@pytest.mark.parametrize(("face", "name"), NAMES)
def test_public_name_is_its_modules_own(face: str, name: str) -> None:
    package = imported(face)
    assert getattr(package, name) is found_at_home(package, name)
    assert getattr(package, name).__doc__, "a public name says what it is"


@pytest.mark.parametrize("face", FACES)
def test_names_are_the_same_for_users_and_type_checkers(face: str) -> None:
    package = imported(face)
    tree = ast.parse(Path(package.__file__ or "").read_text(encoding="utf-8"))
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


@pytest.mark.parametrize("face", FACES)
def test_names_stay_the_faces_own_when_its_modules_are_loaded(face: str) -> None:
    package = imported(face)
    own = {name: found_at_home(package, name) for name in package._HOME}
    for name, value in own.items():
        assert getattr(package, name) is value, name


@pytest.mark.parametrize("face", FACES)
def test_an_unknown_name_is_an_attribute_error(face: str) -> None:
    package = imported(face)
    with pytest.raises(AttributeError, match=f"'{package.__name__}' has no attribute 'absent'"):
        package.absent  # noqa: B018


def test_every_public_wing_has_a_face() -> None:
    assert {"", "ab_initio", "active", "diagnostics", "plots", "simulate", "structures"} <= set(
        FACES
    )


def test_the_package_is_typed() -> None:
    assert Path(eels_bayes.__file__).with_name("py.typed").is_file()
