"""All resources of a FHIR document: its own, those of Bundles, and of Bundles within Bundles, in their order."""

from collections.abc import Iterator
from typing import NamedTuple

from features.fhir_values import Json, items, mapping, word

Place = tuple[str | int, ...]


class Entry(NamedTuple):
    """One resource. kind: its type. full_url: the address that its Bundle gives it, "" without one. place: the way."""

    kind: str
    resource: Json
    full_url: str
    place: Place


def walk(document: object, place: Place = (), pages: list[str] | None = None) -> Iterator[Entry]:
    """Each resource that is no Bundle. What is no JSON object counts as an empty resource.

    pages: takes the address of every Bundle's next page. However deep Bundles lie, the stack of calls does not grow.
    """
    left = [_entry(document, "", place)]
    while left:
        one = left.pop()
        if one.kind != "Bundle":
            yield one
            continue
        if pages is not None:
            pages.extend(_next_pages(one.resource))
        entries = items(one.resource.get("entry"))
        inner = [
            _entry(held.get("resource"), word(held.get("fullUrl")), (*one.place, "entry", number))
            for number, held in enumerate(entries)
        ]
        left.extend(reversed(inner))


def _entry(resource: object, full_url: str, place: Place) -> Entry:
    held = mapping(resource)
    return Entry(word(held.get("resourceType")), held, full_url, place)


def _next_pages(bundle: Json) -> list[str]:
    links = (link for link in items(bundle.get("link")) if word(link.get("relation")) == "next")
    return [url for link in links if (url := word(link.get("url")))]
