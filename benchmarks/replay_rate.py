"""Replays recorded predictions of three bundle versions bit for bit in a fresh process, and tells at what rate.

    .venv/bin/python benchmarks/replay_rate.py --predictions 10000
    .venv/bin/python benchmarks/replay_rate.py --predictions 10000 --vault

Three small bundles whose boosters were trained with different seeds are registered and promoted one after the other;
under each, courses of all therapies with published rates are answered at random times with random laboratory values,
and recorded as `POST /predict_batch` does. Then `crs audit replay all` runs in a process of its own. With --vault the
requests are kept, too, and read again before they are replayed (level 2). Exit code 1 where a bit differs.
"""

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import msgspec

from audit.keys import tenant_key
from audit.ledger import open_ledger
from features import catalogue
from features.bundle import Bundle
from features.catalogue import Catalogue
from features.home import VARIABLE, Home
from features.predict import Predictor
from serving.answerer import Answerer
from serving.decode import batch_request
from serving.intake import take
from serving.kept import Keeper
from serving.recorded import Asked, Recorder
from serving.trust.caller import DEVELOPER
from tests.serving.builders import promote, trained_bundle

ROOT = Path(__file__).resolve().parents[1]
SEEDS = (7, 8, 9)
BATCH = 500


def request(tables: Catalogue, chosen: random.Random, number: int) -> dict[str, Any]:
    """A made-up course of a therapy and indication with a published rate, with laboratory values at random times."""
    rate, hours = chosen.choice(tables.rates), round(chosen.uniform(0, 240), 2)
    course = {"id": f"course-{number}", "therapy": rate.therapy, "indication": rate.indication}
    known = {"age_years": chosen.randint(14, 90), "sex": chosen.choice("FM"), "ecog": chosen.randint(0, 2)}
    return {
        "course": {**course, **{name: value for name, value in known.items() if chosen.random() < 0.8}},
        "hours_since_start": hours,
        "observations": [observation(tables, chosen, hours) for _ in range(chosen.randint(0, 40))],
        "events": [{"event": "crs_grade", "value": chosen.randint(0, 3), "hours": hours * chosen.random()}]
        if chosen.random() < 0.3
        else [],
    }


def observation(tables: Catalogue, chosen: random.Random, hours: float) -> dict[str, Any]:
    one = chosen.choice(list(tables.analytes.values()))
    span = one.plausible_high - one.plausible_low
    value = one.plausible_low + span * chosen.random() ** 3
    return {"code": one.key, "value": value, "unit": one.unit, "hours": round(chosen.uniform(-48, hours), 2)}


def record(home: Home, held: Bundle, version: str, bodies: list[dict[str, Any]], vault: bool) -> Counter[str]:
    """Answer and record the requests under a version; how many answers of each status there were."""
    by, key = Answerer(Predictor(held, catalogue.load()), version), tenant_key(home)
    found: Counter[str] = Counter()
    with open_ledger(home) as ledger:
        recorder = Recorder(ledger, key, Keeper.of(home, key) if vault else None)
        for start in range(0, len(bodies), BATCH):
            given = msgspec.json.encode({"requests": bodies[start : start + BATCH]})
            intakes = [take(by.catalogue, one) for one in batch_request(given).requests]
            asked = Asked("/predict_batch", given, time.perf_counter(), DEVELOPER)
            answers = json.loads(recorder.answers(asked, intakes, by))["answers"]
            found.update(one["status"] for one in answers)
    return found


def replay(home: Home, *words: str) -> str:
    """What `crs audit replay all` prints in a fresh process."""
    command = [sys.executable, str(ROOT / "crs.py"), "audit", "replay", "all", *words]
    environment = {**os.environ, VARIABLE: str(home.folder)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=home.folder, env=environment)
    if done.returncode:
        sys.exit(f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return done.stdout


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--predictions", type=int, default=10_000)
    asked.add_argument("--seed", type=int, default=1)
    asked.add_argument("--vault", action="store_true")
    given = asked.parse_args()
    tables, chosen = catalogue.load(), random.Random(given.seed)
    statuses: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="crs-replay-") as made:
        home, began = Home(Path(made, "home")), time.perf_counter()
        for number, seed in enumerate(SEEDS, 1):
            held = trained_bundle(seed)
            promote(home, held, str(number))
            share = given.predictions // len(SEEDS) + (number <= given.predictions % len(SEEDS))
            bodies = [request(tables, chosen, place) for place in range(share)]
            statuses += record(home, held, str(number), bodies, given.vault)
        print(f"{statuses.total()} answers recorded in {time.perf_counter() - began:.0f} s: {dict(statuses)}")
        began = time.perf_counter()
        print(replay(home).strip())
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = used.ru_utime + used.ru_stime
        print(f"{time.perf_counter() - began:.1f} s from start to end of the process, {spent:.1f} s on a processor")
        found = json.loads(replay(home, "--json"))
    same = sum(one["same"] for one in found)
    levels, bundles = Counter(one["level"] for one in found), Counter(one["bundle"][:12] for one in found)
    print(f"by bundle: {dict(bundles)}; by level: {dict(levels)}")
    return 0 if same == len(found) == given.predictions and len(bundles) == len(SEEDS) else 1


if __name__ == "__main__":
    sys.exit(main())
