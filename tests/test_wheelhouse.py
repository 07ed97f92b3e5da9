"""What a computer without a network installs from is gathered for its system, not for this one."""

import importlib.util
import subprocess
import sys
import zipfile

import pytest


@pytest.fixture(scope="module")
def wheelhouse(project_root):
    """The script as a module."""
    where = project_root / "tools" / "wheelhouse.py"
    spec = importlib.util.spec_from_file_location("wheelhouse", where)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_wheel(folder, name):
    """The smallest wheel there is."""
    about = f"{name}-0.1.0.dist-info"
    tags = "Wheel-Version: 1.0\nGenerator: by hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    path = folder / f"{name}-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}.py", "")
        wheel.writestr(
            f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1.0\n"
        )
        wheel.writestr(f"{about}/WHEEL", tags)
        wheel.writestr(f"{about}/RECORD", f"{name}.py,,\n{about}/RECORD,,\n")
    return path


@pytest.mark.parametrize("system", ["windows", "macos", "linux"])
def test_wheels_are_gathered_and_installed_from(
    wheelhouse, system, project_root, tmp_path, monkeypatch, capsys
):
    run, calls = subprocess.run, []
    folder = tmp_path / "wheels"

    def called(call, **options):
        calls.append(call)
        if "wheel" in call:  # building takes seconds
            assert call[-1] == str(project_root)
            return write_wheel(folder, "eels_bayes")
        if "uv" in call:  # it asks an index
            (folder / "requirements.txt").write_text(options["input"])
            return None
        return run([*call, "--no-index"], **options)

    monkeypatch.setattr(subprocess, "run", called)
    other = write_wheel(tmp_path, "besides")
    command = ["wheelhouse.py", str(folder), "--system", system, "--python", "3.12"]
    command += ["--extras", "onnx", "--besides", f"besides @ {other.as_uri()}"]
    monkeypatch.setattr(sys, "argv", [*command, "--index", "https://index.invalid"])
    wheelhouse.main()
    assert capsys.readouterr().out.startswith("2 wheels")
    assert {path.name for path in folder.glob("*.whl")} >= {other.name}
    listed = (folder / "requirements.txt").read_text()
    assert listed.startswith("eels-bayes[onnx] @ file:///")
    _, resolved, downloaded = calls
    for call in (resolved, downloaded):  # for the same Python, of the same index, nothing built
        for option, value in (
            ("--python-version", "3.12"),
            ("--extra-index-url", "https://index.invalid"),
            ("--only-binary", ":all:"),
        ):
            assert call[call.index(option) + 1] == value
    if system != "linux":  # once will do
        return
    # The line that the page gives, of a wheel that needs nothing.
    line = ["-m", "pip", "install", "--quiet", "--no-index", "--find-links", str(folder), "besides"]
    run([sys.executable, *line, "--target", str(tmp_path / "there")], check=True)
    assert (tmp_path / "there" / "besides.py").exists()


def test_systems_are_named_as_uv_and_pip_name_them(wheelhouse):
    for uv, tags in wheelhouse.SYSTEMS.values():
        machine = {"x86_64": ("amd64", "x86_64"), "aarch64": ("arm64",)}[uv.split("-")[0]]
        assert all(tag.endswith(machine) for tag in tags)


def test_an_unknown_system_is_refused(wheelhouse, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["wheelhouse.py", "wheels", "--system", "vms"])
    with pytest.raises(SystemExit):
        wheelhouse.main()
    assert "invalid choice: 'vms' (choose from" in capsys.readouterr().err
