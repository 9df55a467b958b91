"""Which services an EHR finds, what they ask it to send along, and what each hook has to say."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache

import msgspec

from features.catalogue import Catalogue
from features.concepts import Concepts, concepts
from serving.own_codes import LABORATORY, own_tokens
from serving.trust.settings import Hooks

DISCOVERY = "/cds-services"
VERSION = "1.0"
LOINC = "LOINC"
LOINC_URI = "http://loinc.org"
PATIENT, LABS = "patient", "labs"
#: Where a therapy that was given or is planned can stand; one of them has to be known.
THERAPIES = ("meds", "admin", "procedures")
KEYS = (PATIENT, LABS, "vitals", "conditions", *THERAPIES)
_OF_PATIENT = "patient={{context.patientId}}"
_DAY = re.compile(r"\{\{today\(\) - (\d+) days\}\}")


@dataclass(frozen=True, slots=True)
class Service:
    """One service. needs: members of its context beside patientId and userId."""

    hook: str
    title: str
    description: str
    needs: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Of its own for each hook: clients key services by their address."""
        return f"crs-risk-{self.hook}"

    @property
    def path(self) -> str:
        return f"{DISCOVERY}/{self.id}"

    @property
    def feedback_path(self) -> str:
        return f"{self.path}/feedback"


_WHAT = (
    "Risk of cytokine release syndrome and neurotoxicity (ICANS) with intervals, reasons and what is missing, for "
    "patients with CAR-T cells or a T-cell engager planned or given in the last weeks. No card for others."
)
SERVICES = (
    Service("patient-view", "CRS and ICANS risk", _WHAT),
    Service("order-select", "CRS and ICANS risk of a therapy being ordered", _WHAT, ("draftOrders", "selections")),
    Service("order-sign", "CRS and ICANS risk of a therapy being signed", _WHAT, ("draftOrders",)),
    Service("encounter-start", "CRS and ICANS risk at admission", _WHAT, ("encounterId",)),
    Service("encounter-discharge", "CRS and ICANS risk before a discharge", _WHAT, ("encounterId",)),
)
BY_PATH: Mapping[str, Service] = {one.path: one for one in SERVICES}
BY_FEEDBACK_PATH: Mapping[str, Service] = {one.feedback_path: one for one in SERVICES}
RISK_ASSESSMENT = "/fhir/risk-assessment"
#: Largest body in bytes, per address.
BODY_LIMITS: Mapping[str, int] = {
    **dict.fromkeys(BY_PATH, 4 << 20),
    **dict.fromkeys(BY_FEEDBACK_PATH, 256 << 10),
    RISK_ASSESSMENT: 4 << 20,
}


def is_enabled(path: str, hooks: Hooks) -> bool:
    """Whether an address is there: that of a service, or of its feedback, only where its hook is offered."""
    service = BY_PATH.get(path) or BY_FEEDBACK_PATH.get(path)
    return service is None or service.hook in hooks.enabled


def prefetch(codes: Concepts, days: int = 0) -> dict[str, str]:
    """Key -> template, in the portable subset: one read, and searches by patient, code, category, status and date.

    days: how far back results are asked for; 0: not limited.
    """
    since = f"&date=ge{{{{today() - {days} days}}}}" if days else ""
    return {
        PATIENT: "Patient/{{context.patientId}}",
        LABS: f"Observation?{_OF_PATIENT}&code={','.join(laboratory_tokens(codes))}{since}&_sort=-date&_count=200",
        "vitals": f"Observation?{_OF_PATIENT}&category=vital-signs{since}&_sort=-date&_count=100",
        "conditions": f"Condition?{_OF_PATIENT}&category=problem-list-item,encounter-diagnosis&_count=200",
        "meds": f"MedicationRequest?{_OF_PATIENT}&status=active,on-hold,completed&_sort=-authoredon&_count=100",
        "admin": f"MedicationAdministration?{_OF_PATIENT}&_sort=-effective-time&_count=200",
        "procedures": f"Procedure?{_OF_PATIENT}&_sort=-date&_count=100",
    }


def query(template: str, patient: str, today: date) -> str:
    """The template with its tokens replaced, as a client would."""
    held = _DAY.sub(lambda found: (today - timedelta(days=int(found[1]))).isoformat(), template)
    return held.replace("{{context.patientId}}", patient)


@cache
def _tests(catalogue: Catalogue) -> Mapping[str, str]:
    """LOINC code -> analyte, of laboratory tests whose code was verified, in the order of the reviewed table."""
    held = concepts(catalogue).checked.analyte_codes.items()
    return {
        code: key
        for (system, code), key in held
        if system == LOINC and key and catalogue.analytes[key].kind in LABORATORY
    }


def laboratory_tokens(codes: Concepts) -> tuple[str, ...]:
    """system|code of all laboratory tests: the LOINC codes of the reviewed table, then a centre's own."""
    listed = (f"{LOINC_URI}|{code}" for code in _tests(codes.catalogue))
    return tuple(dict.fromkeys((*listed, *own_tokens(codes))))


def order_code(catalogue: Catalogue, key: str) -> str:
    """The LOINC code by which a laboratory test is ordered, the table's first; "" where it is none or has none."""
    return next((code for code, own in _tests(catalogue).items() if own == key), "")


@cache
def discovery(codes: Concepts, hooks: Hooks) -> bytes:
    """What GET /cds-services answers: the services whose hooks are offered."""
    templates = prefetch(codes, hooks.days)
    return msgspec.json.encode(
        {
            "services": [
                {
                    "hook": one.hook,
                    "title": one.title,
                    "description": one.description,
                    "id": one.id,
                    "version": VERSION,
                    "prefetch": templates,
                    "usageRequirements": "Send patient and labs, and one of meds, admin and procedures.",
                }
                for one in SERVICES
                if one.hook in hooks.enabled
            ]
        }
    )
