"""Examples as the gallery reads them: titles, cells, and the pictures that were kept of them."""

import importlib.util
import json

import pytest


@pytest.fixture(scope="module")
def gallery(project_root):
    path = project_root / "docs" / "_ext" / "gallery_scripts.py"
    spec = importlib.util.spec_from_file_location("gallery_scripts", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


EXAMPLE = '"""Maps of a thing.\n\nSays how.\n\n    python maps.py\n"""\n\n# %% Constants\nx = 1\n'


def test_a_script_has_its_pictures_below_its_text(gallery):
    text = gallery.script(EXAMPLE, "pictures/maps/one_image.png", "pictures/maps/b.smoke.png")
    assert text.startswith('"""Maps of a thing\n===============\n')
    first, second = (text.index(f".. figure:: /pictures/maps/{name}") for name in ("one_i", "b."))
    assert text.index("python maps.py") < first < second < text.index("Drawn by a short run")
    assert "\n   One image\n" in text
    assert "# %%\n# Constants\n# ---------\nx = 1\n" in text
    assert "# sphinx_gallery_thumbnail_path = 'pictures/maps/one_image.png'" in text


def test_a_script_without_pictures_says_nothing_of_them(gallery):
    text = gallery.script(EXAMPLE)
    assert "figure" not in text and "short run" not in text and "thumbnail" not in text


def test_a_picture_has_its_caption(gallery):
    text = gallery.script(EXAMPLE, "pictures/maps/a.smoke.png", captions={"a": "Maps of it."})
    assert "   :alt: Maps of it.\n\n   Maps of it.\n" in text


def test_every_picture_has_a_caption_and_every_caption_an_example(project_root):
    folder = project_root / "docs" / "pictures"
    captions = json.loads((folder / "captions.json").read_text("utf-8"))
    assert {f"{name}.py" for name in captions} <= {
        path.name for path in (project_root / "examples").glob("*.py")
    }
    for picture in folder.glob("*/*.png"):
        assert captions[picture.parent.name][picture.name.partition(".")[0]].endswith(".")


def test_pictures_are_of_examples_and_small(project_root):
    examples = {path.stem for path in (project_root / "examples").glob("*.py")}
    kept = sorted((project_root / "docs" / "pictures").glob("*/*"))
    assert {picture.parent.name for picture in kept} <= examples
    assert all(picture.suffix == ".png" for picture in kept)
    assert all(5_000 < picture.stat().st_size < 300_000 for picture in kept)
