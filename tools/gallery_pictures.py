"""Run the examples and keep what they draw, small, as the pictures of the gallery.

    python tools/gallery_pictures.py [NAME ...] [--map FILE]

Without names all examples are run: minutes, which is why the pages show kept pictures and run
nothing. They stand in docs/pictures, a folder an example, beside captions.json, which says what
each shows; those of a short run are called ``FIGURE.smoke.png``. An example whose packages are
missing keeps the pictures that it has. ``live_stream`` draws latencies: run it where little else
runs, or not at all. ``--map`` is the spectrum image of ``spectrum_image.py``; by default exSpy's,
which is fetched.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs" / "pictures"
# Width in pixels and number of colours (0: all): the first that is small enough, or the last. Few
# colours show in colour bars.
SIZES = ((1100, 0), (1100, 256), (900, 0), (900, 256), (700, 0), (700, 256), (700, 64))
LARGEST = 250_000  # bytes
# a minute or two; the rest is run short
IN_FULL = ("annealing_series", "live_stream", "paper_figures", "spectrum_image")


def run(script: Path, folder: Path, given: Path | None) -> subprocess.CompletedProcess[str]:
    """Run an example in a folder that takes what it writes."""
    arguments: list[str] = []
    if script.stem == "spectrum_image":
        import eels_bayes as eb

        arguments.append(str(given.resolve() if given else eb.example_file()))
    arguments += ["--out", "map.zarr" if script.stem == "cluster" else "out"]
    arguments += ["--smoke"] * (script.stem not in IN_FULL)
    environment = {**os.environ, "MPLBACKEND": "Agg", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, str(script), *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )


def keep(picture: Path, target: Path) -> int:
    """Write a picture small; its size in bytes."""
    with Image.open(picture) as image:
        whole = image.convert("RGB")
    for width, colours in SIZES:
        small = whole
        if whole.width > width:
            height = round(whole.height * width / whole.width)
            small = whole.resize((width, height), Image.Resampling.LANCZOS)
        if colours:
            small = small.quantize(colours, dither=Image.Dither.NONE)
        small.save(target, optimize=True)
        if target.stat().st_size <= LARGEST:
            break
    return target.stat().st_size


def main() -> int:
    """Draw the pictures of some examples, or of all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="of examples; by default all")
    parser.add_argument("--map", type=Path, help="spectrum image for spectrum_image.py")
    options = parser.parse_args()
    scripts = {path.stem: path for path in sorted((ROOT / "examples").glob("*.py"))}
    unknown = [name for name in options.names if name not in scripts]
    if unknown:
        parser.error(f"there is no example {unknown[0]}; there are {', '.join(scripts)}")
    failed = False
    for name in options.names or scripts:
        with tempfile.TemporaryDirectory() as folder:
            done = run(scripts[name], Path(folder), options.map)
            drawn = sorted(Path(folder).rglob("*.png"))
            if done.returncode or not drawn:
                last = (done.stderr.strip().splitlines() or ["it drew nothing"])[-1]
                print(f"{name}: keeps its pictures: {last}", file=sys.stderr)
                failed = True
                continue
            target = PICTURES / name
            target.mkdir(parents=True, exist_ok=True)
            for old in target.glob("*.png"):
                old.unlink()
            ending = ".png" if name in IN_FULL else ".smoke.png"
            for picture in drawn:
                size = keep(picture, target / f"{picture.stem}{ending}")
                print(f"{name}: {picture.stem}, {size / 1024:.0f} KiB")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
