"""The package stands in wings, and imports point one way; read from the syntax trees."""

import ast
import functools
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = "eels_bayes"

# Ground to roof: a wing may import those of lower floors, never its own floor's neighbours.
FLOORS = (
    (
        "lazy",
        "arrays",
        "validation",
        "randomness",
        "whole_file",
        "quiet_imports",
        "optional_packages",
        "word_tables",
        "adam",
    ),
    ("training", "tensor_file", "tensor_checks", "metrics", "arviz_bridge"),
    ("effort", "plots"),
    ("data", "uncertainty", "field", "structures"),
    ("gp", "simulate", "preprocessing"),
    ("forward_model", "ab_initio"),
    ("latent",),
    ("prediction",),
    ("fast",),
    ("classifier",),
    ("diagnostics", "active"),
    ("command_line",),
    ("__main__",),
)
FLOOR = {wing: floor for floor, wings in enumerate(FLOORS) for wing in wings}

# Plain tensors only: these are scripted, and the fast path loads nothing else. A wing counts whole.
SCRIPT_SAFE = {
    "uncertainty",
    "fast",
    "data.energy_axis",
    "data.flags",
    "preprocessing.aligned_counts",
    "preprocessing.alignment",
    "preprocessing.calibration",
    "preprocessing.counts_reader",
    "preprocessing.dead_channels",
    "preprocessing.edge_extractor",
    "preprocessing.noise",
    "preprocessing.power_law",
    "preprocessing.preprocessor",
    "preprocessing.rebinning",
    "preprocessing.reference",
    "preprocessing.spikes",
    "preprocessing.windows",
    "forward_model.pixel_posterior",
    "latent.mixtures",
    "latent.networks",
    "latent.noisy_encoder",
    "prediction.gp_heads",
    "prediction.novelty",
    "prediction.pixel_reader",
    "classifier.labels",
}
NOT_SCRIPT_SAFE = {"pyro", "gpytorch", "linear_operator", "hyperspy", "exspy", "scipy"}
# The one file that calls the compiler.
COMPILES = "fast.torchscript_backend"

# A model file is data. These run what a file tells them to.
UNPICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
COMPILERS = {f"torch.jit.{f}" for f in ("script", "trace", "trace_module", "freeze", "save")}
SAFE_LOADERS = {
    "json.load",
    "hyperspy.api.load",
    "safetensors.torch.load",
    f"{PACKAGE}.data.hyperspy_io.load",
}

LONGEST_FUNCTION = 80  # lines, docstring included
LONGEST_MODULE = 400  # lines
MEDIAN_MODULE = 130


@functools.cache
def of_the_project(project_root: Path) -> dict[str, ast.Module]:
    """The package's own `modules`, which several tests read."""
    return modules(project_root / PACKAGE)


def modules(package: Path) -> dict[str, ast.Module]:
    """Dotted name within the package -> syntax tree; a wing's ``__init__`` has the wing's name."""
    trees = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__") or "__init__"
        trees[name] = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    return trees


def violations(trees: dict[str, ast.Module]) -> list[str]:
    """What the modules of one package do against the rules, as ``module:line: what``."""
    found = []
    for name, tree in trees.items():
        wing = name.partition(".")[0]
        if "utils" in name.split("."):
            found.append(f"{name}:1: say what the module is about instead of 'utils'")
        elif wing not in FLOOR and name != "__init__":
            found.append(f"{name}:1: not in a wing: give it a room, or its wing a floor here")
        rules = list(_forbidden_uses(tree, name))
        if name != "__init__":
            rules += _imports(tree, name, trees)
        rules += _hidden_names(tree, name, trees)
        found += [f"{name}:{line}: {what}" for line, what in sorted(rules)]
    return found + _circles(trees)


