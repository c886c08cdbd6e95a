"""What a telephone does to speech.

`line.simulate` puts the parts in order: `level`, `noise`, `babble`, `music`, `clipping`,
`enhancement`, `wideband`, `handset` and `band` (8 kHz), `echo`, `codecs`, `loss`. Each takes and
returns NumPy arrays, knows nothing of files or parameters, and may be used by itself.
"""
