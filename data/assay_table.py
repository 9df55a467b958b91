"""Reads and checks the file of a cytokine release assay: one row per well and cytokine, controls on each plate."""

from dataclasses import dataclass
from difflib import get_close_matches
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pandera
from pandera.errors import SchemaErrors

from data.files import read_table
from data.sieve import numbers, words
from features.assay_facts import AssayFacts
from features.errors import DataError

AGENT, NEGATIVE, POSITIVE = "agent", "negative", "positive"
BELOW, ABOVE = -1, 1
NUMBERS = ("concentration", "hours", "value")
REQUIRED = (
    "plate",
    "donor",
    "agent",
    "role",
    "format",
    "concentration",
    "concentration_unit",
    "hours",
    "cytokine",
    "replicate",
    "value",
    "unit",
)
OPTIONAL = ("comparator",)
#: What makes two rows the same measurement.
WELL = ["plate", "donor", "agent", "format", "concentration", "hours", "cytokine", "replicate"]
UNITS = ("pg/mL", "ng/L", "ng/mL")
SIDES = {"": 0, "<": BELOW, ">": ABOVE}
PAGE = "see docs/in-vitro-hazard.md"

#: rule -> what is wrong, what to do.
RULES = {
    "missing": ("is empty", "fill it in every row"),
    "role": ("is not agent, negative or positive", "name the part that the row's agent plays"),
    "format": ("is not a known assay format", PAGE),
    "cytokine": ("is not a known cytokine", PAGE),
    "unit": (f"is not one of {', '.join(UNITS)}", "convert the values"),
    "comparator": ("is not <, > or empty", "write < at the lower and > at the upper limit of quantification"),
    "value": ("is not a number above 0", "write < and the lower limit of quantification for what was too low"),
    "hours": ("is not a number above 0", "give the hours from adding the agent to sampling"),
    "concentration": ("is not a number of 0 or more", "only a control may leave it empty"),
}


@dataclass(frozen=True, slots=True, eq=False)
class Assay:
    """A checked assay of one agent under test.

    wells: plate, donor, agent, role, format, hours, concentration, cytokine (key), replicate, log (natural logarithm of
    the value, or of the limit it lies beyond), side (-1 below that limit, 1 above it, 0 measured); in canonical order.
    sha256: hex, over the file's bytes.
    """

    agent: str
    wells: pd.DataFrame
    sha256: str


def read_assay(path: Path, facts: AssayFacts) -> Assay:
    """Read and check an assay file (CSV or Parquet). DataError names the column, the rule and the first line."""
    if not path.is_file():
        raise DataError(f"{path}", "no such file", "name the assay's file")
    return assay_from_frame(read_table(path), facts, sha256(path.read_bytes()).hexdigest())


def assay_from_frame(frame: pd.DataFrame, facts: AssayFacts, digest: str = "") -> Assay:
    """The assay of a table as it stands in its file; as read_assay. The order of rows changes nothing."""
    _check_columns(frame)
    table = _typed(frame, facts)
    _check_rows(table, facts)
    _check_whole(table)
    agents = table.loc[table["role"] == AGENT, "agent"].unique()
    return Assay(str(agents[0]), _wells(table, facts), digest)


def _check_columns(frame: pd.DataFrame) -> None:
    known, given = (*REQUIRED, *OPTIONAL), [str(name) for name in frame.columns]
    for name in given:
        if name not in known:
            near = get_close_matches(name.strip().lower(), known, n=1, cutoff=0.5)
            raise DataError(f"assay.{name}", "unknown column", f"did you mean {near[0]}?" if near else PAGE)
        if given.count(name) > 1:
            raise DataError(f"assay.{name}", "the column is there twice", "keep one of them")
    for name in REQUIRED:
        if name not in given:
            raise DataError(f"assay.{name}", "required column missing", f"an assay needs {', '.join(REQUIRED)}")
    if not len(frame):
        raise DataError("assay", "the file has no rows", PAGE)


