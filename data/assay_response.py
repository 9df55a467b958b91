"""What the usable plates of one format say of each cytokine: rise, responders, position between the references."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from math import exp, log

import numpy as np
import pandas as pd

from data.assay_statistics import (
    Estimate,
    Mean,
    Position,
    censored_mean,
    exact_fraction,
    flip_p_values,
    interval,
    position,
)
from data.assay_suitability import over_negative
from data.assay_table import AGENT, NEGATIVE, POSITIVE
from features.assay_facts import AssayFacts

#: A condition of the agent: hours and concentration.
Condition = tuple[float, float]


@dataclass(frozen=True, slots=True)
class CytokineResponse:
    """One cytokine at the condition where the agent rose most on average.

    fold: geometric mean of agent over negative. p_value: one-sided, adjusted for all cytokines and conditions.
    rises: called a rise above the negative control. responders: donors at or above the responder fold, of `donors`.
    position: 0 the negative, 1 the positive reference. bound: a figure rests on a limit of quantification.
    censored: share of this cytokine's wells beyond a limit.
    """

    cytokine: str
    hours: float
    concentration: float
    fold: Estimate
    p_value: float
    rises: bool
    responders: int
    donors: int
    position: Estimate
    bound: bool
    censored: float


@dataclass(frozen=True, slots=True, eq=False)
class Responses:
    """All cytokines of a format. severity: the mean position over its severity cytokines; responders in any of them."""

    cytokines: tuple[CytokineResponse, ...]
    severity: Estimate
    responders: int
    donors: int
    reference_positive: str
    reference_negative: str


@dataclass(frozen=True, slots=True, eq=False)
class _Panel:
    """Usable wells by cytokine and hours; the agent's rises and its reference's by condition (rows) and donor.

    peaks: cytokine -> the condition where the agent rose most, and its donors' rises there.
    """

    wells: Mapping[tuple[Hashable, ...], pd.DataFrame]
    rises: pd.DataFrame
    reached: pd.DataFrame
    peaks: Mapping[str, tuple[Condition, "pd.Series[float]"]]
    reference: str
    severity: tuple[str, ...]
    facts: AssayFacts


@dataclass(frozen=True, slots=True, eq=False)
class _Place:
    """A position, the donors behind it (sorted), and whether it rests on a limit of quantification."""

    position: Position
    donors: pd.Index
    bound: bool


def responses(wells: pd.DataFrame, format: str, facts: AssayFacts) -> Responses:
    """Reckon with the wells of a format's usable plates (as Assay.wells), at least one."""
    panel = _panel(wells, format, facts)
    places = {key: _place(panel, key) for key in panel.peaks}
    p_values = _p_values(panel)
    severity = [key for key in panel.severity if key in panel.peaks]
    responders, donors = _severity_responders(panel, severity)
    return Responses(
        cytokines=tuple(_response(panel, key, p_values[key], places[key]) for key in panel.peaks),
        severity=_severity([place for key in severity if (place := places[key])], facts),
        responders=responders,
        donors=donors,
        reference_positive=panel.reference,
        reference_negative=" + ".join(sorted(wells.loc[wells["role"] == NEGATIVE, "agent"].unique())),
    )


def _panel(wells: pd.DataFrame, format: str, facts: AssayFacts) -> _Panel:
    reference = _reference(wells, format, facts)
    rises = _by_donor(wells, wells["role"] == AGENT)
    reached = _by_donor(wells, wells["agent"] == reference)
    by_time = dict(iter(wells.groupby(["cytokine", "hours"])))
    measured = set(rises.index.get_level_values("cytokine"))
    peaks = {key: _peak(_of(rises, key)) for key in facts.cytokines if key in measured}
    return _Panel(by_time, rises, reached, peaks, reference, facts.formats[format].severity_cytokines, facts)


def _by_donor(wells: pd.DataFrame, of: "pd.Series[bool]") -> pd.DataFrame:
    paired = over_negative(wells, of).set_index(["cytokine", "hours", "concentration", "donor"])
    return paired["rise"].unstack("donor")


def _reference(wells: pd.DataFrame, format: str, facts: AssayFacts) -> str:
    """The positive control that stands on most plates; among equals the preferred one of the format."""
    plates = wells[wells["role"] == POSITIVE].groupby("agent")["plate"].nunique()
    return min(map(str, plates.index), key=lambda agent: (-int(plates[agent]), facts.rank(agent, format), agent))


def _p_values(panel: _Panel) -> dict[str, float]:
    """One-sided p of each cytokine, adjusted for all cytokines and conditions."""
    place = {key: number for number, key in enumerate(panel.peaks)}
    groups = np.array([place[str(key)] for key in panel.rises.index.get_level_values("cytokine")], dtype=np.int64)
    p_values = flip_p_values(panel.rises.to_numpy(dtype=np.float64).T, groups)
    return {key: float(p_values[number]) for key, number in place.items()}


