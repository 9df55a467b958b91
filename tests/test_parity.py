"""Training and serving see the same row: a cohort's course, asked over the API, gives the trained row bit for bit."""

import json

import numpy as np
import pytest

from data import synthetic
from data.cohort import layers
from data.request import request_body
from data.tables import Cohort, cohort_from_frames
from features.catalogue import load
from features.course import HOUR
from features.pooling import pool
from features.prior import Prior
from features.rows import RowBuilder
from features.single import snapshots
from features.spec import full
from serving.decode import predict_request
from serving.intake import take


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    made = synthetic.generate(60, seed=5, with_truth=False)
    return cohort_from_frames(made.courses, made.observations, made.events)


@pytest.mark.parametrize("layer_number", [0, 1, 2])
def test_a_cohort_row_and_an_api_row_are_the_same_bits(cohort: Cohort, layer_number: int) -> None:
    catalogue = load()
    builder = RowBuilder(full(catalogue), Prior(pool(catalogue)), catalogue)
    layer = layers(cohort)[layer_number]
    trained = builder.build(layer.snapshots)
    for place, course in enumerate(layer.course):
        hours = float(layer.snapshots.index_seconds[place]) / HOUR
        body = json.dumps(request_body(cohort, cohort.course_ids[course], hours)).encode()
        asked = builder.build(snapshots(catalogue, [take(catalogue, predict_request(body)).course]))
        assert asked.values[0].tobytes() == trained.values[place].tobytes()
        np.testing.assert_array_equal(asked.prior[0], trained.prior[place])
