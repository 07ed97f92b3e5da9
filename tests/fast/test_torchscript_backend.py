"""TorchScript's announcement of its end is not heard by users, and only where it is called."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch

import eels_bayes as eb

CALLED = ("script", "freeze", "save")  # of torch.jit, by the backend


def announcing(name: str, category: type[Warning]) -> Callable[..., Any]:
    """A function of torch.jit that announces its end as PyTorch's releases do."""
    function = getattr(torch.jit, name)

    def called(*arguments: Any, **options: Any) -> Any:
        warnings.warn(f"`torch.jit.{name}` is deprecated. Please switch.", category, stacklevel=2)
        return function(*arguments, **options)

    return called


@pytest.mark.parametrize("category", [DeprecationWarning, FutureWarning])
def test_users_hear_no_announcement(category, quick_classifier, series, tmp_path, monkeypatch):
    for name in CALLED:
        monkeypatch.setattr(torch.jit, name, announcing(name, category))
    axis = series.signals[0].axes_manager.signal_axes[0].axis
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fast = quick_classifier.compile(quick_classifier.preprocessor, energy=axis)
        fast(series.signals[0].data[0])
        fast.export(tmp_path / "model.ts.pt")
        fast.save(tmp_path / "model.fast")
        eb.load_fast(tmp_path / "model.fast")
        with pytest.raises(category, match=r"`torch\.jit\.script` is deprecated"):
            torch.jit.script(torch.nn.ReLU())  # of the user's own
