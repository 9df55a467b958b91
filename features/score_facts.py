"""The reviewed tables of the published scores: what each is for, its cut-points, units and times, and what is missing.

NaN stands for a limit that a score does not have.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from math import isfinite
from pathlib import Path

from features import catalogue_joins as joins
from features.catalogue_tables import read
from features.errors import CatalogueError

TABLES = Path(__file__).parent / "tables"
SIDES = ("above", "below")
BOUNDS = ("", "<", ">")


@dataclass(frozen=True, slots=True)
class ScoreFact:
    """What one score is. verified: of the score as it stands here; its parts carry their own flag.

    car_t_only: made for CAR-T cells. threshold, validation, against: as published, in words.
    """

    key: str
    name: str
    formula: str
    unit: str
    population: str
    outcome: str
    time_point: str
    threshold: str
    validation: str
    against: str
    car_t_only: bool
    source: str
    verified: str
    note: str


@dataclass(frozen=True, slots=True)
class Cut:
    """`points` for a value above (or below) `cut`; inclusive: the cut itself counts."""

    score: str
    item: str
    side: str
    cut: float
    inclusive: bool
    points: float
    unit: str
    source: str
    verified: str
    note: str

    def __post_init__(self) -> None:
        if self.side not in SIDES or not (isfinite(self.cut) and self.points > 0):
            raise ValueError("side must be above or below, cut a number and points above 0")


@dataclass(frozen=True, slots=True)
class ScoreUnit:
    """value in the score's unit = canonical value * multiply / divide."""

    score: str
    analyte: str
    multiply: float
    divide: float
    unit: str
    source: str
    verified: str
    note: str

    def __post_init__(self) -> None:
        if not (self.multiply > 0 and self.divide > 0):
            raise ValueError("multiply and divide must be above 0")


@dataclass(frozen=True, slots=True)
class ScoreTimes:
    """When inputs count. Hours, all limits inclusive.

    max_age_hours: before the index time. max_gap_hours: between the first and the last input.
    from_hours, to_hours: from the start, the window the score was made for. window_first: values of that window are
    taken where every input has one there.
    """

    score: str
    max_age_hours: float
    max_gap_hours: float
    from_hours: float
    to_hours: float
    window_first: bool
    source: str
    verified: str
    note: str


@dataclass(frozen=True, slots=True)
class Coefficient:
    """A factor of a score's formula."""

    score: str
    term: str
    coefficient: float
    unit: str
    source: str
    verified: str


@dataclass(frozen=True, slots=True)
class HScorePoint:
    """One printed point of the HScore's map: at this HScore, this per cent. bound: "<" or ">" where printed so."""

    at: float
    bound: str
    percent: float
    source: str
    verified: str

    def __post_init__(self) -> None:
        if self.bound not in BOUNDS:
            raise ValueError("bound must be <, > or empty")


@dataclass(frozen=True, slots=True)
class ScoreNotImplemented:
    """A published score that this product does not compute: what was read of it and what is missing."""

    score: str
    read: str
    missing: str
    source: str
    verified: str


@dataclass(frozen=True, slots=True, eq=False)
class ScoreFacts:
    """All score tables. cuts: (score, item) -> its cuts; units: (score, analyte); coefficients: (score, term)."""

    scores: Mapping[str, ScoreFact]
    cuts: Mapping[tuple[str, str], tuple[Cut, ...]]
    units: Mapping[tuple[str, str], ScoreUnit]
    times: Mapping[str, ScoreTimes]
    coefficients: Mapping[tuple[str, str], float]
    hscore_map: tuple[HScorePoint, ...]
    not_implemented: tuple[ScoreNotImplemented, ...]


@cache
def load() -> ScoreFacts:
    """The tables that ship with the product, read once; CatalogueError if one breaks its rules."""
    return read_folder(TABLES)


def read_folder(folder: Path) -> ScoreFacts:
    """The score tables of a folder; CatalogueError names the file, and the line where there is one."""
    scores = joins.keyed("scores.csv", read(folder / "scores.csv", ScoreFact))
    cuts = read(folder / "score_points.csv", Cut)
    units = read(folder / "score_units.csv", ScoreUnit)
    times = read(folder / "score_times.csv", ScoreTimes)
    factors = read(folder / "score_coefficients.csv", Coefficient)
    hscore_map = read(folder / "hscore_probability.csv", HScorePoint)
    joins.check_known("score_times.csv", "score", (row.score for row in times), scores)
    joins.check_known("score_times.csv: a score without a row,", "score", scores, {row.score for row in times})
    joins.check_unique("score_points.csv", ((row.score, row.item, row.cut) for row in cuts))
    joins.check_unique("score_units.csv", ((row.score, row.analyte) for row in units))
    _check_rising(hscore_map)
    return ScoreFacts(
        scores=scores,
        cuts=_by_item(cuts),
        units={(row.score, row.analyte): row for row in units},
        times={row.score: row for row in times},
        coefficients={(row.score, row.term): row.coefficient for row in factors},
        hscore_map=hscore_map,
        not_implemented=read(folder / "scores_not_implemented.csv", ScoreNotImplemented),
    )


def _by_item(cuts: tuple[Cut, ...]) -> dict[tuple[str, str], tuple[Cut, ...]]:
    keys = dict.fromkeys((row.score, row.item) for row in cuts)
    return {key: tuple(row for row in cuts if (row.score, row.item) == key) for key in keys}


def _check_rising(points: tuple[HScorePoint, ...]) -> None:
    for name, values in (("at", [row.at for row in points]), ("percent", [row.percent for row in points])):
        if not points or values != sorted(values):
            raise CatalogueError("hscore_probability.csv", f"{name} must not decrease")
