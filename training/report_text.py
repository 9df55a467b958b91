"""The words of a report: what each figure shows, and what good looks like."""

CAPTIONS = {
    "roc": "How many events an alert finds against how many non-events it alerts, for every cut. Good: well above the "
    "dashed line. Near it, the score is a coin.",
    "precision_recall": "How many alerts are right when a given share of events is to be found. Good: well above the "
    "dashed line, which is the share one gets by alerting on all.",
    "calibration": "Observed against predicted share, in groups of like predictions, with 95 % intervals; below, how "
    "many rows were predicted what (rounded). Good: intervals that cross the dashed line. Points below it: the risk is "
    "overstated; above it: understated.",
    "decision": "What acting on the model is worth, in true alerts per row after false ones are charged. Good: above "
    "both other lines at the probabilities from which you would act. Where it is not, do not act on the model.",
    "trend": "The same figures apart for each time of asking. Good: AUROC above 0.5 with its interval, and a "
    "calibration intercept near 0 (above 0: the risk is understated at that time).",
    "forest": "AUROC in each group with enough events. Good: intervals that overlap the line of everyone. Groups that "
    "are all of one therapy are harder to rank than a mixture, so a lower value there need not be a fault.",
    "attrition": "Courses asked about, those still at risk and followed, and those whose outcome is known. Good: "
    "little is lost between the last two bars. Rounded.",
    "effects": "By how much each input moves the log-odds on average, up or down; 0.7 doubles or halves the odds. "
    "Good: inputs a clinician would expect. It says what the model uses, not what causes the outcome.",
    "drift": "How often each input is there, in training and here. Good: the two points lie together.",
}
COLUMNS = {
    "auroc": "AUROC",
    "calibration_slope": "slope",
    "calibration_intercept": "intercept",
    "ici": "ICI",
    "observed": "observed",
    "predicted": "predicted",
}
PREDICTORS = {"easix": "EASIX", "m_easix": "m-EASIX"}
HOW_TO_READ = (
    "AUROC: chance that a course with the outcome is ranked above one without; 0.5 is a coin, 1 is perfect.",
    "Slope: 1 is right; below 1 the predictions are too extreme, above 1 too timid.",
    "Intercept: 0 is right; above 0 the risk is understated on average, below 0 overstated.",
    "ICI: mean distance between predicted and observed probability; 0 is perfect, 0.02 is small.",
    "Net benefit: true alerts per row, less false ones weighed by the probability from which one acts; acting on none "
    "is 0, and a model has to beat both that and acting on all.",
    "A row is a course at one time of asking. Brackets are 95 % intervals over resampled patients.",
)
SYNTHETIC = (
    "SYNTHETIC DATA. These courses were made up by a program. The figures say whether the software works; they say "
    "nothing about patients."
)
NOT_A_DEVICE = "Research software. Not a medical device, and not validated for use with patients."
NOT_JUDGED = "Not judged, for too few courses with or without it, or too short a follow-up:"
WITHHELD = (
    "Too few events: fewer than {fewest} patients with, or without, the outcome; no figure is given. Suppressed: "
    "counts below {smallest} patients are not shown, nor the counts from which they could be worked out."
)
CSS = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #22303c; background: #fff; max-width: 62rem;
  margin: 1.5rem auto; padding: 0 1rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: .4rem 0; }
h2 { margin: 2.2rem 0 .4rem; border-bottom: 2px solid #1f5a96; }
h3 { margin: 1.4rem 0 .3rem; }
.warning { background: #fff3d6; border: 2px solid #b35900; padding: .6rem .9rem; font-weight: 600; margin: .8rem 0; }
.note { color: #4b5b68; font-size: .9rem; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(21rem, 1fr)); gap: 1rem; }
figure { margin: .6rem 0; break-inside: avoid; } figure svg { max-width: 100%; height: auto; display: block; }
figcaption { font-size: .85rem; color: #4b5b68; max-width: 46rem; }
table { border-collapse: collapse; font-size: .82rem; margin: .5rem 0; width: 100%; }
th, td { text-align: left; padding: .2rem .5rem .2rem 0; border-bottom: 1px solid #dde2e6; vertical-align: top; }
td.n { font-variant-numeric: tabular-nums; }
td:first-child { min-width: 5.5rem; }
.items td:nth-child(2) { min-width: 17rem; }
td.unknown { color: #b35900; font-weight: 600; }
details summary { cursor: pointer; margin: .6rem 0; }
.scroll { overflow-x: auto; }
@media print { body { max-width: none; margin: 0; font-size: 11px; }
  h2 { break-before: page; } h2.first { break-before: auto; } .scroll { overflow: visible; }
  tr { break-inside: avoid; } .warning { print-color-adjust: exact; } }
"""
