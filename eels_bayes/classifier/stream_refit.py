"""A model that is fitted anew to a stream's spectra, in a process of its own.

A fit takes a core for some ten seconds, and Python for much of it. In another process, of a lower
priority, it takes nothing from the loop that reads. What goes there and back are files: the model,
the counts, and the compiled model.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from eels_bayes import validation
from eels_bayes.classifier.refit_process import fit_in
from eels_bayes.data.hyperspy_io import read_counts
from eels_bayes.fast import fast_file
from eels_bayes.fast.classifier import FastClassifier
from eels_bayes.preprocessing.images import as_list

if TYPE_CHECKING:
    from eels_bayes.classifier.classifier import EELSClassifier

AFTER = (2280, 4560, 9120, 18_240, 36_480)  # spectra of a stream: twice as many each time
PIXELS = 2280  # of a stream that are fitted to: chosen, as a fit takes some 15 s by them
LOOK = 0.05  # s, between two looks at whether it is done
OF_ONE_DRIFT = 200  # spectra that are aligned together, as one image


class Refit:
    """Fits a model anew to a sample of a stream, for `LiveClassifier`.

    The stream's first spectra may show a few of the classes alone, by which a library cannot be
    placed. So what the model was fitted to before is fitted to as well, and a fit waits until each
    class has had half of an even share of the stream.

    Parameters
    ----------
    classifier : EELSClassifier
        Fitted, without labels; what was compiled for the stream.
    signals : EELSSpectrum or list of them
        What it was fitted to, or some images of that: their counts are kept.
    after : sequence of int
        Spectra of the stream after which it is fitted anew, ascending.
    pixels : int
        Spectra of the stream that it is fitted to at most: a random choice of all so far.

    Raises
    ------
    TypeError, ValueError
        If numbers are not whole or do not ascend, or the classifier is not fitted, or has learned
        from labels.

    Examples
    --------
    With ``clf`` fitted to the image ``first``, and ``camera`` a generator of raw counts::

        fast = clf.compile(clf.preprocessor, energy=energy)
        live = eb.LiveClassifier(fast, adapt=True, refit=eb.Refit(clf, first))
        for result in live.run(camera):
            print(result.number, result.reading.labels, result.swap)
    """

    def __init__(
        self,
        classifier: EELSClassifier,
        signals: Any,
        *,
        after: Sequence[int] = AFTER,
        pixels: int = PIXELS,
    ):
        if not isinstance(after, Sequence):
            raise TypeError(f"Refit.after is {after!r}; give ascending numbers, as (2280, 4560)")
        for number in (*after, pixels):
            validation.whole("Refit.after and pixels", number)
        if list(after) != sorted(set(after)):
            raise ValueError(f"Refit.after is {tuple(after)}; ascending numbers are needed")
        fitted = getattr(classifier, "fitted", None)
        if fitted is None:
            raise ValueError(f"classifier is {classifier!r:.60}; give a fitted EELSClassifier")
        if fitted.labelled.names:
            raise ValueError(
                "classifier has learned from labels, which a fit anew does not know: what they "
                "tell would be lost; give refit a classifier without them, or leave refit out"
            )
        self.classifier, self.after, self.pixels = classifier, tuple(after), pixels
        images = [read_counts(signal) for signal in as_list(signals)]
        self.images = [np.array(image.counts) for image in images]
        self.axes = [image.axis for image in images]
        self.__setstate__({})

    def __getstate__(self) -> dict[str, Any]:
        """Without a fit that may be in progress."""
        return {name: value for name, value in vars(self).items() if name[0] != "_"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._turn = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def check(self, fast: FastClassifier) -> None:
        """Raise ValueError unless classes and energy axis are the stream's."""
        own = self.classifier.class_names
        if fast.class_names != own:
            raise ValueError(
                f"Refit.classifier knows the classes {', '.join(own)}, and the stream is read by "
                f"{', '.join(fast.class_names)}: give the classifier that was compiled for it"
            )
        for axis in self.axes:
            if not validation.same_axis(fast.energy, axis.offset + axis.scale * np.arange(axis.n)):
                raise ValueError(
                    f"Refit.signals have {axis.n} channels from {axis.offset:g} eV, and the stream "
                    f"{len(fast.energy)} from {fast.energy[0]:g} eV: they must lie on one axis"
                )

    def __call__(
        self, fast: FastClassifier, counts: NDArray[Any], shift: NDArray[Any]
    ) -> FastClassifier:
        """Wait for a model that is fitted to counts (n, E) of drifts (n,), eV, and the images.

        Parameters
        ----------
        fast : FastClassifier
            What reads the stream: the new one is compiled as it was.
        """
        self._stopped = False
        # of about one drift together: they are aligned by their mean
        order = np.argsort(shift, kind="stable")
        groups = np.array_split(order, max(1, len(order) // OF_ONE_DRIFT))
        images = [*self.images, *(counts[np.sort(rows)] for rows in groups)]
        graph = fast.graph
        about = {
            "head": fast.head,
            "noise": [graph.gain, graph.readout, graph.offset, graph.correlation_factor],
            "energy": fast.energy.tolist(),
            "pixels": [len(image) for image in images],
        }
        with tempfile.TemporaryDirectory(prefix="eels_bayes_refit") as name:
            folder = Path(name)
            self.classifier.save(folder / "model.eels")
            (folder / "about.json").write_text(json.dumps(about))
            np.concatenate(images).tofile(folder / "counts")
            self._run(folder)
            parts = fast_file.read(folder / "model.fast")
        return FastClassifier(*parts._replace(backend=fast.backend))

    def _run(self, folder: Path) -> None:
        """Have another process fit; RuntimeError with what it said where it fails."""
        command = f"from {fit_in.__module__} import fit_in; fit_in({str(folder)!r})"
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "OMP_NUM_THREADS": "1",
        }
        with (folder / "said").open("w+") as said:
            with self._turn:
                if self._stopped:
                    raise RuntimeError("the fit was given up")
                process = self._process = subprocess.Popen(
                    [sys.executable, "-c", command],
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=said,
                )
            while (code := process.poll()) is None:
                if not threading.main_thread().is_alive():  # the program ends
                    process.kill()
                time.sleep(LOOK)
            if code:
                said.seek(0)
                lines = said.read().strip().splitlines() or [""]
                raise RuntimeError(f"the fit ended with {code}: {lines[-1]}")

    def stop(self) -> None:
        """End a fit in progress."""
        with self._turn:
            self._stopped = True
            if self._process is not None:
                self._process.kill()
