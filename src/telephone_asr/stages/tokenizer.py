"""tokenizer: the tokenizer of the model to be, before there is a model.

The manifests count tokens, and the tiny base model is trained on the manifests: its tokenizer
therefore comes first.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from telephone_asr.manifests.text import normalise
from telephone_asr.model.hub import locate
from telephone_asr.model.pretrained import read_config
from telephone_asr.model.tokenizer import build_tokenizer
from telephone_asr.params import load_params
from telephone_asr.shards import read_cuts
from telephone_asr.stages import MODELS, RAW, run

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
)


def main() -> None:
    params = load_params()
    directory = MODELS / "tokenizer"
    if params.base.kind == "tiny":
        cuts = (cut for part in ("wideband", "calls") for cut in read_cuts(RAW / part))
        texts = (cut["supervisions"][0]["text"] for cut in cuts)
        build_tokenizer((normalise(text, params.text.english)[0] for text in texts), directory)
        return
    base = params.base
    model = locate(base.kind, base.path, base.repo, base.revision)
    source = Path(read_config(model)["tokenizer_conf"]["init_param_path"])
    directory.mkdir(parents=True)
    for name in TOKENIZER_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, directory / name)


if __name__ == "__main__":
    run(main)
