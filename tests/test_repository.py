"""The repository keeps its word: commands, lock, reasons for dependencies, no hosts, no data, no dead links."""

import functools
import os
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

import crs

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements.lock"
#: Hosts of package registries, split so that this file does not name one.
REGISTRIES = ("py" + "pi.", "python" + "hosted", "ana" + "conda.", "conda" + "-forge", "npm" + "js.")
DATA_ENDINGS = {".xlsx", ".xls", ".parquet", ".feather", ".db", ".sqlite", ".sas7bdat", ".rds", ".pkl", ".joblib"}
LARGEST_TABLE = 1_000_000
TELEMETRY = {"MLFLOW_DISABLE_TELEMETRY": "true", "BENTOML_DO_NOT_TRACK": "True"}


def tracked_files() -> tuple[Path, ...]:
    return _listed("--cached")


def repository_files() -> tuple[Path, ...]:
    """What git tracks, and what it would track: files that are new and not ignored."""
    return _listed("--cached", "--others", "--exclude-standard")


@functools.cache
def _listed(*options: str) -> tuple[Path, ...]:
    words = ["git", "-C", str(ROOT), "ls-files", "-z", *options]
    try:
        listed = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("SKIPPED: not a git checkout, so the files of the repository are not known")
    return tuple(path for name in sorted(set(listed.split("\0")) - {""}) if (path := ROOT / name).is_file())


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):(?!=)", text("Makefile"), re.MULTILINE))


def code_blocks(markdown: str) -> list[str]:
    return re.findall(r"^```[a-z]*\n(.*?)^```", markdown, re.MULTILINE | re.DOTALL)


def commands(markdown: str, program: str) -> Iterator[list[str]]:
    """The words after `program` in each line of a code block that starts with it, comments left out."""
    for block in code_blocks(markdown):
        for line in block.splitlines():
            words = line.split("#")[0].split()
            if words[:1] == [program]:
                yield words[1:]


def verbs() -> dict[str, set[str]]:
    """Each verb of crs, such as "cohort check", with the options it takes."""
    return dict(_verbs("", typer.main.get_command(crs.app)))


def _verbs(name: str, command: Any) -> Iterator[tuple[str, set[str]]]:
    for below, one in getattr(command, "commands", {}).items():
        yield from _verbs(f"{name} {below}".strip(), one)
    if name and not getattr(command, "commands", {}):
        yield (
            name,
            {option for one in command.params for option in _spellings(one) if option.startswith("--")} | {"--help"},
        )


def _spellings(option: Any) -> list[str]:
    """How an option is written, turned off included."""
    return [*option.opts, *option.secondary_opts]


def verb_of(words: list[str]) -> str:
    return " ".join(words[:2]) if words[0] in ("audit", "cohort", "outcomes") else words[0]


def options_of(words: list[str]) -> set[str]:
    return {word.split("=")[0].rstrip('"') for word in words if word.startswith("--") and word != "--"}


def misused(words: list[str], known: dict[str, set[str]]) -> set[str]:
    """The verb itself if crs does not know it, else the options that the verb does not take."""
    verb = verb_of(words)
    return {verb} if verb not in known else options_of(words) - known[verb]


def documents() -> list[Path]:
    return [path for path in repository_files() if path.suffix == ".md"]


def test_the_readme_names_make_targets_that_exist() -> None:
    named = {words[0] for words in commands(text("README.md"), "make")}
    assert {"run", "test"} <= named
    assert named <= make_targets()


def test_the_continuous_integration_runs_the_readmes_commands() -> None:
    run = re.findall(r"^step .* make ([a-z]+)$", text(".ci/run"), re.MULTILINE)
    assert run == ["check", "test"]
    assert set(run) <= make_targets()


def test_every_command_line_in_the_documents_is_one_that_crs_knows() -> None:
    known, seen = verbs(), []
    for path in documents():
        for words in commands(path.read_text(encoding="utf-8"), "crs"):
            assert misused(words, known) == set(), f"{path.name}: crs {' '.join(words)}"
            seen.append(verb_of(words))
    assert {"cohort check", "cohort convert", "train", "evaluate", "promote", "rollback", "serve"} <= set(seen)


def test_an_unknown_verb_or_option_would_be_found() -> None:
    assert misused(["trian", "cohorts/mine"], verbs()) == {"trian"}
    assert misused(["train", "cohorts/mine", "--sede", "1"], verbs()) == {"--sede"}


def test_the_settings_page_lists_every_setting_with_its_default() -> None:
    from training.config import Settings

    listed = dict(re.findall(r"^\| `([a-z0-9_]+)` \| ([0-9.]+) \|", text("docs/training.md"), re.MULTILINE))
    assert listed == {key: str(value) for key, value in Settings().to_json().items()}