def _typed(frame: pd.DataFrame, facts: AssayFacts) -> pd.DataFrame:
    """Text trimmed, numbers as float64 (text that is none becomes -1, which no rule admits), cytokines by their key."""
    table = pd.DataFrame({name: words(frame[name]) for name in (*REQUIRED, *OPTIONAL) if name in frame})
    for name in NUMBERS:
        read, strange = numbers(table[name])
        table[name] = np.where(strange | np.isinf(read), -1.0, read)
    control = table["role"].isin((NEGATIVE, POSITIVE))
    table["concentration"] = table["concentration"].mask(control & table["concentration"].isna(), 0.0)
    table["cytokine"] = table["cytokine"].map({text: facts.find_cytokine(text) for text in table["cytokine"].unique()})
    return table if "comparator" in table else table.assign(comparator="")


def _check_rows(table: pd.DataFrame, facts: AssayFacts) -> None:
    """DataError for the first rule, in the order of the columns, that a row breaks."""
    try:
        _schema(facts).validate(table, lazy=True)
    except SchemaErrors as error:
        broken = error.failure_cases
        column = next(name for name in table.columns if (broken["column"] == name).any())
        rows = broken[broken["column"] == column]
        problem, remedy = RULES[str(rows["check"].iloc[0])]
        line = int(rows["index"].min()) + 2
        text = f"{problem} in {rows['index'].nunique()} of {len(table)} rows, first in line {line}"
        raise DataError(f"assay.{column}", text, remedy) from None


def _schema(facts: AssayFacts) -> pandera.DataFrameSchema:
    filled = {
        name: pandera.Column(str, pandera.Check.ne("", error="missing")) for name in ("plate", "donor", "replicate")
    }
    listed = {"role": (AGENT, NEGATIVE, POSITIVE), "format": tuple(facts.formats), "unit": UNITS}
    listed |= {"cytokine": tuple(facts.cytokines), "comparator": tuple(SIDES)}
    above = {name: pandera.Check.gt(0, error=name, ignore_na=False) for name in ("hours", "value")}
    above["concentration"] = pandera.Check.ge(0, error="concentration", ignore_na=False)
    return pandera.DataFrameSchema(
        {
            **filled,
            "agent": pandera.Column(str, pandera.Check.ne("", error="missing")),
            **{name: pandera.Column(str, pandera.Check.isin(words, error=name)) for name, words in listed.items()},
            **{name: pandera.Column(float, check, nullable=True) for name, check in above.items()},
        }
    )


def _check_whole(table: pd.DataFrame) -> None:
    roles = table["role"]
    for role, remedy in ((AGENT, "mark the agent under test"), (NEGATIVE, "an assay without one cannot be read")):
        if not (roles == role).any():
            problem = "no negative control" if role == NEGATIVE else "no agent under test"
            raise DataError("assay.role", problem, remedy)
    if table.loc[roles == AGENT, "agent"].nunique() > 1:
        raise DataError("assay.agent", "more than one agent under test", "write one file for each")
    if (table.groupby("agent")["role"].nunique() > 1).any():
        raise DataError("assay.role", "an agent has two roles", "give each agent one name and one role")
    if (table.groupby("cytokine")["unit"].nunique() > 1).any():
        raise DataError("assay.unit", "mixed units of one cytokine", "convert the values to one unit")
    dosed = table[table["concentration"] > 0]
    if (dosed.groupby("format")["concentration_unit"].nunique() > 1).any():
        raise DataError("assay.concentration_unit", "mixed units in one format", "convert the concentrations to one")
    if table.duplicated(WELL).any():
        raise DataError("assay.replicate", "a well stands twice", "number the replicate wells")


def _wells(table: pd.DataFrame, facts: AssayFacts) -> pd.DataFrame:
    """The columns that are reckoned with; controls by the key of their reference agent."""
    control = table["role"] != AGENT
    known = table["agent"].map({name: facts.agent_key(name) for name in table["agent"].unique()})
    wells = table[[*WELL, "role"]].assign(
        agent=table["agent"].where(~control, known),
        log=np.log(table["value"].to_numpy()),
        side=table["comparator"].map(SIDES).to_numpy(dtype=np.int64),
    )
    # Complete order, so that sums are the same bit for bit whatever the order of the rows was.
    return wells.sort_values([*WELL, "role", "log", "side"]).reset_index(drop=True)
