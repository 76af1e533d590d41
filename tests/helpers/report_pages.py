"""``report.html`` as tags, attributes and text."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

from harness.reports.doctor_page import render_judgements
from harness.reports.page import write_page

EVIL = "</script><img src=x onerror=alert(1)>'\"&{{7*7}}"


NAMED = {
    **{"alignment": "good", "noise ceilings": "alarm", "pictures": "good", "sessions": "unknown"},
    "power": "note",
}
"""Questions that are judged of data -> verdicts."""

JUDGEMENTS = [
    {
        "name": name,
        "verdict": verdict,
        "sentence": f"what was seen of {name}: {EVIL}",
        "figures": tuple((f"region {k} {EVIL}", f"0.{k} [0.0, 0.9]") for k in range(9)),
        "advice": "do what is best" * (verdict == "alarm"),
    }
    for name, verdict in NAMED.items()
]


def write_judgements(folder: Path) -> Path:
    """A page of judgements with nine figures each, of data called by markup."""
    folder.mkdir()
    title = f"paired, {EVIL}: 3000 training and 100 test images"
    page = render_judgements(title, JUDGEMENTS, warnings=[f"odd {EVIL}"], simulated=True)
    return write_page(folder / "doctor.html", page)


class Page(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self.captions: list[str] = []
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "style", "caption", "figcaption"):
            self._open.append(tag)
            if tag in ("caption", "figcaption"):
                self.captions.append("")

    def handle_endtag(self, tag: str) -> None:
        if self._open and self._open[-1] == tag:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        kind = self._open[-1] if self._open else ""
        if kind in ("script", "style"):
            (self.scripts if kind == "script" else self.styles).append(data)
        else:
            self.text.append(data)
            if kind:
                self.captions[-1] += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


def words(page: Page) -> str:
    return " ".join(" ".join(page.text).split())


def change_info(folder: Path, **changes: object) -> Path:
    path = folder / "run.json"
    info = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in info.items() if value is not None}))
    return folder
