"""When the question is asked: the hours at which courses are looked at, in training and from one score to the next."""

#: Hours after a single infusion.
INFUSION_HOURS = (0, 24, 48, 72)
#: Hours after each dose of a step-up schedule.
DOSE_HOURS = (0, 12, 24)
