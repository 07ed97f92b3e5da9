"""Files beside the package say what the package says."""

import os
import re
import tomllib
from pathlib import Path

import yaml

import eels_bayes


def test_the_citation_names_this_version_and_licence(project_root: Path) -> None:
    cited = yaml.safe_load((project_root / "CITATION.cff").read_text())
    project = tomllib.loads((project_root / "pyproject.toml").read_text())["project"]
    assert cited["version"] == eels_bayes.__version__
    assert cited["license"] == project["license"]


def test_the_changelog_has_this_version_on_the_day_that_is_cited(project_root: Path) -> None:
    headings = re.findall(r"^## (.*)$", (project_root / "CHANGELOG.md").read_text(), re.M)
    cited = yaml.safe_load((project_root / "CITATION.cff").read_text())
    assert headings[:2] == ["[Unreleased]", f"[{cited['version']}] - {cited['date-released']}"]


def test_the_oldest_python_that_is_named_is_the_oldest_that_is_allowed(project_root: Path) -> None:
    project = tomllib.loads((project_root / "pyproject.toml").read_text())["project"]
    named = re.findall(r":: 3\.(\d+)", "\n".join(project["classifiers"]))
    assert project["requires-python"] == f">=3.{named[0]}"
    assert [int(minor) for minor in named] == list(range(int(named[0]), int(named[-1]) + 1))


def test_hooks_are_what_make_lint_runs(project_root: Path) -> None:
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", (project_root / "Makefile").read_text(), re.M)
    assert recipe is not None
    commands = [line.strip().replace("$(BIN)", ".venv/bin") for line in recipe[1].splitlines()]
    config = yaml.safe_load((project_root / ".pre-commit-config.yaml").read_text())
    (repo,) = config["repos"]
    assert repo["repo"] == "local"  # nothing is fetched
    assert [hook["entry"] for hook in repo["hooks"]] == commands
    assert all(hook["always_run"] and not hook["pass_filenames"] for hook in repo["hooks"])


def test_findings_pin_what_they_show_and_leave_nothing(project_root: Path) -> None:
    scripts = sorted((project_root / "findings").glob("*.sh"))
    listed = (project_root / "findings" / "README.md").read_text()
    for script in scripts:
        text = script.read_text()
        assert os.access(script, os.X_OK), f"{script.name} cannot be run"
        assert re.search(r"\b[\w-]+==\d", text), f"{script.name} pins no package"
        assert "mktemp -d" in text and "trap 'rm -rf" in text
        assert re.search(r"^# .*seen on \d{4}-\d\d-\d\d", text, re.M), f"{script.name} has no date"
        assert f"`{script.name}`" in listed


def test_modules_and_names_in_the_pages_exist(project_root: Path) -> None:
    package = project_root / "eels_bayes"
    wings = {path.name for path in package.iterdir() if (path / "__init__.py").exists()}
    pages = [*(project_root / "docs").rglob("*.md"), project_root / "CONTRIBUTING.md"]
    missing, seen = [], 0
    for page in pages:
        for wing, module, name in re.findall(r"`(\w+)\.(\w+)(?:\.(\w+))?`", page.read_text()):
            if wing not in wings:
                continue
            seen += 1
            path = package / wing / f"{module}.py"
            defined = rf"^(class|def) {name}\b"
            if not path.exists() or not re.search(defined, path.read_text(), re.M):
                missing.append(f"{page.name}: {wing}.{module}.{name}")
    assert seen > 20
    assert not missing, "\n".join(missing)