def _imported(node: ast.AST) -> list[str]:
    """Full dotted names that one statement imports; a relative import is one of the package."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = ".".join(filter(None, [PACKAGE if node.level else "", node.module]))
        return [f"{base}.{alias.name}" for alias in node.names]
    return []


def _target(full: str, trees: dict[str, ast.Module]) -> str | None:
    """The module of the package that an imported name is of, if it is of one."""
    top, _, rest = full.partition(".")
    if top != PACKAGE:
        return None
    parts = rest.split(".")
    for n in range(len(parts), 0, -1):
        if (name := ".".join(parts[:n])) in trees:
            return name
    return ""


def _script_safe(name: str) -> bool:
    return name in SCRIPT_SAFE or name.partition(".")[0] in SCRIPT_SAFE


def _imports(
    tree: ast.Module, name: str, trees: dict[str, ast.Module]
) -> Iterator[tuple[int, str]]:
    wing = name.partition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            yield node.lineno, "imports relatively: write the whole name"
            continue
        for full in _imported(node):
            if _script_safe(name) and full.partition(".")[0] in NOT_SCRIPT_SAFE:
                yield node.lineno, f"imports {full.partition('.')[0]}, but is script-safe"
            target = _target(full, trees)
            if target is None:
                continue
            other = target.partition(".")[0]
            if other not in FLOOR:
                yield node.lineno, f"imports {full}: name the module that defines it"
            elif other == "simulate" != wing:
                yield node.lineno, "imports simulate, which knows the truth"
            elif target == other != wing and _is_wing(other, trees):
                yield node.lineno, f"imports {full} from a wing: name the module in it"
            elif other != wing and FLOOR[other] >= FLOOR.get(wing, len(FLOORS)):
                yield node.lineno, f"imports {target}, which does not stand on a lower floor"
            elif target == name:
                yield node.lineno, "imports itself"


def _is_wing(wing: str, trees: dict[str, ast.Module]) -> bool:
    return any(name.startswith(f"{wing}.") for name in trees)


def _circles(trees: dict[str, ast.Module]) -> list[str]:
    """Modules that import each other in a loop, those of one wing and of the ground included."""
    arrows = {
        name: {
            target
            for node in ast.walk(tree)
            for full in _imported(node)
            if (target := _target(full, trees)) not in (None, "", name, "__init__")
        }
        for name, tree in trees.items()
        # a lazy wing's face names its modules for type checkers and users
        if name != "__init__" and not _is_wing(name, trees)
    }
    done: set[str] = set()
    found = []

    def follow(name: str, path: list[str]) -> None:
        if name in path:
            circle = [*path[path.index(name) :], name]
            found.append(f"{name}:1: imports itself: {' -> '.join(circle)}")
        elif name not in done:
            for target in sorted(arrows.get(name, ())):
                follow(target, [*path, name])
            done.add(name)

    for name in arrows:
        follow(name, [])
    return found


def _hidden_names(
    tree: ast.Module, name: str, trees: dict[str, ast.Module]
) -> Iterator[tuple[int, str]]:
    """Public names of a package's face that a submodule bears: importing it would replace them."""
    inside = {
        other.removeprefix(f"{name}.").partition(".")[0]
        for other in trees
        if other.startswith(f"{name}.")
    }
    if name == "__init__":
        inside = {other.partition(".")[0] for other in trees if other != "__init__"}
    homes = _homes(tree)
    for public, (line, home) in homes.items():
        if public in inside and home != public:
            yield line, f"gives {public!r} away, which is a submodule's name: import replaces it"


def _homes(tree: ast.Module) -> dict[str, tuple[int, str]]:
    """Public name -> (line, where it lives), from a face's table ``_HOME``."""
    for node in tree.body:
        targets = getattr(node, "targets", [getattr(node, "target", None)])
        if any(isinstance(t, ast.Name) and t.id == "_HOME" for t in targets):
            table = getattr(node, "value", None)
            if isinstance(table, ast.Dict):
                return {
                    ast.literal_eval(k): (k.lineno, ast.literal_eval(v))
                    for k, v in zip(table.keys, table.values, strict=True)
                    if k is not None
                }
    return {}


