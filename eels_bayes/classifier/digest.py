"""Which model it is: a digest of all that its predictions follow from."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from eels_bayes import tensor_file
from eels_bayes.classifier.fitted import Fitted
from eels_bayes.classifier.model_file import pack_fitted

DIGITS = 16  # hexadecimal: any two of a million models agree with a chance of 3e-8
_KNOWN: WeakKeyDictionary[Fitted, str] = WeakKeyDictionary()  # so that it is worked out once


def digest(fitted: Fitted) -> str:
    """The same for the same numbers, in memory or from a file; of an updated model another.

    When it was fitted, and where the fingerprints are from, changes no prediction, nor this.

    Parameters
    ----------
    fitted : Fitted

    Returns
    -------
    str
        Hexadecimal digits, the first of a SHA-256.
    """
    if fitted not in _KNOWN:
        tensors, config = pack_fitted(fitted)
        del config["library"]["source"]
        _KNOWN[fitted] = tensor_file.digest(tensors, config)[:DIGITS]
    return _KNOWN[fitted]
