"""The page says what its JSON says, fetches nothing, and holds back what is small."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.tables import Cohort
from features.catalogue import Catalogue
from features.errors import UsageError
from features.home import Home
from features.predict import Predictor
from tests.training.conftest import TINY, Registry
from training import evaluation_flow, tracking
from training.breadth import TOO_FEW, Cell
from training.config import Settings
from training.designs import Design, Split
from training.effects import CLOCK, PRIOR, mean_effects
from training.evaluate import Result
from training.evaluation_flow import DOCUMENT, ITEMS, PAGE, RESULTS, Request
from training.metrics import Estimate
from training.overlap import HERE
from training.report import page
from training.report_document import exported, flow, in_time
from training.report_html import FIXED, estimate, number
from training.shift import shifts
from training.train import Trained
from training.tripod import LISTS, UNKNOWN, items, reporting


@pytest.fixture(scope="module")
def written(
    registry: Registry, cohort_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Home, list[Result]]:
    """A folder with a report of version 1, its JSON and items; the home that holds the run; what was returned."""
    import shutil

    folder = tmp_path_factory.mktemp("report")
    shutil.copytree(registry.home.folder, folder / "home", ignore=shutil.ignore_patterns("artifacts"))
    home = Home(folder / "home")
    settings = replace(TINY, bootstrap=4)
    request = Request(
        cohort_folder, Design.EXTERNAL, Split(1), "1", out=folder / "results.json", report=folder / "first.html"
    )
    return folder, home, evaluation_flow.evaluate(home, request, settings, None)


@pytest.fixture(scope="module")
def body(written: tuple[Path, Home, list[Result]]) -> dict[str, Any]:
    held: dict[str, Any] = json.loads((written[0] / "first.json").read_text())
    return held


@pytest.fixture(scope="module")
def text(written: tuple[Path, Home, list[Result]]) -> str:
    return (written[0] / "first.html").read_text()


class Reader(HTMLParser):
    """The tags with their attributes, and the text of each table cell."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.cells: list[str] = []
        self._inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "td":
            self._inside = True
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "td"

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.cells[-1] += data


@pytest.mark.slow
def test_the_page_fetches_nothing_and_runs_nothing(text: str) -> None:
    read = Reader(text)
    assert not {"script", "link", "iframe", "img", "object", "embed", "base"} & {tag for tag, _ in read.tags}
    for tag, attributes in read.tags:
        assert not any(name.startswith("on") for name in attributes), tag
        for name in ("src", "href", "xlink:href", "data", "srcset"):
            assert (attributes.get(name) or "#").startswith("#"), (tag, name)
    assert "@import" not in text
    assert set(re.findall(r"url\((.)", text)) <= {"#"}


def test_every_drawing_inside_is_found_by_its_reference_and_no_name_stands_twice(text: str) -> None:
    read = Reader(text)
    names = [attributes["id"] for _, attributes in read.tags if "id" in attributes]
    used = {str(one["xlink:href"])[1:] for _, one in read.tags if "xlink:href" in one}
    used |= set(re.findall(r"url\(#(\w+)\)", text))
    assert used <= set(names)
    assert len(names) == len(set(names))


def test_the_page_shows_the_numbers_of_its_json(text: str, body: dict[str, Any]) -> None:
    cells = set(Reader(text).cells)
    seen = 0
    for one in body["outcomes"]:
        for cell in one["cells"]:
            for name in ("auroc", "calibration_slope", "calibration_intercept", "ici"):
                if name in cell["figures"]:
                    assert estimate(cell["figures"][name]) in cells
                    seen += 1
            assert number(cell["rows"]) in cells
    assert seen > 100


def test_the_page_is_drawn_from_the_json_alone(text: str, body: dict[str, Any]) -> None:
    assert page(body) == text


def test_synthetic_data_are_called_synthetic_first(text: str, body: dict[str, Any]) -> None:
    visible = re.sub(r"<[^>]+>", "", text.split("<body>")[1])
    assert body["synthetic"] is True
    assert visible.strip().startswith("SYNTHETIC DATA")
    assert "SYNTHETIC DATA" not in page({**body, "synthetic": False})


def test_a_cohort_without_any_outcome_to_judge_still_has_a_page(body: dict[str, Any]) -> None:
    found = page({**body, "outcomes": [], "effects": {}, "drift": [], "not_judged": ["CRS of grade 1 or worse"]})
    assert "Not judged" in found
    assert "<figure>" not in found


def test_every_figure_has_a_caption_that_says_what_good_looks_like(text: str) -> None:
    figures = re.findall(r"<figure>.*?</figure>", text, re.DOTALL)
    assert len(figures) > 10
    assert all("Good:" in one.split("<figcaption>")[1] for one in figures)
    assert all('role="img" aria-label="' in one for one in figures)


