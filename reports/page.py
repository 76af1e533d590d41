"""How a page becomes one file that opens from disk and asks nothing of any network.

Text is escaped by the template engine, and a content security policy that names the one script by its
hash keeps a browser from running or fetching anything else, whatever an id or a plugin is called.
"""

from __future__ import annotations

import base64
import hashlib
import os
import uuid
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jinja2

_HERE = Path(__file__).parent


def render_page(template: str, **values: Any) -> str:
    """The page `template` (a file beside this one that fills the blocks of ``page.html``) as text.

    A template finds its parts in ``parts.html``, and `script`, `style` and `script_hash` among its values:
    sorting, filtering, columns on request and enlarged images work by themselves on tables of those parts.
    """
    from markupsafe import Markup

    script, style = (Markup((_HERE / f"page.{kind}").read_text("utf-8")) for kind in ("js", "css"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = _environment().get_template(template)
    return page.render(script=script, style=style, script_hash=digest, **values)


@cache
def _environment() -> jinja2.Environment:
    """Templates beside this file; to compile them takes as long as to fill one, and a process fills many."""
    import jinja2

    return jinja2.Environment(
        autoescape=True,
        loader=jinja2.FileSystemLoader(_HERE),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )


def write_page(path: Path, text: str) -> Path:
    """Write `text` to `path`, whole or not at all, and return `path`.

    Half of a surrogate pair, which a name may hold and a file may not, is written as its escape.
    """
    return write_whole(path, text.encode("utf-8", "backslashreplace"))


def write_whole(path: Path, content: bytes) -> Path:
    """Write `content` to `path`, whole or not at all, and return `path`."""
    fresh = path.with_name(f".{path.stem}.{uuid.uuid4().hex}{path.suffix}")
    try:
        fresh.write_bytes(content)
        os.replace(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)
    return path


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Make `folder` hold `files` (name -> content) and nothing else; each is whole or not there."""
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        write_whole(folder / name, content)
    for file in folder.iterdir():
        if file.name not in files:
            file.unlink()
