"""Which FHIR resources state something that happened, what their codes may mean, and where their time stands."""

from features.fhir_values import Json, codings, word

#: Statuses under which a resource states nothing that happened, or nothing that is certain yet.
VOID = {
    "Observation": frozenset(("entered-in-error", "cancelled", "registered", "preliminary", "unknown")),
    "MedicationAdministration": frozenset(("entered-in-error", "not-done", "on-hold", "unknown")),
    "MedicationRequest": frozenset(("entered-in-error", "cancelled", "draft", "unknown")),
    "ServiceRequest": frozenset(("entered-in-error", "revoked", "draft", "unknown")),
    "Procedure": frozenset(("entered-in-error", "not-done", "preparation", "on-hold", "unknown")),
    "Condition": frozenset(("entered-in-error", "refuted", "differential")),
}
#: Of these, those under which it may have happened all the same.
DOUBTFUL = {
    "Condition": frozenset(("status-differential",)),
    "MedicationAdministration": frozenset(("status-on-hold", "status-unknown")),
    "Procedure": frozenset(("status-preparation", "status-on-hold", "status-unknown")),
}
TIMES = {
    "Observation": ("effectiveDateTime", "effectiveInstant", "effectivePeriod", "issued"),
    "MedicationAdministration": ("effectiveDateTime", "effectivePeriod"),
    "MedicationRequest": ("authoredOn",),
    "ServiceRequest": ("authoredOn",),
    "Procedure": ("performedDateTime", "performedPeriod"),
    "Condition": ("onsetDateTime", "onsetPeriod", "recordedDate"),
}
KINDS = {
    "Observation": ("analyte", "event", "course"),
    "MedicationAdministration": ("therapy", "event"),
    "MedicationRequest": ("therapy", "event"),
    "ServiceRequest": ("therapy",),
    "Procedure": ("therapy", "event", "comorbidity"),
    "Condition": ("event", "indication", "comorbidity"),
}


def void(kind: str, held: Json, draft: bool) -> str:
    """Why the resource states nothing about the patient, "" where it states something. draft: a draft is an order."""
    if kind == "Condition":
        stated = (code for _, code in codings(held["verificationStatus"])) if "verificationStatus" in held else ()
        return next((f"status-{status}" for status in stated if status in VOID[kind]), "")
    status = word(held.get("status"))
    if status in VOID[kind] and not (draft and status == "draft"):
        return f"status-{status}"
    if held.get("doNotPerform") is True:
        return "status-do-not-perform"
    # R4's focus says that the value is about somebody else: a fetus, a donor.
    return "focus-not-the-patient" if held.get("focus") else ""
