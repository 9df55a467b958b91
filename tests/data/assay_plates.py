"""Simulates cytokine release assays whose truth is known, from a seed.

Medians, spreads and dose response are design values for simulation, not published figures; published are only the IL-2
levels of coated TGN1412 (geometric midpoint 4185 pg/mL) and anti-CD3 (127), Eastwood 2013, Br J Clin Pharmacol 76:299.
The soluble-PBMC positive (anti-CD3, 0.3 of its coated column) is a design value of these tests alone.
A value is exp(ln(median) + donor + response + plate + well), cut at the limits of quantification.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

CYTOKINES = ("IL-2", "IFN-g", "TNF", "IL-6", "IL-8", "IL-10", "MIP-1b")
LOWER = dict(zip(CYTOKINES, (5.0, 10.0, 5.0, 5.0, 10.0, 3.0, 10.0), strict=True))
UPPER = dict(zip(CYTOKINES, (10_000.0, 20_000.0, 10_000.0, 10_000.0, 20_000.0, 5_000.0, 20_000.0), strict=True))
AIR, WET, SOLUBLE, RESTORE, BLOOD, ENDOTHELIAL = (
    "pbmc-coated-air-dried",
    "pbmc-coated-wet",
    "pbmc-soluble",
    "pbmc-high-density-soluble",
    "whole-blood-soluble",
    "endothelial-co-culture",
)
Medians = tuple[float, ...]
COATED_NEGATIVE: Medians = (5, 20, 50, 60, 800, 15, 300)
BLOOD_NEGATIVE: Medians = (5, 10, 15, 20, 150, 8, 100)
COATED_WEAK: Medians = (6, 60, 400, 200, 2500, 30, 800)
COATED_CD28SA: Medians = (4185, 3000, 2000, 1000, 8000, 300, 5000)
COATED_CD3: Medians = (127, 3000, 2000, 1000, 8000, 300, 5000)
BLOOD_CD28SA: Medians = (12, 25, 30, 45, 400, 12, 250)
BLOOD_CAMPATH: Medians = (15, 300, 250, 250, 1500, 40, 2000)
DONOR_SD, RESPONSE_SD, PLATE_SD, WELL_SD, CORRELATION = 0.35, 0.60, 0.15, 0.10, 0.5
BLOOD_SD = {"CD28SA": 0.80, "alemtuzumab": 1.15}
DOSES = (0.01, 0.05, 0.25, 1.0, 5.0, 25.0, 100.0)


@dataclass(frozen=True, slots=True)
class Arm:
    """An agent on the plates. medians: at the plateau. responding: share of donors that respond, in donor order.

    ec50: 0 for a control that is given at its plateau only. hook: the response falls again far above the EC50.
    """

    name: str
    role: str
    medians: Medians
    sd: float = 0.0
    doses: tuple[float, ...] = (10.0,)
    ec50: float = 0.0
    hook: bool = False
    responding: float = 1.0


@dataclass(frozen=True, slots=True)
class Design:
    """A format's plates. silent, high: numbers of plates whose positives are silent, whose negative is 8 times high."""

    format: str
    background: Medians
    arms: tuple[Arm, ...]
    donors: int = 10
    plates: int = 2
    wells: int = 2
    silent: tuple[int, ...] = ()
    high: tuple[int, ...] = ()
    donor_sd: float = DONOR_SD


def scaled(medians: Medians, factor: float, background: Medians) -> Medians:
    """The column times a factor, never below the background."""
    return tuple(max(value * factor, floor) for value, floor in zip(medians, background, strict=True))


def isotype(background: Medians) -> Arm:
    return Arm("isotype", "negative", background)


def under_test(medians: Medians, sd: float = RESPONSE_SD, doses: tuple[float, ...] = DOSES, **more: object) -> Arm:
    """The agent at all doses; EC50 1 ug/well unless stated."""
    return Arm("candidate", "agent", medians, sd, doses, **({"ec50": 1.0} | more))  # type: ignore[arg-type]


def coated(agent: Arm, **more: object) -> Design:
    """Air-dried wells with CD28 superagonist and anti-CD3 as positives."""
    positives = (
        Arm("CD28SA", "positive", COATED_CD28SA, RESPONSE_SD),
        Arm("OKT3", "positive", COATED_CD3, RESPONSE_SD),
    )
    design = Design(AIR, COATED_NEGATIVE, (agent, isotype(COATED_NEGATIVE), *positives))
    return replace(design, **more)  # type: ignore[arg-type]


def wet(agent: Arm, **more: object) -> Design:
    """Wet coating: every rise has 0.3 of the air-dried plateau."""
    design = coated(agent, **more)
    arms = tuple(
        replace(arm, medians=scaled(arm.medians, 0.3, COATED_NEGATIVE)) if arm.role != "negative" else arm
        for arm in design.arms
    )
    return replace(design, format=WET, arms=arms)


def restore(agent: Arm) -> Design:
    """High-density preculture, agent in solution."""
    positive = Arm("CD28SA", "positive", scaled(COATED_CD28SA, 0.5, COATED_NEGATIVE), RESPONSE_SD)
    return Design(RESTORE, COATED_NEGATIVE, (agent, isotype(COATED_NEGATIVE), positive))


