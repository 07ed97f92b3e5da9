"""Why a pixel could not be used."""

import enum


class Flag(enum.IntFlag):
    """Why a pixel could not be used; flags add up."""

    OK = 0
    NON_FINITE = 1
    DEAD = 2
    NO_BACKGROUND = 4
    NO_REFERENCE = 8
    OFF_AXIS = 16
    NO_ANSWER = 32
    OTHER_CHANNELS = 64
    DIM = 128


REASONS: dict[Flag, str] = {
    Flag.NON_FINITE: "NaN, infinite, saturated or wrapped counts",
    Flag.DEAD: "the same counts in every channel",
    Flag.NO_BACKGROUND: "no counts above the noise in the background window",
    Flag.NO_REFERENCE: "no counts above the noise in the normalize window",
    Flag.OFF_AXIS: "energies that are needed leave the axis after alignment",
    Flag.NO_ANSWER: "the model has no finite answer to it",
    Flag.OTHER_CHANNELS: "another number of channels than the energy axis has",
    Flag.DIM: "next to no counts beside those of bright pixels of its image",
}


def describe(flag: int) -> str:
    """Words for a pixel's flag.

    Parameters
    ----------
    flag : int
        `Flag` values, added up.

    Returns
    -------
    str
        '' where it is OK.
    """
    return "; ".join(text for reason, text in REASONS.items() if flag & reason)