def test_the_json_holds_no_patient_and_no_number_that_json_cannot(
    written: tuple[Path, Home, list[Result]], cohort: Cohort
) -> None:
    for name in ("first.json", "first.html", "results.json", "tripod.json"):
        held = (written[0] / name).read_text()
        assert str(cohort.course_ids[0]) not in held
        assert str(cohort.patient_ids[0]) not in held
        if name.endswith(".json"):
            json.dumps(json.loads(held), allow_nan=False)


def test_counts_of_the_json_are_none_or_not_small(body: dict[str, Any]) -> None:
    smallest = body["policy"]["smallest_count"]
    patients = [cell["patients"] for one in body["outcomes"] for cell in one["cells"]]
    assert None in patients
    assert all(one is None or one >= smallest for one in patients)
    bins = [group for one in body["outcomes"] for cell in one["cells"] for group in cell["bins"]]
    assert all(one["events"] == 0 or one["events"] >= smallest for one in bins if one["rows"] > one["events"])


def test_the_run_in_mlflow_holds_page_document_items_and_results(written: tuple[Path, Home, list[Result]]) -> None:
    with tracking.store(written[1]) as client:
        experiment = client.get_experiment_by_name(tracking.EXPERIMENT)
        assert experiment is not None
        (run,) = client.search_runs(
            [experiment.experiment_id], "attributes.run_name = 'evaluate version 1 on synthetic'"
        )
        held = {one.path for one in client.list_artifacts(run.info.run_id)}
    assert {PAGE, DOCUMENT, ITEMS, RESULTS} <= held
    assert run.data.params["design"] == "external"


# Where it is written


def asked(out: str | None, report: str | None) -> Request:
    """An evaluation of a cohort that is not there."""
    files = [None if name is None else Path(name) for name in (out, report)]
    return Request(Path("/nowhere"), Design.EXTERNAL, Split(1), out=files[0], report=files[1])


@pytest.mark.parametrize(
    ("out", "report", "place"),
    [
        ("few.json", "few.html", "--out, --report"),
        ("a/../tripod.json", "few.html", "--out, --report"),
        ("few.html", "few.html", "--out, --report"),
        (None, "tripod.html", "--out, --report"),
        (None, "only.json", "--report"),
        (None, "page", "--report"),
    ],
)
def test_documents_that_would_be_lost_are_refused_before_any_work(
    out: str | None, report: str | None, place: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as refused:
        evaluation_flow.evaluate(Home(tmp_path), asked(out, report), TINY, None)
    assert refused.value.place == place


def test_each_document_has_a_file_of_its_own() -> None:
    held = {str(path): name for path, name in evaluation_flow.files_of(asked("few.json", "page.html")).items()}
    assert held == {"few.json": RESULTS, "page.html": PAGE, "page.json": DOCUMENT, "tripod.json": ITEMS}
    assert evaluation_flow.files_of(asked(None, None)) == {}


def test_results_and_the_pages_document_are_both_kept(
    written: tuple[Path, Home, list[Result]], body: dict[str, Any]
) -> None:
    results = json.loads((written[0] / "results.json").read_text())
    assert len(results) == len(written[2])
    assert body["format"] == 1


def test_a_page_says_first_that_the_courses_may_have_been_seen(text: str, body: dict[str, Any]) -> None:
    visible = re.sub(r"<[^>]+>", "", text.split("<h1>")[0])
    assert body["caution"] == HERE
    assert f"CAUTION: {HERE}" in visible
    assert "CAUTION" not in page({**body, "caution": ""})


# Parts


def estimated(value: float) -> Estimate:
    return Estimate(value, value, value)


def test_results_leave_without_what_their_cell_holds_back() -> None:
    metrics = {"auroc": estimated(0.7), "brier": estimated(0.2)}
    results = [
        Result("crs_2plus", name, "model", rows, 9, metrics) for name, rows in (("all", 50), ("0h", 20), ("24h", 30))
    ]
    results.append(Result("crs_2plus", "all", "easix", 48, 8, {"auroc": estimated(0.6)}))
    cells = [
        Cell("crs_2plus", "everyone", "everyone", "all", 50, 9, 40, "", metrics),
        Cell("crs_2plus", "index time", "0h", "all", None, None, None, "suppressed", {}),
        Cell("crs_2plus", "index time", "24h", "all", None, None, None, TOO_FEW, {}),
    ]
    whole, held, few, easix = exported(results, cells)
    assert (whole["rows"], whole["events"], set(whole["metrics"])) == (50, 9, {"auroc", "brier"})
    assert (held["rows"], held["events"], set(held["metrics"])) == (None, None, {"auroc"})
    assert (few["rows"], few["metrics"]) == (None, {})
    # 50 - 48 rows without a score would be a small count.
    assert (easix["rows"], easix["events"]) == (None, None)


def test_index_times_stand_in_order_of_time() -> None:
    names = ["dose2+0h", "72h", "dose1+12h", "0h", "dose1+0h", "24h", "dose10+0h"]
    assert sorted(names, key=in_time) == ["0h", "24h", "72h", "dose1+0h", "dose1+12h", "dose2+0h", "dose10+0h"]


def test_the_flow_of_courses_is_rounded_and_never_grows(cohort: Cohort) -> None:
    found = flow(cohort, 5)
    assert found
    for one in found:
        assert one["asked"] >= one["at risk"] >= one["with a known outcome"]
        assert all(one[step] % 5 == 0 for step in ("asked", "at risk", "with a known outcome"))


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "–"), (1234, "1,234"), (0.12345, "0.123"), (-1.0, "-1.000"), (-0.0004, "0.000"), (-0.0006, "-0.001")],
)
def test_numbers_are_shown_alike_everywhere(value: float | None, shown: str) -> None:
    assert number(value) == shown


