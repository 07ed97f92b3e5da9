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
    "name", ["noise", "preprocess", "evidence", "psi", "uncertainty", "nets", "reader"]
)
def test_script_safe_modules_load_neither_pyro_nor_gpytorch(project_root: Path, name: str) -> None:
    loaded = loaded_by(f"import eels_bayes.{name}", project_root)
    assert "torch" in loaded
    assert not loaded & {"pyro", "gpytorch", "hyperspy", "exspy", "matplotlib", "arviz"}


@pytest.mark.parametrize("name", eels_bayes.__all__)
def test_public_name_is_its_modules_own(name: str) -> None:
    home = eels_bayes._HOME[name]
    module = importlib.import_module(f"eels_bayes.{home}")
    assert getattr(eels_bayes, name) is (module if name == home else getattr(module, name))
    assert getattr(eels_bayes, name).__doc__, "a public name says what it is"


def test_names_are_the_same_for_users_and_type_checkers() -> None:
    tree = ast.parse(Path(eels_bayes.__file__).read_text())
    guarded = {
        alias.name: node.module.removeprefix("eels_bayes").lstrip(".") or alias.name
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
    assert guarded == eels_bayes._HOME
    assert eels_bayes.__all__ == sorted(eels_bayes._HOME)
    assert set(eels_bayes.__all__) <= set(dir(eels_bayes))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'eels_bayes' has no attribute 'absent'"):
        eels_bayes.absent  # noqa: B018


def test_the_package_is_typed() -> None:
    assert Path(eels_bayes.__file__).with_name("py.typed").is_file()
