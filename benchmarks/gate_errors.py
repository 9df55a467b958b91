"""How often the gate is wrong, on SYNTHETIC courses: a truly better challenger, and challengers made worse on purpose.

For each seed one cohort is made, its locked courses test, and the others train: a champion from a few courses, a
better challenger from many, and challengers whose fault is known. Prints each verdict with the codes that made
it, then how often the better one was refused and each worse one accepted, and whether the fault was named rightly.

    .venv/bin/python benchmarks/gate_errors.py --seeds 20
"""

import argparse
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import fresh  # noqa: F401 - puts the repository on the path
import numpy as np
import pandas as pd

from data import synthetic
from data.locked import ANY_SHARE, test_part, training_part
from data.tables import Cohort, Frames
from features.bundle import Bundle
from features.catalogue import load
from features.predict import Predictor
from features.recalibration import Recalibration
from training import change_plan
from training.change_plan import Criterion
from training.config import Settings
from training.gate import Verdict, Word, judge
from training.train import train

#: Quick settings: what is measured is the gate, not the model.
SETTINGS = Settings(rounds=120, learning_rate=0.1, folds=3, bootstrap=0, interval_resamples=1, workers=1)
#: Courses of the champion (enough to be worth more than its published rates), of the better challenger, and of the two
#: challengers whose data are at fault.
FEW, MANY, FAULTY = 1000, 2800, 1000
#: Log-odds by which one therapy is put too low for one outcome, as by a fault in how its courses were charted.
TOO_LOW = -2.5
GRADES = ("crs_grade", "icans_grade")


@dataclass(frozen=True, slots=True)
class Case:
    """A challenger. right: criteria, one of which has to be among the reasons; empty for one that has to pass."""

    name: str
    model: Predictor
    test: Cohort
    right: frozenset[Criterion]


def model(part: Frames, name: str) -> Predictor:
    cohort = part.cohort(ANY_SHARE)
    return Predictor(train(cohort, name, SETTINGS, load(), lambda _: None).bundle, load())


def first(part: Frames, courses: int) -> Frames:
    """The first courses, which are no special ones: a synthetic cohort has no order."""
    kept = part.courses.iloc[:courses].reset_index(drop=True)
    names = set(kept["course_id"])
    tables = (part.observations, part.events)
    return Frames(kept, *(one[one["course_id"].isin(names)].reset_index(drop=True) for one in tables))


def shuffled(part: Frames, seed: int) -> Frames:
    """Each course has the grades of another course, whatever its therapy."""
    ids = part.courses["course_id"].to_numpy()
    other = dict(zip(ids, np.random.default_rng(seed).permutation(ids), strict=True))
    graded = part.events["event"].isin(GRADES)
    events = part.events.copy()
    events.loc[graded, "course_id"] = events.loc[graded, "course_id"].map(other)
    return Frames(part.courses, part.observations, events)


def leaked(part: Frames) -> Frames:
    """A value of ferritin an hour before the start that encodes the worst grade that is to come."""
    peak = part.events[part.events["event"].isin(GRADES)].groupby("course_id")["value"].max()
    worst = peak.reindex(part.courses["course_id"]).fillna(0.0).to_numpy()
    column = {"course_id": part.courses["course_id"], "hours": -1.0, "code": "ferritin", "value": 200 + 500 * worst}
    kept = part.observations[part.observations["code"] != "ferritin"]
    added = pd.DataFrame({**column, "unit": "ng/mL"})
    return Frames(part.courses, pd.concat([kept, added], ignore_index=True), part.events)


def line(held: Predictor, change: Recalibration, outcomes: tuple[str, ...] = ()) -> Predictor:
    """The model with a line over its log-odds, of all outcomes unless some are named."""
    kinds = dict.fromkeys(("single", "first_dose", "later_doses"), change)
    moved = {key: one for key, one in held.bundle.calibration.items() if not outcomes or key in outcomes}
    calibration = {**held.bundle.calibration, **{key: replace(one, recalibration=kinds) for key, one in moved.items()}}
    return remade(replace(held.bundle, calibration=calibration))


def remade(bundle: Bundle) -> Predictor:
    """The bundle with golden answers of its own, as a careless tool would make it."""
    from training.train import with_golden

    return Predictor(with_golden(bundle, load()), load())


