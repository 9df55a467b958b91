"""The BentoML service: wiring only. Exactly one service, nothing batched by BentoML, answers encoded here."""
# ruff: noqa: ARG002 (the arguments of an API method name the fields of its schema; the front has read their values)

from collections.abc import Callable
from typing import Any

import bentoml
import msgspec
from starlette.responses import Response

from features import catalogue
from features.errors import LedgerError
from serving import outcomes as reported
from serving.front import CHECKED, FOUND, NOT_RECORDED, REPORTED, SECONDS_TO_ANSWER, Front
from serving.grade import answer as grade_answer
from serving.intake import Intake
from serving.log import LOGGER
from serving.recorded import ASKED, LEAVING, recorder
from serving.records import records
from serving.shadow import loaded_shadow
from serving.store import loaded
from serving.trust.caller import CALLER
from serving.trust.gatekeeper import gatekeeper

THREADS = 4


@bentoml.service(
    name="crs-risk",
    threads=THREADS,
    traffic={"timeout": SECONDS_TO_ANSWER},
    logging={"access": {"enabled": False}},
)
class CrsRisk:
    """Risk of cytokine release syndrome and neurotoxicity. The request's fields stand in docs/api.md."""

    def __init__(self) -> None:
        self.answerer, self.recorder = loaded(), recorder()

    @bentoml.api  # type: ignore[untyped-decorator]
    async def predict(
        self,
        course: dict[str, Any],
        hours_since_start: float,
        observations: list[dict[str, Any]] = [],  # noqa: B006 (BentoML reads the default into the schema)
        events: list[dict[str, Any]] = [],  # noqa: B006
        symptoms: list[dict[str, Any]] = [],  # noqa: B006
        findings: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """One course at one index time. The front has checked the request; its arguments here only name the fields."""
        (intake,) = CHECKED.get()
        return _ready(lambda: self._leaving(intake))  # type: ignore[no-any-return]

    def _leaving(self, intake: Intake) -> bytes:
        """The answer without its receipt, for which the front waits."""
        leaving = self.recorder.answer(ASKED.get(), intake, self.answerer)
        LEAVING.get().append(leaving)
        return leaving.content

    @bentoml.api  # type: ignore[untyped-decorator]
    def predict_batch(self, requests: list[dict[str, Any]]) -> dict[str, Any]:
        """Up to 1,000 courses, each at its index time, answered in their order."""
        return _ready(lambda: self.recorder.answers(ASKED.get(), CHECKED.get(), self.answerer))  # type: ignore[no-any-return]

    @bentoml.api  # type: ignore[untyped-decorator]
    def grade(
        self,
        id: str = "",
        schemes: list[str] = [],  # noqa: B006 (BentoML reads the default into the schema)
        crs: dict[str, Any] = {},  # noqa: B006
        icans: dict[str, Any] = {},  # noqa: B006
    ) -> dict[str, Any]:
        """CRS and ICANS graded from raw findings by the schemes that are asked; no model is used."""
        return _ready(lambda: msgspec.json.encode(grade_answer(FOUND.get())))  # type: ignore[no-any-return]

    @bentoml.api  # type: ignore[untyped-decorator]
    def outcomes(self, outcomes: list[dict[str, Any]]) -> dict[str, Any]:
        """What became of predictions, each joined by its prediction_id and recorded in the ledger."""
        return _ready(self._reported)  # type: ignore[no-any-return]

    def _reported(self) -> bytes:
        """What became of each report; who sent them stands in the records."""
        caller = CALLER.get()
        by = self.recorder.reporter(caller)
        return msgspec.json.encode(reported.record(records(), REPORTED.get(), caller.tenant, by))


def _ready(answer: Callable[[], bytes]) -> Any:
    """A ready-made response: BentoML hands it on as it is. What could not be recorded is no answer."""
    try:
        return Response(answer(), media_type="application/json")
    except LedgerError as error:
        LOGGER.error("%s", error)
        return Response(status_code=NOT_RECORDED)


#: What the decorator made of the class: BentoML's own service object.
SERVICE: bentoml.Service[CrsRisk] = CrsRisk
SERVICE.add_asgi_middleware(
    Front,
    catalogue=catalogue.load,
    answerer=loaded,
    gatekeeper=gatekeeper,
    recorder=recorder,
    shadow=loaded_shadow,
)


def application() -> Front:
    """The service as one ASGI application, the front outermost: nothing behind it sees an address that is not ours."""
    loaded_shadow()
    return Front(SERVICE.to_asgi(is_main=True), catalogue.load, loaded, gatekeeper, recorder, loaded_shadow)
