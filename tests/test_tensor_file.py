"""Files of tensors and settings: what is written comes back, and hostile bytes only raise."""

import errno
import json
import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save as build_container

from eels_bayes import tensor_file

KIND = "classifier"
TENSORS = {"weight": torch.arange(6.0).reshape(2, 3), "steps": torch.tensor(7)}
CONFIG = {"window": [677.0, 737.0], "prior": "fingerprint", "nested": {"seed": 0, "none": None}}
HEADER = {"version": 2, "kind": KIND, "package": "0.1.0", "config": {}, "sha256": ""}
METADATA = {"eels_bayes": json.dumps(HEADER)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.eels"


@pytest.fixture
def good(path: Path) -> bytes:
    tensor_file.write(path, KIND, TENSORS, CONFIG)
    return path.read_bytes()


def container(text: str | None = None, **changes: object) -> bytes:
    """A well-formed container whose settings differ from a good one's."""
    header = json.dumps(HEADER | changes) if text is None else text
    return build_container(TENSORS, {"eels_bayes": header})


def with_header(header: object, body: bytes = b"", length: int | None = None) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + body


# What is written comes back


@pytest.mark.parametrize("dtype", sorted(tensor_file._DTYPES, key=str), ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 4), (2, 3, 4)], ids=str)
def test_tensors_come_back_with_dtype_and_shape(
    path: Path, dtype: torch.dtype, shape: tuple[int, ...]
) -> None:
    tensor = torch.arange(int(np.prod(shape))).reshape(shape).to(dtype)
    tensor_file.write(path, KIND, {"a": tensor}, {})
    tensors, config = tensor_file.read(path, KIND)
    assert list(tensors) == ["a"]
    assert tensors["a"].dtype == dtype
    assert tensors["a"].shape == shape
    assert torch.equal(tensors["a"], tensor)
    assert config == {}


def test_config_comes_back_exactly(path: Path) -> None:
    config = CONFIG | {"text": 'µ "quoted" \n \U0001f9ea', "small": 5e-324, "third": 1 / 3}
    tensor_file.write(path, KIND, {}, config)
    assert tensor_file.read(path, KIND) == ({}, config)


FINITE = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64) | FINITE | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(config=st.dictionaries(st.text(), JSON))
def test_any_json_comes_back(tmp_path_factory: pytest.TempPathFactory, config: dict) -> None:
    path = tmp_path_factory.getbasetemp() / f"json{os.getpid()}.eels"
    tensor_file.write(path, KIND, {}, config)
    assert tensor_file.read(path, KIND)[1] == config


def test_arrays_of_any_layout_are_stored_by_value(path: Path) -> None:
    array = np.arange(12.0).reshape(3, 4)
    frozen = array.copy()
    frozen.setflags(write=False)
    arrays = {
        "transposed": array.T,
        "reversed": array[::-1, ::-2],
        "big_endian": array.astype(">f8"),
        "read_only": frozen,
        "scalar": np.array(2.5),
    }
    tensor_file.write(path, KIND, arrays, {})
    tensors, _ = tensor_file.read(path, KIND)
    for name, expected in arrays.items():
        np.testing.assert_array_equal(tensors[name].numpy(), expected)
        assert tensors[name].dtype == torch.float64


def test_infinity_comes_back(path: Path) -> None:
    tensor_file.write(path, KIND, {"sd": torch.tensor([np.inf, -np.inf, 3.0])}, {})
    assert tensor_file.read(path, KIND)[0]["sd"].tolist() == [np.inf, -np.inf, 3.0]


def test_tensors_sharing_memory_or_wanting_gradients_are_stored(path: Path) -> None:
    base = torch.arange(6.0, requires_grad=True)
    tensor_file.write(path, KIND, {"all": base, "tail": base[2:], "twice": base}, {})
    tensors, _ = tensor_file.read(path, KIND)
    assert torch.equal(tensors["tail"], base.detach()[2:])
    assert not tensors["all"].requires_grad


