"""Published laboratory scores, in the very units of their papers. None is a calibrated probability of CRS."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Number = TypeVar("Number", float, NDArray[np.float64])


def easix(ldh: Array, creatinine: Array, platelets: Array) -> Array:
    """EASIX = LDH [U/L] x creatinine [mg/dL] / platelets [10^9/L]; NaN where an input is missing or platelets <= 0.

    Source: Pennisi 2021, Blood Adv, doi:10.1182/bloodadvances.2020003885; Korell 2022, doi:10.3389/fimmu.2022.877477.
    """
    return with_factor(ldh, creatinine, _positive(platelets))


def s_easix(ldh: Array, platelets: Array) -> Array:
    """Simplified EASIX = LDH [U/L] / platelets [10^9/L]. Source: Pennisi 2021."""
    return without_factor(ldh, _positive(platelets))


def m_easix(ldh: Array, crp_mg_per_dl: Array, platelets: Array) -> Array:
    """Modified EASIX = LDH [U/L] x CRP [mg/dL] / platelets [10^9/L]; CRP mg/dL = mg/L / 10. Source: Pennisi 2021."""
    return with_factor(ldh, crp_mg_per_dl, _positive(platelets))


def with_factor(ldh: Number, factor: Number, platelets: Number) -> Number:
    """LDH x factor / platelets, in this order: EASIX with creatinine, m-EASIX with CRP. Platelets must be above 0."""
    return ldh * factor / platelets


def without_factor(ldh: Number, platelets: Number) -> Number:
    """LDH / platelets, which is s-EASIX. Platelets must be above 0."""
    return ldh / platelets


def log2(score: Array) -> Array:
    """Base-2 logarithm; NaN where the score is missing or not above 0."""
    return np.log2(_positive(score))


def _positive(values: Array) -> Array:
    return np.where(values > 0, values, np.nan)
