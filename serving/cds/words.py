"""What a card says, in constants, numbers and names of the reviewed tables. No text of the chart is repeated."""

from collections.abc import Iterable, Sequence
from datetime import UTC

from msgspec import UNSET

from features.catalogue import Catalogue
from serving.answer import Answer, Risk
from serving.cds import unused, why
from serving.cds.card import RISING, SUMMARY_LENGTH
from serving.cds.plain import plain
from serving.fhir_types import FhirRead
from serving.missing import Missing

SHORT = {
    "crs_1plus": "CRS grade 1+",
    "crs_2plus": "CRS grade 2+",
    "crs_3plus": "CRS grade 3+",
    "icans_2plus": "ICANS grade 2+",
    "icans_3plus": "ICANS grade 3+",
}
#: Outcomes of the summary, in its order.
TOLD_FIRST = ("crs_3plus", "crs_2plus", "icans_3plus")
MOST_MISSING = 8
#: From so many hours on, days are told beside them.
MANY_HOURS = 48
_STATUS = {"reached": "charted already", "horizon-over": "horizon over", "not-evaluated": "not evaluated"}
_BANDS = {"unbanded": "none stated"}


def percent(probability: float) -> str:
    """31.2 %; never 0.0 % or 100.0 % of what is neither."""
    value = 100 * probability
    if value < 0.1:
        return "under 0.1 %"
    return "over 99.9 %" if value > 99.9 else f"{value:.1f} %"


def highest_band(answer: Answer) -> str:
    """Of the outcomes that were evaluated; "unbanded" where the model states no band."""
    bands = [str(risk.band) for risk in answer.risks if risk.status == "evaluated"]
    return max(bands, key=RISING.index, default="unbanded")


def headline(answer: Answer) -> Risk | None:
    """The outcome whose reasons are told: that of the highest band, then as TOLD_FIRST; None where there is none."""
    evaluated = {risk.outcome: risk for risk in answer.risks if risk.status == "evaluated"}
    order = [key for key in dict.fromkeys((*TOLD_FIRST, *evaluated)) if key in evaluated]
    order.sort(key=lambda key: -RISING.index(str(evaluated[key].band)))
    return evaluated[order[0]] if order else None


def summary(answer: Answer) -> str:
    """One sentence of fewer than 140 characters."""
    if answer.status != "evaluated":
        return _not_evaluated(answer)
    evaluated = {risk.outcome: risk for risk in answer.risks if risk.status == "evaluated"}
    told = [evaluated[key] for key in TOLD_FIRST if key in evaluated] or list(evaluated.values())[:2]
    if not told:
        return "No CRS or ICANS risk is left to evaluate: each grade is charted or its horizon is over."
    head = headline(answer)
    band = "unbanded" if head is None else str(head.band)
    highest = f"; highest band: {band} ({_shortest(head)})" if head is not None and band != "unbanded" else ""
    return f"{', '.join(_by_day(answer, told))}{highest}."


def _by_day(answer: Answer, told: Sequence[Risk]) -> Iterable[str]:
    """Each outcome with its number; the day stands once after those that share it."""
    days = [_days(answer, risk) for risk in told]
    for risk, day, after in zip(told, days, [*days[1:], None], strict=True):
        yield f"{SHORT[risk.outcome]} {_number(risk)}{'' if day == after else f' by day {day}'}"


def _shortest(risk: Risk) -> str:
    return SHORT[risk.outcome].replace("grade ", "")


def _not_evaluated(answer: Answer) -> str:
    first = next((note.text for note in answer.not_evaluated), "")
    said = f"CRS and ICANS risk not evaluated: {plain(first)}"
    return said if first and len(said) < SUMMARY_LENGTH else "CRS and ICANS risk not evaluated; the detail says why."


def _number(risk: Risk) -> str:
    assert risk.probability is not UNSET  # evaluated risks have one
    return percent(risk.probability)


