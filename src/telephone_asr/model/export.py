"""A merged model in FunASR's own layout, as `funasr.AutoModel(model=DIR)` loads it."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from telephone_asr.model import writing
from telephone_asr.model.frontend import TELEPHONE_FS, WIDEBAND_FS
from telephone_asr.model.pretrained import FunASRNano


def export(
    nano: FunASRNano, directory: Path, verbatim: bool, branch: Mapping[str, Any] | None = None
) -> None:
    """Writes the model with all its checkpoints merged into one model.pt.

    Tokenizers are copied from the base model's directory. config.yaml is the base's, without a CTC
    branch that it has no weights of, and gets the dtype of the weights, fp32 (in bf16 a merged LoRA
    loses 2 to 18 % of its norm), and the front end that the checkpoints were trained with. FunASR
    has none at 8 kHz with the filters of 16 kHz: it upsamples, and hears nearly the same.

    Args:
        verbatim: the model was adapted with the prompt for texts without digits and punctuation.
            FunASR, its servers too, asks with the other unless config.yaml says `itn: false`.
        branch: of `decoding.branch.as_config`, for `telephone-asr transcribe`; FunASR reads none.
    """
    if nano.peft is not None:
        nano.model.llm = nano.peft.merge_and_unload()
        nano.peft = None
    writing.copy_beside(nano.config, directory)
    config = deepcopy(nano.config)
    config["llm_conf"]["llm_dtype"] = "fp32"
    frontend = config["frontend_conf"]
    if frontend.pop("filters", None) == "aligned" and frontend["fs"] == TELEPHONE_FS:
        frontend["fs"] = WIDEBAND_FS
    config["itn"] = not verbatim
    config.pop("branch_conf", None)
    if branch and nano.has_ctc:
        config["branch_conf"] = branch
    writing.write_config(directory, config)
    writing.save_weights(nano.model.state_dict(), directory / "model.pt")
