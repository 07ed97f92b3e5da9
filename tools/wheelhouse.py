"""Gather the package and all that it needs in a folder, for a computer that has no network.

    pip install uv
    python tools/wheelhouse.py wheels --system windows --python 3.12

There, ``python -m pip install --no-index --find-links wheels eels-bayes`` installs it.
"""

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# What uv calls a system, and what pip calls the wheels that run there.
SYSTEMS = {
    "windows": ("x86_64-pc-windows-msvc", ("win_amd64",)),
    "macos": ("aarch64-apple-darwin", ("macosx_14_0_arm64",)),  # and all older ones
    "linux": (
        "x86_64-manylinux_2_28",
        (*(f"manylinux_2_{n}_x86_64" for n in range(28, 4, -1)), "manylinux2014_x86_64"),
    ),
}
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
LIST = "requirements.txt"  # in the folder: every package, with its version


def resolving(wanted: list[str], given: argparse.Namespace) -> list[str]:
    """The call of uv that lists what is wanted and all that it needs on the other computer.

    pip would ask this computer which of a package's needs are those of its system.
    """
    call = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-header", "-"]
    call += ["--python-platform", SYSTEMS[given.system][0], "--python-version", given.python]
    call += ["--only-binary", ":all:", "--no-annotate", "--output-file", str(given.folder / LIST)]
    return call + (["--extra-index-url", given.index] if given.index else [])


def downloading(given: argparse.Namespace) -> list[str]:
    """The call of pip that brings what is listed, as wheels for the other computer."""
    call = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    call += ["--only-binary", ":all:", "--python-version", given.python]
    call += [part for tag in SYSTEMS[given.system][1] for part in ("--platform", tag)]
    call += ["--dest", str(given.folder), "--requirement", str(given.folder / LIST)]
    return call + (["--extra-index-url", given.index] if given.index else [])


def main() -> None:
    """Build the package's wheel into the folder, and download the rest beside it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where all files go")
    parser.add_argument("--system", choices=sorted(SYSTEMS), required=True, help="of the other")
    parser.add_argument(
        "--python", metavar="X.Y", default=PYTHON, help="of the other; here %(default)s"
    )
    parser.add_argument("--extras", nargs="+", default=[], metavar="NAME", help="such as onnx")
    parser.add_argument(
        "--besides", nargs="+", default=[], metavar="PACKAGE", help="such as jupyterlab"
    )
    parser.add_argument("--index", metavar="URL", help="a further index, such as PyTorch's own")
    parser.add_argument("--list-only", action="store_true", help="say what it would be")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    subprocess.run([*build, "--wheel-dir", str(given.folder), str(ROOT)], check=True)
    wheel = max(given.folder.glob("eels_bayes-*.whl"), key=lambda path: path.stat().st_mtime)
    extras = f"[{','.join(given.extras)}]" if given.extras else ""
    wanted = [f"eels-bayes{extras} @ {wheel.resolve().as_uri()}", *given.besides]
    subprocess.run(resolving(wanted, given), input="\n".join(wanted), text=True, check=True)
    if not given.list_only:
        subprocess.run(downloading(given), check=True)
    files = sorted(given.folder.glob("*.whl"))
    print(f"{len(files)} wheels, {sum(path.stat().st_size for path in files) / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
