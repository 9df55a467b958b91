"""The codes that charts are read by: the reviewed tables', and a centre's own where the settings name a file."""

import re
from functools import cache
from pathlib import Path

from features.catalogue import Catalogue
from features.concepts import Concepts, code_systems, concepts
from features.errors import DataError, UsageError

SETTING = "codes.file"
#: Kinds of analytes that are laboratory tests, which can be asked for and ordered.
LABORATORY = ("lab", "cytokine")
#: What can stand in a search of FHIR as it is: nothing that its syntax, or that of an address, gives a meaning to.
_TOKEN = re.compile(r"(?:https?://|urn:)[A-Za-z0-9._~:/-]+\|[A-Za-z0-9._~:/-]+")


@cache
def known(tables: Catalogue, file: str) -> Concepts:
    """The look-up, with a file as it was when this process first read it. file: "" for none.

    UsageError names the setting, the file, its line and its column where the file is not a list of codes.
    """
    try:
        return concepts(tables, Path(file) if file else None)
    except DataError as error:
        raise UsageError(f"{SETTING}: {error.place}", error.problem, error.remedy) from error


@cache
def own_tokens(codes: Concepts) -> tuple[str, ...]:
    """system|code of a centre's own codes of laboratory tests, those that a search can hold, in the file's order."""
    found = (f"{_address(system)}|{code}" for system, code in own_tests(codes))
    return tuple(one for one in found if _TOKEN.fullmatch(one))


def own_tests(codes: Concepts) -> tuple[tuple[str, str], ...]:
    """System and code of a centre's own codes of laboratory tests."""
    kinds = {key: one.kind for key, one in codes.catalogue.analytes.items()}
    held = codes.local.items()
    return tuple(pair for pair, one in held if one.kind == "analyte" and kinds[one.key] in LABORATORY)


def _address(system: str) -> str:
    """The system's URI, if it is one of the reviewed tables; else the system itself."""
    return next((one.fhir[0] for one in code_systems() if one.system == system), system)