def test_tensors_outlive_the_file_and_can_be_changed(path: Path, good: bytes) -> None:
    tensors, _ = tensor_file.read(path, KIND)
    path.write_bytes(b"\0" * len(good))
    tensors["weight"] += 1
    assert torch.equal(tensors["weight"], TENSORS["weight"] + 1)


def test_writing_again_replaces_and_leaves_nothing_else(path: Path, good: bytes) -> None:
    tensor_file.write(path, KIND, TENSORS, CONFIG)
    assert path.read_bytes() == good
    tensor_file.write(str(path), "other", {}, {})
    assert tensor_file.read(str(path), "other") == ({}, {})
    assert os.listdir(path.parent) == [path.name]


def test_a_failed_write_leaves_the_old_file(
    path: Path, good: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left .*; not written: free some space"):
        tensor_file.write(path, KIND, {}, {})
    assert path.read_bytes() == good
    assert os.listdir(path.parent) == [path.name]


def test_no_header_length_looks_like_a_pickle(path: Path) -> None:
    """A header of 0x280 bytes starts the file as a pickle of protocol 2 starts."""
    starts = set()
    for extra in range(0, 1024, 8):
        tensor_file.write(path, KIND, {}, {"pad": "x" * extra})
        starts.add(path.read_bytes()[:2])
        assert len(tensor_file.read(path, KIND)[1]["pad"]) == extra
    assert b"\x80\x02" in starts


# What is refused on writing


@pytest.mark.parametrize("tensor", [torch.tensor([0, np.nan]), np.array([[np.nan]], "float32")])
def test_nan_is_not_written(path: Path, tensor: torch.Tensor | np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"tensors\['a'\]: holds NaN"):
        tensor_file.write(path, KIND, {"a": tensor}, {})
    assert not path.exists()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_non_finite_settings_are_not_written(path: Path, bad: float) -> None:
    with pytest.raises(ValueError, match="config: must hold finite numbers"):
        tensor_file.write(path, KIND, {}, {"loss": [1.0, bad]})
    assert not path.exists()


@pytest.mark.parametrize(
    "value",
    [
        [1.0, 2.0],
        np.array([1 + 2j]),
        np.array(["text"]),
        np.array([object()]),
        np.array([1], dtype="uint32"),
        np.array([1], dtype="datetime64[s]"),
        torch.zeros(2, dtype=torch.complex64),
    ],
    ids=lambda v: str(getattr(v, "dtype", type(v).__name__)),
)
def test_other_tensors_are_not_written(path: Path, value: object) -> None:
    with pytest.raises(TypeError, match=r"tensors\['a'\]: must be real, integer or bool"):
        tensor_file.write(path, KIND, {"a": value}, {})


@pytest.mark.parametrize("value", [object(), {1, 2}, np.zeros(2), torch.zeros(2), np.float32(1)])
def test_other_config_is_not_written(path: Path, value: object) -> None:
    with pytest.raises(TypeError, match="config: must hold plain JSON values"):
        tensor_file.write(path, KIND, {}, {"a": value})


def test_names_and_keys_are_text(path: Path) -> None:
    with pytest.raises(TypeError, match=r"config\['a'\]\[1\]: keys must be str, got 3"):
        tensor_file.write(path, KIND, {}, {"a": [{}, {3: 4}]})
    with pytest.raises(TypeError, match="names must be str, got 3"):
        tensor_file.write(path, KIND, {3: torch.zeros(1)}, {})
    with pytest.raises(ValueError, match="'__metadata__' is reserved"):
        tensor_file.write(path, KIND, {"__metadata__": torch.zeros(1)}, {})


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"folder .*absent does not exist"):
        tensor_file.write(tmp_path / "absent" / "model.eels", KIND, {}, {})


# What is refused on reading


def test_a_missing_file_is_named(path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"model\.eels"):
        tensor_file.read(path, KIND)


