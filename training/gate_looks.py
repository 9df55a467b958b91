"""How often locked test courses were looked at before a verdict: each bundle judged on them spends them a little.

Of many bundles tried on the same courses, the best one suits these courses by chance, too. The gate tells the number;
only a plan that states a limit holds anything against it.
"""

from training.change_plan import Criterion, Numbers
from training.gate_criteria import Check


def told(looks: int | None) -> str:
    """The number in words; None where a verdict was recorded without it."""
    if looks is None:
        return "how many other bundles were judged on these test courses before is not known"
    bundles = (
        "1 other bundle was" if looks == 1 else f"{looks or 'no'} other {'bundles were' if looks else 'bundle was'}"
    )
    return f"{bundles} judged on these test courses before"


def checks(looks: int, numbers: Numbers) -> list[Check]:
    """The number against the plan's limit (inclusive); nothing where it states none.

    Beyond it the version cannot be judged, which is no refusal: one would stand, and other courses may still judge it.
    """
    limit = numbers.most_looks
    if limit is None:
        return []
    return [Check(Criterion.LOOKS, looks <= limit or None, told(looks), value=looks, limit=limit)]
