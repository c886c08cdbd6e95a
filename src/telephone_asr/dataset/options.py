"""What is done to a training's features, as params.yaml has it."""

from __future__ import annotations

from telephone_asr.sections import Natural, Share, section


@section
class Augment:
    """The most that features are changed by, drawn anew for each utterance in each epoch."""

    speed: Share  # so much faster or slower
    tract: Share  # filters moved so far along the mel scale, as by another vocal tract
    hidden_filters: Natural  # in one band
    hidden_frames: Natural  # in one stretch, of 10 ms each
