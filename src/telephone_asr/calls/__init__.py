"""Whole calls: a recording of any length in, the turns of each channel out."""