def test_an_interval_without_ends_is_a_value_alone() -> None:
    assert estimate({"value": 0.5, "low": None, "high": None}) == "0.500"
    assert estimate({"value": 0.5, "low": 0.4, "high": 0.6}) == f"0.500 (0.400{FIXED}to{FIXED}0.600)"
    assert estimate(None) == "–"


def test_effects_are_those_of_the_bundle_and_fall(trained: Trained, cohort: Cohort, tables: Catalogue) -> None:
    found = mean_effects(Predictor(trained.bundle, tables), cohort, 40, 1, 1)
    assert set(trained.bundle.boosters) <= set(found)
    sources = {column.source for column in trained.bundle.spec.columns} | {PRIOR, CLOCK}
    for one in found.values():
        assert {name for name, _ in one} <= sources
        assert [size for _, size in one] == sorted((size for _, size in one), reverse=True)


def test_rows_like_those_that_trained_show_no_drift_and_missing_ones_do(trained: Trained) -> None:
    spec = trained.bundle.spec
    middle = np.array([one.typical[1] for one in spec.ranges], dtype=np.float32)
    same = shifts(spec, np.repeat(middle[None], 100, axis=0), 5)
    assert all(one.outside == 0 and one.present == 1 for one in same)
    gone = shifts(spec, np.full((100, len(middle)), np.nan, dtype=np.float32), 5)
    assert all(one.present == 0 and one.here is None for one in gone)
    assert gone[0].size == max(
        one.present
        for one, column in zip(spec.ranges, spec.columns, strict=True)
        if column.kind in ("course", "stat", "score")
    )


def test_a_recipe_without_ranges_has_no_drift(trained: Trained) -> None:
    spec = trained.bundle.spec.keep(trained.bundle.spec.names)
    assert shifts(spec, np.zeros((10, len(spec.names)), dtype=np.float32), 5) == []


# Reporting items


def test_the_lists_are_whole() -> None:
    held = {key: [one.item for one in items() if one.of == key] for key in LISTS}
    assert {key: len(found) for key, found in held.items()} == {"tripod": 52, "source-attribute": 31}
    assert all(len(set(found)) == len(found) for found in held.values())


def test_without_facts_nothing_is_claimed_of_a_run() -> None:
    found = reporting({})
    for key, one in found.items():
        shown = [item["filled"] for item in one["items"]]
        assert one["unknown"] == shown.count(UNKNOWN) > 0
        assert one["count"] == len(shown)
        fixed = [item.filled for item in items() if item.of == key and item.filled and "{" not in item.filled]
        assert sorted(text for text in shown if text != UNKNOWN) == sorted(fixed)


def test_an_item_with_an_empty_fact_is_unknown() -> None:
    item = next(one for one in items() if one.filled == "{design}")
    assert item.text({"design": ""}) == UNKNOWN
    assert item.text({"design": "folds"}) == "folds"


def named(report: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield from ((item["item"], item["filled"]) for one in report.values() for item in one["items"])


def test_the_card_of_a_bundle_is_filled_from_its_training(trained: Trained) -> None:
    card = trained.bundle.card
    found = dict(named(card["reporting"]))
    assert found["2.1"] == card["intended_use"]
    assert f"{card['trained_on']['courses']} courses" in found["5a"]
    assert f"{len(trained.bundle.spec.columns)} columns" in found["9a"]
    assert "AUROC" in found["23a"]
    assert found["17"] == found["6.1"] == UNKNOWN


def test_the_report_counts_what_is_unknown(
    text: str, body: dict[str, Any], written: tuple[Path, Home, list[Result]]
) -> None:
    for one in body["reporting"].values():
        assert f"{one['unknown']} unknown" in text
    assert json.loads((written[0] / "tripod.json").read_text()) == body["reporting"]


def test_figures_on_the_training_cohort_are_no_external_validation(body: dict[str, Any]) -> None:
    assert body["trained_here"] is True
    found = dict(named(body["reporting"]))
    assert found["6.1"] == found["7.3"] == UNKNOWN


def test_settings_of_the_run_stand_in_the_document(body: dict[str, Any]) -> None:
    assert body["settings"] == {**Settings().to_json(), **replace(TINY, bootstrap=4).to_json()}
