"""Whether a version may have learnt from the courses that it is judged on: by digest, name and folder of the cohort.

A bundle holds no patients and no sites, so that courses it has seen are not recognised under another name.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from data.tables import Cohort
from features.home import Home
from training.recalibration_facts import seen
from training.reporting_facts import data_of

HERE = "the version learnt from this very cohort; these figures say nothing of new courses"
NAMED = "the version learnt from a cohort of this name or folder; courses it has seen would make these figures too good"


def caution(about: Mapping[str, Any], cohort: Cohort, names: Iterable[str], folders: Iterable[str] = ()) -> str:
    """Why figures may say nothing of new courses; "" where nothing points to it.

    about: of the version. names: what the cohort is called. folders: the last parts of the paths that it learnt from.
    """
    if trained_here(about, cohort):
        return HERE
    known = {str(one["name"]) for one in data_of(about) if one["courses"]} | set(folders)
    return NAMED if {one.casefold() for one in known} & {one.casefold() for one in names} else ""


def trained_here(about: Mapping[str, Any], cohort: Cohort) -> bool:
    """Whether a version was trained or recalibrated on this cohort, or on all of it but its locked patients."""
    return cohort.fingerprint in seen(about)


def folders_of(home: Home, about: Mapping[str, Any], run_id: str, uri: str | None) -> set[str]:
    """The last part of each cohort's path that the run of a version names as its data; none where it had no data."""
    from training import tracking

    if not any(one["courses"] for one in data_of(about)):
        return set()
    with tracking.store(home, uri) as client:
        inputs = client.get_run(run_id).inputs
    sources = [json.loads(one.dataset.source) for one in (inputs.dataset_inputs if inputs else [])]
    return {Path(one["uri"]).name for one in sources if one.get("uri")}