def _of(table: pd.DataFrame, key: str) -> pd.DataFrame:
    """The rows of one cytokine, by hours and concentration."""
    rows: pd.DataFrame = table[table.index.get_level_values("cytokine") == key].reset_index("cytokine", drop=True)
    return rows


def _peak(rises: pd.DataFrame) -> tuple[Condition, "pd.Series[float]"]:
    """The condition with the highest mean rise among those that most donors have, and the rises of its donors there."""
    donors = rises.notna().sum(axis=1)
    fullest = rises[donors == donors.max()]
    best = fullest.mean(axis=1).idxmax()
    hours, concentration = best
    return (float(hours), float(concentration)), fullest.loc[best].dropna()


def _response(panel: _Panel, key: str, p_value: float, place: _Place | None) -> CytokineResponse:
    """One cytokine at its peak."""
    facts, ((hours, concentration), own) = panel.facts, panel.peaks[key]
    here = panel.wells[key, hours]
    agent, negative = _means(here, concentration, own.index, facts)
    fold = interval(agent.value - negative.value, agent.influence - negative.influence, _confidence(facts))
    responders = _responding(own, facts)
    return CytokineResponse(
        cytokine=key,
        hours=hours,
        concentration=concentration,
        fold=Estimate(exp(fold.value), exp(fold.low), exp(fold.high)),
        p_value=p_value,
        rises=_repeatable(own, p_value, facts) or (key in panel.severity and _more_than_chance(responders, own, facts)),
        responders=responders,
        donors=len(own),
        position=place.position.estimate(_confidence(facts)) if place else Estimate(),
        bound=agent.bound or negative.bound or bool(place and place.bound),
        censored=float((here["side"] != 0).mean()),
    )


def _confidence(facts: AssayFacts) -> float:
    return facts.numbers["confidence"]


def _responding(rises: "pd.Series[float]", facts: AssayFacts) -> int:
    return int((rises >= log(facts.numbers["responder_fold"])).sum())


def _repeatable(own: "pd.Series[float]", p_value: float, facts: AssayFacts) -> bool:
    """A rise of some size that chance does not bring."""
    return p_value <= facts.numbers["significance"] and float(own.mean()) >= log(facts.numbers["least_fold"])


def _more_than_chance(responders: int, own: "pd.Series[float]", facts: AssayFacts) -> bool:
    """More responders than chance brings, however low the mean over donors is."""
    return exact_fraction(responders, len(own), _confidence(facts)).low > facts.numbers["chance_responders"]


def _means(here: pd.DataFrame, concentration: float, donors: pd.Index, facts: AssayFacts) -> tuple[Mean, Mean]:
    """Agent and negative control over the same donors."""
    agent = here[(here["role"] == AGENT) & (here["concentration"] == concentration)]
    return _mean(agent, donors, facts), _mean(here[here["role"] == NEGATIVE], donors, facts)


def _mean(wells: pd.DataFrame, donors: pd.Index, facts: AssayFacts) -> Mean:
    place = donors.get_indexer(pd.Index(wells["donor"]))
    inside = place >= 0
    log_values, side = (wells[name].to_numpy()[inside] for name in ("log", "side"))
    return censored_mean(log_values, side, place[inside], len(donors), int(facts.numbers["exact_donors"]))


def _place(panel: _Panel, key: str) -> _Place | None:
    """Where the agent's peak stands; None where the reference does not rise in this cytokine: there is no scale."""
    facts, ((hours, concentration), own) = panel.facts, panel.peaks[key]
    reference = _of(panel.reached, key)
    reference = reference[reference.index.get_level_values("hours") == hours]
    if reference.empty:
        return None
    (_, top), reached = _peak(reference)
    donors = own.index.intersection(reached.index).sort_values()
    if donors.empty or float(reached[donors].mean()) < log(facts.numbers["positive_fold"]):
        return None
    here = panel.wells[key, hours]
    agent, negative = _means(here, concentration, donors, facts)
    positive = _mean(here[(here["agent"] == panel.reference) & (here["concentration"] == top)], donors, facts)
    bound = agent.bound or negative.bound or positive.bound
    return _Place(position(agent, negative, positive), donors, bound)


def _severity(places: list[_Place], facts: AssayFacts) -> Estimate:
    """The mean position over cytokines, its interval over the donors that all of them share."""
    if not places:
        return Estimate()
    shared = places[0].donors
    for place in places[1:]:
        shared = shared.intersection(place.donors)
    influence = np.mean([one.position.influence[one.donors.get_indexer(shared)] for one in places], axis=0)
    return interval(float(np.mean([one.position.value for one in places])), influence, _confidence(facts))


def _severity_responders(panel: _Panel, severity: Sequence[str]) -> tuple[int, int]:
    """Donors that respond in any severity cytokine at its peak, and donors measured in one."""
    if not severity:
        return 0, 0
    best = pd.DataFrame({key: panel.peaks[key][1] for key in severity}).max(axis=1)
    return _responding(best, panel.facts), len(best)


def nothing() -> Responses:
    """What no usable plate says."""
    return Responses((), Estimate(), 0, 0, "", "")
