"""Training and serving see the same row of a FHIR export: what the service reads is what was trained, bit for bit."""

import json
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from data import synthetic
from data.cohort import layers
from data.export import CODES_FILE
from data.request import request_body
from data.sources import export
from data.tables import Cohort, cohort_from_frames
from features.catalogue import load
from features.concepts import Concepts, concepts
from features.course import HOUR
from features.pooling import pool
from features.prior import Prior
from features.rows import RowBuilder
from features.single import CourseInput, snapshots
from features.spec import full
from serving.decode import predict_request
from serving.fhir_in import read_bundle
from serving.intake import take

CATALOGUE = load()
FIRST = datetime(1970, 1, 1, tzinfo=UTC)
Json = dict[str, Any]


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    drawn = synthetic.generate(60, seed=5, with_truth=False)
    return cohort_from_frames(drawn.courses, drawn.observations, drawn.events)


@pytest.fixture(scope="module")
def exported(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "fhir"
    export("fhir", cohort, folder, CATALOGUE)
    return folder


@pytest.fixture(scope="module")
def known(exported: Path) -> Concepts:
    return concepts(CATALOGUE, exported / CODES_FILE)


@pytest.fixture(scope="module")
def charts(exported: Path) -> Mapping[str, list[Json]]:
    """Patient -> all resources about them."""
    found: dict[str, list[Json]] = defaultdict(list)
    for path in sorted(exported.glob("*.ndjson")):
        for line in path.read_text(encoding="utf-8").splitlines():
            one = json.loads(line)
            found[one.get("subject", {}).get("reference", f"Patient/{one['id']}")].append(one)
    return found


def bits(course: CourseInput) -> list[str]:
    """What a course says, each part once; the order in which a request lists observations tells nothing."""
    held = course.to_json()
    return sorted(
        map(repr, {**held, "observations": None, "numbers": sorted(held["numbers"].items())}.items())
    ) + sorted({repr(one) for one in course.observations})


@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_the_service_reads_of_fhir_the_row_that_was_trained(
    cohort: Cohort, charts: Mapping[str, list[Json]], known: Concepts, number: int
) -> None:
    builder = RowBuilder(full(CATALOGUE), Prior(pool(CATALOGUE)), CATALOGUE)
    layer = layers(cohort)[number]
    trained = builder.build(layer.snapshots)
    assert len(layer) > 20
    for place, course in enumerate(layer.course.tolist()):
        index = int(layer.snapshots.index_seconds[place])
        start = FIRST + timedelta(microseconds=int(cohort.start_time[course].astype("datetime64[us]").astype(int)))
        document = {"resourceType": "Bundle", "entry": [{"resource": one} for one in charts[f"Patient/p-{course + 1}"]]}
        found = read_bundle(known, document, start + timedelta(seconds=index))
        assert found.intake is not None
        read = builder.build(snapshots(CATALOGUE, [found.intake.course]))
        assert read.values[0].tobytes() == trained.values[place].tobytes()
        assert read.prior[0].tobytes() == trained.prior[place].tobytes()
        body = json.dumps(request_body(cohort, cohort.course_ids[course], index / HOUR)).encode()
        assert bits(found.intake.course) == bits(take(CATALOGUE, predict_request(body)).course)
