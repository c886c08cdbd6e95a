"""The clips of data/no_speech as examples: sound without a text."""

from __future__ import annotations

from pathlib import Path

from telephone_asr.manifests.messages import Example
from telephone_asr.model.frontend import WIDEBAND_FS, fbank_frames
from telephone_asr.shards import count_shards, read_cuts

NO_SPEECH = "no_speech"  # their source


def read_clips(directory: Path, prompt: str) -> list[Example]:
    """Reads the clips of a directory of shards, each with its kind as scene; there may be none."""
    if not count_shards(directory):
        return []
    return [
        Example(
            key=cut["id"],
            text="",
            prompt=prompt,
            # As many as at 8 kHz.
            speech_length=fbank_frames(
                *(cut["recording"]["num_samples"], cut["recording"]["sampling_rate"], WIDEBAND_FS)
            ),
            text_length=0,
            duration_s=cut["duration"],
            speaker="",
            scene=cut["custom"]["kind"],
            source=NO_SPEECH,
        )
        for cut in read_cuts(directory)
    ]
