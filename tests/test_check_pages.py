"""Checking built pages: what is broken in a tiny site is found, and nothing else is."""

import importlib.util
from pathlib import Path

import pytest

HEAD = "<!doctype html><html><head><title>t</title></head><body>"
PIXEL = b"""<svg xmlns="http://www.w3.org/2000/svg" width="2" height="2"></svg>"""
WHOLE = (
    '<h1 id="top">One</h1><img src="a.svg?v=1" srcset="a.svg 1x, a.svg 2x" alt="">'
    '<a href="sub/two.html#there">two</a> <a href="#top">up</a> <a href="sub/">folder</a>'
    '<a href="https://example.org/nowhere#x">elsewhere</a><img src="data:image/png;base64,AAAA">'
)


@pytest.fixture(scope="module")
def tool():
    path = Path(__file__).resolve().parents[1] / "tools" / "check_pages.py"
    spec = importlib.util.spec_from_file_location("check_pages", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def site(tmp_path):
    """A site of two pages; what is given to it is added to the first one."""

    def make(body="", whole=WHOLE):
        (tmp_path / "sub").mkdir(exist_ok=True)
        (tmp_path / "_static").mkdir(exist_ok=True)
        (tmp_path / "_static" / "template.html").write_text("<img src='{{ name }}'>")
        (tmp_path / "a.svg").write_bytes(PIXEL)
        (tmp_path / "index.html").write_text(HEAD + whole + body)
        two = '<p id="there"><img src="../a.svg"><a href="../index.html#top">one</a>'
        for name in ("two", "index"):
            (tmp_path / "sub" / f"{name}.html").write_text(HEAD + two)
        return tmp_path

    return make


def test_a_whole_site_has_no_fault(tool, site, capsys):
    assert tool.faults(site()) == ([], 3)
    assert tool.main([str(site()), "--no-browser"]) == 0
    assert "3 pages parsed; not opened, without a browser: 0 faults" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('<img src="b.png">', "index.html: shows b.png, which is not there"),
        ('<img src="a.svg" srcset="c.png 2x">', "index.html: shows c.png, which is not there"),
        ('<script src="x.js"></script>', "index.html: shows x.js, which is not there"),
        ('<a href="three.html">', "index.html: links to three.html, which is not there"),
        (
            '<a href="sub/two.html#here">',
            "index.html: links to sub/two.html#here, whose anchor 'here' is not there",
        ),
        ('<a href="#nothing">', "index.html: links to #nothing, whose anchor 'nothing' is not"),
        (
            '<script src="https://example.org/x.js"></script>',
            "index.html: is not shown without https://example.org/x.js, which is fetched",
        ),
        (
            '<link rel="stylesheet" href="//example.org/x.css">',
            "index.html: is not shown without //example.org/x.css, which is fetched",
        ),
    ],
)
def test_what_is_broken_is_named(tool, site, body, fault, capsys):
    (found,), _ = tool.faults(site(body))
    assert found.startswith(fault)
    assert tool.main([str(site(body)), "--no-browser"]) == 1
    assert fault in capsys.readouterr().err


def test_a_folder_without_pages_is_a_fault(tool, tmp_path, capsys):
    assert tool.main([str(tmp_path)]) == 1
    assert "holds no page" in capsys.readouterr().err


def test_a_browser_finds_what_scripts_and_pictures_do(tool, site):
    program = tool.browser()
    if program is None:
        pytest.skip("chromium is not installed")
    whole = WHOLE.replace('<img src="data:image/png;base64,AAAA">', "")
    assert tool.opened(site(whole=whole), program) == []
    body = (
        "<script>console.log('all is well'); throw new Error('a script fails')</script>"
        "<style>p { background: url(lost.png) }</style><p>text</p>"
        "<script>fetch('lost.json')</script>"
    )
    found = "\n".join(tool.opened(site(body), program))
    assert "index.html: data:image/png;base64,AAAA does not show" in found
    assert "index.html: the browser says: Uncaught Error: a script fails" in found
    assert "asked for /lost.png, answered with 404" in found
    assert "asked for /lost.json, answered with 404" in found
    assert "all is well" not in found
