"""Which units came in that are not an analyte's own, so that a record tells what its values were made from."""

from collections.abc import Iterable, Mapping

from features.catalogue import Catalogue, Conversion, fold_unit

#: Analyte -> unit as the catalogue lists it -> (factor, offset): canonical value = value * factor + offset.
Converted = Mapping[str, Mapping[str, tuple[float, float]]]
_SAME = Conversion(1.0, 0.0)


def converted(catalogue: Catalogue, sent: Iterable[tuple[str, str]]) -> Converted:
    """Each conversion that changes a number, once. sent: (analyte key, accepted unit) of every value that was read."""
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for key, unit in sorted({(key, fold_unit(unit)) for key, unit in set(sent)}):
        rule = catalogue.analytes[key].units[unit]
        if rule != _SAME:
            found.setdefault(key, {})[unit] = (rule.factor, rule.offset)
    return found
