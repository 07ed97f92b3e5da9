"""Small files in the formats that microscopes write, so that reading them needs no real data.

Gatan's DM3 and DM4 as https://www.er-c.org/cbb/info/dmformat/ describes them in words, and the text
format EMSA/MAS (ISO 22029). What a file tells besides counts and axes is the same for all of them.
"""

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

BEAM_ENERGY, CONVERGENCE, COLLECTION = 200.0, 21.0, 62.0  # keV, mrad, mrad

# DigitalMicrograph numbers types twice: those of tags, and those of images (DataType).
TAG_TYPE = {
    "int16": 2, "int32": 3, "uint16": 4, "uint32": 5, "float32": 6, "float64": 7, "bool": 8,
    "int8": 9, "uint8": 10, "int64": 11, "uint64": 12,
}  # fmt: skip
IMAGE_TYPE = {
    "int16": 1, "float32": 2, "uint8": 6, "int32": 7, "int8": 9, "uint16": 10, "uint32": 11,
    "float64": 12,
}  # fmt: skip
STRUCT, ARRAY = 15, 20  # in the description of a tag's data
GROUP, DATA = 20, 21  # what follows a tag's name
RGBA = 23  # DataType of the picture that stands for the document


def write_dm(
    path: Path,
    counts: NDArray[Any],
    *,
    version: Literal[3, 4] = 4,
    energy_offset: float,
    energy_scale: float,
    energy_unit: str = "eV",
    scan_step: float = 1.0,
    scan_unit: str = "nm",
    brightness_scale: float = 1.0,
    brightness_unit: str = "Counts",
) -> None:
    """Write a Gatan DM3 or DM4 file: a spectrum, line scan or spectrum image.

    Parameters
    ----------
    path : Path
        File to write.
    counts : ndarray (E,), (n, E) or (y, x, E)
        Of any type in `IMAGE_TYPE`.
    version : 3 or 4
        DM3, with lengths of 4 bytes, or DM4, with lengths of 8.
    energy_offset, energy_scale : float
        Energy of the first channel and width of a channel, in `energy_unit`. The file holds them
        in single precision, the offset as the channel where the energy is zero.
    energy_unit : str
        Unit of the energy axis.
    scan_step : float
        Distance of neighbouring pixels, in `scan_unit`.
    scan_unit : str
        Unit of the other axes.
    brightness_scale : float
        What one count is worth, in `brightness_unit`.
    brightness_unit : str
        "Counts", or "e-" where the camera's conversion is known.

    Raises
    ------
    ValueError
        Counts of a type or with a number of axes that spectra have not.
    """
    if str(counts.dtype) not in IMAGE_TYPE:
        raise ValueError(f"counts are {counts.dtype}; one of {', '.join(IMAGE_TYPE)} is needed")
    energy = _calibration(-energy_offset / energy_scale, energy_scale, energy_unit)
    scan = _calibration(0.0, scan_step, scan_unit)
    if counts.ndim == 1:
        stored, axes = counts, [energy]
    elif counts.ndim == 2:  # energies from left to right, spectra from top to bottom
        stored, axes = counts, [energy, scan]
    elif counts.ndim == 3:  # images one after another, each of one energy
        stored, axes = np.moveaxis(counts, -1, 0), [scan, scan, energy]
    else:
        raise ValueError(f"counts have shape {counts.shape}; 1 to 3 axes are needed")
    picture = np.zeros((4, 4, 4), np.uint8)
    flat = [_calibration(0.0, 1.0, "")] * 2
    plain = _calibration(0.0, 1.0, "")
    brightness = _calibration(0.0, brightness_scale, brightness_unit)
    images = [
        {
            "ImageData": _image_data(picture.view(np.int32)[..., 0], RGBA, flat, plain),
            "ImageTags": {},
            "Name": f"Image Of {path.stem}",
        },
        {
            "ImageData": _image_data(stored, IMAGE_TYPE[str(counts.dtype)], axes, brightness),
            "ImageTags": _image_tags(scanned=counts.ndim > 1),
            "Name": path.stem,
        },
    ]
    thumbnail = {"ImageIndex": np.uint32(0), "SourceSize_Pixels": (4, 4)}
    tree = {"ImageList": images, "InImageMode": True, "Thumbnails": [thumbnail]}
    length = ">i" if version == 3 else ">q"
    root = _group(tree, length)
    header = struct.pack(">i", version)
    header += struct.pack(length, len(root) + (4 if version == 3 else 0))
    header += struct.pack(">i", 1)  # numbers in tags are little-endian
    path.write_bytes(header + root + bytes(8))


