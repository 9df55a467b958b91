"""Published rates pooled from the catalogue by beta-binomial shrinkage, with how sure they are.

Class, then product, then product and indication: each level is drawn to the one above, and large, ASTCT-graded, checked
cohorts weigh more. A cohort under prophylaxis gives the odds ratio of the prophylaxis, never a rate of the product.
"""

import functools
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from features.assay_prior import AssayCohort, assay_cohort
from features.catalogue import Catalogue, Rate
from features.evidence import RATES, STEPS, ByIndication, TherapyEvidence, policy
from features.prophylaxis import under_prophylaxis
from features.shrinkage import beta_mean, beta_variance, logit, spread_of


def pool(catalogue: Catalogue) -> dict[str, TherapyEvidence]:
    """Evidence of every therapy and class that has any published rate, keyed by therapy or class key."""
    usable = [rate for rate in catalogue.rates if _says_something(rate)]
    shares, calendar = _pooled_step_share(catalogue), _dose_hours(catalogue)
    found: dict[str, TherapyEvidence] = {}
    for key in [*_classes_from_the_root(catalogue), *catalogue.therapies]:
        parent = found.get(_parent(catalogue, key))
        own = [rate for rate in usable if key in catalogue.ancestry(rate.therapy)]
        if own or parent:
            found[key] = _pool_one(catalogue, key, own, parent, shares, calendar)
    spread = {key: _between_products(catalogue, one, found) for key, one in found.items()}
    with_assays = {
        key: _with_assay(one, assay_cohort(catalogue, key, one.patients[""][0])) for key, one in spread.items()
    }
    return {key: under_prophylaxis(catalogue, one, with_assays) for key, one in with_assays.items()}


def _with_assay(one: TherapyEvidence, assay: AssayCohort | None) -> TherapyEvidence:
    """The evidence with what an in-vitro assay says of CRS, as so many more patients; as it is without one."""
    if assay is None:
        return one
    rates = {key: _drawn(row, one.patients[key], assay) for key, row in one.rates.items()}
    return replace(one, rates=rates)


def _drawn(rates: tuple[float, ...], patients: tuple[float, ...], assay: AssayCohort) -> tuple[float, ...]:
    """RATES with grades 1 and 3 of CRS drawn to the assay's; grade 2 keeps its place between them."""
    first, second, third = rates[:3]
    share = (second - third) / (first - third) if first > third else 0.5
    first, third = (
        rate
        if math.isnan(said)
        else beta_mean([(said, assay.patients)], rate, behind + policy()["shrinkage_patients"])[0]
        for rate, said, behind in ((first, assay.crs_1plus, patients[0]), (third, assay.crs_3plus, patients[2]))
    )
    third = min(third, first)
    return (first, third + share * (first - third), third, *rates[3:])


def _says_something(rate: Rate) -> bool:
    """Whether a cohort counts: the rate of any CRS is known, no mitigation changed it, no newer row repeats it."""
    return not (rate.superseded or rate.mitigation or math.isnan(rate.crs_1plus))


def _pool_one(
    catalogue: Catalogue,
    key: str,
    own: list[Rate],
    parent: TherapyEvidence | None,
    shares: Mapping[str, tuple[float, ...]],
    calendar: Mapping[str, tuple[float, ...]],
) -> TherapyEvidence:
    numbers = policy()
    step_up = catalogue.schedule(key) == "step-up"
    suffix = "step_up" if step_up else "single"
    rates, patients, spread = _by_indication(catalogue, own, parent)
    onset = _median_onset(own, parent.crs_onset_hours if parent else numbers[f"onset_median_hours_{suffix}"])
    return TherapyEvidence(
        key=key,
        step_up=step_up,
        rates=rates,
        patients=patients,
        spread=spread,
        between=(0.0,) * len(RATES),
        crs_onset_hours=onset,
        icans_onset_hours=onset + numbers[f"icans_lag_hours_{suffix}"],
        onset_shape=numbers["onset_shape"],
        hours_to_next_grade=numbers[f"hours_to_next_grade_{suffix}"],
        step_share=shares.get(key, shares[""]) if step_up else _single(),
        dose_hours=calendar.get(key, calendar[""]) if step_up else (0.0,) * STEPS,
    )


Pooled = tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]


