"""One booster fitted on rows that lie in a file, block by block, with its peak memory; beside it the table's size.

The rows are SYNTHETIC: the training rows of 5,000 generated courses, repeated with 1 % of noise on every cell. The bins
are compared with those of the whole table in memory where --compare is given, for sizes that fit.

    .venv/bin/python benchmarks/streamed_fit.py --rows 10000000 --rounds 10
"""

import argparse
import hashlib
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import xgboost
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from data import synthetic
from data.tables import cohort_from_frames
from features.catalogue import load
from features.pooling import pool
from features.prior import Prior
from features.spec import Spec
from training.assemble import assemble
from training.bins import binned, kept
from training.cells import BLOCK_ROWS, Cells, Matrix
from training.config import Settings
from training.fit import parameters

OUTCOME = 1  # CRS of grade 2 or worse


def rows_in_a_file(rows: int, path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64], Spec]:
    """Write the cells; returns labels, starting log-odds and the columns."""
    made, catalogue = synthetic.generate(5000, 1, with_truth=False), load()
    cohort = cohort_from_frames(made.courses, made.observations, made.events)
    table, spec, _ = assemble(cohort, Prior(pool(catalogue)), catalogue, 1)
    usable = np.flatnonzero(table.usable(OUTCOME))
    values, random = table.values[usable], np.random.default_rng(1)
    with path.open("wb") as file:
        for start in range(0, rows, len(values)):
            part = values[: rows - start]
            (part * (1 + 0.01 * random.standard_normal(part.shape, dtype=np.float32))).astype(np.float32).tofile(file)
    copies = -(-rows // len(values))
    label, prior = table.label[usable, OUTCOME], table.prior[usable, OUTCOME]
    return np.tile(label, copies)[:rows], np.tile(prior, copies)[:rows], spec


def fit(folder: Path, rounds: int, streamed: bool) -> dict[str, object]:
    facts = json.loads((folder / "facts.json").read_text())
    label, prior = np.load(folder / "label.npy"), np.load(folder / "prior.npy")
    spec = Spec.from_json(facts["spec"])
    shape = (len(label), len(spec.columns))
    path = folder / "cells.f32"
    values = np.memmap(path, np.float32, "r", shape=shape)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    begin, cpu = time.perf_counter(), time.process_time()
    given = {**parameters(spec, Settings(learning_rate=0.1)), "nthread": 1}
    if streamed:
        made = Matrix(Cells(values, np.arange(len(label))), label, prior, list(spec.names))
        with kept(values), binned(made, rounds) as matrix:
            booster = xgboost.train(given, matrix, rounds)
    else:
        whole = np.fromfile(path, np.float32).reshape(shape)
        told = {"label": label, "base_margin": prior, "feature_names": list(spec.names)}
        booster = xgboost.train(given, xgboost.DMatrix(whole, nthread=1, **told), rounds)
    return {
        "rows": len(label),
        "columns": shape[1],
        "cells_mib": len(label) * shape[1] * 4 / 2**20,
        "wall": time.perf_counter() - begin,
        "cpu": time.process_time() - cpu,
        "before_mib": before,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "model": hashlib.sha256(bytes(booster.save_raw("ubj"))).hexdigest()[:16],
        "block_rows": BLOCK_ROWS,
    }


def child(folder: Path, rounds: int, way: str) -> None:
    words = [sys.executable, __file__, "--way", way, "--folder", str(folder), "--rounds", str(rounds)]
    print(way, subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout.strip(), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--compare", action="store_true")
    parser.add_argument("--way", choices=("make", "streamed", "whole"))
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    if given.way == "make":
        label, prior, spec = rows_in_a_file(given.rows, given.folder / "cells.f32")
        np.save(given.folder / "label.npy", label)
        np.save(given.folder / "prior.npy", prior)
        (given.folder / "facts.json").write_text(json.dumps({"spec": spec.to_json()}))
    elif given.way:
        print(json.dumps(fit(given.folder, given.rounds, given.way == "streamed")))
    else:
        scratch = Path(tempfile.mkdtemp(prefix="crs-streamed-", dir=given.folder))
        try:
            words = [sys.executable, __file__, "--way", "make", "--folder", str(scratch), "--rows", str(given.rows)]
            subprocess.run(words, check=True)
            child(scratch, given.rounds, "streamed")
            if given.compare:
                child(scratch, given.rounds, "whole")
        finally:
            shutil.rmtree(scratch)
