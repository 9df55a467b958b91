"""Text and numbers of the reviewed tables as a card may show them."""

#: UCUM units that people write in another way.
_WRITTEN = {"Cel": "°C", "a": "years"}


def plain(text: str) -> str:
    """One line without what GFM or HTML would read as more than text."""
    return "".join(letter for letter in " ".join(text.split()) if letter.isprintable() and letter not in "<>|`[]*\\")


def number(value: float) -> str:
    """Four digits that count, without an exponent."""
    return f"{float(f'{value:.4g}'):.10g}"


def unit(ucum: str) -> str:
    """A unit in plain letters. What marks up text stands for a power in UCUM, and must not vanish: 10*3/uL."""
    return _WRITTEN.get(ucum, plain(ucum.replace("*", "^")))
