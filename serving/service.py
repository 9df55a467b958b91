"""The BentoML service: wiring only. Exactly one service, nothing batched by BentoML, answers encoded here."""
# ruff: noqa: ARG002 (the arguments of an API method name the fields of its schema; the front has read their values)

from typing import Any

import bentoml
import msgspec
from starlette.responses import Response

from features import catalogue
from serving.answer import Answers
from serving.front import CHECKED, FOUND, Front
from serving.grade import answer as grade_answer
from serving.store import loaded

THREADS = 4
TIMEOUT_SECONDS = 30


@bentoml.service(
    name="crs-risk",
    threads=THREADS,
    traffic={"timeout": TIMEOUT_SECONDS},
    logging={"access": {"enabled": False}},
)
class CrsRisk:
    """Risk of cytokine release syndrome and neurotoxicity. The request's fields stand in docs/api.md."""

    def __init__(self) -> None:
        self.answerer = loaded()

    @bentoml.api  # type: ignore[untyped-decorator]
    def predict(
        self,
        course: dict[str, Any],
        hours_since_start: float,
        observations: list[dict[str, Any]] = [],  # noqa: B006 (BentoML reads the default into the schema)
        events: list[dict[str, Any]] = [],  # noqa: B006
        symptoms: list[dict[str, Any]] = [],  # noqa: B006
        findings: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """One course at one index time. The front has checked the request; its arguments here only name the fields."""
        (answer,) = self.answerer.answer(CHECKED.get())
        return _json(answer)  # type: ignore[no-any-return]

    @bentoml.api  # type: ignore[untyped-decorator]
    def predict_batch(self, requests: list[dict[str, Any]]) -> dict[str, Any]:
        """Up to 1,000 courses, each at its index time, answered in their order."""
        return _json(Answers(self.answerer.answer(CHECKED.get())))  # type: ignore[no-any-return]

    @bentoml.api  # type: ignore[untyped-decorator]
    def grade(
        self,
        id: str = "",
        schemes: list[str] = [],  # noqa: B006 (BentoML reads the default into the schema)
        crs: dict[str, Any] = {},  # noqa: B006
        icans: dict[str, Any] = {},  # noqa: B006
    ) -> dict[str, Any]:
        """CRS and ICANS graded from raw findings by the schemes that are asked; no model is used."""
        return _json(grade_answer(FOUND.get()))  # type: ignore[no-any-return]


def _json(answer: Any) -> Any:
    """A ready-made response: BentoML hands it on as it is."""
    return Response(msgspec.json.encode(answer), media_type="application/json")


#: What the decorator made of the class: BentoML's own service object.
SERVICE: bentoml.Service[CrsRisk] = CrsRisk
SERVICE.add_asgi_middleware(Front, catalogue=catalogue.load, answerer=loaded)


def application() -> Front:
    """The service as one ASGI application, the front outermost: nothing behind it sees an address that is not ours."""
    return Front(SERVICE.to_asgi(is_main=True), catalogue.load, loaded)
