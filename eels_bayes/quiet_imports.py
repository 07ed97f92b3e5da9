"""Imports of libraries that say, each time they start, what nobody who uses this one can change.

Only what is listed here is kept silent, and only while the library loads: calls of it say what they
always say, and so does a library that the user has imported first.
"""

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

# Texts of warnings while a library loads, as regular expressions of their beginnings.
WARNINGS = (
    "Importing `Lazy",  # exSpy 0.3 takes lazy signals from HyperSpy's private modules
    "`torch.jit.script` is deprecated",  # linear_operator scripts functions when it is imported
)
LOGGER = "hyperspy.decorators"
MESSAGE = "Numba is not installed"  # nothing that is called here would be faster with it


def import_quietly(module: str) -> None:
    """Import a module and all that it imports, without what is listed above.

    Parameters
    ----------
    module : str
        Its whole name; nothing happens where it is loaded already.
    """
    if module not in sys.modules:
        with quiet():
            import_module(module)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence what is listed above, and nothing else."""
    logger = logging.getLogger(LOGGER)
    logger.addFilter(_is_wanted)
    try:
        with warnings.catch_warnings():
            for text in WARNINGS:
                warnings.filterwarnings("ignore", text)
            yield
    finally:
        logger.removeFilter(_is_wanted)


def _is_wanted(record: logging.LogRecord) -> bool:
    """Whether a message is none of those listed above."""
    return not record.getMessage().startswith(MESSAGE)