def _by_indication(
    catalogue: Catalogue, own: list[Rate], parent: TherapyEvidence | None
) -> tuple[dict[str, tuple[float, ...]], ...]:
    """Rates, patients behind them and spreads, by indication; a product without a cohort has all its class's rates."""
    if parent and not own:
        return dict(parent.rates), dict.fromkeys(parent.rates, (0.0,) * len(RATES)), _spreads_alone(parent.rates)
    found = {"": _shrunk(own, parent.rates[""] if parent else None)}
    for indication in _indications(catalogue, own):
        rows = [rate for rate in own if indication in catalogue.indication_lineage(rate.indication)]
        wider = (one for one in catalogue.indication_lineage(indication)[1:] if one in found)
        found[indication] = _shrunk(rows, found[next(wider, "")][0])
    rates, patients, spread = ({key: one[part] for key, one in found.items()} for part in range(3))
    return rates, patients, spread


def _spreads_alone(rates: ByIndication) -> dict[str, tuple[float, ...]]:
    """The spread of rates that stand on the level above alone: that of a beta worth the pseudo-patients."""
    strength = policy()["shrinkage_patients"]
    return {key: tuple(spread_of(rate, beta_variance(rate, strength)) for rate in row) for key, row in rates.items()}


def _indications(catalogue: Catalogue, rows: Iterable[Rate]) -> list[str]:
    """Indications with a published rate and those below them, the wider before the narrower."""
    published = {above for rate in rows if rate.indication for above in catalogue.indication_lineage(rate.indication)}
    lineages = {key: catalogue.indication_lineage(key) for key in catalogue.indications}
    below = (key for key, line in lineages.items() if published & set(line))
    return sorted(below, key=lambda key: (len(lineages[key]), key))


def _shrunk(rows: list[Rate], above: tuple[float, ...] | None) -> Pooled:
    """Pooled RATES, the patients behind each and their spread, drawn to the level above.

    Grade 2 stands between grades 1 and 3, by the share of grade 2 among grades 1 and 2.
    """
    pulled = policy()["shrinkage_patients"]
    strength = 1.0 if above is None else pulled
    rates, patients, spread = [], [], []
    for family, position in (("crs", 0), ("icans", 3)):
        weigh = functools.partial(_weight, family)
        on_first, on_share, on_third = _centres(above, position)
        first, n_first = beta_mean(_cells(rows, f"{family}_1plus", weigh), on_first, pulled)
        third, n_third = beta_mean(_cells(rows, f"{family}_3plus", weigh), on_third, pulled)
        third = min(third, first)
        share, n_share = beta_mean(_second_share(rows, family, weigh), on_share, pulled)
        second = third + share * (first - third)
        of_first, of_third = beta_variance(first, n_first + strength), beta_variance(third, n_third + strength)
        of_share = beta_variance(share, n_share + strength)
        of_second = share**2 * of_first + (1 - share) ** 2 * of_third + (first - third) ** 2 * of_share
        rates += [first, second, third]
        patients += [n_first, n_share, n_third]
        spread += [spread_of(*one) for one in ((first, of_first), (second, of_second), (third, of_third))]
    return tuple(rates), tuple(patients), tuple(spread)


def _between_products(
    catalogue: Catalogue, one: TherapyEvidence, found: Mapping[str, TherapyEvidence]
) -> TherapyEvidence:
    """A class with the spread between its products, which stands for any of them; a product as it is."""
    if one.key not in catalogue.classes:
        return one
    names = (name for name in catalogue.therapies if one.key in catalogue.lineage(name) and name in found)
    products = [found[name] for name in names]
    between = tuple(_between(products, place) for place in range(len(RATES)))
    strength = policy()["shrinkage_patients"]
    spread = {
        key: tuple(
            math.hypot(own, max(apart, spread_of(rate, beta_variance(rate, strength))))
            for own, apart, rate in zip(row, between, one.rates[key], strict=True)
        )
        for key, row in one.spread.items()
    }
    return replace(one, between=between, spread=spread)


def _between(products: Iterable[TherapyEvidence], place: int) -> float:
    """Standard deviation of the published log-odds of products; 0 where fewer than two have a cohort of their own."""
    rates = [one.rates[""][place] for one in products if one.patients[""][place] > 0]
    return float(np.std([logit(rate) for rate in rates])) if len(rates) > 1 else 0.0


def _cells(rows: Iterable[Rate], column: str, weigh: "functools.partial[float]") -> list[tuple[float, float]]:
    cells = ((getattr(row, column), weigh(row, column)) for row in rows)
    return [(rate, patients) for rate, patients in cells if not math.isnan(rate) and patients > 0]


