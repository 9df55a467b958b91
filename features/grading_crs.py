"""CRS by ASTCT 2019, and by the footnotes of the mosunetuzumab label.

The worse of the two columns, hypotension and oxygen, given fever of 38.0 Cel or more that no other cause explains.
After antipyretic or anti-cytokine therapy given once CRS began, fever is not required. Organ toxicity, symptoms and the
height of the fever change nothing. Source: Lee 2019, doi:10.1016/j.bbmt.2018.12.758, as reproduced in PMC8021214.
"""

from dataclasses import replace

from features.grading_result import Attribution, Grade, Row, Scheme, uncertain, worst
from features.grading_tables import limit
from features.grading_types import CrsFindings, Device, Given, Oxygen, Part, Pressor

_CANNULAS = (Device.NASAL_CANNULA, Device.HFNC)
_MASKS = (Device.FACE_MASK, Device.VENTURI, Device.NON_REBREATHER)


def astct(found: CrsFindings, scheme: Scheme = Scheme.ASTCT) -> Grade:
    """The grade by ASTCT 2019, or with Scheme.LABEL by the label's footnotes."""
    attribution = attributed(found)
    if found.died:
        return worst(scheme, [Row("death", 5, 5, "death")], attribution)
    columns = [hypotension(found), hypoxia(found, scheme)]
    fever = _fever(found, scheme)
    if fever.why == "no-fever":
        return worst(scheme, [fever], attribution)
    if fever.low == 0 and not _waived(fever):
        columns = [uncertain(row) for row in columns]
        fever = replace(fever, high=max(row.high for row in (fever, *columns)))
    graded = worst(scheme, [fever, *columns], attribution, _general_cautions(found))
    if graded.high == 0:
        return worst(scheme, [fever, *columns], attribution, (*graded.cautions, "nothing-left"))
    return graded


def attributed(found: CrsFindings) -> Attribution:
    """How sure it is that the findings are from CRS."""
    if found.other_cause is None:
        return Attribution.ASSUMED
    return Attribution.CONTESTED if found.other_cause else Attribution.STATED


def elsewhere(found: CrsFindings, part: Part) -> bool:
    """Whether the part is put down to another cause."""
    return part in (found.other_cause or ())


def _general_cautions(found: CrsFindings) -> tuple[str, ...]:
    return ("late-onset",) if found.days is not None and found.days > limit("late_onset_days") else ()


def _waived(fever: Row) -> bool:
    return any(key.startswith("fever-waived") for key in fever.cautions)


def _fever(found: CrsFindings, scheme: Scheme) -> Row:
    """The precondition: 1 where there is fever, 0 where it is waived or absent, a span where nobody knows."""
    hot = found.temperature_c is not None and found.temperature_c >= limit("fever_least")
    if elsewhere(found, Part.FEVER):
        return Row("fever", 0, 1, "other-cause")
    if hot:
        return Row("fever", 1, 1, "fever")
    return _masked(found, scheme)


def _masked(found: CrsFindings, scheme: Scheme) -> Row:
    """No fever measured: whether a drug explains that."""
    when = {one.given for one in found.masking or ()}
    unmeasured = int(found.temperature_c is None)
    if Given.AFTER_ONSET in when:
        return Row("fever", 0, 0, "fever-waived", ("fever-waived",))
    if Given.BEFORE_ONSET in when and scheme is Scheme.LABEL:
        return Row("fever", 0, 0, "fever-waived-by-label", ("fever-waived-by-label",))
    if Given.BEFORE_ONSET in when:
        return Row("fever", 0, unmeasured, "fever-masked-before")
    if found.masking is None or unmeasured:
        return Row("fever", 0, unmeasured, "fever-unknown")
    return Row("fever", 0, 0, "no-fever")


def hypotension(found: CrsFindings) -> Row:
    """The column of blood pressure: vasopressors by number, whatever their dose; vasopressin never makes several."""
    if elsewhere(found, Part.HYPOTENSION):
        return Row("hypotension", 0, 0, "hypotension-elsewhere", ("hypotension-elsewhere",))
    cautions = ("inotrope-not-counted",) if found.has_inotrope else ()
    low, high, why = _pressure(found)
    if why == "hypotension-no-vasopressor" and found.hypotension is None:
        cautions = (*cautions, "fluids-imply-hypotension")
    return Row("hypotension", low, high, why, cautions)


