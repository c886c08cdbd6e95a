"""Adapt Fun-ASR-Nano to 8 kHz Chinese telephone speech, reproducibly."""

import os

# OpenMP's threads wait for each other spinning, and beside another busy program spin away the time
# of the very thread they wait for (bench/contention.py). It reads this when PyTorch is imported,
# which nothing does before this package; processes that are started inherit it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
