"""The words of a table to grade: its notes as `key=value` and phrases, and its free cells, into parts of a request.

In a table what is not mentioned counts as absent, unless a word says unknown; in JSON what is left out is not known.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from serving.grade_form import MaskingForm, OrganForm, VasopressorForm

YES_NO: Mapping[str, bool | None] = {"yes": True, "no": False, "unknown": None}
_LIVER = ("alt", "ast", "transaminases", "liver tests")
_ORGAN = re.compile(r"^([a-z ]+?) grade (\d)(?: \(.*\))?$")
_PRESSOR = re.compile(
    r"^([A-Za-z -]+?)(?::\s*([\d.]+)\s*(ug/min|mcg/min|ug/kg/min|mcg/kg/min)(?:\s+for\s+(?:>=\s*)?([\d.]+)\s*h)?)?$"
)
_KEY = re.compile(r"^[a-z_0-9]+$")
_MINUTES = re.compile(r"([\d.]+)\s*min")
#: Phrases that change nothing, or that only say in words what another cell says.
_SILENT = re.compile(
    r"^(never febrile|responded|no hypoxia|headache|confusion|global aphasia|tachycardia.*|unable to perform capd"
    r"|antipyretics.*|scored against .* anchor points|(proven )?.*septic shock|(lorazepam|midazolam) .*"
    r"|vasopressors none)$"
)
#: Keys that are known and not used: no cut-off on a pressure or a saturation is part of a scheme.
_UNUSED = ("sbp", "spo2")
_PHRASES: tuple[tuple[str, str, object], ...] = (
    (r"^death due to crs", "died_of_crs", True),
    (r"^death due to icans", "died_of_icans", True),
    (r"^multiple fluid boluses", "fluids", "multiple"),
    (r"^fluids", "fluids", "given"),
    (r"^constitutional symptoms", "symptoms", True),
    (r"(cryoprecipitate|fresh frozen plasma|fibrinogen concentrate)", "coagulopathy_treated", True),
    (r"^infusion not interrupted", "infusion", "not-interrupted"),
    (r"^infusion interrupted", "infusion", "interrupted-prompt-response"),
    (r"^prolonged", "infusion", "prolonged-or-recurrent"),
    (r"^admitted", "hospital_care", True),
    (r"^urgent intervention", "urgent", True),
    (r"^developmental delay", "developmental_delay", True),
)


@dataclass(slots=True)
class Notes:
    """What one row says. keys: `key=value` pairs; said: field of a form -> value; unread: how many were left aside."""

    keys: dict[str, str] = field(default_factory=dict)
    said: dict[str, object] = field(default_factory=dict)
    organs: list[OrganForm] = field(default_factory=list)
    phrases: list[str] = field(default_factory=list)
    unread: int = 0

    def flag(self, key: str, absent: bool | None) -> bool | None:
        """yes, no or unknown of a key; `absent` where it is not mentioned. ValueError for another word."""
        if key not in self.keys:
            return absent
        word = self.keys[key].split(" ")[0]
        if word not in YES_NO:
            raise ValueError(f"{key} must be yes, no or unknown")
        return YES_NO[word]

    def number(self, key: str) -> float | None:
        """The number of a key, None where it is not mentioned; ValueError where it is none."""
        return float(self.keys[key]) if key in self.keys else None


FLAGS = ("hypotension", "vasopressor_use", "high_dose", "dobutamine", "milrinone", "supplemental_o2", "oxygen")
KEYS = frozenset(
    {*FLAGS, "fluids", "baseline_home_o2_lpm", "baseline", "reason", "attributable_other"}
    | {"day_after_infusion", "age_y", "rass"}
)


def read_notes(text: str) -> Notes:
    """The notes of one row; their parts are separated by semicolons."""
    notes = Notes()
    for part in (one.strip().lower() for one in text.split(";")):
        if part:
            _read_part(part, notes)
    return notes


def _read_part(part: str, notes: Notes) -> None:
    key, equals, value = (word.strip() for word in part.partition("="))
    if equals and _KEY.match(key):
        notes.keys[key] = value
        strange = key == "attributable_other" and value not in ("yes", "no", "sedation")
        notes.unread += strange or (key not in KEYS and key not in _UNUSED)
    elif organ := _ORGAN.match(part):
        name = organ.group(1)
        kind = "liver-tests" if name in _LIVER else "creatinine" if name == "creatinine" else "other"
        notes.organs.append(OrganForm(kind, int(organ.group(2))))
    else:
        _read_phrase(part, notes)


def _read_phrase(part: str, notes: Notes) -> None:
    notes.phrases.append(part)
    for pattern, name, value in _PHRASES:
        if re.search(pattern, part):
            notes.said[name] = value
            return
    notes.unread += _SILENT.match(part) is None


def fluids(notes: Notes) -> str | None:
    """Fluid for the pressure: none where nothing is said of it."""
    said = notes.said.get("fluids")
    text = notes.keys.get("fluids", "")
    if "multiple" in text:
        return "multiple"
    if text:
        return {"no": "none", "none": "none", "unknown": None}.get(text, "given")
    return str(said) if said else "none"


def vasopressors(cell: str, notes: Notes) -> tuple[VasopressorForm, ...] | None:
    """The drugs of a cell such as `norepinephrine:5 ug/min for >=3 h; epinephrine`; ValueError if not readable."""
    named = [_vasopressor(one.strip()) for one in cell.split(";") if one.strip()] if cell != "none" else []
    named += [VasopressorForm(name) for name in ("dobutamine", "milrinone") if notes.flag(name, False)]
    if named:
        return tuple(named)
    return () if cell == "none" or _none_given(notes) else None


def _none_given(notes: Notes) -> bool:
    """An empty cell means none, unless a low pressure is charted and nothing of how it was treated."""
    if notes.flag("vasopressor_use", False) is not False or notes.flag("hypotension", False) is None:
        return False
    treated = fluids(notes) not in (None, "none") or "vasopressors none" in notes.phrases
    return treated or not notes.flag("hypotension", False) or "vasopressor_use" in notes.keys


def _vasopressor(text: str) -> VasopressorForm:
    found = _PRESSOR.match(text)
    if found is None:
        raise ValueError("write a name, or `name:dose unit`, or `name:dose unit for 3 h`, with ug/min or ug/kg/min")
    name, dose, unit, hours = found.groups()
    return VasopressorForm(
        name,
        float(dose) if dose else None,
        unit.replace("mcg", "ug") if unit else None,
        float(hours) if hours else None,
    )


def masking(cell: str) -> tuple[MaskingForm, ...] | None:
    """Drugs that may mask fever: `none`, or such as `tocilizumab after CRS onset`; None where it is not known."""
    if cell in ("", "unknown"):
        return None
    return () if cell == "none" else tuple(_masking(one.strip().lower()) for one in cell.split(";"))


def _masking(text: str) -> MaskingForm:
    drug = text.split(" ")[0]
    if "after" in text:
        return MaskingForm(drug, "after-onset")
    if "premedication" in text or "before" in text:
        return MaskingForm(drug, "before-onset")
    raise ValueError("say whether it was given after or before the onset of CRS")


def seizure(cell: str) -> tuple[str | None, float | None]:
    """(seizure, minutes) of a cell in words."""
    text = cell.lower()
    if text in ("", "none", "unknown"):
        return (None if text == "unknown" else "none"), None
    minutes = _MINUTES.search(text)
    if re.search(r"repetitive|without return|status|prolonged", text):
        return "lasting", None
    if minutes or "resolved" in text:
        return "resolved", float(minutes.group(1)) if minutes else None
    raise ValueError("say none, resolved, for how many min, or repetitive without return to baseline")


def motor(cell: str) -> str | None:
    """The motor row of a cell in words."""
    kinds = (
        (r"paresis|plegia|deep.*weakness", "deep-weakness"),
        (r"tremor|myoclonus|asterixis", "movement"),
        (r"^(none)?$", "none"),
    )
    return _kind(cell, kinds, "say none, tremor, myoclonus, asterixis or the deep focal weakness, such as hemiparesis")


def oedema(cell: str) -> str | None:
    """The row of oedema and raised pressure of a cell in words."""
    kinds = (
        (r"ha?emorrhage", "haemorrhage"),
        (r"diffuse|papill|cn vi|sixth nerve|postur|cushing", "diffuse"),
        (r"focal", "focal"),
        (r"^(none)?$", "none"),
    )
    return _kind(cell, kinds, "say none, focal, diffuse, papilloedema, CN VI palsy, posturing, Cushing or haemorrhage")


def _kind(cell: str, kinds: tuple[tuple[str, str], ...], remedy: str) -> str | None:
    text = cell.lower()
    if text == "unknown":
        return None
    found = next((kind for pattern, kind in kinds if re.search(pattern, text)), None)
    if found is None:
        raise ValueError(remedy)
    return found