def _pressure(found: CrsFindings) -> tuple[int, int, str]:
    names = {one.name for one in found.counted}
    if len(names - {Pressor.UNKNOWN}) > 1:
        return 4, 4, "multiple-vasopressors"
    if Pressor.UNKNOWN in names:
        return 3, 4, "vasopressor-names-unknown"
    if names:
        return 3, 3, "one-vasopressor"
    if found.has_vasopressin:
        return 3, 4 if found.vasopressors is None else 3, "vasopressin-alone"
    return _without_vasopressor(found)


def _without_vasopressor(found: CrsFindings) -> tuple[int, int, str]:
    """No vasopressor is charted, which says that none was given only where the list itself was."""
    if found.low_pressure is False:
        return 0, 0, "no-hypotension"
    least = 2 if found.low_pressure else 0
    if found.vasopressors is None:
        return least, 4, "vasopressors-unknown" if least else "hypotension-unknown"
    return least, 2, "hypotension-no-vasopressor" if least else "hypotension-unknown"


def hypoxia(found: CrsFindings, scheme: Scheme = Scheme.ASTCT) -> Row:
    """The column of oxygen: by device, and by flow through a cannula."""
    if elsewhere(found, Part.HYPOXIA):
        return Row("hypoxia", 0, 0, "hypoxia-elsewhere", ("hypoxia-elsewhere",))
    oxygen = found.oxygen
    if oxygen.needed is False:
        return Row("hypoxia", 0, 0, "no-oxygen")
    if oxygen.airway_only:
        return Row("hypoxia", 0, 0, "airway-protection", ("airway-protection",))
    graded = _by_device(oxygen, scheme)
    if oxygen.baseline_device in (None, Device.NONE) and not oxygen.baseline_flow_lpm:
        return graded
    return _above_baseline(oxygen, graded)


def _by_device(oxygen: Oxygen, scheme: Scheme) -> Row:
    if oxygen.device is None:
        least, why = (2, "device-unknown") if oxygen.needed else (0, "oxygen-unknown")
        return Row("hypoxia", least, 4, why)
    if oxygen.device in _CANNULAS:
        return _by_flow(oxygen, scheme)
    if oxygen.device is Device.BLOW_BY:
        return Row("hypoxia", 2, 2, "low-flow")
    if oxygen.device in _MASKS:
        return Row("hypoxia", 3, 3, "mask")
    return Row("hypoxia", 4, 4, "ventilated" if oxygen.device is Device.INTUBATED else "positive-pressure")


def _by_flow(oxygen: Oxygen, scheme: Scheme) -> Row:
    if oxygen.flow_lpm is None:
        return Row("hypoxia", 2, 3, "flow-unknown")
    label = scheme is Scheme.LABEL
    high = oxygen.flow_lpm >= limit("label_high_flow_least") if label else oxygen.flow_lpm > limit("low_flow_most")
    why = ("label-" if label else "") + ("high-flow" if high else "low-flow")
    cautions = ("low-flow-on-high-flow-device",) if oxygen.device is Device.HFNC and not high else ()
    grade = 3 if high else 2
    return Row("hypoxia", grade, grade, why, cautions)


def _above_baseline(oxygen: Oxygen, graded: Row) -> Row:
    """What the patient had at home is not from CRS; more than that is graded as it is."""
    same = _unchanged(oxygen)
    if same is None:
        return Row("hypoxia", 0, graded.high, "flow-unknown", ("baseline-support",))
    if same:
        return Row("hypoxia", 0, 0, "baseline-support", ("baseline-support",))
    return Row(graded.name, graded.low, graded.high, graded.why, (*graded.cautions, "above-baseline"))


def _unchanged(oxygen: Oxygen) -> bool | None:
    """Whether the support is that of home: the same device, and through a cannula no more flow. None: cannot tell."""
    home = oxygen.baseline_device or Device.NASAL_CANNULA
    if oxygen.device is None:
        return None
    if home not in _CANNULAS or oxygen.device not in _CANNULAS:
        return oxygen.device is home
    if oxygen.flow_lpm is None or oxygen.baseline_flow_lpm is None:
        return None
    return oxygen.flow_lpm <= oxygen.baseline_flow_lpm
