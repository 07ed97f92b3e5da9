"""The API pages follow the package: every public name is listed, and none that is not there."""

import inspect
import re
import sys
from types import ModuleType

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

import eels_bayes

logger = logging.getLogger(__name__)
LISTED = "api"  # the page that names every public name once


def modules() -> dict[str, ModuleType]:
    """Public modules by their full public name."""
    values = {f"eels_bayes.{name}": getattr(eels_bayes, name) for name in eels_bayes.__all__}
    return {name: value for name, value in values.items() if inspect.ismodule(value)}


def members(module: ModuleType) -> dict[str, list[str]]:
    """Public functions and classes of a module: of its ``__all__``, else what it defines."""
    names = getattr(module, "__all__", None) or [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", "") == module.__name__
    ]
    values = {name: getattr(module, name) for name in names}
    return {
        "functions": [name for name, value in values.items() if inspect.isroutine(value)],
        "classes": [name for name, value in values.items() if inspect.isclass(value)],
    }


def all_members() -> dict[str, dict[str, list[str]]]:
    """Of every public module; its name may be an alias, and can be imported from here on."""
    for name, module in modules().items():
        sys.modules.setdefault(name, module)
    return {name: members(module) for name, module in modules().items()}


def check(app: Sphinx, env: BuildEnvironment) -> None:
    """Warn of public names that the page of the API lacks, and of those that it invents."""
    text = env.doc2path(LISTED).read_text(encoding="utf-8")
    listed = re.findall(r"^   (\w+)$", text, flags=re.MULTILINE)
    for name in sorted({*eels_bayes.__all__} - {*listed}):
        logger.warning("public name %r is not listed", name, location=LISTED)
    for name in sorted({one for one in listed if listed.count(one) > 1}):
        logger.warning("public name %r is listed twice", name, location=LISTED)


def resolve(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.Element
) -> nodes.Element | None:
    """A public name without its package, as docstrings write it: `Prediction.total`."""
    target = node.get("reftarget", "")
    if node.get("refdomain") != "py" or target.partition(".")[0] not in eels_bayes.__all__:
        return None
    page = node.get("refdoc", LISTED)
    full = f"{eels_bayes.__name__}.{target}"
    return env.domains["py"].resolve_xref(env, page, app.builder, "obj", full, node, content)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("env-check-consistency", check)
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True}