def _second_share(rows: Iterable[Rate], family: str, weigh: "functools.partial[float]") -> list[tuple[float, float]]:
    """Share of grade 2 among grades 1 and 2, where a source splits them."""
    cells = []
    for row in rows:
        first, second, third = (getattr(row, f"{family}_{grade}plus") for grade in (1, 2, 3))
        mild = first - third
        if not math.isnan(mild + second) and mild > 0:
            cells.append(((second - third) / mild, weigh(row, f"{family}_2plus") * mild))
    return [(min(max(share, 0.0), 1.0), patients) for share, patients in cells if patients > 0]


def _centres(above: tuple[float, ...] | None, position: int) -> tuple[float | None, float | None, float | None]:
    """Grade 1, the share of grade 2, and grade 3 of the level above; None where there is none."""
    if above is None:
        return None, None, None
    first, second, third = above[position : position + 3]
    return first, (second - third) / (first - third) if first > third else 0.5, third


def _weight(family: str, row: Rate, column: str) -> float:
    """Effective patients behind one published figure: size, capped, times how far its grading is comparable."""
    numbers = policy()
    size = numbers["patients_when_unread"] if math.isnan(row.n) else min(row.n, numbers["largest_cohort"])
    trust = numbers["weight_unverified"] if row.verified == "no" else 1.0
    return size * trust * _grading_weight(family, row, column)


def _grading_weight(family: str, row: Rate, column: str) -> float:
    numbers = policy()
    if family == "icans":
        return numbers["weight_astct"] if row.icans_grading == "ASTCT-2019" else numbers["weight_neurologic_ctcae"]
    if column == "crs_1plus":
        return 1.0  # fever begins CRS in every system, so the rate of any grade compares
    system = row.crs_grading.split("-")[0].lower() or "unstated"
    return numbers[f"weight_{system}"]


def _median_onset(rows: Iterable[Rate], otherwise: float) -> float:
    """Median onset in hours, averaged on the log scale over cohorts by size."""
    numbers = policy()
    stated = [(math.log(row.crs_onset_median_hours), row.n) for row in rows if row.crs_onset_median_hours > 0]
    weights = [numbers["patients_when_unread"] if math.isnan(n) else n for _, n in stated]
    if not stated:
        return otherwise
    return math.exp(sum(value * weight for (value, _), weight in zip(stated, weights, strict=True)) / sum(weights))


def _pooled_step_share(catalogue: Catalogue) -> dict[str, tuple[float, ...]]:
    """Share of first events by dose for each therapy that publishes it; "" holds the mean over those."""
    shares: dict[str, tuple[float, ...]] = {}
    for key in dict.fromkeys(step.therapy for step in catalogue.steps):
        counts = np.zeros(STEPS)
        for step in catalogue.steps:
            if step.therapy == key and not math.isnan(step.crs_rate):
                counts[min(step.step, STEPS) - 1] += step.crs_rate
        if counts.sum() > 0:
            shares[key] = tuple((counts / counts.sum()).tolist())
    mean = np.mean([*shares.values()], axis=0) if shares else np.full(STEPS, 1 / STEPS)
    return {**shares, "": tuple(mean.tolist())}


def _dose_hours(catalogue: Catalogue) -> dict[str, tuple[float, ...]]:
    """Hours of each dose after the first for each therapy whose schedule is known; "" holds the mean over those.

    A dose that a known schedule does not name follows the one before by the policy's interval.
    """
    later = policy()["dose_interval_hours"]
    known: dict[str, dict[int, float]] = {}
    for row in catalogue.dose_days:
        known.setdefault(row.therapy, {})[row.dose] = 24 * row.day
    found = {}
    for key, doses in known.items():
        hours: list[float] = []
        for dose in range(1, STEPS + 1):
            hours.append(doses.get(dose, hours[-1] + later if hours else 0.0))
        found[key] = tuple(hours)
    mean = np.mean([*found.values()], axis=0) if found else later * np.arange(STEPS)
    return {**found, "": tuple(mean.tolist())}


def _single() -> tuple[float, ...]:
    return (1.0,) + (0.0,) * (STEPS - 1)


def _parent(catalogue: Catalogue, key: str) -> str:
    above = catalogue.ancestry(key)[1:]
    return above[0] if above else ""


def _classes_from_the_root(catalogue: Catalogue) -> list[str]:
    return sorted(catalogue.classes, key=lambda key: (len(catalogue.ancestry(key)), key))
