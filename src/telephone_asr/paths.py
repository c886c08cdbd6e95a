"""Where things lie, from the repository's root: the stages' outs, and what is beside them."""

from __future__ import annotations

import os
from pathlib import Path

RAW = Path("data/raw")
SIMULATED = Path("data/simulated")
TELECALL = Path("data/telecall")
NO_SPEECH = Path("data/no_speech")  # train, test; wideband: the training's before the line
UNLABELLED = Path("data/unlabelled")  # turns that nobody wrote down
PSEUDO = Path("data/pseudo")  # what the adapted model makes of them
ROUNDS = Path("data/rounds")  # of self-training: what each of them is trained on
MANIFESTS = Path("data/manifests")
TESTS = "tests"  # in RAW and in MANIFESTS: test sets of the user's own, by name
UNPACKED = Path("data/unpacked")  # where `telephone-asr unpack` puts the sound
MODELS = Path("models")
TRANSCRIPTS = Path("data/transcripts")
MADE_UP = TRANSCRIPTS / "no_speech"  # what is written where nobody speaks
METRICS = Path("metrics")
SLICES = METRICS / "slices"  # in git too, but no metrics to DVC
COST = METRICS / "cost"  # time and memory: what is not the same on every run
# The repository's, as DVC names it, also in an experiment that runs in a directory of its own
# (`--temp`, `--queue`) and is deleted with it: killed and run again, it goes on.
SCRATCH = Path(os.environ.get("DVC_ROOT", ""), ".scratch")
OWN_SCRATCH = Path(".scratch")
IMPORTED = SCRATCH.with_name(".imported")  # see corpora/unwatched.py
FORGOTTEN = Path("forgotten.txt")  # what the corpora are to be without, in git
FROZEN_SPLITS = Path("splits")  # the ids of each test set that is kept, in git
# Where the sound of each manifest's corpus lies.
SHARDS = {"wideband": RAW / "wideband", "simulated": SIMULATED, "telecall": TELECALL}