def one_therapy_too_low(held: Predictor, test: Cohort) -> Predictor:
    """One therapy at a wrong level for one outcome, all else as it was: not the commonest, so that the model stays
    better overall, and of the others the one with most courses that had the outcome."""
    commonest = Counter(test.courses.therapy).most_common(1)[0][0]
    grave = test.events[test.events["event"].eq("crs_grade") & test.events["value"].ge(2)]
    courses = sorted(set(grave["course"].tolist()))
    had = Counter(test.courses.therapy[place] for place in courses)
    therapy = next(key for key, _ in had.most_common() if key != commonest)
    return line(held, Recalibration(therapy_shift={therapy: TOO_LOW}), ("crs_2plus",))


def cases(seed: int, courses: int) -> tuple[Predictor, list[Case]]:
    """The champion, and its challengers."""
    made = synthetic.generate(courses, seed, with_truth=False)
    whole = Frames(made.courses, made.observations, made.events)
    share = SETTINGS.test_share
    learn, kept = training_part(whole, share), test_part(whole, share)
    test = kept.cohort(ANY_SHARE)
    better = model(first(learn, MANY), "better")
    quality = frozenset((Criterion.LOG_LOSS_OVERALL, Criterion.LOG_LOSS, Criterion.AUROC_OVERALL, Criterion.AUROC))
    level = frozenset((Criterion.SLOPE, Criterion.INTERCEPT, Criterion.ICI))
    return model(first(learn, FEW), "champion"), [
        Case("better", better, test, frozenset()),
        Case("shuffled labels", model(shuffled(first(learn, FAULTY), seed), "shuffled"), test, quality),
        Case(
            "leaked label",
            model(leaked(first(learn, FAULTY)), "leaked"),
            leaked(kept).cohort(ANY_SHARE),
            frozenset((Criterion.CEILING,)),
        ),
        Case("log-odds doubled", line(better, Recalibration(slope=2.0)), test, level),
        Case("log-odds shifted", line(better, Recalibration(shift=0.9)), test, level),
        Case("worse in a subgroup", one_therapy_too_low(better, test), test, frozenset((Criterion.SUBGROUP,))),
    ]


def told(case: Case, verdict: Verdict) -> str:
    codes = ", ".join(dict.fromkeys(one.code for one in verdict.reasons)) or "none"
    overall = next((one.value for one in verdict.checks if one.code is Criterion.LOG_LOSS_OVERALL), np.nan)
    return f"{case.name:20} {verdict.word:16} log loss {overall:+.1%} against the champion; reasons: {codes}"


def wrong(case: Case, verdict: Verdict) -> Mapping[str, int]:
    """What to count: a better one that does not pass, a worse one that passes or is refused for another reason."""
    codes = {one.code for one in verdict.reasons}
    if not case.right:
        return {"false refusals": int(verdict.word is not Word.PASS)}
    return {
        "false accepts": int(verdict.word is Word.PASS),
        "other reason": int(verdict.word is not Word.PASS and not codes & case.right),
    }


def run(seeds: range, courses: int, say: Callable[[str], None]) -> dict[str, Counter[str]]:
    """Counts per case over the seeds."""
    plan = change_plan.read()
    counted: dict[str, Counter[str]] = {}
    for seed in seeds:
        begun = time.perf_counter()
        champion, challengers = cases(seed, courses)
        for case in challengers:
            verdict = judge(case.model, champion, case.test, plan, SETTINGS.test_share)
            say(f"seed {seed:3} {told(case, verdict)}")
            counted.setdefault(case.name, Counter()).update(wrong(case, verdict))
        say(f"seed {seed:3} took {time.perf_counter() - begun:.0f} s")
    return counted


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--courses", type=int, default=4500)
    given = parser.parse_args()
    found = run(range(given.first, given.first + given.seeds), given.courses, lambda text: print(text, flush=True))
    print(f"\nSYNTHETIC, {given.seeds} seeds of {given.courses} courses, change plan {change_plan.read().digest[:16]}")
    for name, counts in found.items():
        print(f"{name:20} {', '.join(f'{what} {count} of {given.seeds}' for what, count in counts.items())}")
