"""Naming a shadow changes what is scored and never what is live; comparing pairs both on the same courses."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from audit.access import system_user
from audit.events import Kind
from audit.ledger import open_ledger
from features import catalogue
from features.errors import LedgerError, UsageError
from features.home import Home, Live, read_live
from features.outcomes import OUTCOME_KEYS
from features.prior import log_odds
from features.shadow import read_shadow
from serving.store import bundle_folder
from tests.serving.builders import prior_bundle, promote
from tests.training.conftest import Registry
from tests.training.watched import CHAMPION, START, Years, graded, own, years
from training import shadow
from training.monitoring_policy import monitoring_policy
from training.shadow_compare import compare, differences, judge, pair_of

OwnHome = Callable[[], Home]
CHALLENGER = "d" * 64
CRS_2 = OUTCOME_KEYS.index("crs_2plus")


def changes(home: Home) -> list[dict[str, object]]:
    with open_ledger(home) as ledger:
        return [dict(one.body) for one in ledger.records(Kind.CONFIG_CHANGED)]


@pytest.mark.slow
def test_a_named_shadow_is_in_the_store_whole_and_on_record_and_what_is_live_stays(
    own_home: OwnHome, registry: Registry
) -> None:
    home = own_home()
    promote(home, prior_bundle(), "7")
    live = read_live(home)
    named = shadow.name_shadow(home, "1", None)
    assert (named.version, named.digest) == ("1", registry.digests[0])
    assert read_shadow(home) == named
    assert (bundle_folder(home, named) / "manifest.json").is_file()
    assert read_live(home) == live
    assert shadow.name_shadow(home, "1", None) == named
    shadow.no_shadow(home)
    shadow.no_shadow(home)
    assert read_shadow(home) is None
    on, off = changes(home)
    assert (on["what"], on["on"], on["version"], on["digest"]) == ("shadow", True, "1", registry.digests[0])
    assert (off["on"], off["previous"]) == (False, registry.digests[0])


@pytest.mark.slow
def test_the_live_version_and_one_that_is_not_there_are_no_shadow(own_home: OwnHome, registry: Registry) -> None:
    home = own_home()
    promote(home, registry.trained.bundle, "1")
    with pytest.raises(UsageError, match="that version is live"):
        shadow.name_shadow(home, "1", None)
    with pytest.raises(UsageError, match="no such version"):
        shadow.name_shadow(home, "99", None)
    assert read_shadow(home) is None
    assert changes(home) == []


def scored(held: Years, name: str, chance: float, champion: str = CHAMPION) -> None:
    body = {
        "prediction_id": name,
        "bundle": CHALLENGER,
        "version": "2",
        "champion": champion,
        "probabilities": dict.fromkeys(OUTCOME_KEYS, chance),
    }
    held.ledger.append(Kind.SHADOW, body, f"{name}:{CHALLENGER}")


def lived_beside(held: Years, courses: int = 60) -> None:
    """Every third course has CRS of grade 2; the challenger knows which, the champion says 0.2 of all."""
    for place in range(courses):
        held.at(place).asked(f"p{place}")
        scored(held, f"p{place}", 0.6 if place % 3 == 0 else 0.1)
        held.asked(f"unseen{place}")
    for place in range(courses):
        held.at(200).told(f"p{place}", **graded(2 if place % 3 == 0 else 0))


def test_a_better_challenger_is_better_by_every_figure_on_the_same_courses(tmp_path: Path) -> None:
    with years(own(tmp_path)) as held:
        lived_beside(held)
        pair = pair_of(held.ledger, catalogue.load(), START + timedelta(days=300))
    body = judge(pair, monitoring_policy())
    assert (body["rows"], body["answers_of_champion"], body["challenger"]["version"]) == (60, 120, "2")
    found = body["outcomes"][CRS_2]
    assert (found["rows"], found["events"]) == (60, 20)
    assert found["figures"]["auroc"]["difference"]["low"] > 0
    for name in ("log_loss", "brier"):
        assert found["figures"][name]["difference"]["high"] < 0
    expected = -np.mean(np.log([0.6] * 20 + [0.9] * 40))
    assert found["figures"]["log_loss"]["challenger"] == pytest.approx(expected)
    assert body["outcomes"][2]["figures"] == {}  # nobody had grade 3


def test_what_was_scored_beside_another_champion_does_not_count(tmp_path: Path) -> None:
    with years(own(tmp_path)) as held:
        held.at(0).asked("old", bundle="o" * 64)
        scored(held, "old", 0.5, champion="o" * 64)
        held.at(1).asked("new")
        scored(held, "new", 0.5)
        pair = pair_of(held.ledger, catalogue.load(), START + timedelta(days=300))
    assert [row.prediction_id for row in pair.joined.rows] == ["new"]


def test_one_that_says_the_same_does_not_differ_and_the_interval_is_a_point() -> None:
    random = np.random.default_rng(4)
    label, score = (random.random(40) < 0.4).astype(float), log_odds(random.beta(2, 3, 40))
    found = differences(label, score, score, np.arange(40), 50)
    for one in found.values():
        assert one["difference"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    swapped = differences(label, score, score + 1, np.arange(40), 50)["brier"]["difference"]["value"]
    assert differences(label, score + 1, score, np.arange(40), 50)["brier"]["difference"]["value"] == -swapped


def test_nothing_scored_is_nothing_to_compare(tmp_path: Path) -> None:
    home = own(tmp_path)
    with years(home) as held, pytest.raises(LedgerError, match="no shadow has scored"):
        pair_of(held.ledger, catalogue.load(), START)


@pytest.mark.slow
def test_a_comparison_is_a_run_in_mlflow_and_a_look_on_record(own_home: OwnHome) -> None:
    from training import tracking

    home = own_home()
    with years(home) as held:
        lived_beside(held, 30)
    body = compare(home, None)
    with tracking.store(home) as client:
        (found,) = client.search_runs(
            [client.get_experiment_by_name(tracking.EXPERIMENT).experiment_id],  # type: ignore[union-attr]
            "attributes.run_name = 'shadow version 2 beside 1'",
        )
    with open_ledger(home, writes=False) as ledger:
        access = ledger.last(Kind.ACCESS)
    assert access is not None
    assert access.body == {"verb": "shadow-compare", "by": system_user()}
    difference = body["outcomes"][CRS_2]["figures"]["auroc"]["difference"]
    assert found.data.metrics["crs_2plus.auroc.difference.low"] == pytest.approx(difference["low"])
    assert found.data.params["challenger_digest"] == CHALLENGER


def test_a_live_file_is_not_a_shadow_file(tmp_path: Path) -> None:
    from features.shadow import write_shadow

    home = own(tmp_path)
    write_shadow(home, Live("t:1", "d", "3"))
    assert not home.live.exists()
