"""A centre may differ from a product's published rate; from a class's, by the spread of its products as well."""

import math

import numpy as np
import pytest

from features.catalogue import Catalogue
from features.outcomes import OUTCOME_KEYS
from features.prior import RATES, TherapyEvidence, log_odds, pool
from tests.training.builders import AXI
from training.level import spreads

GRADE_1, GRADE_3 = OUTCOME_KEYS.index("crs_1plus"), OUTCOME_KEYS.index("crs_3plus")


@pytest.fixture(scope="module")
def evidence(tables: Catalogue) -> dict[str, TherapyEvidence]:
    return pool(tables)


def test_a_product_differs_by_the_centre_alone(tables: Catalogue, evidence: dict[str, TherapyEvidence]) -> None:
    assert spreads([AXI, "teclistamab"], evidence, tables, GRADE_3, 0.3) == {AXI: 0.3, "teclistamab": 0.3}


def test_a_class_adds_the_spread_between_its_products(tables: Catalogue, evidence: dict[str, TherapyEvidence]) -> None:
    place = RATES.index("crs_3plus")
    inside = [key for key in tables.therapies if "cd19-car-t" in tables.lineage(key)]
    held = [evidence[key] for key in inside if evidence[key].patients[""][place] > 0]
    between = np.std([log_odds(np.array(one.rates[""][place])) for one in held])
    assert len(held) > 2
    found = spreads(["cd19-car-t"], evidence, tables, GRADE_3, 0.4)["cd19-car-t"]
    assert found == pytest.approx(math.sqrt(0.16 + between**2))


def test_what_is_published_nowhere_has_no_level_of_its_own(
    tables: Catalogue, evidence: dict[str, TherapyEvidence]
) -> None:
    assert spreads(["no-such-therapy", ""], evidence, tables, GRADE_1, 0.3) == {}


def test_the_spread_is_that_of_the_outcome_asked_for(tables: Catalogue, evidence: dict[str, TherapyEvidence]) -> None:
    first, third = (spreads(["car-t"], evidence, tables, place, 0.0)["car-t"] for place in (GRADE_1, GRADE_3))
    assert first > 0
    assert third > 0
    assert first != third