def write_msa(
    path: Path,
    counts: NDArray[Any],
    *,
    energy_offset: float,
    energy_scale: float,
    energy_unit: str = "eV",
    with_energies: bool = False,
) -> None:
    """Write one spectrum (E,) as EMSA/MAS text, as counts alone or beside their energies.

    Parameters
    ----------
    path : Path
        File to write.
    counts : ndarray (E,)
        Of any real type.
    energy_offset, energy_scale : float
        Energy of the first channel and width of a channel, in `energy_unit`.
    energy_unit : str
        Unit of the energy axis.
    with_energies : bool
        One energy and one count a line, instead of five counts.

    Raises
    ------
    ValueError
        Not one spectrum, the only thing that the format holds.
    """
    if counts.ndim != 1:
        raise ValueError(f"counts have shape {counts.shape}; one spectrum is needed")
    columns = 1 if with_energies else 5
    values = [f"{float(count)!r}" for count in counts]
    if with_energies:
        energy = energy_offset + energy_scale * np.arange(len(counts))
        values = [f"{float(e)!r}, {value}" for e, value in zip(energy, values, strict=True)]
    keywords = {
        "FORMAT": "EMSA/MAS Spectral Data File",
        "VERSION": "1.0",
        "TITLE": path.stem,
        "DATE": "14-MAY-2019",
        "TIME": "20:50",
        "OWNER": "",
        "NPOINTS": f"{len(counts)}.",
        "NCOLUMNS": f"{columns}.",
        "XUNITS": energy_unit,
        "YUNITS": "Counts",
        "DATATYPE": "XY" if with_energies else "Y",
        "XPERCHAN": f"{energy_scale!r}",
        "OFFSET": f"{energy_offset!r}",
        "SIGNALTYPE": "ELS",
        "BEAMKV   -kV": f"{BEAM_ENERGY}",
        "CONVANGLE-mR": f"{CONVERGENCE}",
        "COLLANGLE-mR": f"{COLLECTION}",
        "SPECTRUM": "Spectral Data Starts Here",
    }
    lines = [f"#{name:<12}: {value}" for name, value in keywords.items()]
    lines += [", ".join(values[k : k + columns]) for k in range(0, len(values), columns)]
    path.write_bytes("\r\n".join([*lines, f"#{'ENDOFDATA':<12}: ", ""]).encode("ascii"))


def _calibration(origin: float, scale: float, unit: str) -> dict[str, Any]:
    return {"Origin": np.float32(origin), "Scale": np.float32(scale), "Units": unit}


def _image_data(
    stored: NDArray[Any], kind: int, axes: list[dict[str, Any]], brightness: dict[str, Any]
) -> dict[str, Any]:
    return {
        "Calibrations": {
            "Brightness": brightness,
            "Dimension": axes,
            "DisplayCalibratedUnits": True,
        },
        "Data": stored.ravel(),
        "DataType": np.uint32(kind),
        "Dimensions": [np.uint32(size) for size in reversed(stored.shape)],  # the fastest first
        "PixelDepth": np.uint32(stored.itemsize),
    }


def _image_tags(*, scanned: bool) -> dict[str, Any]:
    """What the microscope and the spectrometer say of themselves."""
    tags = {
        "EELS": {
            "Acquisition": {
                "Date": "5/14/2019",
                "Exposure (s)": 0.02,
                "Number of frames": 1,
                "Start time": "8:50:13 PM",
            },
            "Experimental Conditions": {
                "Collection semi-angle (mrad)": COLLECTION,
                "Convergence semi-angle (mrad)": CONVERGENCE,
            },
        },
        "EELS Spectrometer": {"Aperture label": "5 mm", "Instrument name": "GIF Quantum ER"},
        "Meta Data": {
            "Acquisition Mode": "Parallel dispersive",
            "Format": "Spectrum image" if scanned else "Spectrum",
            "Signal": "EELS",
        },
        "Microscope Info": {
            "Illumination Mode": "STEM NANOPROBE",
            "Imaging Mode": "DIFFRACTION",
            "Indicated Magnification": 225e3,
            "Name": "FEI Titan",
            "Probe Current (nA)": 0.0,
            "STEM Camera Length": 550.0,
            "Stage Position": {
                f"Stage {name}": value
                for name, value in (
                    ("Alpha", 0.5), ("Beta", 0.0), ("X", -308.0), ("Y", -318.0), ("Z", -13.0),
                )
            },
            "Voltage": 1e3 * BEAM_ENERGY,
        },
    }  # fmt: skip
    return tags | ({"DigiScan": {"Horizontal Spacing": 117.0}} if scanned else {})


def _group(tags: Mapping[str, Any] | Sequence[Any], length: str) -> bytes:
    """A group of tags; those of a sequence have no names. `length` is how lengths are packed."""
    named = tags.items() if isinstance(tags, Mapping) else [("", tag) for tag in tags]
    entries = b"".join(_entry(name, value, length) for name, value in named)
    return struct.pack(">??", True, False) + struct.pack(length, len(tags)) + entries


def _entry(name: str, value: Any, length: str) -> bytes:
    inside = isinstance(value, (Mapping, list))
    content = _group(value, length) if inside else _data(value, length)
    head = struct.pack(">BH", GROUP if inside else DATA, len(name)) + name.encode("latin-1")
    if length == ">q":  # DM4 tells how long each tag is
        head += struct.pack(length, len(content))
    return head + content


def _data(value: Any, length: str) -> bytes:
    """Numbers, text (an array of 16-bit characters), arrays, and tuples of numbers."""
    if isinstance(value, str):
        value = np.frombuffer(value.encode("utf-16-le"), "<u2")
    if isinstance(value, tuple):
        fields = [_number(field) for field in value]
        described = [STRUCT, 0, len(fields)]
        described += [part for field in fields for part in (0, TAG_TYPE[str(field.dtype)])]
        stored = b"".join(field.tobytes() for field in fields)
    else:
        array = _number(value)
        described, stored = [TAG_TYPE[str(array.dtype)]], array.tobytes()
        if array.ndim:
            described = [ARRAY, *described, array.size]
    numbers = (len(described), *described)
    return b"%%%%" + b"".join(struct.pack(length, number) for number in numbers) + stored


def _number(value: Any) -> NDArray[Any]:
    """Little-endian; Python's own integers have 32 bits."""
    array = np.asarray(value, np.int32 if type(value) is int else None)
    return array.astype(array.dtype.newbyteorder("<"))
