"""Pages in a real browser: Debian's chromium without a window, looked at through frames of a page of ours."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--enable-logging=stderr",
)
SCRIPT = """
const done = [...document.querySelectorAll("iframe")].map((frame) => {
  const root = frame.contentDocument.documentElement, view = frame.contentWindow;
  const out = [...root.querySelectorAll("body *")].filter((e) => {
    const box = e.getBoundingClientRect();
    return box.width && box.right > root.clientWidth + 1 && !e.closest("pre, .scroll, svg");
  });
  const cut = [...root.querySelectorAll("svg")].flatMap((svg) => {
    const frame = svg.getBoundingClientRect();
    return frame.width ? [...svg.querySelectorAll("text")].filter((t) => {
      const box = t.getBoundingClientRect();
      return box.left < frame.left - 1 || box.right > frame.right + 1 || box.bottom > frame.bottom + 1;
    }) : [];
  });
  const ink = view.getComputedStyle(root.querySelector("body")).color;
  return { name: frame.id, over: root.scrollWidth - root.clientWidth, ink,
    out: out.slice(0, 3).map((e) => e.outerHTML.slice(0, 120)), cut: cut.slice(0, 3).map((e) => e.textContent) };
});
document.getElementById("found").textContent = JSON.stringify(done);
"""


@dataclass(frozen=True)
class Seen:
    """How a page looked: pixels of sideways overflow, elements beyond the edge, texts cut off, the text's colour."""

    name: str
    over: int
    out: list[str]
    cut: list[str]
    ink: str


def looked_at(pages: Mapping[str, str], width: int, folder: Path, *, dark: bool) -> tuple[list[Seen], list[str]]:
    """Open pages in frames of this width; return how each looked, and what the console said."""
    frames = "".join(
        f'<iframe id="{name}" style="border:0;width:{width}px;height:900px" srcdoc="{html.escape(text)}"></iframe>'
        for name, text in pages.items()
    )
    body = f'<!doctype html><body>{frames}<pre id="found"></pre><script>onload = () => {{ {SCRIPT} }}</script>'
    path = folder / "frames.html"
    path.write_text(body, encoding="utf-8")
    assert CHROMIUM is not None
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    profile = f"--user-data-dir={folder / 'profile'}"
    done = subprocess.run(
        [CHROMIUM, *OPTIONS, scheme, profile, "--dump-dom", path.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found is not None
    assert found[1], done.stderr[-2000:]
    seen = [Seen(**row) for row in json.loads(html.unescape(found[1]))]
    return seen, [line for line in done.stderr.splitlines() if "CONSOLE" in line]
