"""Settings of one training run: a closed type, read once at the edge from TOML and passed down."""

import tomllib
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from features.errors import UsageError

#: A key of the files that `crs tune` writes, no setting: the test_share at which the settings were chosen.
TUNED_SHARE = "tuned_test_share"


@dataclass(frozen=True, slots=True)
class Settings:
    """How models are fitted and judged.

    fewest_events: an outcome with fewer events (courses) is answered from its published rate, not fitted.
    rounds: most trees; cross-validation picks how many are used. The penalties are absolute, so that they bind on tens
    of events and fade on thousands. alert_sensitivity, alert_rate: by which the two thresholds of a band are chosen.
    test_share: share of the patients whose courses are locked away from training and tuning, see data.locked.
    """

    seed: int = 20260101
    folds: int = 5
    repeats: int = 5
    fewest_events: int = 20
    rounds: int = 700
    learning_rate: float = 0.03
    max_depth: int = 3
    min_child_weight: float = 5.0
    l2_penalty: float = 5.0
    columns_per_tree: float = 0.3
    prior_slope_sd: float = 0.5
    time_slope_sd: float = 0.5
    day_slope_sd: float = 0.5
    begun_shift_sd: float = 0.5
    early_slope_sd: float = 0.15
    late_slope_sd: float = 0.5
    milder_slope_sd: float = 0.5
    evidence_needed: float = 3.0
    intercept_sd: float = 1.0
    bootstrap: int = 200
    interval_resamples: int = 60
    alert_sensitivity: float = 0.9
    alert_rate: float = 0.2
    test_share: float = 0.2
    workers: int = 2

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def recipe(self) -> dict[str, Any]:
        """What the model depends on: all but how many fits run side by side."""
        return {key: value for key, value in self.to_json().items() if key != "workers"}


def read(path: Path | None) -> Settings:
    """Settings of a TOML file; UsageError for an unknown or mistyped key, or a test_share that tuning did not lock.

    None gives the defaults.
    """
    if path is None:
        return Settings()
    try:
        body = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}", "the settings file cannot be opened", "check the path") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(path.name, "the settings file cannot be read as TOML", "see docs/training.md") from error
    return _of_file(body, path.name)


def _of_file(body: dict[str, Any], place: str) -> Settings:
    """The settings of a file's body; UsageError as from_mapping, or where courses that chose them would test them.

    A larger share locks all patients of a smaller one, so that any share up to that of the search is sound.
    """
    settings = from_mapping({key: value for key, value in body.items() if key != TUNED_SHARE}, place)
    share = body.get(TUNED_SHARE, 1.0)
    if type(share) not in (int, float):
        raise UsageError(f"{place}: {TUNED_SHARE}", "expected a float")
    if not settings.test_share <= share:
        problem = f"more than {TUNED_SHARE} {share:g}: courses by which these settings were chosen would test them"
        remedy = f"run crs tune at test_share {settings.test_share:g}; or take the key out if other patients chose them"
        raise UsageError(f"{place}: test_share", problem, remedy)
    return settings


def from_mapping(body: dict[str, Any], place: str) -> Settings:
    """Settings of a mapping; UsageError for a key that is not one of Settings, of another type or out of its range."""
    types = {field.name: type(getattr(Settings(), field.name)) for field in fields(Settings)}
    for key, value in body.items():
        if key not in types:
            raise UsageError(f"{place}: {key}", "unknown setting", f"use one of {', '.join(sorted(types))}")
        whole_for_float = types[key] is float and type(value) is int
        if type(value) is not types[key] and not whole_for_float:
            raise UsageError(f"{place}: {key}", f"expected a {types[key].__name__}")
        low, high = RANGES[key]
        if not low <= value <= high:
            raise UsageError(f"{place}: {key}", f"expected {low:g} to {high:g}")
    return Settings(**{key: types[key](value) for key, value in body.items()})


#: What each setting may be, both ends inclusive.
RANGES: dict[str, tuple[float, float]] = {
    "seed": (0, 2**31 - 1),
    "folds": (2, 50),
    "repeats": (1, 100),
    "fewest_events": (2, 100_000),
    "rounds": (1, 10_000),
    "learning_rate": (0.001, 1),
    "max_depth": (1, 8),
    "min_child_weight": (0, 10_000),
    "l2_penalty": (0, 10_000),
    "columns_per_tree": (0.01, 1),
    "prior_slope_sd": (0.001, 100),
    "time_slope_sd": (0.001, 100),
    "day_slope_sd": (0.001, 100),
    "begun_shift_sd": (0.001, 100),
    "early_slope_sd": (0.001, 100),
    "late_slope_sd": (0.001, 100),
    "milder_slope_sd": (0.001, 100),
    "evidence_needed": (0, 1000),
    "intercept_sd": (0.001, 100),
    "bootstrap": (0, 10_000),
    "interval_resamples": (1, 10_000),
    "alert_sensitivity": (0.01, 1),
    "alert_rate": (0.001, 0.999),
    "test_share": (0, 0.5),
    "workers": (1, 256),
}