def soluble(agent: Arm) -> Design:
    """Plain PBMC, agent in solution."""
    positive = Arm("OKT3", "positive", scaled(COATED_CD3, 0.3, COATED_NEGATIVE), RESPONSE_SD)
    return Design(SOLUBLE, COATED_NEGATIVE, (agent, isotype(COATED_NEGATIVE), positive))


def blood(agent: Arm, **more: object) -> Design:
    """Whole blood with alemtuzumab as positive."""
    positive = Arm("alemtuzumab", "positive", BLOOD_CAMPATH, BLOOD_SD["alemtuzumab"])
    design = Design(BLOOD, BLOOD_NEGATIVE, (agent, isotype(BLOOD_NEGATIVE), positive))
    return replace(design, **more)  # type: ignore[arg-type]


def simulate(designs: Design | Iterable[Design], seed: int) -> pd.DataFrame:
    """The assay file of these designs, as a user would write it; values rounded and cut at the limits."""
    rng = np.random.default_rng(seed)
    listed = [designs] if isinstance(designs, Design) else list(designs)
    return cut(pd.concat([_one(design, number, rng) for number, design in enumerate(listed)], ignore_index=True))


def uncut(design: Design, seed: int) -> pd.DataFrame:
    """The same wells before they are rounded and cut."""
    return _one(design, 0, np.random.default_rng(seed))


def cut(frame: pd.DataFrame, lower: Mapping[str, float] = LOWER, upper: Mapping[str, float] = UPPER) -> pd.DataFrame:
    """Values below or above the limits become the limit with a comparator."""
    low, high = frame["cytokine"].map(lower), frame["cytokine"].map(upper)
    value = frame["value"]
    sign = np.where(value < low, "<", np.where(value > high, ">", ""))
    return frame.assign(value=value.clip(low, high).round(3).map(repr), comparator=sign)


def _correlated(rng: np.random.Generator, size: int, sd: float) -> NDArray[np.float64]:
    """(size, cytokines) normal draws with the stated correlation between cytokines."""
    shared, own = rng.normal(size=(size, 1)), rng.normal(size=(size, len(CYTOKINES)))
    return sd * (np.sqrt(CORRELATION) * shared + np.sqrt(1 - CORRELATION) * own)


def _one(design: Design, number: int, rng: np.random.Generator) -> pd.DataFrame:
    donor = _correlated(rng, design.donors, design.donor_sd)
    plate_of = np.arange(design.donors) * design.plates // design.donors
    plate = rng.normal(0, PLATE_SD, (design.plates, len(CYTOKINES)))
    frames = []
    for arm in design.arms:
        rise = _rise(design, arm, plate_of, rng)
        for dose in arm.doses:
            reached = np.log1p(np.expm1(rise) * _effect(arm, dose))
            level = np.log(design.background) + reached + donor + plate[plate_of]
            if arm.role == "negative":
                level = level + np.isin(plate_of, design.high)[:, None] * np.log(8.0)
            frames.append(_wells(design, number, arm, dose, plate_of, level, rng))
    return pd.concat(frames, ignore_index=True)


def _rise(design: Design, arm: Arm, plate_of: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float64]:
    """(donors, cytokines) ln of the plateau over the background; 0 for who does not respond."""
    rise = np.log(np.array(arm.medians) / np.array(design.background)) + _correlated(rng, design.donors, arm.sd)
    silent = np.isin(plate_of, design.silent) if arm.role == "positive" else np.zeros(design.donors, dtype=bool)
    idle = np.arange(design.donors) >= round(arm.responding * design.donors)
    return np.where((silent | idle)[:, None], 0.0, rise)


def _effect(arm: Arm, dose: float) -> float:
    """Share of the plateau at that dose: four-parameter with slope 1; a hook falls from 10 times the EC50."""
    if not arm.ec50:
        return 1.0
    hook = min(1.0, 10 * arm.ec50 / dose) if arm.hook else 1.0
    return hook * dose / (dose + arm.ec50)


def _wells(
    design: Design,
    number: int,
    arm: Arm,
    dose: float,
    plate_of: NDArray[np.int64],
    level: NDArray[np.float64],
    rng: np.random.Generator,
) -> pd.DataFrame:
    shape = (design.donors, len(CYTOKINES), design.wells)
    value = np.exp(level[:, :, None] + rng.normal(0, WELL_SD, shape))
    donor, cytokine, well = (index.ravel() for index in np.indices(shape))
    return pd.DataFrame(
        {
            "plate": [f"p{number}-{plate_of[place]}" for place in donor],
            "donor": [f"d{number}-{place:02d}" for place in donor],
            "agent": arm.name,
            "role": arm.role,
            "format": design.format,
            "concentration": dose,
            "concentration_unit": "ug/mL",
            "hours": 24,
            "cytokine": np.array(CYTOKINES)[cytokine],
            "replicate": well + 1,
            "value": value.ravel(),
            "unit": "pg/mL",
        }
    )
