"""CRS and ICANS graded from raw findings, by every scheme that is asked: store the findings, derive the grades."""

from collections.abc import Callable

from features.grading_crs import astct
from features.grading_icans import IcansFindings, icans
from features.grading_older import ctcae_4, ctcae_5, lee, penn
from features.grading_result import Grade, Scheme
from features.grading_types import CrsFindings

CRS_SCHEMES: dict[Scheme, Callable[[CrsFindings], Grade]] = {
    Scheme.ASTCT: astct,
    Scheme.LABEL: lambda found: astct(found, Scheme.LABEL),
    Scheme.LEE: lee,
    Scheme.PENN: penn,
    Scheme.CTCAE_5: ctcae_5,
    Scheme.CTCAE_4: ctcae_4,
}


def grade_crs(found: CrsFindings, scheme: Scheme) -> Grade:
    """The CRS grade by that scheme; KeyError if it does not grade CRS."""
    return CRS_SCHEMES[scheme](found)


def grade_icans(found: IcansFindings) -> Grade:
    """The ICANS grade by ASTCT 2019."""
    return icans(found)
