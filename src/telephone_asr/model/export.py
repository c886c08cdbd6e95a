"""A merged model in FunASR's own layout, as `funasr.AutoModel(model=DIR)` loads it."""

from __future__ import annotations

import shutil
from pathlib import Path

from telephone_asr.model.frontend import TELEPHONE_FS, WIDEBAND_FS
from telephone_asr.model.pretrained import FunASRNano


def export(nano: FunASRNano, directory: Path) -> None:
    """Writes the model with all its checkpoints merged into one model.pt.

    Everything beside the weights is copied from the base model's directory; config.yaml gets the
    front end that the checkpoints were trained with. FunASR has none at 8 kHz with the filters of
    16 kHz: it upsamples, and hears nearly the same.
    """
    import torch
    from omegaconf import OmegaConf

    if nano.peft is not None:
        nano.model.llm = nano.peft.merge_and_unload()
        nano.peft = None
    source = nano.directory
    shutil.copytree(
        source, directory, ignore=lambda _, names: [n for n in names if n == "model.pt"]
    )
    config = OmegaConf.load(source / "config.yaml")
    frontend = nano.config["frontend_conf"]
    upsampled = frontend["fs"] == TELEPHONE_FS and frontend.get("filters") == "aligned"
    config.frontend_conf.fs = WIDEBAND_FS if upsampled else frontend["fs"]
    config.frontend_conf.dither = frontend["dither"]
    OmegaConf.save(config, directory / "config.yaml")
    # clone(): a tensor that is a view of another would be saved with all of it.
    state = {
        name: tensor.detach().cpu().clone() for name, tensor in nano.model.state_dict().items()
    }
    torch.save(state, directory / "model.pt")
