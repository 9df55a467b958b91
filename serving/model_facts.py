"""What GET /model tells of the loaded version."""

from typing import Any

from features.home import MODEL_NAME
from features.outcomes import OUTCOMES
from features.predict import Predictor
from serving import provenance
from serving.answer import Model
from serving.scored import score_list

_SHOWN = ("data_fingerprint", "code_commit", "metrics", "version_note")


def model_of(predictor: Predictor, version: str) -> Model:
    """Which model answers, as every answer states it."""
    about = predictor.bundle.about
    return Model(
        name=str(about.get("name") or MODEL_NAME),
        version=version,
        bundle=predictor.digest,
        trained_on=provenance.trained_on(predictor.bundle),
        intended_use=predictor.bundle.policy.intended_use,
    )


def model_facts(predictor: Predictor, model: Model) -> dict[str, Any]:
    """The loaded version: what it was trained on, what it may be used for, its outcomes, bands and scores."""
    bundle = predictor.bundle
    return {
        "name": model.name,
        "version": model.version,
        "bundle": model.bundle,
        "trained_on": model.trained_on,
        "grading": provenance.grading(bundle),
        "intended_use": model.intended_use,
        "spec_fingerprint": bundle.spec.fingerprint,
        "columns": len(bundle.spec.columns),
        "catalogue": predictor.catalogue.digest,
        "outcomes": [_outcome(predictor, place) for place in range(len(OUTCOMES))],
        "scores": score_list(),
        "card": dict(bundle.card),
        **{key: bundle.about[key] for key in _SHOWN if bundle.about.get(key)},
    }


def _outcome(predictor: Predictor, place: int) -> dict[str, Any]:
    outcome, bundle = OUTCOMES[place], predictor.bundle
    held = bundle.policy.thresholds.get(outcome.key)
    return {
        "outcome": outcome.key,
        "label": outcome.label,
        "basis": provenance.basis(bundle, outcome.key),
        "horizon_days": outcome.horizon_days,
        "horizon_days_step_up": outcome.horizon_days_step_up,
        "banded": held is not None,
        **({"thresholds": held.to_json()} if held else {}),
    }