def _bound_names(tree: ast.AST) -> dict[str, str]:
    """Local name -> full dotted name, for every import of the module."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias, full in zip(node.names, _imported(node), strict=True):
                if alias.asname or isinstance(node, ast.ImportFrom):
                    names[alias.asname or alias.name] = full
    return names


def _forbidden_uses(tree: ast.AST, name: str) -> Iterator[tuple[int, str]]:
    names = _bound_names(tree)
    for node in ast.walk(tree):
        for full in _imported(node):
            if full.partition(".")[0] in UNPICKLERS or full == "torch.load":
                yield node.lineno, f"imports {full}, which unpickles"
        if isinstance(node, ast.Attribute):
            head, _, rest = ast.unparse(node).partition(".")
            full = f"{names.get(head, head)}.{rest}"
            if node.attr == "load" and full not in SAFE_LOADERS:
                yield node.lineno, f"uses {full}, which may unpickle"
            if full in COMPILERS and name != COMPILES:
                yield node.lineno, f"uses {full}, which is for {COMPILES} alone"


def functions(trees: dict[str, ast.Module]) -> Iterator[tuple[str, int]]:
    """Every function, as ``module.name``, and its lines with its docstring."""
    for name, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                yield f"{name}.{node.name}", node.end_lineno - node.lineno + 1


def test_the_package_keeps_the_rules(project_root: Path) -> None:
    trees = of_the_project(project_root)
    assert len(trees) > 50
    found = violations(trees)
    assert not found, "\n".join(found)


def test_every_wing_and_script_safe_module_exists(project_root: Path) -> None:
    trees = of_the_project(project_root)
    assert {name.partition(".")[0] for name in trees} - {"__init__"} == set(FLOOR)
    assert set(trees) >= SCRIPT_SAFE


def test_modules_are_short(project_root: Path) -> None:
    package = project_root / PACKAGE
    lines = {
        path.relative_to(package).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in package.rglob("*.py")
    }
    lines = {name: n for name, n in lines.items() if n > 1}  # a wing's empty face is no module
    assert not {name: n for name, n in lines.items() if n > LONGEST_MODULE}
    assert statistics.median(lines.values()) <= MEDIAN_MODULE


def test_functions_are_short(project_root: Path) -> None:
    trees = of_the_project(project_root)
    assert not [(name, n) for name, n in functions(trees) if n > LONGEST_FUNCTION]


MADE = {  # a house in which each case below puts one more room, or another in place of one
    "__init__.py": "",
    "validation.py": "",
    "effort.py": "",
    "training.py": "",
    "simulate/__init__.py": "",
    "simulate/shapes.py": "",
    "gp/__init__.py": "",
    "gp/fit.py": "",
    "gp/classifier.py": "",
    "uncertainty/__init__.py": "",
    "uncertainty/psi_statistics.py": "",
    "data/__init__.py": "",
    "data/hyperspy_io.py": "",
    "fast/__init__.py": "",
    "active/__init__.py": "",
}


def made(folder: Path, file: str, code: str) -> list[str]:
    """What is found in a small house with one more file."""
    for name, text in (MADE | {file: code}).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return violations(modules(folder))


PSI, GP = "uncertainty/psi_statistics.py", "gp/classifier.py"


@pytest.mark.parametrize(
    ("file", "code", "expected"),
    [
        (PSI, "from eels_bayes.gp import fit", "uncertainty.psi_statistics:1: imports gp.fit, wh"),
        (
            PSI,
            "from eels_bayes.gp.fit import f",
            "psi_statistics:1: imports gp.fit, which does not",
        ),
        (PSI, "import eels_bayes.gp.fit as g", "psi_statistics:1: imports gp.fit, which does not"),
        (PSI, "def f():\n    import eels_bayes.gp.fit", "psi_statistics:2: imports gp.fit, which"),
        (PSI, "if TYPE_CHECKING:\n    from eels_bayes.gp.fit import G", ":2: imports gp.fit, wh"),
        (
            PSI,
            "from eels_bayes.data.hyperspy_io import x",
            "imports data.hyperspy_io, which does n",
        ),
        (PSI, "from ..gp import fit", "psi_statistics:1: imports relatively: write the whole name"),
        (
            "training.py",
            "from eels_bayes import effort",
            "training:1: imports effort, which does not",
        ),
        (GP, "from eels_bayes.simulate.shapes import x", "imports simulate, which knows the truth"),
        (
            GP,
            "from eels_bayes.uncertainty import x",
            "imports eels_bayes.uncertainty.x from a wing",
        ),
        (GP, "from eels_bayes import load", "imports eels_bayes.load: name the module"),
        (GP, "import eels_bayes", "imports eels_bayes: name the module"),
        ("gp/a.py", "from eels_bayes.gp import a", "gp.a:1: imports itself"),
        (PSI, "import gpytorch.kernels", "imports gpytorch, but is script-safe"),
        (
            PSI,
            "def f():\n    from pyro.nn import PyroModule",
            ":2: imports pyro, but is script-safe",
        ),
        (GP, "import pickle", "imports pickle, which unpickles"),
        (GP, "from joblib import load", "imports joblib.load, which unpickles"),
        (GP, "from torch import load as get", "imports torch.load, which unpickles"),
        (GP, "import torch as t\nt.load('x')", "gp.classifier:2: uses torch.load, which may"),
        (GP, "import torch\ntorch.jit.load('x')", "uses torch.jit.load, which may"),
        (GP, "import pyro\npyro.get_param_store().load('x')", ":2: uses pyro.get_param_store().lo"),
        (GP, "import numpy as np\nnp.load('x')", "uses numpy.load, which may unpickle"),
        (
            GP,
            "import torch\n@torch.jit.script\ndef f(): ...",
            ":2: uses torch.jit.script, which is",
        ),
        ("fast/graph.py", "from torch import jit\njit.trace(f, x)", "uses torch.jit.trace, which"),
        ("__init__.py", "import pickle", "__init__:1: imports pickle, which unpickles"),
        ("gp/utils.py", "", "say what the module is about"),
        ("extra.py", "", "extra:1: not in a wing"),
        ("attic/extra.py", "", "attic.extra:1: not in a wing"),
        ("__init__.py", "_HOME = {'gp': 'gp.fit:gp'}", "__init__:1: gives 'gp' away"),
        ("active/bald.py", "", None),
    ],
)
def test_the_checker_finds(tmp_path: Path, file: str, code: str, expected: str | None) -> None:
    found = made(tmp_path, file, code)
    if expected is None:
        assert not found
        found = made(tmp_path, "active/__init__.py", "_HOME = {'bald': 'acquisition:bald'}")
        expected = "active:1: gives 'bald' away"
    assert len(found) == 1, found
    assert expected in found[0]


def test_the_checker_finds_circles_in_a_wing(tmp_path: Path) -> None:
    (tmp_path / "gp").mkdir()
    (tmp_path / "gp" / "fit.py").write_text("from eels_bayes.gp.classifier import x")
    (tmp_path / "gp" / "classifier.py").write_text("def f():\n    from eels_bayes.gp import fit")
    found = violations(modules(tmp_path))
    assert found == ["gp.classifier:1: imports itself: gp.classifier -> gp.fit -> gp.classifier"]


@pytest.mark.parametrize(
    ("file", "code"),
    [
        (GP, "import gpytorch\nfrom eels_bayes.gp import fit\nfrom eels_bayes import validation"),
        (GP, "from eels_bayes.uncertainty.psi_statistics import moments"),
        ("effort.py", "from eels_bayes.training import Schedule"),
        ("data/hyperspy_io.py", "import hyperspy.api as hs\nhs.load('x')"),
        ("gp/store.py", "import json\nfrom safetensors.torch import load\njson.load(f)"),
        ("active/loop.py", "from eels_bayes.data import hyperspy_io\nhyperspy_io.load('x')"),
        (PSI, "import torch\n@torch.jit.export\ndef f(): ..."),
        ("fast/torchscript_backend.py", "import torch\ntorch.jit.script(f)"),
        ("__init__.py", "from eels_bayes import simulate\nfrom eels_bayes.gp.fit import f"),
        ("gp/__init__.py", "_HOME = {'fit_gp': 'fit:fit_gp', 'fit': 'fit'}"),
    ],
)
def test_the_checker_lets_pass(tmp_path: Path, file: str, code: str) -> None:
    assert made(tmp_path, file, code) == []
