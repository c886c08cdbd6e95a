"""The names that files, metrics and params have in common: test sets and checkpoints, in order."""

TEST_SETS = ("telecall", "simulated", "wideband")  # as they are reported; each is one corpus's
TELEPHONE = TEST_SETS[:2]
OWN = "test_sets"  # in metrics/data.json: test sets of the user's own, by name

BASE, FINAL = "base", "final"
TRAINED = ("encoder", "adaptor", "lora")  # by stages 1 to 3
STACKED = (BASE, *TRAINED)  # each stands on those before it
UNMERGED = STACKED[-1]  # stage 3, of which final is made
# The last is the model that ships, stage 3 merged and exported: report, review and gate speak of
# it.
CHECKPOINTS = (*STACKED, FINAL)
# Those with a column or a point of their own: UNMERGED is final but for rounding.
COLUMNS = tuple(name for name in CHECKPOINTS if name != UNMERGED)
