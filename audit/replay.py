"""A recorded answer computed again from the recorded bundle, and compared bit for bit.

Level 1 feeds the recorded row to the bundle. Level 2, where the vault holds the request, first has it read again by
whoever reads requests, and compares the row and all else that came of reading with the record.
"""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from audit import damage, prediction, runtime
from audit.events import Kind, Record
from audit.request import Request
from audit.unsealing import PROBLEMS, State, Unsealed
from features import bundle, catalogue
from features.errors import BundleError, CrsRiskError, LedgerError
from features.home import BUNDLE_FOLDER, MODEL_NAME, Home
from features.outcomes import OUTCOME_KEYS
from features.policy import Policy
from features.predict import Predictor

#: The status of an answer that no row was made for.
_NO_ROW = "not_evaluated"
#: Bundles that are held at once.
_MOST_LOADED = 4


@dataclass(frozen=True, slots=True)
class Replayed:
    """differences: what is not the same bits, as "low of crs_2plus". same_runtime: whether versions and processor are.

    compared: how many numbers were. level: 2 where the request was read again, too. request: what became of it.
    problem: why it could not be replayed, "" where it was.
    """

    event_id: str
    sequence: int
    bundle: str
    status: str
    compared: int
    differences: tuple[str, ...]
    same_runtime: bool
    level: int = 1
    request: str = str(State.NOT_KEPT)
    problem: str = ""

    @property
    def same(self) -> bool:
        return not self.differences and not self.problem

    @property
    def is_checked(self) -> bool:
        """Whether there was anything to compute again: of a course that was not evaluated only the request is."""
        return bool(self.compared or self.level > 1 or not self.same)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "same": self.same}


class Reads(Protocol):
    """Reads a kept request again with a recorded bundle: what differs from the record, how many numbers it compared."""

    def differences(self, request: Request, record: Record, predictor: Predictor) -> tuple[list[str], int]: ...


class Replayer:
    """Replays the answers of one home; each bundle is read and verified once.

    unsealed: what the vault keeps of a record. reader: made once a kept request is met. Without them, level 1 alone.
    """

    def __init__(
        self,
        home: Home,
        unsealed: Callable[[Record], Unsealed] = lambda _: Unsealed(State.NOT_KEPT),
        reader: Callable[[], Reads] | None = None,
    ) -> None:
        self._unsealed = unsealed
        self._reader = None if reader is None else lru_cache(1)(reader)
        self._folders = dict(stored_bundles(home))
        self._catalogue = catalogue.load()
        self._loaded = lru_cache(_MOST_LOADED)(self._load)

    def replay(self, record: Record) -> Replayed:
        """LedgerError where the record is of no answer, or damaged; BundleError where its bundle is not as recorded."""
        if record.kind is not Kind.PREDICTION:
            raise LedgerError(f"record {record.sequence}", f"it is of {record.kind}, not of an answer", "name another")
        with damage.reading(record.sequence, "it is not an answer that can be replayed"):
            return self._replayed(record)

    def attempt(self, record: Record) -> tuple[Replayed, CrsRiskError | None]:
        """The same of one answer among many: the error is handed back, so that the others are replayed."""
        try:
            return self.replay(record), None
        except (LedgerError, BundleError) as error:
            named = type(error)(f"record {record.sequence}", error.problem, error.remedy)
            digest, status = (str(record.body.get(name, "")) for name in ("bundle", "status"))
            failed = Replayed(record.event_id, record.sequence, digest, status, 0, (), False, problem=error.problem)
            return failed, named

    def _replayed(self, record: Record) -> Replayed:
        body = record.body
        predictor, spec_id = self._loaded(str(body["bundle"]))
        kept = self._unsealed(record)
        level, differences, compared = self._read_again(kept, record, predictor)
        if "vector" in body or body["status"] != _NO_ROW:
            others, more = _compared(predictor, spec_id, body)
            differences, compared = differences + others, compared + more
        return Replayed(
            event_id=record.event_id,
            sequence=record.sequence,
            bundle=str(body["bundle"]),
            status=str(body["status"]),
            compared=compared,
            differences=tuple(differences),
            same_runtime=body["runtime"] == runtime.digest(),
            level=level,
            request=str(kept.state),
        )

    def _read_again(self, kept: Unsealed, record: Record, predictor: Predictor) -> tuple[int, list[str], int]:
        """The level that was reached, what differs and how many numbers were compared."""
        if kept.request is None or self._reader is None:
            return 1, [PROBLEMS[kept.state]] if kept.state in PROBLEMS else [], 0
        return 2, *self._reader().differences(kept.request, record, predictor)

    def _load(self, digest: str) -> tuple[Predictor, str]:
        """The bundle, and the fingerprint of its columns, which costs more than a replay."""
        if digest not in self._folders:
            raise BundleError("model store", "the bundle of that answer is not there", "restore it from a backup")
        predictor = Predictor(bundle.read(self._folders[digest], digest), self._catalogue)
        return predictor, predictor.bundle.spec.fingerprint


def stored_bundles(home: Home) -> Iterable[tuple[str, Path]]:
    """Digest and folder of each bundle in the home's model store."""
    for path in sorted((home.bentoml / "models" / MODEL_NAME).glob(f"*/{BUNDLE_FOLDER}/{bundle.MANIFEST}")):
        yield sha256(path.read_bytes()).hexdigest(), path.parent


def _compared(predictor: Predictor, spec_id: str, body: Any) -> tuple[list[str], int]:
    """What differs, and how many numbers were compared."""
    if body["columns"] != spec_id:
        return ["the columns of the row"], 0
    rows = prediction.rows_of(body, predictor.prior)
    if rows.values.shape[1] != len(predictor.bundle.spec.names):
        return ["the columns of the row"], 0
    found = predictor.predict_rows(rows)
    values = (found.trees, found.log_odds, found.probability, found.low, found.high)
    differences, compared = [], 0
    for name, again in zip(prediction.COMPUTED, values, strict=True):
        held = prediction.array_of(body[name])
        for place in np.flatnonzero(~np.isnan(held)).tolist():
            compared += 1
            if held[place].tobytes() != again[0][place].tobytes():
                differences.append(f"{name} of {OUTCOME_KEYS[place]}")
    return differences + _other_bands(predictor.bundle.policy, body), compared


def _other_bands(policy: Policy, body: Any) -> list[str]:
    if prediction.policy_id(policy) != body["policy"]:
        return ["the bands' policy"]
    held = prediction.array_of(body["probabilities"])
    again = {key: policy.band(key, float(value)) for key, value in zip(OUTCOME_KEYS, held, strict=True)}
    return [f"band of {key}" for key, band in body["bands"].items() if again[key] != band]