def test_the_glossary_gives_a_reason_for_each_monotone_column_and_no_other() -> None:
    from features import catalogue, spec

    table = text("GLOSSARY.md").split("## Why some columns are monotone")[1]
    explained = re.findall(r"^\| `([a-z0-9_]+)` \|", table, re.MULTILINE)
    monotone = [column for column in spec.full(catalogue.load()).columns if column.monotone]
    scores = {column.name for column in monotone if column.kind == "score"}
    assert set(explained) == scores | {column.source for column in monotone if column.kind != "score"}


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    body: dict[str, Any] = yaml.safe_load(text("MLproject"))
    return body


#: Entry points of the MLproject whose parameters are all that their verb takes, with the words that reach the verb.
WHOLE = {
    "approve": ({"by": "A Name", "role": "owner", "meaning": "it's fit"}, "--version=challenger"),
    "rollback": ({"by": "A Name", "reason": "too many alerts; $HOME"}, ""),
    "monitor": ({"since": "2026-01-31", "reference": "", "report": "a page.html"}, "--until="),
    "shadow": ({"version": "challenger"}, ""),
    "outcomes": ({"file": "what came of it.csv"}, ""),
}
#: Entry points and their verbs.
ENTRIES = {
    "main": "train",
    "outcomes": "outcomes import",
    **{name: name for name in ("diagnose", "recalibrate", "tune", "evaluate", "score", "gate", "promote")},
    **{name: name for name in WHOLE if name != "outcomes"},
}


@pytest.mark.parametrize(("entry", "verb"), ENTRIES.items())
def test_each_entry_point_calls_its_verb_with_options_it_takes(project: dict[str, Any], entry: str, verb: str) -> None:
    command = project["entry_points"][entry]["command"]
    words = command.split("python crs.py ")[1].split()
    assert verb_of(words) == verb
    assert set(re.findall(r"--[a-z-]+", command)) - {"--"} <= verbs()[verb]


def test_entry_points_use_each_parameter_they_declare_and_no_other(project: dict[str, Any]) -> None:
    assert set(project["entry_points"]) == set(ENTRIES)
    for entry in project["entry_points"].values():
        used = re.findall(r"(?<!\{)\{([a-z_]+)\}(?!\})", entry["command"])
        assert set(used) == set(entry["parameters"])
        assert all(one["type"] in ("path", "string", "float") for one in entry["parameters"].values())


@pytest.mark.parametrize("entry", WHOLE)
def test_an_entry_point_asks_for_what_its_verb_asks_for(project: dict[str, Any], entry: str) -> None:
    parameters = project["entry_points"][entry]["parameters"]
    taken = {one.name: one.required for one in command_of(ENTRIES[entry]).params}
    assert {name: "default" not in one for name, one in parameters.items()} == taken


def command_of(verb: str) -> Any:
    """The command of a verb such as "outcomes import"."""
    found = typer.main.get_command(crs.app)
    for word in verb.split():
        found = getattr(found, "commands", {})[word]
    return found


def words_of(entry: dict[str, Any], given: dict[str, str], folder: Path) -> list[str]:
    """The words after `python` when the shell runs an entry point with these parameters, each quoted as MLflow does."""
    stub = folder / "python"
    stub.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n', encoding="utf-8")
    stub.chmod(0o755)
    values = {name: one.get("default", "") for name, one in entry["parameters"].items()} | given
    line = entry["command"].format(**{name: shlex.quote(str(value)) for name, value in values.items()})
    path = {"PATH": f"{folder}:{os.environ['PATH']}"}
    return subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, check=True, env=path
    ).stdout.splitlines()


@pytest.mark.parametrize("entry", WHOLE)
def test_each_parameter_reaches_the_verb_as_one_word(project: dict[str, Any], entry: str, tmp_path: Path) -> None:
    given, besides = WHOLE[entry]
    words = words_of(project["entry_points"][entry], given, tmp_path)
    stated = [f"--{name}={value}" for name, value in given.items() if value and name != "file"]
    last = ["--", given["file"]] if "file" in given else []
    assert sorted(words) == sorted(["crs.py", *ENTRIES[entry].split(), *stated, *last, *filter(None, [besides])])


@pytest.mark.parametrize("flag", ["off", "compare"])
def test_a_flag_of_the_shadow_is_true_or_false(project: dict[str, Any], flag: str, tmp_path: Path) -> None:
    shadow = project["entry_points"]["shadow"]
    assert words_of(shadow, {flag: "true"}, tmp_path) == ["crs.py", "shadow", "--version=", f"--{flag}"]
    with pytest.raises(subprocess.CalledProcessError) as caught:
        words_of(shadow, {flag: "yes"}, tmp_path)
    assert (caught.value.returncode, caught.value.stderr) == (2, f"{flag}: write true or false\n")


def test_the_projects_environment_is_the_lock(project: dict[str, Any]) -> None:
    environment = yaml.safe_load(text(project["python_env"]))
    assert environment["dependencies"] == ["-r requirements.lock"]
    assert environment["python"] == "3.11"


