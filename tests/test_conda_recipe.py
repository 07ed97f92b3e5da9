"""The conda recipe asks for what pyproject.toml asks for, by conda-forge's names, and is read."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

import eels_bayes

NAMES = {"torch": "pytorch", "hyperspy": "hyperspy-base", "matplotlib": "matplotlib-base"}


@pytest.fixture(scope="module")
def text(project_root: Path) -> str:
    return (project_root / "conda" / "recipe.yaml").read_text()


@pytest.fixture(scope="module")
def recipe(text: str) -> dict[str, Any]:
    return yaml.safe_load(text)


@pytest.fixture(scope="module")
def project(project_root: Path) -> dict[str, Any]:
    return tomllib.loads((project_root / "pyproject.toml").read_text())


def test_dependencies_are_those_of_the_project(recipe, project) -> None:
    python = f"python {project['project']['requires-python']}"
    asked = [Requirement(text) for text in project["project"]["dependencies"]]
    wanted = {f"{NAMES.get(one.name, one.name)} {one.specifier}" for one in asked}
    run, host = recipe["requirements"]["run"], recipe["requirements"]["host"]
    assert set(run) == wanted | {python} and run[1:] == sorted(run[1:])
    built_by = {Requirement(text) for text in project["build-system"]["requires"]}
    assert set(host) == {python, "pip"} | {f"{one.name} {one.specifier}" for one in built_by}


def test_the_rest_is_the_project_s(recipe, project, project_root) -> None:
    assert recipe["context"]["version"] == eels_bayes.__version__
    about = project["project"]
    assert recipe["package"]["name"] == about["name"]
    assert recipe["about"]["summary"] == about["description"]
    assert recipe["about"]["license"] == about["license"]
    assert [recipe["about"]["license_file"]] == about["license-files"]
    commands = [f"{name} = {where}" for name, where in about["scripts"].items()]
    assert recipe["build"]["python"]["entry_points"] == commands


def test_the_builder_reads_it(text, project_root) -> None:
    rattler_build = pytest.importorskip("rattler_build", reason="needs py-rattler-build")
    (rendered,) = rattler_build.Stage0Recipe.from_yaml(
        text, recipe_dir=project_root / "conda"
    ).render(rattler_build.VariantConfig.from_yaml("python: ['3.12']"))
    found = rendered.recipe.to_dict()
    assert found["package"]["version"] == eels_bayes.__version__
    assert found["build"]["noarch"] == "python"
    with pytest.raises(rattler_build.RecipeParseError, match="unknown top-level field"):
        rattler_build.Stage0Recipe.from_yaml(text.replace("requirements:", "requirement:"))
