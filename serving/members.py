"""No object of a JSON document may state a member twice: a decoder would take the last one in silence."""

import json
from typing import Any


class RepeatedError(ValueError):
    """An object states a member twice. name: the member's, which the sender chose."""

    def __init__(self, name: str) -> None:
        super().__init__("an object states a member twice")
        self.name = name


def check_once(body: bytes) -> None:
    """RepeatedError where an object of the document states a member twice. body: JSON in UTF-8 that was decoded."""
    _READER.decode(body.decode())


def _once(members: list[tuple[str, Any]]) -> None:
    names = {name for name, _ in members}
    if len(names) < len(members):
        listed = [name for name, _ in members]
        raise RepeatedError(next(name for name in names if listed.count(name) > 1))


#: Numbers are not made, only their digits counted: a whole number may be longer than Python turns into one.
_READER = json.JSONDecoder(object_pairs_hook=_once, parse_float=len, parse_int=len)
