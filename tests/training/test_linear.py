"""The regression beside the model is scikit-learn's, whichever way it is fitted and asked."""

import numpy as np
import pytest
from sklearn.pipeline import Pipeline

from tests.training.builders import Array, drawn
from training.baselines import STRENGTH, _pipeline
from training.linear import Line, _Layout, fitted


def columns(n: int, seed: int) -> Array:
    """Two columns as they are, one with holes, one that is there nowhere, one that is the same everywhere."""
    random = np.random.default_rng(seed)
    found = random.normal(size=(n, 5)) * [1.0, 40.0, 0.01, 1.0, 0.0] + [0.0, 900.0, 0.0, 0.0, 7.0]
    found[random.random(n) < 0.3, 2] = np.nan
    found[:, 3] = np.nan
    return found


def label(held: Array, seed: int = 5) -> Array:
    return drawn(held[:, 0] - (held[:, 1] - 900) / 60 + np.where(np.isnan(held[:, 2]), 1.0, -90 * held[:, 2]), seed)


@pytest.fixture
def pipeline() -> Pipeline:
    """As it is fitted to few rows, but to the last digit."""
    return _pipeline().set_params(logisticregression__tol=1e-12)


def test_a_line_answers_as_the_pipeline_of_the_same_rows(pipeline: Pipeline) -> None:
    learn, ask = columns(2000, 1), columns(500, 2)
    ask[:20, 0], ask[20:40, 3] = np.nan, 2.5
    found = fitted(learn, label(learn), STRENGTH).log_odds(ask)
    pipeline.fit(learn.copy(), label(learn))
    assert found == pytest.approx(pipeline.decision_function(ask.copy()), abs=1e-7)
    assert found.std() > 1


def test_what_is_folded_into_one_line_answers_as_what_was_laid_out() -> None:
    learn = columns(2000, 1)
    layout, design = _Layout.of(learn)
    coefficients = np.random.default_rng(4).normal(size=design.shape[1])
    line = layout.folded(coefficients)
    assert line.log_odds(learn) == pytest.approx(design @ coefficients, abs=1e-11)
    assert layout.unfolded(line) == pytest.approx(coefficients, abs=1e-11)


def test_it_matters_not_where_the_search_began() -> None:
    learn, other, ask = (columns(n, seed) for n, seed in ((2000, 1), (1900, 3), (500, 2)))
    other[:, 2] = np.nan_to_num(other[:, 2], nan=0.5)
    alone = fitted(learn, label(learn), STRENGTH)
    for near in (fitted(other, label(other, 8), STRENGTH), Line(30.0, np.full(5, -4.0), np.full(5, 9.0))):
        assert np.abs(near.log_odds(ask) - alone.log_odds(ask)).max() > 0.1
        again = fitted(learn, label(learn), STRENGTH, near)
        assert again.log_odds(ask) == pytest.approx(alone.log_odds(ask), abs=1e-6)


def test_a_line_by_hand() -> None:
    line = Line(0.5, np.array([2.0, -1.0]), np.array([0.25, 4.0]))
    asked = np.array([[1.0, 3.0], [np.nan, 3.0], [1.0, np.nan], [np.nan, np.nan]])
    assert line.log_odds(asked).tolist() == [-0.5, -2.25, 6.5, 4.75]
