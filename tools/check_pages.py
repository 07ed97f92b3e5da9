"""Look at every built page: no picture is missing, no link is broken, nothing is fetched.

    python tools/check_pages.py docs/_build/html [--no-browser]

Every page is parsed: what it shows and links to inside the folder must be there, anchors included,
and nothing that it needs to be shown may come from elsewhere. Where chromium is installed every
page is opened in it too, served from this computer alone: a picture that does not show, a file that
is asked for in vain, and an error of a script are faults. Links to other sites are not followed.
Exit code 1 where a page has a fault.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 300.0  # s that a browser has for all pages
SHOWN = {"img": "src", "script": "src", "source": "src", "iframe": "src", "object": "data"}
NEEDED = ("stylesheet", "icon", "preload", "modulepreload", "manifest")  # kinds of <link>
STATIC = "_static"  # the theme's own files, templates of pages among them


class Page(HTMLParser):
    """What a page shows, what it links to, and where one can link to in it."""

    def __init__(self) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.shows: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        has = {name: value or "" for name, value in attrs}
        self.anchors |= {has[name] for name in ("id", "name") if name in has}
        if tag in SHOWN and SHOWN[tag] in has:
            self.shows.append(has[SHOWN[tag]])
        if "srcset" in has:
            self.shows += [part.split()[0] for part in has["srcset"].split(",") if part.split()]
        if tag == "link" and any(kind in has.get("rel", "").split() for kind in NEEDED):
            self.shows.append(has.get("href", ""))
        if tag == "a" and "href" in has:
            self.links.append(has["href"])


def _pages(folder: Path) -> list[Path]:
    paths = sorted(folder.rglob("*.html"))
    return [path for path in paths if path.relative_to(folder).parts[0] != STATIC]


def parse(path: Path) -> Page:
    """Read one page."""
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    page.close()
    return page


def faults(folder: Path) -> tuple[list[str], int]:
    """What is wrong with the pages below a folder, a line each, and how many pages there are."""
    folder = folder.resolve()
    pages = {path: parse(path) for path in _pages(folder)}
    found = []
    for path, page in pages.items():
        name = path.relative_to(folder)
        for target in page.shows:
            found += [f"{name}: {what}" for what in _missing(target, path, folder)]
        for target in page.links:
            found += [f"{name}: {what}" for what in _broken(target, path, folder, pages)]
    return found, len(pages)


def _missing(target: str, path: Path, folder: Path) -> Iterator[str]:
    parts = urlsplit(target)
    if parts.scheme == "data":
        return
    if parts.scheme or parts.netloc:
        yield f"is not shown without {target}, which is fetched from elsewhere"
    elif not parts.path or not _inside(parts.path, path, folder).is_file():
        yield f"shows {target}, which is not there"


def _broken(target: str, path: Path, folder: Path, pages: dict[Path, Page]) -> Iterator[str]:
    parts = urlsplit(target)
    if parts.scheme or parts.netloc:
        return
    goal = _inside(parts.path, path, folder) if parts.path else path
    if goal.is_dir():
        goal /= "index.html"
    if not goal.is_file():
        yield f"links to {target}, which is not there"
    elif parts.fragment and goal in pages:
        anchor = unquote(parts.fragment)
        if anchor not in pages[goal].anchors:
            yield f"links to {target}, whose anchor {anchor!r} is not there"


def _inside(reference: str, path: Path, folder: Path) -> Path:
    start = folder if reference.startswith("/") else path.parent
    return (start / unquote(reference).lstrip("/")).resolve()


# Comes first in every page: errors of scripts are told to the page that opened it.
LISTENER = """<script>
window.addEventListener("error", e => e.message && parent.told(e.message));
window.addEventListener("unhandledrejection", e => parent.told(String(e.reason)));
console.error = (...all) => parent.told(all.map(String).join(" "));
</script>"""
# Opens all other pages, one after the other, and says what is wrong with them.
HARNESS = """<!doctype html><title>check</title><iframe id="f" width="1300" height="900"></iframe>
<script>
const pages = PAGES, bad = [], frame = document.getElementById("f");
let now = "";
window.told = what => bad.push([now, "the browser says: " + what]);
const wait = ms => new Promise(done => setTimeout(done, ms));
async function look() {
  for (const page of pages) {
    now = page;
    await new Promise(done => { frame.onload = done; frame.src = page; });
    const pictures = [...frame.contentDocument.images];
    pictures.forEach(one => one.loading = "eager");
    for (const one of pictures) {
      for (let k = 0; k < 100 && !one.complete; k++) await wait(20);
      if (!one.naturalWidth) bad.push([page, one.getAttribute("src") + " does not show"]);
    }
  }
  await fetch("/-/done", {method: "POST", body: JSON.stringify(bad)});
}
look();
</script>"""


class _Server(ThreadingHTTPServer):
    """Serves a folder, and remembers what was asked for in vain."""

    daemon_threads = True

    def __init__(self, folder: Path, pages: list[str]) -> None:
        super().__init__(("127.0.0.1", 0), partial(_Handler, directory=str(folder)))
        self.harness = HARNESS.replace("PAGES", json.dumps(pages)).encode()
        self.lost: list[str] = []
        self.bad: list[list[str]] = []
        self.done = threading.Event()


class _Handler(SimpleHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        page = Path(self.translate_path(self.path))
        if self.path == "/-/check":
            content = self.server.harness
        elif page.suffix == ".html" and page.is_file():
            content = page.read_bytes().replace(b"<head>", b"<head>" + LISTENER.encode(), 1)
        else:
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(content)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()
        self.server.bad = json.loads(body)
        self.server.done.set()

    def send_error(self, code: int, *args: Any, **kwargs: Any) -> None:
        page = urlsplit(self.headers.get("Referer", "")).path.lstrip("/")
        if not self.path.startswith("/favicon.ico"):  # which browsers ask for unasked
            self.server.lost.append(f"{page}: asked for {self.path}, answered with {code}")
        super().send_error(code, *args, **kwargs)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def browser() -> str | None:
    """The first of the browsers that is installed."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def opened(folder: Path, program: str, *, patience: float = PATIENCE) -> list[str]:
    """What is wrong with the pages below a folder when a browser opens them, a line each.

    Raises
    ------
    RuntimeError
        If the browser does not come to the last page.
    """
    pages = [f"/{path.relative_to(folder).as_posix()}" for path in _pages(folder)]
    with _Server(folder, pages) as server, tempfile.TemporaryDirectory() as profile:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        command = [program, "--headless", "--disable-gpu", "--enable-logging=stderr"]
        command += ["--no-sandbox"] * (hasattr(os, "geteuid") and os.geteuid() == 0)
        command += [f"--user-data-dir={profile}", "--disable-background-networking"]
        log = Path(profile) / "stderr"
        with log.open("w") as said:
            process = subprocess.Popen(
                [*command, f"http://127.0.0.1:{server.server_port}/-/check"],
                stdout=subprocess.DEVNULL,
                stderr=said,
            )
            try:
                finished = server.done.wait(patience)
            finally:
                process.terminate()
                process.wait()
                server.shutdown()
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        if not finished:
            last = "\n".join(lines[-5:])
            raise RuntimeError(f"{program} did not open all pages in {patience:g} s:\n{last}")
        found = [f"{page.lstrip('/')}: {what}" for page, what in server.bad]
        found += server.lost
    return list(dict.fromkeys(found))


def main(arguments: list[str] | None = None) -> int:
    """Check a folder and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="of the built pages")
    parser.add_argument("--no-browser", action="store_true", help="parse the pages alone")
    options = parser.parse_args(arguments)
    found, n_pages = faults(options.folder)
    if not n_pages:
        found = [f"{options.folder} holds no page"]
    program = None if options.no_browser else browser()
    if program and n_pages:
        found += opened(options.folder.resolve(), program)
    print(*found, sep="\n", end="\n" * bool(found), file=sys.stderr)
    how = f"opened in {Path(program).name}" if program else "parsed; not opened, without a browser"
    print(f"{n_pages} pages {how}: {len(found)} faults")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
