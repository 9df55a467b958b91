"""What a run knows about itself, as short texts by name: what the reporting items are filled with."""

from collections.abc import Iterable, Mapping
from typing import Any

from features.outcomes import OUTCOMES
from features.spec import Spec
from training.card_counts import uncounted
from training.evaluate import ALL_TIMES
from training.participants import in_words

#: Course columns that say who the patient is.
DEMOGRAPHIC = ("age_years", "sex_male")
#: What is said of every external validation: a bundle holds no patients.
UNCHECKED = "not a cohort that the version learnt from, by name and digest; a patient in both would go unnoticed"
SYNTHETIC = "Synthetic courses: the figures say nothing about patients"


def outcomes_text() -> str:
    """Each outcome with its horizon."""
    return "; ".join(
        f"{one.label} within {one.horizon_days} days of the infusion ({one.horizon_days_step_up} of a step-up dose)"
        for one in OUTCOMES
    )


def of_training(card: Mapping[str, Any], about: Mapping[str, Any], spec: Spec | None) -> dict[str, str]:
    """Facts of a trained bundle: its card, what its manifest says, and its columns."""
    held, found = about["trained_on"], _validity(about)
    if not held["courses"]:
        return {"title": "Published rates of CRS and ICANS, without training data", **_always(card, about)}
    return {
        "title": f"Development of a model of CRS and ICANS on {_names(about)}",
        "objective": "development",
        **_always(card, about),
        **_of_data(about),
        **_of_columns(spec),
        **_learnt(card, about),
        "evaluated_on": "the same courses, out of fold",
        "design": f"{_who_trains(about)}; performance is out of fold, {about['settings']['folds']} folds by patient",
        "prediction": "Out of fold; the number of trees was picked on the same folds, so slightly optimistic",
        "events": f"{'In training: ' if updating(about) else ''}{_pairs(card['courses_with_outcome'])}",
        "performance": found,
        "internal_performance": found,
        "specification": "The bundle holds boosters, calibration, columns and policy as plain files",
        "updating": updating(about) or "None: trained anew",
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
        "updating": updating(about) or "None",
        **found,
    }
    data = {**_of_data(about), **(_learnt(card, about) if external else {})}
    own |= _of_cohort(body) | _lived(body, about, found)
    return {**_always(card, about), **data, **_of_columns(spec), **own}


def _lived(body: Mapping[str, Any], about: Mapping[str, Any], found: Mapping[str, str]) -> dict[str, str]:
    """What was found, as internal or as external validation."""
    where = _validation(body)
    lived = {f"{where}_{name}": found[name] for name in ("performance", "fairness") if where and name in found}
    if where == "external":
        lived |= {"external_data": f"{body['cohort']['name']}; {UNCHECKED}", "external_process": body["design"]["text"]}
        lived["external_demographics"] = _who(body)
    if body["design"]["key"] == "external":
        lived["internal_performance"] = _validity(about)
    return lived


def _validation(body: Mapping[str, Any]) -> str:
    """Internal on a cohort that the model learnt from, or in folds of it; "" where it may have seen some courses."""
    if body["design"]["key"] != "external" or body["trained_here"]:
        return "internal"
    return "" if body["caution"] else "external"


def _of_cohort(body: Mapping[str, Any]) -> dict[str, str]:
    """Who was evaluated; the same courses are the development data of a recipe, and of a version they are not."""
    external, started = body["design"]["key"] == "external", body["cohort"]["started"]
    dates = f"Evaluated courses started {started}, where a start is stated" if started else ""
    later = "; the dates of the training courses are not recorded" if external and dates else ""
    return {"participants": _who(body), "data_dates": dates + later, "demographics": "" if external else _who(body)}


def _who(body: Mapping[str, Any]) -> str:
    return in_words(body["cohort"]["demographics"], body["policy"]["smallest_count"])


def updating(about: Mapping[str, Any]) -> str:
    """Every recalibration in turn; "" where there was none."""
    return "; then: ".join(_recalibration(one) for one in about.get("recalibrations", ()))


def _recalibration(one: Mapping[str, Any]) -> str:
    data, changed = one["data"], ", ".join(one["outcomes"])
    return f"Recalibrated ({one['method']}) on {data['courses']} courses of {data['name']}: {changed}; trees unchanged"


def learnt_text(about: Mapping[str, Any]) -> str:
    """The cohorts that a version learnt from, with their numbers of courses."""
    return ", recalibrated on ".join(f"{one['name']}, {one['courses']} courses" for one in data_of(about))


def _names(about: Mapping[str, Any]) -> str:
    return ", recalibrated on ".join(str(one["name"]) for one in data_of(about))


def data_of(about: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What the manifest says of the data: those of the training, then those of each recalibration."""
    return [about["trained_on"], *(one["data"] for one in about.get("recalibrations", ()))]


def _validity(about: Mapping[str, Any]) -> str:
    """Out-of-fold AUROC where the version was trained and, said apart, where it was recalibrated last."""
    trained, later = _out_of_fold(about["metrics"]), about.get("recalibrations", ())
    if not later:
        return trained
    name, own = later[-1]["data"]["name"], _out_of_fold(later[-1]["metrics"])
    held = {"Before recalibration, where it was trained": trained, f"After it, on courses of {name}": own}
    return "; ".join(f"{where}: {text}" for where, text in held.items() if text)


def _judged(body: Mapping[str, Any]) -> dict[str, str]:
    """What was found, in short."""
    everyone = [(one["key"], one["cells"][0]) for one in body["outcomes"]]
    known = [(key, cell) for key, cell in everyone if cell["figures"]]
    groups = {cell["axis"] for one in body["outcomes"] for cell in one["cells"][1:] if cell["figures"]}
    apart = sorted(groups - {"index time"})
    shown = [(key, cell) for key, cell in known if cell["rows"] is not None]
    found = {"events": "; ".join(f"{key}: {cell['rows']} rows, {cell['events']} events" for key, cell in shown)}
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


def _of_data(about: Mapping[str, Any]) -> dict[str, str]:
    """The data that trained and, after them, those of each recalibration."""
    held, *later = data_of(about)
    more = [f"recalibrated on {one['name']}, {one['courses']} courses, SHA-256 {one['fingerprint']}" for one in later]
    regraded = [f"in recalibration: {_pairs(one['grading'])}" for one in later if one["grading"] != held["grading"]]
    return {
        "data_name": str(held["name"]),
        "data_courses": str(held["courses"]),
        "data_fingerprint": "; ".join([held["fingerprint"] or "none", *more]) if more else str(held["fingerprint"]),
        "data_grading": "; ".join([_pairs(held["grading"]), *regraded]),
    }


def _learnt(card: Mapping[str, Any], about: Mapping[str, Any]) -> dict[str, str]:
    """What the training rows held; nothing of a card that does not say."""
    if "therapies" not in card:
        return {}
    moved = {key for one in about.get("recalibrations", ()) for key in one["outcomes"]}
    also = dict.fromkeys(moved, " (its published rate was recalibrated)")
    why = {key: uncounted(one) + also.get(key, "") for key, one in card["outcomes_not_fitted"].items()}
    return {
        "therapies": ", ".join(card["therapies"]),
        "indications": ", ".join(card["indications"]),
        "not_fitted": _pairs(why) or "none",
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
