"""Prediction: what the classifier says of every pixel.

Its maps are drawn by `maps`, its ways into other libraries are in `exports`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from eels_bayes.data.flags import describe
from eels_bayes.data.given_signals import in_shape
from eels_bayes.data.pixel_index import checked_index, per_pixel_fields, rows_of
from eels_bayes.data.spectra import ImageInfo
from eels_bayes.data.value_range import ANY_VALUE, ValueRange
from eels_bayes.gp.reach import gaussian_reach
from eels_bayes.prediction import areas, exports, maps, tables
from eels_bayes.prediction.prediction_checks import check_prediction
from eels_bayes.validation import share

if TYPE_CHECKING:
    import xarray
    from hyperspy.signals import BaseSignal
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from eels_bayes.prediction.joint_posterior import JointPosterior
    from eels_bayes.prediction.map_posterior import MapPosterior

NOTHING = np.zeros(0)  # that other pixels took away, where pixels stand by themselves


@dataclass(frozen=True, eq=False, repr=False)
class Prediction:
    """Class, uncertainty, novelty and value of n pixels of one or of many images.

    Attributes
    ----------
    probabilities : ndarray (n, K)
        Class probabilities; rows sum to 1.
    labels : ndarray (n,) of int
        Index of the most probable class; -1 where flagged.
    class_names : tuple of str
        K names.
    total, aleatoric, encoder, classifier : ndarray (n,)
        Entropy of the class and its three parts, nats; the parts sum to the total.
    novelty : ndarray (n,)
        In [0, 1]; 1 is nothing like the training data.
    value, value_sd : ndarray (n,)
        Posterior mean, within `value_range`, and standard deviation of the library's value (its
        unit); NaN where the library has none. The sd is that of the posterior as it is, which may
        reach beyond the range.
    value_reach : ndarray (T,)
        How many `value_sd` the central intervals of the value reach to either side, at the levels
        (t + 0.5) / T; see `value_interval`.
    value_name, value_unit : str
        What the value is, by the library: "fluorine fraction"; '' for no unit.
    value_range : (low, high)
        What values are possible, by the library.
    model : str
        Digest of the model that says so: `EELSClassifier.provenance` of the same model has it.
    latent_mean, latent_sd : ndarray (n, D)
        Mean and standard deviation of the latent posterior.
    flag : ndarray (n,) of int
        :class:`~eels_bayes.Flag` values; 0 is OK. Flagged rows are NaN, their label is -1.
    image, position : ndarray (n,) of int
        Index into `images`, and flat C-order index in that image's navigation shape.
    images : tuple of ImageInfo
        One for each spectrum image.
    joint : JointPosterior, optional
        Latent posteriors of the pixels and the classifier that reads them, from which the
        probabilities of many pixels are drawn together, for batches of labels.
    neighbours : ndarray (n,), optional
        What the other pixels took away of the doubt, nats: the total of the pixel alone less
        `total`; negative where they contradict it. 0 where every pixel stands by itself.
    map_posterior : MapPosterior, optional
        Of ``context="neighbours"`` or "series": draws of whole maps, and how alike neighbours were
        found to be.

    Raises
    ------
    ValueError
        If lengths or shapes disagree, a pixel lies outside its image, labels and flags contradict
        one another, or probabilities are not finite where nothing is flagged.

    Examples
    --------
    A line scan of three pixels, made by hand; `EELSClassifier.predict` makes the real ones.

    >>> import numpy as np
    >>> import eels_bayes as eb
    >>> line = eb.ImageInfo((3,), ({"name": "x", "size": 3},), {}, "a line", (500.0, 0.5))
    >>> p = np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]])
    >>> entropy, zero = -(p * np.log(p)).sum(axis=1), np.zeros(3)
    >>> pred = eb.Prediction(
    ...     probabilities=p,
    ...     labels=np.array([0, 1, 0]),
    ...     class_names=("F 50 %", "no F"),
    ...     total=entropy,
    ...     aleatoric=entropy,
    ...     encoder=zero,
    ...     classifier=zero,
    ...     novelty=zero,
    ...     value=0.5 * p[:, 0],
    ...     value_sd=np.full(3, 0.1),
    ...     latent_mean=np.zeros((3, 2)),
    ...     latent_sd=np.ones((3, 2)),
    ...     flag=np.zeros(3, dtype=int),
    ...     image=np.zeros(3, dtype=int),
    ...     position=np.arange(3),
    ...     images=(line,),
    ... )
    >>> pred
    <Prediction: 3 pixels (3 classified) of 1 images; F 50 % 2, no F 1>
    >>> pred[pred.total < 0.6].map("labels").tolist()
    [0, 1, -1]
    >>> low, high = pred.value_interval(0.9)
    >>> (high - low).round(2).tolist()
    [0.33, 0.33, 0.33]
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
    value_reach: NDArray[Any] = field(default_factory=gaussian_reach)
    joint: JointPosterior | None = None
    neighbours: NDArray[Any] = field(default_factory=lambda: NOTHING)
    map_posterior: MapPosterior | None = None
    value_name: str = "value"
    value_unit: str = ""
    value_range: ValueRange = ANY_VALUE
    model: str = ""

    def __post_init__(self) -> None:
        if self.neighbours is NOTHING:
            object.__setattr__(self, "neighbours", np.where(self.flag == 0, 0.0, np.nan))
        check_prediction(self, _PER_PIXEL)

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
        """Some of the pixels; `images` stays whole, so that maps keep their shape.

        Parameters
        ----------
        index : slice, or 1-D array_like of int or bool
            Pixels to take, or a mask.

        Returns
        -------
        Prediction

        Raises
        ------
        TypeError
            If `index` is anything else.
        """
        index = checked_index(index)
        joint = None if self.joint is None else self.joint[index]
        known = None if self.map_posterior is None else self.map_posterior[index]
        return replace(self, joint=joint, map_posterior=known, **rows_of(self, _PER_PIXEL, index))

    @property
    def ok(self) -> NDArray[np.bool_]:
        """Whether each pixel was classified.

        Returns
        -------
        ndarray (n,) of bool
        """
        return np.asarray(self.flag == 0)

    @property
    def has_value(self) -> bool:
        """Whether the library has values, so that `value` means something.

        Returns
        -------
        bool
        """
        return bool(np.isfinite(self.value).any())

    def value_interval(self, level: float = 0.9) -> tuple[NDArray[Any], NDArray[Any]]:
        """Central interval of the value that holds it with probability `level`.

        As many sd around the mean as hold it among pixels drawn from the forward model; the
        posterior has several modes, so this is not a Gaussian's number. Of a pixel by itself, or
        with its image, that is meant on average: pure pixels are held more often, mixed ones less.
        With neighbours the intervals hold mixed pixels as often, and pure ones nearly always. What
        lies beyond `value_range` is cut off, which no true value can be lost by.

        Parameters
        ----------
        level : float
            Between 0 and 1.

        Returns
        -------
        low, high : ndarray (n,)
            Ends of the interval, in the value's unit; NaN where flagged.

        Raises
        ------
        ValueError
            If `level` is not between 0 and 1.
        """
        level = share("level", level)
        grid = (np.arange(len(self.value_reach)) + 0.5) / len(self.value_reach)
        reach = np.interp(level, grid, self.value_reach) * self.value_sd
        low, high = self.value_range
        return (self.value - reach).clip(low, high), (self.value + reach).clip(low, high)

    def reasons(self) -> list[str]:
        """Why each pixel is flagged.

        Returns
        -------
        list of str
            n texts; '' where a pixel is OK.
        """
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
        in_image = self.image == image
        values, place = getattr(self, quantity)[in_image], self.position[in_image]
        return in_shape(values, place, self.images[image].shape)

    def to_signals(self) -> dict[str, list[BaseSignal]]:
        """HyperSpy signals of every quantity, one for each signal that was given.

        Frames of a stack come back as the stack. Navigation axes (name, units, scale, offset) and
        metadata are the given signal's own; what the numbers are is in ``metadata.eels_bayes``,
        with the model's digest, and
        ``metadata.Signal.quantity``.

        Returns
        -------
        dict of str to list of BaseSignal
            "probabilities" has the class as signal axis, "latent_mean" and "latent_sd" the latent
            dimension; the others are maps (navigation axes only). "value" and "value_sd" are
            there if the library has values.
        """
        return exports.signals(self)

    class_area = areas.class_area
    summary = tables.summary
    to_dataframe = tables.to_dataframe
    _repr_html_ = tables.html

    def to_xarray(self, image: int | None = None) -> xarray.Dataset:
        """Every quantity over ``pixel``, ``class`` and ``latent``, or an image as an image.

        Parameters
        ----------
        image : int, optional
            Index into `images`: of this image alone, over its own navigation axes, such as
            ``(y, x)``, in place of ``pixel``. NaN, or -1, at pixels that are not there.

        Returns
        -------
        xarray.Dataset
            Coordinates of a pixel: its ``image`` and that image's ``title``, flat ``position``,
            ``row`` and ``col`` (the last two navigation axes; row 0 in a line scan) and their
            calibrated ``y`` and ``x``; and along the outer axes of a stack, or of an image with
            more than two axes, the calibrated position by the axis' name, such as ``time``.
            Units and long names are in the variables' attributes, the model's digest in those of
            the Dataset.
        """
        return exports.dataset(self) if image is None else exports.image_dataset(self, image)

    def to_inference_data(self, *, draws: int = 250, chains: int = 4, seed: int = 0) -> Any:
        """Predictive draws and quantities as an ArviZ object, of the classified pixels.

        The draws are independent, so chains are only blocks of them: they give ArviZ what its
        convergence checks expect. ``class`` is drawn from the class probabilities; ``value``, where
        the library has values, from a Normal with the predictive's mean and sd (separately from
        ``class``), moved to the end of `value_range` where it lies beyond. Groups: ``posterior``
        over (chain, draw, pixel); ``sample_stats`` with ``lp``, the log probability of the class
        drawn; ``constant_data`` with every quantity of :meth:`to_xarray`. Take some pixels first,
        ``pred[mask].to_inference_data()``, where a whole series would be too large: 12 bytes for
        each draw and pixel, 16 with values.

        Parameters
        ----------
        draws, chains : int
            Draws in each chain, and chains.
        seed : int
            Of the draws.

        Returns
        -------
        arviz.InferenceData (ArviZ below 1) or xarray.DataTree (ArviZ 1 and above)

        Raises
        ------
        ValueError
            If draws or chains is not positive, or every pixel is flagged.
        """
        return exports.inference_data(self, draws=draws, chains=chains, seed=seed)

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
            Of "labels", "value", "value_sd", "novelty", "total", "aleatoric", "encoder",
            "classifier" and "neighbours". By default all of them for one image; class, value and
            total uncertainty for several.
        images : int or sequence of int, optional
            Indices into `images`; by default all.
        columns : int, optional
            Panels a row in each quantity's block; by default as many as suit the page.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ValueError
            If a quantity is unknown, the prediction has no values but they are asked for, or an
            image has more than two navigation axes.
        IndexError
            If there is no such image.
        """
        return maps.map_figure(self, quantities, images, columns)


_SHARED = ("class_names", "images", "value_reach", "joint", "map_posterior")
_OF_MODEL = ("value_name", "value_unit", "value_range", "model")
_PER_PIXEL = per_pixel_fields(Prediction, shared=_SHARED + _OF_MODEL)
