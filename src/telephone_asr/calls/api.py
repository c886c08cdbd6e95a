"""A call in Python, in one line: `telephone_asr.transcribe("call.wav").turns`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from telephone_asr.calls.turns import NAMES
from telephone_asr.errors import InputError
from telephone_asr.paths import MODELS

if TYPE_CHECKING:
    from telephone_asr.calls.turns import Call, Channels
    from telephone_asr.model.pretrained import FunASRNano


def load_model(directory: str | Path = MODELS / "final", device: str | None = None) -> FunASRNano:
    """Loads a Fun-ASR-Nano's directory, to transcribe many recordings with.

    Args:
        device: as PyTorch names it; None: the first GPU, or the CPU where there is none.

    Raises:
        InputError: it is no such directory, or damaged.
    """
    import torch

    from telephone_asr.model import layout, pretrained
    from telephone_asr.model.devices import allow_tf32

    layout.check_directory(Path(directory), "telephone-asr transcribe: --model")
    nano = pretrained.load(Path(directory))
    allow_tf32(nano.config)
    nano.model.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    return nano


def transcribe(
    path: str | Path,
    model: str | Path | FunASRNano = MODELS / "final",
    *,
    channels: Channels = "both",
    names: Sequence[str] = NAMES,
    whole: bool = False,
    hotwords: Sequence[str] = (),
) -> Call:
    """Transcribes a recording of any length, form and sample rate.

    Args:
        path: the recording.
        model: a Fun-ASR-Nano's directory, or what `load_model` returned, which saves the loading.
        channels: both (each by itself), left, right, or mix (their mean).
        names: who speaks on the left and on the right channel.
        whole: it is one utterance: nothing is left out, and nothing cut.
        hotwords: names and terms to make likelier; of a long list those count that may be heard.

    Returns:
        the call, with its turns in the order in which they begin; of silence, with none.

    Raises:
        InputError: it is no sound, damaged, still being written, longer than 12 hours, or lacks
            the channel; or there is no such model.
    """
    from telephone_asr.calls.recording import Choice
    from telephone_asr.calls.transcriber import transcribe_calls
    from telephone_asr.calls.turns import CHANNELS
    from telephone_asr.shards import Rejected

    if channels not in CHANNELS:
        raise InputError(f"channels: expected one of {', '.join(CHANNELS)}, got {channels}.")
    nano = load_model(model) if isinstance(model, str | Path) else model
    choice = Choice(channels, names, whole)
    (call,) = transcribe_calls(nano, [Path(path)], choice, hotwords=hotwords)
    if isinstance(call, Rejected):
        raise InputError(f"{call.detail}.")
    return call
