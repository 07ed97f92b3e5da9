"""A damaged model file or compiled one is refused, or gives what was written, bit for bit."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import eels_bayes as eb
from eels_bayes import tensor_file, whole_file

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from campaign import damage  # the benchmark's, of which this is a short one

NUMBERS = {"flips": 250, "truncations": 40, "edits": 60}
LOAD = {"classifier": eb.load_model, "fast": eb.load_fast}


@pytest.fixture(scope="module")
def fast(quick_classifier: eb.EELSClassifier, series: Any) -> Any:
    energy = series.signals[0].axes_manager.signal_axes[0].axis
    return quick_classifier.compile(quick_classifier.preprocessor, energy=energy)


@pytest.fixture(scope="module")
def files(quick_classifier: Any, fast: Any, tmp_path_factory: Any) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("files")
    quick_classifier.save(folder / "model.eels")
    fast.save(folder / "model.fast")
    return {"classifier": folder / "model.eels", "fast": folder / "model.fast"}


@pytest.mark.parametrize("kind", LOAD)
def test_damage_is_refused_or_changes_nothing(kind: str, files: dict[str, Path]) -> None:
    data, content = files[kind].read_bytes(), tensor_file.read(files[kind], kind)
    victim = files[kind].with_name(f"damaged{files[kind].suffix}")
    found: dict[str, list[str]] = {}
    for what, changed in damage.damaged(data, content, NUMBERS, 0):
        victim.write_bytes(changed)
        found.setdefault(what, []).append(damage.verdict(victim, kind, LOAD[kind], content))
    for what, verdicts in found.items():
        assert set(verdicts) <= {damage.REFUSED, damage.SAME}, what
        assert verdicts.count(damage.REFUSED) > 0.9 * len(verdicts)
    assert set(found["truncations"]) == set(found["edits"]) == {damage.REFUSED}


@pytest.mark.parametrize("kind", LOAD)
def test_what_is_edited_under_a_new_checksum_is_a_clear_error_or_read(
    kind: str, files: dict[str, Path]
) -> None:
    content = tensor_file.read(files[kind], kind)
    victim, rng = files[kind].with_name("edited"), np.random.default_rng(0)
    for _ in range(NUMBERS["edits"]):
        changed = damage.edited(content, rng)
        tensor_file.write(victim, kind, *changed)
        assert damage.verdict(victim, kind, LOAD[kind], changed) in (damage.REFUSED, damage.SAME)


@pytest.mark.parametrize("kind", LOAD)
def test_a_build_that_reads_otherwise_refuses(
    kind: str, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from eels_bayes.prediction import novelty, pixel_reader

    usual = novelty.evidence_ratio
    monkeypatch.setattr(pixel_reader.novelty, "evidence_ratio", lambda *x: usual(*x) + 1.0)
    with pytest.raises(
        ValueError, match=r"known spectra are read otherwise.*open it with eels_bay"
    ):
        LOAD[kind](files[kind])


@pytest.mark.parametrize("kind", LOAD)
def test_a_header_of_another_version_does_not_switch_the_checksum_off(
    kind: str, files: dict[str, Path], tmp_path: Path
) -> None:
    data = files[kind].read_bytes()
    for old, new, message in (
        (b'\\"version\\": 2', b'\\"version\\": 1', "version 1, before .* released; .* not read"),
        (b'\\"sha256\\"', b'\\"sha255\\"', "its header holds .*; damaged"),
        (b'\\"package\\": \\"0', b'\\"package\\": \\"9', "damaged, as its numbers are not those"),
    ):
        assert data.count(old) == 1
        (tmp_path / "model").write_bytes(data.replace(old, new))
        with pytest.raises(ValueError, match=message):
            LOAD[kind](tmp_path / "model")


@pytest.mark.parametrize("kind", ["classifier", "fast", "program"])
def test_on_a_full_disk_every_file_stays(
    kind: str,
    quick_classifier: Any,
    fast: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    save = {"classifier": quick_classifier.save, "fast": fast.save, "program": fast.export}[kind]
    save(tmp_path / "model")
    old = (tmp_path / "model").read_bytes()

    def full(handle: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(whole_file.os, "write", full)
    with pytest.raises(OSError, match=r"No space left .*; not written: free some space"):
        save(tmp_path / "model")
    assert (tmp_path / "model").read_bytes() == old and os.listdir(tmp_path) == ["model"]
