"""Small pieces of a page: text made safe, numbers, tables and figures."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from training.tripod import UNKNOWN

NONE = "–"
#: A space at which no line is broken.
FIXED = "\N{NO-BREAK SPACE}"


def number(value: Any, digits: int = 3) -> str:
    """A count as it is, another number with `digits` after the point, never -0; a dash where there is none."""
    if value is None:
        return NONE
    return f"{value:,}" if isinstance(value, int) else f"{value:z.{digits}f}"


def estimate(found: Mapping[str, Any] | None, digits: int = 3) -> str:
    """A value with its interval, which stays in one piece where the line is broken."""
    if found is None or found["value"] is None:
        return NONE
    if found["low"] is None or found["high"] is None:
        return number(found["value"], digits)
    value, low, high = (number(found[name], digits) for name in ("value", "low", "high"))
    return f"{value} ({low}{FIXED}to{FIXED}{high})"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of texts; a last cell that says "unknown" stands out."""
    body = "".join(f"<tr>{''.join(_cell(one) for one in row[:-1])}{_cell(row[-1], last=True)}</tr>" for row in rows)
    titles = "".join(f"<th>{escape(one)}</th>" for one in head)
    return f'<div class="scroll"><table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(text: str, last: bool = False) -> str:
    kind = "unknown" if last and text == UNKNOWN else "n" if text[:1] in "0123456789-–" else ""
    return f'<td class="{kind}">{escape(text)}</td>' if kind else f"<td>{escape(text)}</td>"


def figure(svg: str, title: str, caption: str) -> str:
    """A drawing with its title, also for those who hear it, and its caption."""
    named = svg.replace("<svg ", f'<svg role="img" aria-label="{escape(title)}" ', 1)
    return f"<figure>{named}<figcaption><b>{escape(title)}.</b> {escape(caption)}</figcaption></figure>"


def paragraph(text: str, kind: str = "") -> str:
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def listing(lines: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(one)}</li>' for one in lines)}</ul>"
