"""Calls that nobody wrote down: labelled by the model, and what of the labels can be trusted."""
