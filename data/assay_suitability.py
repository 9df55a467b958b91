"""Which plates of an assay may be used: the positive controls fired, the negative ones did not.

A positive control is asked only for the cytokines that it raises in its format. A plate is refused with its reason; the
others are used.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import log

import pandas as pd

from data.assay_table import AGENT, NEGATIVE, POSITIVE
from features.assay_facts import AssayFacts


@dataclass(frozen=True, slots=True)
class Refused:
    """A plate that was not used, and why."""

    plate: str
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Suitable:
    """wells: of the plates that may be used. notes: what could not be checked, as sentences."""

    wells: pd.DataFrame
    refused: tuple[Refused, ...]
    notes: tuple[str, ...]


def suitable(wells: pd.DataFrame, format: str, facts: AssayFacts) -> Suitable:
    """Judge the plates of one format's wells (as Assay.wells)."""
    plates = {str(name): plate for name, plate in wells.groupby("plate", sort=True)}
    refused = {name: reason for name, plate in plates.items() if (reason := _fault(plate, format, facts))}
    sound = {name: plate for name, plate in plates.items() if name not in refused}
    refused |= _high_negatives(sound, facts)
    used = wells[~wells["plate"].isin(list(refused))]
    listed = tuple(Refused(name, refused[name]) for name in sorted(refused))
    return Suitable(used, listed, _notes(used, format, facts))


def _fault(plate: pd.DataFrame, format: str, facts: AssayFacts) -> str:
    """Why a plate cannot be used by itself; "" if nothing is wrong."""
    for role, name in ((AGENT, "agent under test"), (NEGATIVE, "negative control"), (POSITIVE, "positive control")):
        if not (plate["role"] == role).any():
            return f"no {name} on the plate"
    negatives = sorted(plate.loc[plate["role"] == NEGATIVE, "agent"].unique())
    for agent in negatives:
        listed = facts.reference(agent, format)
        if listed and listed.role != NEGATIVE:
            return f"{agent} is no negative control in this format"
    if over_negative(plate, plate["role"] == AGENT).empty:
        return "no negative control of the same donors and times"
    return _silent(plate, format, facts) or _disagreeing(plate, facts)


def _silent(plate: pd.DataFrame, format: str, facts: AssayFacts) -> str:
    """The positive controls that had to rise and did not."""
    demanded = {agent: _fires_in(str(agent), format, facts) for agent in _positives(plate)}
    if not any(demanded.values()):
        return "no positive control on the plate that has to rise in this format"
    least = log(facts.numbers["positive_fold"])
    for agent, cytokines in demanded.items():
        rises = rise_over_negative(plate, plate["agent"] == agent)
        if cytokines and not any(rises.get(cytokine, 0.0) >= least for cytokine in cytokines):
            names = " or ".join(facts.cytokines[cytokine].name for cytokine in cytokines)
            return f"positive control {agent} did not rise in {names}"
    return ""


def _positives(plate: pd.DataFrame) -> list[str]:
    return sorted(plate.loc[plate["role"] == POSITIVE, "agent"].unique())


def _fires_in(agent: str, format: str, facts: AssayFacts) -> tuple[str, ...]:
    listed = facts.reference(agent, format)
    return listed.fires_in if listed else facts.formats[format].positive_fires_in


def rise_over_negative(plate: pd.DataFrame, of: "pd.Series[bool]") -> dict[str, float]:
    """Cytokine -> the largest mean over donors, among times and concentrations, of ln(value / negative)."""
    paired = over_negative(plate, of)
    means = paired.groupby(["cytokine", "hours", "concentration"])["rise"].mean()
    return {str(key): float(value) for key, value in means.groupby("cytokine").max().items()}


def over_negative(wells: pd.DataFrame, of: "pd.Series[bool]") -> pd.DataFrame:
    """One row per donor, cytokine, hours and concentration: `rise`, ln(value / negative of the same plate and time).

    Values beyond a limit stand at the limit, so that a rise is never overstated.
    """
    same = ["plate", "donor", "cytokine", "hours"]
    negative = wells[wells["role"] == NEGATIVE].groupby(same, sort=True)["log"].mean().rename("negative")
    own = wells[of].groupby([*same, "concentration"], sort=True)["log"].mean().reset_index()
    paired = own.join(negative, on=same, how="inner")
    paired["rise"] = paired["log"] - paired["negative"]
    kept = ["donor", "cytokine", "hours", "concentration"]
    return paired.groupby(kept, sort=True)["rise"].mean().reset_index()


def _disagreeing(plate: pd.DataFrame, facts: AssayFacts) -> str:
    """Whether one negative control of the plate lies far above another."""
    negative = plate[plate["role"] == NEGATIVE]
    if negative["agent"].nunique() < 2:
        return ""
    levels = negative.groupby(["cytokine", "hours", "agent"])["log"].mean().groupby(["cytokine", "hours"])
    apart = (levels.max() - levels.min()).groupby("cytokine").max()
    far = [str(key) for key, value in apart.items() if value >= log(facts.numbers["negative_fold"])]
    return f"the negative controls disagree in {_names(far, facts)}" if far else ""


def _high_negatives(plates: Mapping[str, pd.DataFrame], facts: AssayFacts) -> dict[str, str]:
    """Plates whose negative control is high against the other plates while the span to the positive has shrunk."""
    if len(plates) < 2:
        return {}
    levels = pd.DataFrame({name: _negative_levels(plate) for name, plate in plates.items()})
    spans = pd.DataFrame(
        {name: pd.Series(rise_over_negative(plate, plate["role"] == POSITIVE)) for name, plate in plates.items()}
    )
    found = {}
    for name in plates:
        high = levels[name] - levels.drop(columns=name).median(axis=1) >= log(facts.numbers["negative_fold"])
        shrunk = spans.drop(columns=name).median(axis=1) - spans[name] >= log(facts.numbers["span_loss_fold"])
        both = [str(key) for key in high.index if high[key] and shrunk.get(key, False)]
        if both:
            found[name] = f"the negative control is high in {_names(both, facts)}"
    return found


def _negative_levels(plate: pd.DataFrame) -> "pd.Series[float]":
    return plate[plate["role"] == NEGATIVE].groupby("cytokine")["log"].mean()


def _names(cytokines: list[str], facts: AssayFacts) -> str:
    return ", ".join(facts.cytokines[key].name for key in facts.cytokines if key in cytokines)


def _notes(wells: pd.DataFrame, format: str, facts: AssayFacts) -> tuple[str, ...]:
    notes = []
    negatives = wells.loc[wells["role"] == NEGATIVE, "agent"]
    if wells["plate"].nunique() == 1 and negatives.nunique() == 1:
        notes.append("one plate with one negative control: whether that control was high could not be checked")
    controls = wells.loc[wells["role"] != AGENT, "agent"].unique()
    strange = [str(agent) for agent in sorted(controls) if facts.reference(str(agent), format) is None]
    notes += [f"{agent} is no listed control of this format" for agent in strange]
    return tuple(notes)
