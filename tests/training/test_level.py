"""A centre may differ from a product's published rate; from a class's, by the spread of its products as well."""

import math

import numpy as np
import pytest

from features.catalogue import Catalogue
from features.evidence import RATES, TherapyEvidence, policy
from features.outcomes import OUTCOME_KEYS
from features.pooling import pool
from features.prior import log_odds
from tests.training.builders import AXI
from training.level import spreads

CENTRE = policy()["between_centre_sd"]
GRADE_1, GRADE_3 = OUTCOME_KEYS.index("crs_1plus"), OUTCOME_KEYS.index("crs_3plus")


@pytest.fixture(scope="module")
def evidence(tables: Catalogue) -> dict[str, TherapyEvidence]:
    return pool(tables)


def test_a_product_differs_by_the_centre_alone(evidence: dict[str, TherapyEvidence]) -> None:
    assert spreads([AXI, "teclistamab"], evidence, GRADE_3) == {AXI: CENTRE, "teclistamab": CENTRE}


def test_a_class_adds_the_spread_between_its_products(tables: Catalogue, evidence: dict[str, TherapyEvidence]) -> None:
    place = RATES.index("crs_3plus")
    inside = [key for key in tables.therapies if "cd19-car-t" in tables.lineage(key)]
    held = [evidence[key] for key in inside if evidence[key].patients[""][place] > 0]
    between = np.std([log_odds(np.array(one.rates[""][place])) for one in held])
    assert len(held) > 2
    found = spreads(["cd19-car-t"], evidence, GRADE_3)["cd19-car-t"]
    assert found == pytest.approx(math.sqrt(CENTRE**2 + between**2))


def test_what_is_published_nowhere_has_no_level_of_its_own(evidence: dict[str, TherapyEvidence]) -> None:
    assert spreads(["no-such-therapy", ""], evidence, GRADE_1) == {}


def test_the_spread_is_that_of_the_outcome_asked_for(evidence: dict[str, TherapyEvidence]) -> None:
    first, third = (spreads(["car-t"], evidence, place)["car-t"] for place in (GRADE_1, GRADE_3))
    assert first > CENTRE
    assert third > CENTRE
    assert first != third
