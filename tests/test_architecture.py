"""The package is flat and its imports point one way; read from the syntax trees."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = "eels_bayes"

# A module may import those above it. Every module has its place here.
ORDER = [
    "checks",
    "randomness",
    "fit",
    "effort",
    "spectra",
    "frames",
    "io",
    "noise",
    "fingerprints",
    "simulate",
    "background",
    "edges",
    "align",
    "repair",
    "series",
    "spikes",
    "preprocess",
    "nets",
    "prior",
    "vae",
    "continuum",
    "factors",
    "forward_model",
    "evidence",
    "noisy_encoder",
    "labelled",
    "reinsertion",
    "denoise",
    "encoder_fit",
    "psi",
    "gp",
    "uncertainty",
    "conjugate",
    "novelty",
    "value",
    "metrics",
    "plots",
    "joint",
    "prediction",
    "decisions",
    "store",
    "reader",
    "dense",
    "fast_graph",
    "onnx_backend",
    "inductor_backend",
    "fast",
    "live",
    "inference",
    "heads",
    "context",
    "model_file",
    "update",
    "classifier",
    "uniformity",
    "two_sample",
    "latent_posterior",
    "activity",
    "calibration",
    "replicates",
    "support",
    "diagnostic_plots",
    "diagnostics",
    "mutual_information",
    "acquisition",
    "journal",
    "active_loop",
    "active",
]

# Plain tensors only: these are scripted, and the fast path loads nothing else.
SCRIPT_SAFE = {
    "noise",
    "background",
    "edges",
    "align",
    "spikes",
    "preprocess",
    "nets",
    "evidence",
    "noisy_encoder",
    "labelled",
    "psi",
    "uncertainty",
    "novelty",
    "reader",
    "dense",
    "fast_graph",
    "onnx_backend",
    "inductor_backend",
    "fast",
}
NOT_SCRIPT_SAFE = {"pyro", "gpytorch", "linear_operator", "hyperspy", "exspy"}

# A model file is data. These run what a file tells them to.
UNPICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
COMPILERS = {f"torch.jit.{f}" for f in ("script", "trace", "trace_module", "freeze", "save")}
SAFE_LOADERS = {"json.load", "hyperspy.api.load", "safetensors.torch.load", "eels_bayes.io.load"}


def violations(package: Path) -> list[str]:
    """What the modules of one package folder do against the rules, as ``file:line: what``."""
    found = []
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package).with_suffix("").as_posix()
        if name == "utils":
            found.append("utils.py:1: say what the module is about instead of 'utils'")
        elif name != "__init__" and name not in ORDER:
            found.append(f"{name}.py:1: not in the import order: give it a place in this test")
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
        rules = list(_forbidden_uses(tree, name))
        if name != "__init__":
            rules += _imports_upwards(tree, name)
        found += [f"{name}.py:{line}: {what}" for line, what in sorted(rules)]
    return found


def _imported(node: ast.AST) -> list[str]:
    """Full dotted names that one statement imports, relative ones made absolute."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = ".".join(filter(None, [PACKAGE if node.level else "", node.module]))
        return [f"{base}.{alias.name}" for alias in node.names]
    return []


