"""Symptoms of a request: what they point to and which are red flags. They are shown, never weighed by the model."""

from collections.abc import Iterable
from dataclasses import dataclass

from msgspec import UNSET

from features.catalogue_joins import fold_name
from features.course import DAY, HOUR, LOOKBACK_SECONDS
from serving import symptom_tables
from serving.answer import rounded
from serving.notes import Note
from serving.refusal import bad_value
from serving.symptom_shape import SymptomShown

NOT_WEIGHED = Note(
    "symptoms-not-weighed", "Symptoms are shown with what they may point to; they are not inputs of the model."
)


@dataclass(frozen=True, slots=True)
class Stated:
    """A symptom, known by its key, as present or absent at a time in seconds from the course's start."""

    key: str
    seconds: int
    present: bool = True


def key_of(text: str, path: str) -> str:
    """Key of the symptom of that key, name or alias; case, spaces and hyphens do not matter. Refusal if unknown."""
    key = symptom_tables.load().names.get(fold_name(text))
    if key is None:
        accepted = f"send one of: {', '.join(symptom_tables.load().symptoms)}"
        raise bad_value("code-unknown", path, "not a symptom of the catalogue", accepted)
    return key


def seen(stated: Iterable[Stated], index: int) -> tuple[Stated, ...]:
    """What was present at some time up to the index second, each symptom once and latest, in table order.

    A later statement of absence does not take it back: it happened, and its time says when.
    """
    present = (one for one in stated if one.present and -LOOKBACK_SECONDS <= one.seconds <= index)
    latest = {one.key: one for one in sorted(present, key=lambda one: one.seconds)}
    return tuple(latest[key] for key in symptom_tables.load().symptoms if key in latest) if latest else ()


def notes(stated: Iterable[Stated], index: int) -> tuple[Note, ...]:
    """What an answer must say of the stated symptoms: red flags, what was not used, and that none is weighed."""
    stated = tuple(stated)
    if not stated:
        return ()
    rows = symptom_tables.load().symptoms
    red = [rows[one.key].name.lower() for one in seen(stated, index) if rows[one.key].red_flag]
    late = sum(one.seconds > index for one in stated)
    old = sum(one.seconds < -LOOKBACK_SECONDS and one.seconds <= index for one in stated)
    given = ((bool(red), _red_flags(red)), (late > 0, _late(late)), (old > 0, _old(old)), (True, NOT_WEIGHED))
    return tuple(note for holds, note in given if holds)


def shown(symptoms: Iterable[Stated]) -> tuple[SymptomShown, ...]:
    """The rows of an answer, in the order given."""
    return tuple(_shown(one) for one in symptoms)


def _shown(one: Stated) -> SymptomShown:
    row = symptom_tables.load().symptoms[one.key]
    return SymptomShown(
        symptom=row.key,
        name=row.name,
        points_to=row.points_to,
        severity=row.severity,
        graded=row.graded,
        red_flag=row.red_flag,
        hours=rounded(one.seconds / HOUR),
        verified=row.verified,
        reason=row.red_flag_reason or UNSET,
    )


def _red_flags(names: list[str]) -> Note:
    text = f"Stated as present: {', '.join(names)}. A red flag calls for a look at the patient, whatever the risk says."
    return Note("red-flag-symptom", text)


def _late(count: int) -> Note:
    return Note("symptoms-after-index", f"{count} symptoms are stamped after the index time and were not used.")


def _old(count: int) -> Note:
    days = LOOKBACK_SECONDS // DAY
    return Note("symptoms-before-lookback", f"{count} symptoms are more than {days} days before the start: not used.")
