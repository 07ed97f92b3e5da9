"""The fast path as machine code, by PyTorch's successor of TorchScript (AOTInductor).

Needs a C++ compiler where it compiles, for about a minute. What is compiled for several spectra is
kept as it would be written to a file.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eels_bayes.fast.graph import FastGraph
from eels_bayes.fast.plan import Plan

COMPILERS = {"darwin": "clang++", "win32": "cl"}  # by platform, where it is not g++


def compiler() -> str:
    """The C++ compiler that PyTorch takes: ``$CXX``, or the platform's own."""
    return os.environ.get("CXX") or COMPILERS.get(sys.platform, "g++")


def available() -> bool:
    """Whether the compiler is there."""
    return shutil.which(compiler()) is not None


def compiled(
    graph: FastGraph, path: Path, about: Mapping[str, str], *, single: bool = False
) -> None:
    """Write the graph as a package (.pt2) for the device it is on.

    It takes any number of spectra, or one alone, which it then reads faster. Its inputs are the
    counts (n, E) and the tensors of a `Plan`; its metadata hold ``about``. PyTorch keeps what it
    compiled in ``$TORCHINDUCTOR_CACHE_DIR``, by default among the temporary files.

    Raises
    ------
    RuntimeError
        Without a C++ compiler.
    """
    if not available():
        raise RuntimeError(
            f"backend='inductor' needs a C++ compiler, and there is no {compiler()!r}: install it, "
            "let CXX name another, or use 'torchscript'"
        )
    plan = graph.plan(0.0)
    counts = torch.ones(
        1 if single else 2, graph.axis.n, device=plan.picked.device, dtype=torch.float32
    )
    with torch.no_grad(), warnings.catch_warnings():
        # PyTorch's of its own calls
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        from torch._inductor import aoti_compile_and_package  # seconds to import
        from torch.export import Dim, export

        # a drift may ask for more channels, or fewer
        free = {"picked": {0: Dim.AUTO}, "band": {0: Dim.AUTO}}
        spectra = None if single else {0: Dim("n", min=1)}
        sizes = (spectra, *(free.get(name) for name in plan._fields))
        aoti_compile_and_package(
            export(graph, (counts, *plan), dynamic_shapes=sizes),
            package_path=str(path),
            inductor_configs={
                "cpp.threads": 1,  # as the stream wants it
                "assert_indirect_indexing": False,  # a plan's channels are on the axis
                "always_keep_tensor_constants": True,  # so that they may change, see `MachineCode`
                "aot_inductor.metadata": dict(about),
            },
        )


class MachineCode:
    """Runs a graph as machine code.

    Parameters
    ----------
    single, package : bytes
        The programs for one spectrum and for any number of them, as files (.pt2) hold them; see
        `compiled`.
    changing : mapping of str to Tensor
        Buffers of the graph, by their names, that programs read where these are: they may change,
        in place, between calls.

    Raises
    ------
    RuntimeError
        If one of these is not among what the programs read, or PyTorch is too old for it.
    """

    def __init__(self, single: bytes, package: bytes, changing: Mapping[str, Tensor] | None = None):
        self.single, self.package = single, package
        self._one, self._several = (_loaded(program) for program in (single, package))
        if changing is None:
            return
        for program in (self._one, self._several):
            if fixed := changing.keys() - set(program.get_constant_fqns()):
                raise RuntimeError(
                    f"PyTorch {torch.__version__} compiled {', '.join(sorted(fixed))} in, which is "
                    "to follow the stream: use backend='torchscript'"
                )
            try:
                program.load_constants(dict(changing), check_full_update=False, user_managed=True)
            except TypeError as error:  # an earlier PyTorch has no such constants
                raise RuntimeError(
                    f"PyTorch {torch.__version__} cannot change what it compiled, which is to "
                    "follow the stream: use backend='torchscript', or a later PyTorch"
                ) from error

    @classmethod
    def of(cls, graph: FastGraph, about: Mapping[str, str]) -> MachineCode:
        """Compile a graph, here and now; the package says ``about`` of itself.

        Raises
        ------
        RuntimeError
            Without a C++ compiler.
        """
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            one, several = (Path(folder) / name for name in ("one.pt2", "several.pt2"))
            compiled(graph, one, {}, single=True)
            compiled(graph, several, about)
            return cls(one.read_bytes(), several.read_bytes())

    def __call__(
        self, rows: NDArray[np.float32], plan: Plan
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Columns, labels and flags of counts (n, E)."""
        program = self._one if len(rows) == 1 else self._several
        with torch.inference_mode():
            columns, labels, flag = program(torch.from_numpy(rows), *plan)
        return columns.numpy(), labels.numpy(), flag.numpy()


def _loaded(package: bytes) -> Any:
    """A program, ready to be called."""
    from torch._inductor import aoti_load_package

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "program.pt2"
        path.write_bytes(package)
        return aoti_load_package(str(path))
