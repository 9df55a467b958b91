"""A search that is begun near its end ends where the one from the centre does."""

import numpy as np
import pytest

from tests.training.builders import Array, drawn
from training import penalised
from training.penalised import penalised_logistic, squared, weighed

CENTRE, SPREAD = np.array([0.0, 1.0, 0.0, 0.5]), np.array([np.inf, 0.5, 2.0, 0.1])


@pytest.fixture
def design() -> Array:
    return np.column_stack([np.ones(3000), np.random.default_rng(1).normal(size=(3000, 3))])


@pytest.fixture
def weight() -> Array:
    return np.random.default_rng(2).integers(0, 4, 3000).astype(float)


@pytest.mark.parametrize(
    "start", [[-0.9, 0.7, 0.3, 0.5], [0.0, 0.0, 0.0, 0.0], [4.0, -3.0, 2.0, 1.0], [-900.0, 900.0, 0.0, 1e6]]
)
@pytest.mark.parametrize("offset", [0.0, 1.5])
def test_it_matters_not_where_a_search_begins(design: Array, weight: Array, start: list[float], offset: float) -> None:
    label = drawn(design @ [-1.0, 0.6, 0.3, 0.0])
    asked = (design, label, CENTRE, SPREAD, offset, weight)
    assert penalised_logistic(*asked, np.array(start)) == pytest.approx(penalised_logistic(*asked), abs=1e-6)


def test_the_gradient_is_zero_where_a_search_begun_nearby_ends(design: Array, weight: Array) -> None:
    label = drawn(design @ [-1.0, 0.6, 0.3, 0.0])
    at = penalised_logistic(design, label, CENTRE, SPREAD, weight=weight, start=np.array([-0.8, 0.5, 0.2, 0.4]))
    p = 1 / (1 + np.exp(-design @ at))
    assert np.abs(design.T @ (weight * (label - p)) - (at - CENTRE) / np.square(SPREAD)).max() < 1e-3


def test_data_that_separate_perfectly_end_in_numbers_from_anywhere() -> None:
    x = np.linspace(-3, 3, 60)
    design, free = np.column_stack([np.ones(60), x]), np.full(2, np.inf)
    for start in ([0.0, 1.0], [0.0, 400.0], [50.0, -50.0]):
        found = penalised_logistic(design, (x > 0).astype(float), np.zeros(2), free, start=np.array(start))
        assert np.isfinite(found).all()
        assert found[1] > 5


def test_products_of_a_matrix_with_itself_are_those_of_two(
    design: Array, weight: Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(penalised, "SQUARED_ROWS", 700)
    assert squared(design, weight) == pytest.approx(weighed(design, weight), rel=1e-12)
