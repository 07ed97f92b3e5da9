"""Real files to try things out with: exSpy's demonstrations, fetched once and kept."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple, get_args

import pooch

from eels_bayes import validation

Example = Literal["copper_zinc", "manganite", "manganite_low_loss", "oxide_interface"]

# of the demonstrations of exSpy's developers, at a commit, so that checksums hold
SOURCE = (
    "https://raw.githubusercontent.com/hyperspy/exspy-demos/"
    "927d1f21b3b8aba4e2e622c2e621d3d9d5542d1c/EELS/datasets"
)
FOLDER = "EELS_BAYES_DATA"  # environment variable of the folder that files are kept in


class _File(NamedTuple):
    """A file of the source, and the SHA-256 of its bytes."""

    name: str
    sha256: str


_FILES: dict[str, _File] = {
    "copper_zinc": _File(
        "CuZn_EELS_mapping_tutorial.hspy",
        "0405fc47a562ec5edad67576ab5c39331fa904b800026c03c897d23345a67c07",
    ),
    "manganite": _File(
        "LSMO_linescan.hspy",
        "94a5e28f77d95447262a8c3f861ff085cd01e4fcbf7e8411a2f67a4f85b67eef",
    ),
    "manganite_low_loss": _File(
        "LSMO_linescan_low_loss.hspy",
        "cd6c2838d650a0b871ffb1a27cdde5ce0e22467b0d7911c1c16b4490451f179b",
    ),
    "oxide_interface": _File(
        "LSMO_STO_linescan.hspy",
        "f528d1e18c095a94f6dd74a2f446496f3636b17f698dbc4e61e8aa0315f3fa71",
    ),
}


def example_file(name: Example = "copper_zinc") -> Path:
    """A real file to try things out with, fetched from exSpy's demonstrations the first time.

    Parameters
    ----------
    name : str
        ``"copper_zinc"``: 50 x 40 spectra of copper and zinc oxide particles, 700 to 1,988 eV;
        ``"manganite"`` and ``"manganite_low_loss"``: a line scan of 40 spectra with O K, Mn L and
        La M edges, and its low losses; ``"oxide_interface"``: 10 spectra from a titanate into a
        manganite.

    Returns
    -------
    Path
        For `load`. The file is kept in the user's cache, or in ``$EELS_BAYES_DATA``.

    Raises
    ------
    ValueError
        If there is no such example, or its file is damaged.
    OSError
        If it cannot be fetched or kept.
    """
    file = _FILES[validation.choice("name", name, get_args(Example))]
    kept = pooch.create(
        path=pooch.os_cache("eels_bayes"),
        base_url=f"{SOURCE}/",
        registry={file.name: f"sha256:{file.sha256}"},
        env=FOLDER,
    )
    try:
        return Path(kept.fetch(file.name))
    except ValueError as error:
        raise ValueError(
            f"{file.name}: what {SOURCE} gave is damaged, as its SHA-256 is another; try again"
        ) from error
    except OSError as error:
        raise OSError(
            f"{file.name} could not be fetched ({type(error).__name__}). Without a network, bring "
            f"{kept.get_url(file.name)} and put it in {kept.abspath}; or go on with a simulated "
            "series, which needs none"
        ) from error
