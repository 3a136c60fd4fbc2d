"""Pages from templates, in which nothing can inject.

Everything that a template shows is escaped, and characters that are invisible or turn the direction of text are shown
as what they are. Links are made here alone, with every value percent-encoded.
"""

from __future__ import annotations

import json
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse

FOLDER = Path(__file__).parent
ODD = re.compile("[\0-\b\v-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]")
DASH = "\N{EN DASH}"  # stands for nothing
LONG = 2_000  # characters of a value that a table shows


def visible(value: Any) -> Any:
    """A value for a page: `ODD` characters as escapes, nothing as a dash."""
    if isinstance(value, Markup):
        return value
    if value is None:
        return DASH
    return ODD.sub(lambda odd: f"\\u{ord(odd[0]):04x}", str(value))


def number(value: float | None) -> str:
    """A count with separators."""
    return DASH if value is None else f"{value:,.0f}"


def rate(value: float | None) -> str:
    """So many in a second."""
    return DASH if value is None else f"{value:,.1f}/s" if 0 < value < 10 else f"{value:,.0f}/s"


def seconds(value: float | None) -> str:
    """A duration, short."""
    if value is None:
        return DASH
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < 120:
        return f"{value:.1f} s"
    return f"{value / 60:.0f} min" if value < 7_200 else f"{value / 3600:.1f} h"


def value(shown: Any) -> str:
    """A JSON value: text as it is, all else as JSON; cut when it is long."""
    text = shown if isinstance(shown, str) else json.dumps(shown, ensure_ascii=False)
    return text if len(text) <= LONG else f"{text[:LONG]} … ({len(text):,} characters)"


def pretty(shown: Any) -> str:
    """JSON over several lines."""
    return json.dumps(shown, ensure_ascii=False, indent=2)


def link(path: str, **parameters: Any) -> str:
    """An address of ours; parameters that are None or empty are left out."""
    given = {name.rstrip("_"): text for name, text in parameters.items() if text not in (None, "", ())}
    return f"{path}?{urlencode(given, doseq=True)}" if given else path


def stream_link(stream: str) -> str | None:
    """The page of a stream's entity; None when it has none."""
    kind, _, entity = stream.partition("/")
    return link(f"/{kind}", id=entity) if kind in ("holon", "relationship") else None


_templates = Environment(
    loader=FileSystemLoader(FOLDER / "templates"),
    autoescape=True,
    finalize=visible,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.filters |= {"number": number, "rate": rate, "seconds": seconds, "value": value, "pretty": pretty}
_templates.globals |= {"link": link, "stream_link": stream_link, "version": version("holonstream")}


def render(template: str, **shown: Any) -> str:
    """The text of a page or of a part of one."""
    return _templates.get_template(template).render(**shown)


def html(template: str, status: int = 200, **shown: Any) -> HTMLResponse:
    """A page or a part of one as a response."""
    return HTMLResponse(render(template, **shown), status)
