"""What a request to grade looks like, and its answer. Fields that are not named here are refused.

null or absent means not charted; false, "none" and an empty list mean charted as absent.
"""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from serving.api import Text

MOST_ITEMS = 20


class VasopressorForm(Struct, frozen=True, forbid_unknown_fields=True):
    """A drug for the pressure. unit: ug/min or ug/kg/min. hours: how long it ran at that dose."""

    name: Text
    dose: float | None = None
    unit: str | None = None
    hours: float | None = None


class MaskingForm(Struct, frozen=True, forbid_unknown_fields=True):
    """A drug that may mask fever. given: before-onset or after-onset of CRS."""

    drug: Text
    given: Text


class OrganForm(Struct, frozen=True, forbid_unknown_fields=True):
    """organ: liver-tests, creatinine or other, by its own CTCAE grade."""

    organ: Text
    grade: int


class OxygenForm(Struct, frozen=True, forbid_unknown_fields=True):
    """given: any oxygen at all, where the device is not charted. baseline: what the patient had at home."""

    device: str | None = None
    flow_lpm: float | None = None
    fio2_pct: float | None = None
    given: bool | None = None
    airway_only: bool = False
    baseline_device: str | None = None
    baseline_flow_lpm: float | None = None


Vasopressors = Annotated[tuple[VasopressorForm, ...], Meta(max_length=MOST_ITEMS)]
Maskings = Annotated[tuple[MaskingForm, ...], Meta(max_length=MOST_ITEMS)]
Organs = Annotated[tuple[OrganForm, ...], Meta(max_length=MOST_ITEMS)]
Words = Annotated[tuple[Text, ...], Meta(max_length=MOST_ITEMS)]


class CrsForm(Struct, frozen=True, forbid_unknown_fields=True):
    """The findings of features.grading_types.CrsFindings."""

    temperature_c: float | None = None
    masking: Maskings | None = None
    hypotension: bool | None = None
    fluids: str | None = None
    vasopressors: Vasopressors | None = None
    vasopressin: bool | None = None
    high_dose: bool | None = None
    oxygen: OxygenForm = OxygenForm()
    symptoms: bool | None = None
    organs: Organs | None = None
    coagulopathy_treated: bool | None = None
    hospital_care: bool | None = None
    infusion: str | None = None
    urgent: bool = False
    other_cause: Words | None = None
    died: bool = False
    days: float | None = None


class IcansForm(Struct, frozen=True, forbid_unknown_fields=True):
    """The findings of features.grading_icans.IcansFindings."""

    age_years: float | None = None
    developmental_delay: bool = False
    ice: int | None = None
    capd: int | None = None
    rass: int | None = None
    consciousness: str | None = None
    seizure: str | None = None
    seizure_minutes: float | None = None
    motor: str | None = None
    oedema: str | None = None
    other_cause: Words | None = None
    died: bool = False


class GradeRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """One patient at one time. schemes: all that fit the findings, where none is named."""

    id: Text | None = None
    schemes: Words = ()
    crs: CrsForm | None = None
    icans: IcansForm | None = None


class RowShown(Struct, frozen=True):
    """A row that decided; low and high are its least and most grade, equal where its findings are charted."""

    row: str
    low: int
    high: int
    reason: str
    verified: bool


class Caution(Struct, frozen=True):
    """What goes with the grade. verified: whether the rule was read in its source."""

    code: str
    text: str
    verified: bool


class GradeShown(Struct, frozen=True):
    """One scheme's answer. status: graded | ungradable; an ungradable case is at least `at_least` (0 if left out).

    attribution: stated | assumed | contested, whether another cause was looked for. verified: every rule that decided
    was read in its source; false where one is policy or memory.
    """

    scheme: str
    status: str
    reason: str
    rows: tuple[RowShown, ...]
    attribution: str
    fever_waived: bool
    verified: bool
    grade: int | UnsetType = UNSET
    at_least: int | UnsetType = UNSET
    at_most: int | UnsetType = UNSET
    cautions: tuple[Caution, ...] = ()


class GradeAnswer(Struct, frozen=True):
    """The grades in the order of the schemes that were asked."""

    grades: tuple[GradeShown, ...]
    id: str | UnsetType = UNSET


_KINDS = (VasopressorForm, MaskingForm, OrganForm, OxygenForm, CrsForm, IcansForm, GradeRequest)
#: Every field name of a request to grade: only these are ever repeated in an error's path.
GRADE_FIELDS = frozenset(name for kind in _KINDS for name in kind.__struct_fields__)
