"""Adapt Fun-ASR-Nano to 8 kHz Chinese telephone speech, reproducibly."""
