"""Packages of the extras: imported when they are needed, named where they are missing."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def needed(module: str, extra: str, what: str) -> Any:
    """A module of a package that an extra brings.

    Parameters
    ----------
    module : str
        Its whole name, such as "ase.build".
    extra : str
        The extra of this package that installs it.
    what : str
        What it is needed for, in words.

    Returns
    -------
    module

    Raises
    ------
    ImportError
        It is not installed, or does not load; says what to install.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{what} needs {module.partition('.')[0]}: pip install 'eels-bayes[{extra}]' ({error})"
        ) from error
