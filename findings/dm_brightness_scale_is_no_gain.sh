#!/usr/bin/env bash
# Electrons per count, read as variance per count.
#
# A Gatan DM file calibrates intensities by ImageData.Calibrations.Brightness: with the unit "e-", Scale is the
# number of electrons that one count stands for. RosettaSciIO puts this number into
# metadata.Signal.Noise_properties.Variance_linear_model.gain_factor. HyperSpy documents gain_factor as the factor
# from the expected value to the variance. For a detector that counts electrons without further noise this is the
# number of counts an electron makes: the inverse. estimate_poissonian_noise_variance is then wrong by the square
# of the scale, and everything that weights by it, without any message.
#
# The script writes a DM3 file of one image of even intensity: Poisson electrons, 10 counts each, Scale 0.1 e-.
#
# hyperspy 2.5.0 and rosettasciio 0.15.0, seen on 2026-11-28:
#
#     Brightness.Scale of the file      0.1 e- per count
#     gain_factor after loading         0.1
#     mean of the counts                500
#     variance that HyperSpy estimates  50, 0.1 per count
#     variance of the counts            5014, 10 per count
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check hyperspy==2.5.0 rosettasciio==0.15.0
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import logging
import struct

import numpy as np

logging.disable(logging.WARNING)
import hyperspy.api as hs

ELECTRONS_PER_COUNT = 0.1
SHAPE = (64, 1024)


def tag(kind, name, body):
    """One entry of a DM3 group: a value (21) or a group (20)."""
    return struct.pack(">bh", kind, len(name)) + name.encode() + body


def value(name, code, layout, number):
    return tag(21, name, b"%%%%" + struct.pack(">ii", 1, code) + struct.pack(layout, number))


def array(name, code, data, length):
    return tag(21, name, b"%%%%" + struct.pack(">iiii", 3, 20, code, length) + data)


def text(name, words):
    return array(name, 4, words.encode("utf-16-le"), len(words))


def group(name, *entries):
    return tag(20, name, struct.pack(">bbi", 1, 0, len(entries)) + b"".join(entries))


def axis(scale, unit):
    numbers = value("Origin", 6, "<f", 0.0), value("Scale", 6, "<f", scale)
    return group("", *numbers, text("Units", unit))


electrons = np.random.default_rng(0).poisson(50.0, SHAPE)
counts = (electrons / ELECTRONS_PER_COUNT).astype("<f4")
image = group(
    "ImageData",
    group(
        "Calibrations",
        group(
            "Brightness",
            value("Origin", 6, "<f", 0.0),
            value("Scale", 6, "<f", ELECTRONS_PER_COUNT),
            text("Units", "e-"),
        ),
        group("Dimension", axis(0.25, "nm"), axis(0.25, "nm")),
    ),
    array("Data", 6, counts.tobytes(), counts.size),
    value("DataType", 3, "<i", 2),
    group("Dimensions", value("", 3, "<i", SHAPE[1]), value("", 3, "<i", SHAPE[0])),
    value("PixelDepth", 3, "<i", 4),
)
tags = group("ImageTags", group("Meta Data", text("Format", "Image")))
images = group("ImageList", group("", image, tags, text("Name", "even")))
root = struct.pack(">bbi", 1, 0, 1) + images
with open("even.dm3", "wb") as file:
    file.write(struct.pack(">iii", 3, len(root) + 8, 1) + root + bytes(8))

signal = hs.load("even.dm3")
np.testing.assert_array_equal(signal.data, counts)
stated = signal.original_metadata.ImageList.TagGroup0.ImageData.Calibrations.Brightness
factor = signal.metadata.Signal.Noise_properties.Variance_linear_model.gain_factor
signal.estimate_poissonian_noise_variance()
estimated = signal.get_noise_variance().data.mean()
measured = signal.data.astype(float).var()
mean = signal.data.mean()
print(f"Brightness.Scale of the file      {stated.Scale:.3g} {stated.Units} per count")
print(f"gain_factor after loading         {factor:.3g}")
print(f"mean of the counts                {mean:.0f}")
print(f"variance that HyperSpy estimates  {estimated:.0f}, {estimated / mean:.3g} per count")
print(f"variance of the counts            {measured:.0f}, {measured / mean:.3g} per count")
assert np.isclose(factor, ELECTRONS_PER_COUNT), "gain_factor is no longer Brightness.Scale"
assert np.isclose(measured / mean, 1 / ELECTRONS_PER_COUNT, rtol=0.05)
assert np.isclose(measured / estimated, ELECTRONS_PER_COUNT**-2, rtol=0.05), "the estimate has changed"
PYTHON