def _days(answer: Answer, risk: Risk) -> int:
    return answer.question.horizon_days[risk.outcome]


def detail(answer: Answer, catalogue: Catalogue, read: FhirRead, absent: Sequence[str], unread: bool) -> str:
    """The card's text in GFM. absent: prefetch keys without data; unread: there are more results than were read."""
    evaluated = answer.status == "evaluated"
    parts: list[Iterable[str]] = [[_course(answer, catalogue, read)]]
    parts += [_table(answer)] if evaluated else [_why(answer)]
    parts += [_cautions(answer)]
    parts += [why.lines(answer, catalogue, headline(answer)), _missing(answer.missing)] if evaluated else []
    parts += [_absent(absent, unread), unused.lines(read, catalogue), [_model(answer)]]
    return "\n\n".join("\n".join(lines) for part in parts if (lines := list(part)))


def _course(answer: Answer, catalogue: Catalogue, read: FhirRead) -> str:
    question = answer.question
    key = "" if question.therapy is UNSET else question.therapy
    therapy = f"**{plain(key)}**" if key else "**A therapy that is not in the catalogue**"
    when = f" As of {read.index.astimezone(UTC):%Y-%m-%d %H:%M} UTC." if read.index else ""
    if read.planned:
        return f"{therapy}, planned: as if it began now.{when}"
    since = "the latest dose" if key and catalogue.schedule(key) == "step-up" else "the infusion"
    dose = f" (dose {question.dose_number})" if question.dose_number > 1 else ""
    days = f" ({question.hours_since_dose / 24:.1f} days)" if question.hours_since_dose >= MANY_HOURS else ""
    return f"{therapy}, {question.hours_since_dose:.0f} hours after {since}{days}{dose}.{when}"


def _table(answer: Answer) -> Iterable[str]:
    yield "| Outcome | Probability | 95 % interval | Band | By |"
    yield "|---|---|---|---|---|"
    for risk in answer.risks:
        days = f"day {_days(answer, risk)}"
        if risk.status != "evaluated" or risk.interval is UNSET:
            yield f"| {risk.label} | {_STATUS[risk.status]} | - | - | {days} |"
        else:
            held, band = risk.interval, str(risk.band)
            yield (
                f"| {risk.label} | {_number(risk)} | {percent(held.low)} to {percent(held.high)} "
                f"| {_BANDS.get(band, band)} | {days} |"
            )
    yield ""
    yield f"Days count from the infusion or latest dose. Grades: {plain(answer.question.grading)}."


def _missing(missing: Sequence[Missing]) -> Iterable[str]:
    if not missing:
        return
    rest = len(missing) - MOST_MISSING
    more = (f"and {rest} more",) if rest > 0 else ()
    yield f"**Missing**: {'; '.join((*map(lacking, missing[:MOST_MISSING]), *more))}."


def lacking(one: Missing) -> str:
    """The name of a missing input, with what its being missing may mean."""
    stated = (("too old", one.status == "stale"), ("could change the band", one.could_change_band is True))
    remarks = ", ".join(words for words, holds in stated if holds)
    return f"{plain(one.name)} ({remarks})" if remarks else plain(one.name)


def _why(answer: Answer) -> Iterable[str]:
    yield "**Not evaluated**, which does not mean a low risk:"
    yield from (f"- {plain(note.text)}" for note in answer.not_evaluated)


def _absent(absent: Sequence[str], unread: bool) -> Iterable[str]:
    if absent:
        yield f"**Not sent by the EHR**: {', '.join(absent)}."
    if unread:
        yield "**Not read**: the EHR holds more results than it sent."


def _cautions(answer: Answer) -> Iterable[str]:
    if answer.cautions:
        yield "**Cautions**"
    yield from (f"- {plain(note.text)}" for note in answer.cautions)


def _model(answer: Answer) -> str:
    model = answer.model
    return f"Model {plain(model.name)}, version {plain(model.version)}, bundle {model.bundle[:12]}. Not an order."
