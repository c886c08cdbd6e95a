"""What a telephone does to speech.

`line.simulate` puts the parts in order: level, noise (`noise`), band-pass and 8 kHz (`band`),
codecs (`codecs`, `g711`), packet loss (`loss`). Each part takes and returns numpy arrays, knows
nothing of files or parameters, and may be used by itself.
"""
