"""The parameters of the synthetic cohort, read from reviewed tables into frozen types.

Nothing here is a patient: the tables in data/tables/synthetic_*.csv say which figure stands on a source and which is
a policy of the simulation.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from features.catalogue import Catalogue
from features.catalogue_tables import figures, read
from features.evidence import RATES, TherapyEvidence
from features.pooling import pool

Array = NDArray[np.float64]

TABLES = Path(__file__).parent / "tables"
#: All grades begin on this grid, so that "at or before the index time" is exact.
GRID_HOURS = 6.0
#: Worst grade of CRS and of ICANS: 0, 1, 2, and 3 for "3 or worse".
GRADES = 4


@dataclass(frozen=True, slots=True)
class Lab:
    """How one analyte behaves: its level, its share in the hidden inflammation, its rise around the onset of CRS.

    logarithmic: all of median's companions are in ln; else in the canonical unit. median: the baseline.
    loading: per unit of hidden inflammation. grade_1..3: height of the rise by worst grade. sd, memory_hours: the
    stationary deviation and correlation time of an Ornstein-Uhlenbeck process. lead_hours, rise_hours: the rise starts
    that long before onset and is complete that long after. taken_*: chance of a sample before the first dose, after
    it, and while any grade is charted. delay_hours: median wait for the result.
    *_relief: share of the rise that the drug takes away; tocilizumab_rise: ln units added after tocilizumab.
    """

    analyte: str
    logarithmic: bool
    median: float
    loading: float
    grade_1: float
    grade_2: float
    grade_3: float
    sd: float
    memory_hours: float
    lead_hours: float
    rise_hours: float
    taken_before: float
    taken_after: float
    taken_charted: float
    delay_hours: float
    tocilizumab_relief: float
    tocilizumab_rise: float
    corticosteroid_relief: float
    source: str
    verified: str
    note: str

    @property
    def centre(self) -> float:
        """The baseline on the scale of the process."""
        return float(np.log(self.median)) if self.logarithmic else self.median

    @property
    def by_grade(self) -> tuple[float, ...]:
        """Height of the rise by worst grade, none for grade 0."""
        return (0.0, self.grade_1, self.grade_2, self.grade_3)


@dataclass(frozen=True, slots=True)
class Product:
    """A therapy in an indication; share: its weight among products of its schedule; dose_hours: first dose at 0."""

    therapy: str
    indication: str
    share: float
    dose_hours: tuple[str, ...]
    source: str
    verified: str
    note: str


@dataclass(frozen=True, slots=True)
class Flag:
    """A yes-or-no fact of a course that moves the grades, and the share of courses in which it is not recorded.

    applies_to: "all", schedules or indication groups; elsewhere it is absent and never recorded.
    on_inflammation: P(yes | z) is probit, with this slope; 0 means independent of the hidden inflammation z.
    """

    flag: str
    column: str
    applies_to: tuple[str, ...]
    prevalence: float
    on_inflammation: float
    crs_log_odds: float
    icans_log_odds: float
    missing: float
    source: str
    verified: str
    note: str


@dataclass(frozen=True, slots=True)
class Site:
    """A synthetic hospital: its products, units, LDH assay, sampling, gaps, and when it took part (days)."""

    site: str
    share: float
    car_t_share: float
    without: tuple[str, ...]
    from_day: int
    to_day: int
    crp_unit: str
    creatinine_unit: str
    fibrinogen_unit: str
    ferritin_unit: str
    albumin_unit: str
    temperature_unit: str
    ldh_factor: float
    sampling: float
    missing: float
    source: str
    verified: str
    note: str

    def unit(self, analyte: str, canonical: str) -> str:
        """The unit in which this site sends the analyte."""
        return str(getattr(self, f"{analyte}_unit", canonical))


@dataclass(frozen=True, slots=True)
class Arm:
    """A product with its evidence: rates (len(RATES),) of features.pooling.pool, onset laws and dose hours.

    dose_share: share of first events by dose; doses beyond the last one given here share its place.
    groups: the schedule and the indication's group, for Flag.applies_to.
    """

    therapy: str
    indication: str
    share: float
    step_up: bool
    dose_hours: tuple[float, ...]
    dose_share: tuple[float, ...]
    rates: tuple[float, ...]
    evidence: TherapyEvidence
    groups: frozenset[str]


@dataclass(frozen=True, slots=True)
class Model:
    """Everything the simulation is made of."""

    labs: tuple[Lab, ...]
    flags: tuple[Flag, ...]
    sites: tuple[Site, ...]
    arms: tuple[Arm, ...]
    policy: Mapping[str, float]

    @property
    def step_up(self) -> NDArray[np.bool_]:
        """(arms,) True for a step-up schedule."""
        return np.array([arm.step_up for arm in self.arms])

    def lab_array(self, name: str) -> Array:
        """(labs,) one number of every lab."""
        return np.array([getattr(lab, name) for lab in self.labs], dtype=np.float64)

    @property
    def rise_by_grade(self) -> Array:
        """(labs, GRADES) height of the rise."""
        return np.array([lab.by_grade for lab in self.labs])

    @property
    def decay_hours(self) -> Array:
        """(arms,) time constant with which labs return after their peak."""
        single, step_up = (self.policy[f"ramp_decay_hours_{kind}"] for kind in ("single", "step_up"))
        return np.where(self.step_up, step_up, single)


def read_model(catalogue: Catalogue, folder: Path = TABLES) -> Model:
    """The model of the tables in `folder`; the true rates are those that features.prior pools from the catalogue.

    CatalogueError if a table breaks its rules; KeyError if a product has no published rate.
    """
    evidence = pool(catalogue)
    products = read(folder / "synthetic_products.csv", Product)
    return Model(
        labs=read(folder / "synthetic_labs.csv", Lab),
        flags=read(folder / "synthetic_flags.csv", Flag),
        sites=read(folder / "synthetic_sites.csv", Site),
        arms=tuple(_arm(catalogue, product, evidence[product.therapy]) for product in products),
        policy=figures(folder / "synthetic_policy.csv"),
    )


def _arm(catalogue: Catalogue, product: Product, evidence: TherapyEvidence) -> Arm:
    hours = tuple(float(hour) for hour in product.dose_hours)
    schedule = "step-up" if evidence.step_up else "single-infusion"
    shares = np.array(evidence.step_share)
    shares[len(hours) - 1] += shares[len(hours) :].sum()
    rates = evidence.rates_for(product.indication)
    assert len(rates) == len(RATES)
    return Arm(
        therapy=product.therapy,
        indication=product.indication,
        share=product.share,
        step_up=evidence.step_up,
        dose_hours=hours,
        dose_share=tuple(shares[: len(hours)].tolist()),
        rates=rates,
        evidence=evidence,
        groups=frozenset({"all", schedule, catalogue.indications[product.indication].group}),
    )