def test_wrong_kind_is_named(path: Path, good: bytes) -> None:
    with pytest.raises(ValueError, match="'fast' is asked for, and it holds 'classifier'"):
        tensor_file.read(path, "fast")


def test_truncation_at_every_length_is_refused(path: Path, good: bytes) -> None:
    for length in range(len(good)):
        path.write_bytes(good[:length])
        with pytest.raises(ValueError, match=r"model\.eels: (truncated|not a file)"):
            tensor_file.read(path, KIND)
    path.write_bytes(good + b"\0")
    with pytest.raises(ValueError, match="truncated or damaged"):
        tensor_file.read(path, KIND)


@given(st.binary(max_size=200))
def test_random_bytes_are_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / f"random{os.getpid()}.eels"
    path.write_bytes(data)
    with pytest.raises(ValueError, match="random"):
        tensor_file.read(path, KIND)


@given(data=st.data())
def test_any_changed_byte_raises_or_gives_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / f"changed{os.getpid()}.eels"
    tensor_file.write(path, KIND, TENSORS, CONFIG)
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(raw)
    try:
        tensors, config = tensor_file.read(path, KIND)
    except ValueError as error:
        assert path.name in str(error)
    else:
        assert config == CONFIG and tensors.keys() == TENSORS.keys()
        assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)


