"""What a card says of things that the chart holds and the answer does not rest on. Counts and our own reasons alone."""

from collections.abc import Iterable

from features.catalogue import Catalogue
from serving.fhir_types import FhirRead

#: Reason -> what a reader calls it: faults of a statement, which somebody can mend. What is too old, or has a code that
#: stands for nothing here, is most of any chart and would hide them.
FAULTS = {
    "unit-missing": "without a unit",
    "unit-not-accepted": "in a unit that is not accepted",
    "unit-disagrees": "in a unit whose code and text differ",
    "value-missing": "without a number",
    "value-not-a-quantity": "without a number",
    "value-negative": "below zero",
    "value-implausible": "not plausible",
    "comparator-unknown": "with a comparator that is not known",
    "time-missing": "without a time",
    "time-without-offset": "with a time without its zone",
    "time-not-to-the-day": "with a time that is not to the day",
    "time-not-readable": "with a time that cannot be read",
    "codings-disagree": "with codes that disagree",
    "patient-missing": "that name no patient",
    "status-preliminary": "preliminary",
    "grade-not-stated": "CRS or ICANS without a grade",
}
_NONE = "**No laboratory result or vital sign was used**: the answer rests on the therapy and on published rates."


def lines(read: FhirRead, catalogue: Catalogue) -> Iterable[str]:
    """What of the chart was not used though it may concern this course, and whether any result was used at all."""
    counts: dict[str, int] = {}
    for reason, words in FAULTS.items():
        if reason in read.ignored:
            counts[words] = counts.get(words, 0) + read.ignored[reason]
    if counts:
        yield f"**Charted and not used**: {', '.join(f'{words} ({count})' for words, count in counts.items())}."
    if read.intake is not None and not catalogue.analytes.keys() & read.used.keys():
        yield _NONE
