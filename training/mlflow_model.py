"""The registered model as code: MLflow runs this file to load a bundle. Nothing is pickled.

Input: a data frame with the column `course`, one JSON document a row, as features.single.CourseInput.
Output: a data frame with a probability per outcome, missing where the outcome was reached or nothing is published.
"""

import json
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from features import bundle, catalogue
from features.outcomes import OUTCOME_KEYS
from features.predict import Predictor, verify_golden
from features.single import CourseInput, snapshots


class BundleModel(PythonModel):
    """A bundle behind MLflow's interface."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read and verify the bundle, golden courses included."""
        self.predictor = Predictor(bundle.read(Path(context.artifacts["bundle"])), catalogue.load())
        verify_golden(self.predictor)

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> pd.DataFrame:
        """A probability per outcome and course."""
        courses = [CourseInput.from_json(json.loads(text)) for text in model_input["course"]]
        probability = self.predictor.predict(snapshots(self.predictor.catalogue, courses)).probability
        return pd.DataFrame(probability, columns=list(OUTCOME_KEYS))


set_model(BundleModel())