def locked() -> dict[str, str]:
    """Package -> all that the lock says of it."""
    blocks = re.split(r"^(?=[A-Za-z0-9])", LOCK.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {block.split("==")[0].split("[")[0].lower(): block for block in blocks if not block.startswith("#")}


def test_every_locked_package_is_pinned_and_has_a_hash() -> None:
    packages = locked()
    assert len(packages) > 100
    for name, block in packages.items():
        assert re.match(r"[A-Za-z0-9._-]+(\[[a-z,-]+\])?==[^\s;]+", block), name
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", block), name


def test_the_lock_names_no_address() -> None:
    lines = LOCK.read_text(encoding="utf-8").splitlines()
    options = [line for line in lines if line.startswith("-") or "://" in line or " @ " in line]
    assert options == []


def dependencies() -> list[str]:
    declared = tomllib.loads(text("pyproject.toml"))["project"]
    lines = [*declared["dependencies"], *(one for more in declared["optional-dependencies"].values() for one in more)]
    return [re.split(r"[\[=<>!~; ]", line)[0] for line in lines]


def test_every_dependency_is_locked_and_has_its_reason_written_down() -> None:
    reasons = re.findall(r"^\| ([A-Za-z0-9._-]+) \|", text("docs/adr/dependencies.md"), re.MULTILINE)
    assert sorted(set(reasons) - {"package"}) == sorted(dependencies())
    assert {re.sub(r"[-_.]+", "-", name).lower() for name in dependencies()} <= set(locked())


def named_registries(body: bytes) -> list[str]:
    lowered = body.lower()
    return [
        name for name in REGISTRIES if re.search(rb"(?<![a-z0-9_])" + re.escape(name.encode()) + rb"[a-z]", lowered)
    ]


def test_no_file_names_the_host_of_a_package_registry() -> None:
    found = {path.relative_to(ROOT).as_posix(): named_registries(path.read_bytes()) for path in repository_files()}
    assert {name: hosts for name, hosts in found.items() if hosts} == {}


def test_a_planted_registry_host_would_be_found() -> None:
    assert named_registries(("index-url = https://" + "py" + "pi.org/simple").encode()) == ["py" + "pi."]


def test_no_data_file_is_in_the_repository() -> None:
    files = tracked_files()
    assert [path.name for path in files if path.suffix.lower() in DATA_ENDINGS] == []
    large = [path.name for path in files if path != LOCK and path.stat().st_size > LARGEST_TABLE]
    assert large == []


def test_no_file_is_a_copy_of_shared_data() -> None:
    shared = ROOT.parent / "shared" / "data"
    if not shared.is_dir():
        pytest.skip(f"SKIPPED: no shared data at {shared}")
    theirs = {path.stat().st_size: path for path in shared.rglob("*") if path.is_file() and path.suffix != ".txt"}
    same_size = [path for path in tracked_files() if path.stat().st_size in theirs and path.stat().st_size > 0]
    copies = [path.name for path in same_size if path.read_bytes() == theirs[path.stat().st_size].read_bytes()]
    assert [name for name in copies if name != "LICENSE"] == []


@pytest.mark.parametrize("file", ["Makefile", ".ci/run"])
def test_telemetry_is_off_wherever_our_commands_start(file: str) -> None:
    exported = " ".join(line for line in text(file).splitlines() if line.startswith("export ")).replace(" := ", "=")
    for variable, value in TELEMETRY.items():
        assert f"{variable}={value}" in exported.split()


def test_crs_switches_telemetry_off_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for variable in TELEMETRY:
        monkeypatch.setenv(variable, "")
        monkeypatch.delenv(variable)
    monkeypatch.setattr(crs, "app", lambda: None)
    crs.main()
    assert {variable: os.environ[variable] for variable in TELEMETRY} == TELEMETRY


def links(path: Path) -> Iterator[str]:
    """Targets of relative links, without code blocks."""
    prose = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if "://" not in target and not target.startswith("mailto:"):
            yield target


def broken(path: Path, target: str) -> bool:
    """Whether the file, or the heading in it, is not there."""
    file, _, heading = target.partition("#")
    place = (path.parent / file).resolve() if file else path
    if not place.exists() or not place.is_relative_to(ROOT):
        return True
    return bool(heading) and heading not in headings(place)


def headings(path: Path) -> set[str]:
    """A page's headings as link targets: small letters, hyphens for spaces, no punctuation."""
    found = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", one.lower()).strip().replace(" ", "-") for one in found}


def test_every_relative_link_leads_somewhere() -> None:
    pairs = [(path, target) for path in documents() for target in links(path)]
    assert len(pairs) > 30
    assert [f"{path.name}: {target}" for path, target in pairs if broken(path, target)] == []


def test_a_broken_link_would_be_found() -> None:
    assert broken(ROOT / "README.md", "docs/nowhere.md")
    assert broken(ROOT / "README.md", "docs/README.md#no-such-heading")
    assert not broken(ROOT / "README.md", "docs/README.md#decisions")


def test_the_index_of_documents_is_complete() -> None:
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / target.partition("#")[0]).resolve() for target in links(index)}
    pages = {path for path in documents() if path.is_relative_to(ROOT / "docs") and path != index}
    assert sorted(path.name for path in pages - linked) == []
