"""Prediction: what the classifier says of every pixel, and its way into other libraries."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from eels_bayes.arviz_bridge import inference_data
from eels_bayes.data.flags import describe
from eels_bayes.data.spectra import ImageInfo
from eels_bayes.gp.value_regression import gaussian_reach_array
from eels_bayes.prediction.maps import _from_zero, _listed, _pixel
from eels_bayes.prediction.quantities import MAPS, TEXT, axis_unit, axis_values

if TYPE_CHECKING:
    import xarray
    from hyperspy.signals import BaseSignal
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from eels_bayes.prediction.joint_posterior import JointPosterior


@dataclass(frozen=True, eq=False, repr=False)
class Prediction:
    """Class, uncertainty, novelty and value of n pixels of one or of many images.

    Attributes
    ----------
    probabilities : ndarray (n, K)
        Class probabilities; rows sum to 1.
    labels : ndarray (n,) of int
        The most probable class; -1 where flagged.
    class_names : tuple of str
        K names.
    total, aleatoric, encoder, classifier : ndarray (n,)
        Entropy of the class and its three parts, nats; the parts sum to the total.
    novelty : ndarray (n,)
        In [0, 1]; 1 is nothing like the training data.
    value, value_sd : ndarray (n,)
        Posterior mean and standard deviation of the library's value (its unit); NaN where the
        library has none.
    value_reach : ndarray (T,)
        How many sd intervals of the value reach, see `value_interval`.
    latent_mean, latent_sd : ndarray (n, D)
        Mean and standard deviation of the latent posterior.
    flag : ndarray (n,) of int
        :class:`~eels_bayes.Flag` values; 0 is OK. Flagged rows are NaN, their label is -1.
    image, position : ndarray (n,) of int
        Index into `images`, and flat C-order index in that image's navigation shape.
    images : tuple of ImageInfo
        One for each spectrum image.
    joint : JointPosterior, optional
        What draws pixels' probabilities together, for batches of labels.

    Raises
    ------
    ValueError
        If lengths or shapes disagree, a pixel lies outside its image, or labels and flags
        contradict one another.
    """

    probabilities: NDArray[Any]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    total: NDArray[Any]
    aleatoric: NDArray[Any]
    encoder: NDArray[Any]
    classifier: NDArray[Any]
    novelty: NDArray[Any]
    value: NDArray[Any]
    value_sd: NDArray[Any]
    latent_mean: NDArray[Any]
    latent_sd: NDArray[Any]
    flag: NDArray[np.int64]
    image: NDArray[np.int64]
    position: NDArray[np.int64]
    images: tuple[ImageInfo, ...]
    value_reach: NDArray[Any] = field(default_factory=gaussian_reach_array)
    joint: JointPosterior | None = None

    def __post_init__(self) -> None:
        n, n_classes = len(self.flag), len(self.class_names)
        shapes: dict[str, tuple[int, ...]] = {name: (n,) for name in _PER_PIXEL}
        shapes["probabilities"] = (n, n_classes)
        shapes["latent_mean"] = shapes["latent_sd"] = (n, *self.latent_mean.shape[1:2])
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise ValueError(
                    f"{name} has shape {getattr(self, name).shape}; {shape} is needed: "
                    f"{n} pixels as in flag, {n_classes} classes as in class_names"
                )
        if np.any((self.labels < 0) != (self.flag != 0)) or np.any(self.labels >= n_classes):
            raise ValueError(
                f"labels must be 0..{n_classes - 1}, and -1 exactly where flag is not 0"
            )
        sizes = np.array([int(np.prod(info.shape)) for info in self.images], dtype=int)
        if n and (self.image.min() < 0 or self.image.max() >= len(sizes)):
            raise ValueError(
                f"image runs from {self.image.min()} to {self.image.max()}; images has "
                f"{len(sizes)} entries"
            )
        if n and (self.position.min() < 0 or np.any(self.position >= sizes[self.image])):
            raise ValueError("position leaves the navigation shape of its image")

    def __len__(self) -> int:
        return len(self.flag)

    def __repr__(self) -> str:
        shares = ", ".join(
            f"{name} {np.count_nonzero(self.labels == k)}"
            for k, name in enumerate(self.class_names)
        )
        return (
            f"<Prediction: {len(self)} pixels ({int(self.ok.sum())} classified) of "
            f"{len(self.images)} images; {shares}>"
        )

    def __getitem__(self, index: slice | NDArray[Any] | Sequence[int]) -> Prediction:
        """Some of the pixels; `images` stays whole, so that maps keep their shape."""
        if not isinstance(index, slice):
            index = np.asarray(index)
            if index.ndim != 1 or index.dtype.kind not in "iub":
                raise TypeError(
                    f"index has shape {index.shape} and type {index.dtype}; a slice, a 1-D array "
                    "of integers or a 1-D mask is needed"
                )
        joint = None if self.joint is None else self.joint[index]
        arrays = {name: getattr(self, name)[index] for name in _PER_PIXEL}
        return replace(self, joint=joint, **arrays)

    @property
    def ok(self) -> NDArray[np.bool_]:
        """True where a pixel was classified; (n,)."""
        return np.asarray(self.flag == 0)

    @property
    def has_value(self) -> bool:
        """Whether the library has values, so that `value` means something."""
        return bool(np.isfinite(self.value).any())

    def value_interval(self, level: float = 0.9) -> tuple[NDArray[Any], NDArray[Any]]:
        """Ends (n,) and (n,) of the value's interval that holds it with probability `level`.

        As many sd around the mean as hold it among pixels drawn from the forward model; the
        posterior has several modes, so this is not a Gaussian's number.

        Raises
        ------
        ValueError
            If `level` is not between 0 and 1.
        """
        if not 0 < level < 1:
            raise ValueError(f"level must lie between 0 and 1, got {level}")
        grid = (np.arange(len(self.value_reach)) + 0.5) / len(self.value_reach)
        reach = np.interp(level, grid, self.value_reach) * self.value_sd
        return self.value - reach, self.value + reach

    def reasons(self) -> list[str]:
        """Why each pixel is flagged, in words; '' where it is OK."""
        return [describe(int(flag)) for flag in self.flag]

    def map(self, quantity: str, image: int = 0) -> NDArray[Any]:
        """One quantity in the navigation shape of one image.

        Parameters
        ----------
        quantity : str
            Name of any array of this prediction.
        image : int
            Index into `images`.

        Returns
        -------
        ndarray (\\*shape,) or (\\*shape, K) or (\\*shape, D)
            NaN, or -1 in integer maps, at pixels that this prediction does not contain.

        Raises
        ------
        ValueError
            If there is no such quantity.
        IndexError
            If there is no such image.
        """
        if quantity not in _PER_PIXEL:
            raise ValueError(f"quantity {quantity!r} is unknown; one of {', '.join(_PER_PIXEL)}")
        if not 0 <= image < len(self.images):
            raise IndexError(f"image {image} does not exist; there are {len(self.images)}")
        values, shape = getattr(self, quantity), self.images[image].shape
        mine = self.image == image
        fill = -1 if values.dtype.kind in "iu" else np.nan
        flat = np.full((int(np.prod(shape)), *values.shape[1:]), fill, values.dtype)
        flat[self.position[mine]] = values[mine]
        return flat.reshape((*shape, *values.shape[1:]))

    def to_signals(self) -> dict[str, list[BaseSignal]]:
        """HyperSpy signals of every quantity, one for each image.

        Navigation axes (name, units, scale, offset) and metadata are the image's own; what the
        numbers are is in ``metadata.eels_bayes`` and ``metadata.Signal.quantity``.

        Returns
        -------
        dict of str to list of BaseSignal
            "probabilities" has the class as signal axis, "latent_mean" and "latent_sd" the latent
            dimension; the others are maps (navigation axes only). "value" and "value_sd" are
            there if the library has values.
        """
        names = ["probabilities", *MAPS, "latent_mean", "latent_sd", "flag"]
        if not self.has_value:
            names = [name for name in names if not name.startswith("value")]
        return {
            name: [self._signal(name, image) for image in range(len(self.images))] for name in names
        }

    def _signal(self, name: str, image: int) -> BaseSignal:
        from hyperspy.signals import BaseSignal, Signal1D

        info, data = self.images[image], self.map(name, image)
        metadata = copy.deepcopy(info.metadata)
        signal = metadata.setdefault("Signal", {})
        # These describe counts; on a map they would make HyperSpy build a spectrum, or weight it.
        for key in ("signal_type", "Noise_properties"):
            signal.pop(key, None)
        unit = MAPS[name].unit if name in MAPS else ""
        signal["quantity"] = f"{TEXT[name]} ({unit})" if unit else TEXT[name]
        reasons = Counter(
            describe(int(flag)) for flag in self.flag[(self.image == image) & ~self.ok]
        )
        metadata["eels_bayes"] = metadata.get("eels_bayes", {}) | {
            "quantity": name,
            "unit": unit,
            "class_names": list(self.class_names),
            "image": image,
            "flagged": [f"{count} pixels: {text}" for text, count in reasons.items()],
        }
        axes = [copy.deepcopy(axis) for axis in info.axes]
        if data.ndim > len(info.shape):
            extra = "class" if name == "probabilities" else "latent"
            axes.append({"name": extra, "size": data.shape[-1], "navigate": False})
            return Signal1D(data, axes=axes, metadata=metadata)
        if not info.shape:  # as HyperSpy itself does when it sums a single spectrum
            return BaseSignal(data.reshape(1), metadata=metadata)
        return BaseSignal(data, axes=axes, metadata=metadata)

    def to_xarray(self) -> xarray.Dataset:
        """Every quantity over the dimensions ``pixel``, ``class`` and ``latent``.

        Returns
        -------
        xarray.Dataset
            Coordinates of a pixel: its ``image`` and that image's ``title``, flat ``position``,
            ``row`` and ``col`` (the last two navigation axes; row 0 in a line scan) and their
            calibrated ``y`` and ``x``. Units and long names are in the variables' attributes.
        """
        import xarray

        extra = {"probabilities": "class", "latent_mean": "latent", "latent_sd": "latent"}
        variables: dict[str, Any] = {}
        for name, text in TEXT.items():
            dims = ("pixel", extra[name]) if name in extra else ("pixel",)
            attrs = {"long_name": text}
            if name in MAPS and MAPS[name].unit == "nats":
                attrs["units"] = "nats"
            variables[name] = (dims, getattr(self, name), attrs)
        variables["reason"] = ("pixel", np.array(self.reasons(), dtype=str))
        coords = {"class": ("class", np.array(self.class_names)), **self._coordinates()}
        return xarray.Dataset(variables, coords=coords)

    def _coordinates(self) -> dict[str, Any]:
        n = len(self)
        index = {name: np.zeros(n, dtype=np.int64) for name in ("row", "col")}
        place = {name: np.zeros(n) for name in ("y", "x")}
        units: dict[str, set[str]] = {"y": set(), "x": set()}
        titles = np.array([info.title for info in self.images], dtype=str)
        for k, info in enumerate(self.images):
            mine = self.image == k
            where = np.unravel_index(self.position[mine], info.shape or (1,))
            for axis, cell, name in ((-1, "col", "x"), (-2, "row", "y")):
                if len(info.shape) >= -axis:
                    index[cell][mine] = where[axis]
                    place[name][mine] = axis_values(info, axis)[where[axis]]
                    units[name].add(axis_unit(info, axis))
        coords: dict[str, Any] = {
            "pixel": ("pixel", np.arange(n)),
            "image": ("pixel", self.image),
            "position": ("pixel", self.position),
            "title": ("pixel", titles[self.image] if len(titles) else np.zeros(0, dtype=str)),
        }
        coords |= {name: ("pixel", values) for name, values in index.items()}
        for name, values in place.items():
            unit = units[name].pop() if len(units[name]) == 1 else ""
            coords[name] = ("pixel", values, {"units": unit} if unit else {})
        return coords

    def to_inference_data(self, *, draws: int = 250, chains: int = 4, seed: int = 0) -> Any:
        """Predictive draws and quantities as an ArviZ object, of the classified pixels.

        The draws are independent, so chains are only blocks of them: they give ArviZ what its
        convergence checks expect. ``class`` is drawn from the class probabilities; ``value``, where
        the library has values, from a Normal with the predictive's mean and sd (separately from
        ``class``). Groups: ``posterior`` over (chain, draw, pixel); ``sample_stats`` with ``lp``,
        the log probability of the class drawn; ``constant_data`` with every quantity of
        :meth:`to_xarray`. Take some pixels first, ``pred[mask].to_inference_data()``, where a
        whole series would be too large: 12 bytes for each draw and pixel, 16 with values.

        Parameters
        ----------
        draws, chains : int
            Draws in each chain, and chains.
        seed : int

        Returns
        -------
        arviz.InferenceData (ArviZ below 1) or xarray.DataTree (ArviZ 1 and above)

        Raises
        ------
        ValueError
            If draws or chains is not positive, or every pixel is flagged.
        """
        import xarray

        if draws < 1 or chains < 1:
            raise ValueError(f"draws and chains must be at least 1, got {draws} and {chains}")
        if not self.ok.any():
            raise ValueError("every pixel is flagged; there is nothing to draw from")
        rng = np.random.default_rng(seed)
        kept = self[self.ok]
        shape, dims = (chains, draws, len(kept)), ("chain", "draw", "pixel")
        cumulative = np.cumsum(kept.probabilities, axis=1, dtype=float)
        uniform = rng.random(shape)
        classes = np.zeros(shape, dtype=np.int32)
        for k in range(len(self.class_names) - 1):
            classes += uniform >= cumulative[:, k]
        drawn = kept.probabilities[np.arange(len(kept)), classes].astype(np.float64)
        posterior: dict[str, Any] = {"class": (dims, classes)}
        if self.has_value:
            noise = rng.standard_normal(shape, dtype=np.float32)
            values = (kept.value + kept.value_sd * noise).astype(np.float32)
            posterior["value"] = (dims, values)
        quantities = self.to_xarray().isel(pixel=self.ok)
        coords = {
            "chain": np.arange(chains),
            "draw": np.arange(draws),
            "pixel": quantities.pixel.values,
        }
        return inference_data(
            {
                "posterior": xarray.Dataset(posterior, coords=coords),
                "sample_stats": xarray.Dataset({"lp": (dims, np.log(drawn))}, coords=coords),
                "constant_data": quantities,
            }
        )

    def plot_maps(
        self,
        quantities: str | Sequence[str] | None = None,
        images: int | Sequence[int] | None = None,
        *,
        columns: int | None = None,
    ) -> Figure:
        """Maps of the chosen quantities over the chosen images.

        Each quantity has one colour scale over all images, and the uncertainties share one, because
        they are parts of one sum. Flagged pixels, and those this prediction does not contain, are
        hatched grey.

        Parameters
        ----------
        quantities : str or sequence of str, optional
            Of "labels", "value", "value_sd", "novelty", "total", "aleatoric", "encoder" and
            "classifier". By default all of them for one image; class, value and total uncertainty
            for several.
        images : int or sequence of int, optional
            Indices into `images`; by default all.
        columns : int, optional
            Panels a row in each quantity's block.

        Raises
        ------
        ValueError
            If a quantity is unknown, the prediction has no values but they are asked for, or an
            image has more than two navigation axes.
        IndexError
            If there is no such image.
        """
        from eels_bayes.plots import map_figures, map_panel

        chosen = _listed(images, range(len(self.images)))
        everything = [name for name in MAPS if self.has_value or not name.startswith("value")]
        some = [name for name in ("labels", "value", "total") if name in everything]
        names = _listed(quantities, everything if len(chosen) == 1 else some)
        for name in names:
            if name not in everything:
                why = "the library has no values" if name in MAPS else "it is unknown"
                raise ValueError(
                    f"quantity {name!r} cannot be drawn: {why}; choose of {', '.join(everything)}"
                )
        panels = {name: [self._panel(name, image) for image in chosen] for name in names}
        shared = [name for name in names if MAPS[name].unit == "nats"]
        limits = {
            "novelty": (0.0, 1.0),
            "value_sd": _from_zero(panels.get("value_sd", [])),
            **dict.fromkeys(shared, _from_zero([m for name in shared for m in panels[name]])),
        }
        layers = [
            map_panel.Layer(
                MAPS[name].text,
                panels[name],
                MAPS[name].unit,
                MAPS[name].cmap,
                limits.get(name),
                self.class_names if name == "labels" else None,
            )
            for name in names
        ]
        titles = [self.images[image].title for image in chosen]
        pixels = [_pixel(self.images[image]) for image in chosen]
        return map_figures.layers(
            layers, titles if any(titles) else None, pixels=pixels, columns=columns
        )

    def _panel(self, name: str, image: int) -> NDArray[Any]:
        panel = self.map(name, image)
        if panel.ndim > 2:
            raise ValueError(
                f"images[{image}] has {panel.ndim} navigation axes; maps need at most two. "
                "Browse to_signals() instead"
            )
        return panel if panel.ndim else panel.reshape(1, 1)


_PER_PIXEL = tuple(
    field.name
    for field in fields(Prediction)
    if field.name not in ("class_names", "images", "value_reach", "joint")
)