def _imports_upwards(tree: ast.AST, name: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        for full in _imported(node):
            top, _, rest = full.partition(".")
            if name in SCRIPT_SAFE and top in NOT_SCRIPT_SAFE:
                yield node.lineno, f"imports {top}, but is script-safe"
            if top != PACKAGE:
                continue
            target = rest.partition(".")[0]
            if target not in ORDER:
                yield node.lineno, f"imports {full}: name the module that defines it"
            elif target == "simulate":
                yield node.lineno, "imports simulate, which knows the truth"
            elif name in ORDER and ORDER.index(target) >= ORDER.index(name):
                yield node.lineno, f"imports {target}, which does not stand above it in the order"


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
            if full in COMPILERS and name != "fast":
                yield node.lineno, f"uses {full}, which is for fast.py alone"


def test_the_package_keeps_the_rules(project_root: Path) -> None:
    package = project_root / PACKAGE
    assert len(list(package.glob("*.py"))) > 1
    found = violations(package)
    assert not found, "\n".join(found)


def test_no_module_stands_twice_in_the_order() -> None:
    assert len(set(ORDER)) == len(ORDER)
    assert set(ORDER) >= SCRIPT_SAFE


@pytest.mark.parametrize(
    ("file", "code", "expected"),
    [
        ("psi.py", "from eels_bayes import gp", "psi.py:1: imports gp, which does not stand"),
        ("psi.py", "from . import gp", "psi.py:1: imports gp, which does not stand"),
        ("psi.py", "from .gp import fit_gp", "psi.py:1: imports gp, which does not stand"),
        ("psi.py", "import eels_bayes.gp as g", "psi.py:1: imports gp, which does not stand"),
        ("psi.py", "def f():\n    import eels_bayes.gp", "psi.py:2: imports gp, which does"),
        ("io.py", "if TYPE_CHECKING:\n    from .gp import G", "io.py:2: imports gp, which does"),
        ("gp.py", "import eels_bayes.gp", "gp.py:1: imports gp, which does not stand"),
        ("gp.py", "from eels_bayes import load", "imports eels_bayes.load: name the module"),
        ("gp.py", "import eels_bayes", "imports eels_bayes: name the module"),
        ("psi.py", "import gpytorch.kernels", "imports gpytorch, but is script-safe"),
        ("nets.py", "from pyro.nn import PyroModule", "imports pyro, but is script-safe"),
        ("noise.py", "def f():\n    import hyperspy.api", "noise.py:2: imports hyperspy, but is"),
        ("active.py", "from eels_bayes import simulate", "imports simulate, which knows"),
        ("active.py", "from eels_bayes.simulate import x", "imports simulate, which knows"),
        ("store.py", "import pickle", "imports pickle, which unpickles"),
        ("store.py", "from joblib import load", "imports joblib.load, which unpickles"),
        ("store.py", "from torch import load as get", "imports torch.load, which unpickles"),
        ("store.py", "import torch as t\nt.load('x')", "store.py:2: uses torch.load, which may"),
        ("store.py", "import torch\ntorch.jit.load('x')", "uses torch.jit.load, which may"),
        ("vae.py", "import pyro\npyro.get_param_store().load('x')", "vae.py:2: uses pyro.get_p"),
        ("vae.py", "import numpy as np\nnp.load('x')", "uses numpy.load, which may unpickle"),
        ("psi.py", "import torch\n@torch.jit.script\ndef f(): ...", "psi.py:2: uses torch.jit.scr"),
        ("psi.py", "from torch import jit\njit.trace(f, x)", "uses torch.jit.trace, which is"),
        ("__init__.py", "import pickle", "__init__.py:1: imports pickle, which unpickles"),
        ("utils.py", "", "say what the module is about"),
        ("extra.py", "", "not in the import order"),
        ("sub/extra.py", "", "sub/extra.py:1: not in the import order"),
    ],
)
def test_the_checker_finds(tmp_path: Path, file: str, code: str, expected: str) -> None:
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(code)
    found = violations(tmp_path)
    assert len(found) == 1, found
    assert expected in found[0]


@pytest.mark.parametrize(
    ("file", "code"),
    [
        ("gp.py", "import gpytorch\nfrom eels_bayes import psi, fit\nfrom .noise import variance"),
        ("io.py", "import hyperspy.api as hs\nhs.load('x')"),
        ("store.py", "import json\nfrom safetensors.torch import load\njson.load(f)"),
        ("classifier.py", "from eels_bayes import io\nio.load('x')"),
        ("psi.py", "import torch\n@torch.jit.export\ndef f(): ..."),
        ("fast.py", "import torch\ntorch.jit.script(f)"),
        ("__init__.py", "from eels_bayes import simulate\nfrom eels_bayes.active import bald"),
    ],
)
def test_the_checker_lets_pass(tmp_path: Path, file: str, code: str) -> None:
    (tmp_path / file).write_text(code)
    assert violations(tmp_path) == []
