"""What a run knows about itself, as short texts by name: what the reporting items are filled with."""

from collections.abc import Iterable, Mapping
from typing import Any

from features.outcomes import OUTCOMES
from features.spec import Spec
from training.evaluate import ALL_TIMES

#: Course columns that say who the patient is.
DEMOGRAPHIC = ("age_years", "sex_male")
SYNTHETIC = "Synthetic courses: the figures say nothing about patients"


def outcomes_text() -> str:
    """Each outcome with its horizon."""
    return "; ".join(
        f"{one.label} within {one.horizon_days} days of the infusion ({one.horizon_days_step_up} of a step-up dose)"
        for one in OUTCOMES
    )


def of_training(card: Mapping[str, Any], about: Mapping[str, Any], spec: Spec | None) -> dict[str, str]:
    """Facts of a trained bundle: its card, what its manifest says, and its columns."""
    held, found = about["trained_on"], _out_of_fold(about["metrics"])
    if not held["courses"]:
        return {"title": "Published rates of CRS and ICANS, without training data", **_always(card, about)}
    return {
        "title": f"Development of a model of CRS and ICANS on {held['name']}",
        "objective": "development",
        **_always(card, about),
        **_of_data(held),
        **_of_columns(spec),
        **_learnt(card),
        "evaluated_on": "the same courses, out of fold",
        "design": f"{_who_trains(about)}; performance is out of fold, {about['settings']['folds']} folds by patient",
        "prediction": "Out of fold; the number of trees was picked on the same folds, so slightly optimistic",
        "events": _pairs(card["courses_with_outcome"]),
        "performance": found,
        "internal_performance": found,
        "specification": "The bundle holds boosters, calibration, columns and policy as plain files",
        "updating": "None: trained anew",
    }


def _who_trains(about: Mapping[str, Any]) -> str:
    held = about["trained_on"]
    if held.get("source_fingerprint", held["fingerprint"]) == held["fingerprint"]:
        return "All courses train"
    return f"Courses of {about['settings']['test_share']:.0%} of the patients are locked away; all others train"


def of_evaluation(
    body: Mapping[str, Any], card: Mapping[str, Any], about: Mapping[str, Any], spec: Spec
) -> dict[str, str]:
    """Facts of an evaluation. body: the report's document; card, about: of the bundle, or of the recipe's own data."""
    found = _judged(body)
    external = body["design"]["key"] == "external"
    own = {
        "title": f"Evaluation of {body['title']}",
        "evaluated_on": f"{body['cohort']['name']}, {body['cohort']['courses']} courses",
        "objective": "evaluation" if external else "development and evaluation of a recipe",
        "design": body["design"]["text"],
        "prediction": "As served: coherent across grades" if external else "By models that did not see the course",
        "flow": "See the flow of courses" if body["attrition"] else "",
        "differences": "See drift against training" if body["drift"] else "",
        "data_sites": f"{body['cohort']['sites']} named sites" if body["cohort"]["sites"] else "",
        "specification": "The bundle holds boosters, calibration, columns and policy as plain files"
        if external
        else "",
        "updating": "None",
        **found,
    }
    # What was found on a cohort that the model was trained on, or in folds of it, is no external validation.
    where = "external" if external and not body["trained_here"] else "internal"
    lived = {f"{where}_{name}": found[name] for name in ("performance", "fairness") if name in found}
    if where == "external":
        lived |= {"external_data": f"{body['cohort']['name']}", "external_process": body["design"]["text"]}
    if external:
        lived["internal_performance"] = _out_of_fold(about["metrics"])
    data = {**_of_data(about["trained_on"]), **(_learnt(card) if external else {})}
    return {**_always(card, about), **data, **_of_columns(spec), **own, **lived}


def _judged(body: Mapping[str, Any]) -> dict[str, str]:
    """What was found, in short."""
    everyone = [(one["key"], one["cells"][0]) for one in body["outcomes"]]
    known = [(key, cell) for key, cell in everyone if cell["figures"]]
    groups = {cell["axis"] for one in body["outcomes"] for cell in one["cells"][1:] if cell["figures"]}
    apart = sorted(groups - {"index time"})
    found = {"events": "; ".join(f"{key}: {cell['rows']} rows, {cell['events']} events" for key, cell in known)}
    found["performance"] = "; ".join(f"{key} AUROC {_brackets(cell['figures']['auroc'])}" for key, cell in known)
    if apart:
        found["fairness"] = f"Judged apart by {', '.join(apart)}; nothing was done against a difference"
    if "site" in groups:
        found["heterogeneity"] = "Judged apart by site, see the subgroups"
    return {name: text for name, text in found.items() if text}


def _brackets(found: Mapping[str, Any]) -> str:
    low, high = (("?" if end is None else f"{end:.3f}") for end in (found["low"], found["high"]))
    return f"{found['value']:.3f} ({low} to {high})"


def _out_of_fold(metrics: Iterable[Mapping[str, Any]]) -> str:
    """AUROC of the model over all index times, per outcome. metrics: results as JSON."""
    wanted = {"predictor": "model", "index_time": ALL_TIMES}
    found = [one for one in metrics if one["metrics"] and wanted.items() <= one.items()]
    return "; ".join(f"{one['outcome']} AUROC {_brackets(one['metrics']['auroc'])}" for one in found)


def _always(card: Mapping[str, Any], about: Mapping[str, Any]) -> dict[str, str]:
    settings = {f"setting_{key}": str(value) for key, value in about["settings"].items()}
    limits = [SYNTHETIC] if about["trained_on"]["synthetic"] else []
    return {
        **settings,
        "intended_use": str(card["intended_use"]),
        "outcomes": outcomes_text(),
        "code_commit": str(about["code_commit"]),
        "limitations": "; ".join([*limits, "Research software, not validated for use with patients"]),
    }


def _of_data(held: Mapping[str, Any]) -> dict[str, str]:
    return {
        "data_name": str(held["name"]),
        "data_courses": str(held["courses"]),
        "data_fingerprint": str(held["fingerprint"]),
        "data_grading": _pairs(held["grading"]),
    }


def _learnt(card: Mapping[str, Any]) -> dict[str, str]:
    """What the training rows held; nothing of a card that does not say."""
    if "therapies" not in card:
        return {}
    return {
        "therapies": ", ".join(card["therapies"]),
        "indications": ", ".join(card["indications"]),
        "not_fitted": _pairs(card["outcomes_not_fitted"]) or "none",
    }


def _of_columns(spec: Spec | None) -> dict[str, str]:
    if spec is None:
        return {}
    used = [name for name in DEMOGRAPHIC if name in spec.names]
    return {
        "columns": str(len(spec.columns)),
        "demographic_inputs": f"As inputs: {', '.join(used) or 'none'}; no social variable is an input",
    }


def _pairs(held: Mapping[str, Any]) -> str:
    return "; ".join(f"{key}: {value}" for key, value in held.items())