class Bomb:
    """Runs a program when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.mark,))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_is_refused_and_not_run(path: Path, protocol: int) -> None:
    mark = path.with_name("ran")
    path.write_bytes(pickle.dumps(Bomb(mark), protocol=protocol))
    with pytest.raises(ValueError, match="a Python pickle: it may hold a program and is not"):
        tensor_file.read(path, KIND)
    assert not mark.exists()
    pickle.loads(path.read_bytes())
    assert mark.exists(), "the bomb itself must work for this test to mean something"


def test_a_torch_save_archive_is_refused_and_not_run(path: Path) -> None:
    mark = path.with_name("ran")
    torch.save({"a": Bomb(mark)}, path)
    with pytest.raises(ValueError, match=r"as torch\.save writes: it may hold a program"):
        tensor_file.read(path, KIND)
    assert not mark.exists()


@pytest.mark.parametrize("length", [2**63, 2**64 - 1, 2**40, 100_000_001, 3, 0])
def test_a_header_that_lies_about_its_length_is_refused(path: Path, length: int) -> None:
    path.write_bytes(with_header({"__metadata__": {}}, length=length))
    with pytest.raises(ValueError, match="truncated or damaged"):
        tensor_file.read(path, KIND)


@pytest.mark.parametrize(
    ("dtype", "shape", "offsets"),
    [
        ("F32", [2], [0, 4]),
        ("F32", [1], [0, 400]),
        ("F32", [1], [4, 8]),
        ("F32", [1], [4, 0]),
        ("F32", [2**62, 2**62], [0, 4]),
        ("F32", [0, 2**63], [0, 0]),
        ("F32", [0, 2**64], [0, 0]),
        ("F32", [-1], [0, 4]),
        ("F32", [1.5], [0, 4]),
        ("F32", "1", [0, 4]),
        ("Q99", [1], [0, 4]),
        ("F4", [8], [0, 4]),
        ("F32", [1], [0]),
    ],
    ids=str,
)
def test_a_header_that_lies_about_a_tensor_is_refused(
    path: Path, dtype: str, shape: object, offsets: list[int]
) -> None:
    header = {
        "__metadata__": METADATA,
        "a": {"dtype": dtype, "shape": shape, "data_offsets": offsets},
    }
    path.write_bytes(with_header(header, b"\0" * offsets[-1] if offsets[-1] < 100 else b"\0" * 4))
    with pytest.raises(ValueError, match=r"model\.eels: truncated or damaged"):
        tensor_file.read(path, KIND)


@pytest.mark.parametrize("header", [[], 3, "text", {"__metadata__": []}, {"a": 1}], ids=str)
def test_a_header_of_another_form_is_refused(path: Path, header: object) -> None:
    path.write_bytes(with_header(header))
    with pytest.raises(ValueError, match=r"model\.eels: (truncated or damaged|not a file)"):
        tensor_file.read(path, KIND)


def test_a_deeply_nested_header_is_refused(path: Path) -> None:
    text = b'{"a":' + b"[" * 200_000
    path.write_bytes(struct.pack("<Q", len(text)) + text)
    with pytest.raises(ValueError, match="truncated or damaged"):
        tensor_file.read(path, KIND)


def test_another_safetensors_file_is_refused(path: Path) -> None:
    for data in (build_container(TENSORS), build_container(TENSORS, {"format": "pt"})):
        path.write_bytes(data)
        with pytest.raises(ValueError, match="a safetensors file, but not one that eels_bayes"):
            tensor_file.read(path, KIND)


def test_a_newer_version_says_what_to_do(path: Path) -> None:
    path.write_bytes(container(version=tensor_file.VERSION + 1, config=None))
    with pytest.raises(ValueError, match="newer eels_bayes; this one reads up to version 2: upg"):
        tensor_file.read(path, KIND)


def test_a_version_of_before_the_first_release_says_what_to_do(path: Path) -> None:
    old = {"version": 1, "kind": KIND, "config": {}}
    for data in (container(json.dumps(old)), container(version=1)):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"version 1, before .* was released; .* fit again"):
            tensor_file.read(path, KIND)


@pytest.mark.parametrize("name", ["kind", "package", "config", "sha256"])
def test_a_header_that_lacks_a_part_is_refused(path: Path, name: str) -> None:
    for held in (HEADER.keys() - {name}, HEADER.keys() | {"more"}):
        path.write_bytes(container(json.dumps({key: HEADER.get(key) for key in held})))
        with pytest.raises(ValueError, match=r"its header holds .*; damaged"):
            tensor_file.read(path, KIND)


@pytest.mark.parametrize("version", ["", "1", 0, -1, 1.5, True, None, [1]])
def test_a_version_that_is_none_is_refused(path: Path, version: object) -> None:
    path.write_bytes(container(version=version))
    with pytest.raises(ValueError, match="which is none; damaged"):
        tensor_file.read(path, KIND)


@pytest.mark.parametrize("value", [[], 3, None, "text"])
def test_settings_that_are_no_object_are_refused(path: Path, value: object) -> None:
    for data in (container(json.dumps(value)), container(config=value)):
        path.write_bytes(data)
        with pytest.raises(ValueError, match="settings are not a JSON object"):
            tensor_file.read(path, KIND)


@pytest.mark.parametrize(
    "config",
    [
        "",
        "{",
        '{"a": NaN}',
        '{"a": [Infinity]}',
        '{"a": -Infinity}',
        '{"a": 1e999}',
        '{"a": ' + "9" * 5000 + "}",
        '{"a": ' + "[" * 100_000 + "}",
    ],
    ids=lambda c: c[:14],
)
def test_settings_that_are_not_finite_json_are_refused(path: Path, config: str) -> None:
    path.write_bytes(container(json.dumps(HEADER).replace("{}", config)))
    with pytest.raises(ValueError, match="settings are not JSON of finite numbers"):
        tensor_file.read(path, KIND)


def test_a_tensor_of_nan_is_refused(path: Path) -> None:
    tensors = {"a": torch.tensor([0.0, np.nan])}
    header = {name: value for name, value in HEADER.items() if name != "sha256"}
    header["sha256"] = tensor_file.digest(tensors, header)
    path.write_bytes(build_container(tensors, {"eels_bayes": json.dumps(header)}))
    with pytest.raises(ValueError, match="tensor 'a' holds NaN; damaged"):
        tensor_file.read(path, KIND)
