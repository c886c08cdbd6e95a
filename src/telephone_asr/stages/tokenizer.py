"""tokenizer: the tokenizer of the model to be, before there is a model.

The manifests count tokens, and the tiny base model is trained on the manifests: its tokenizer
therefore comes first.
"""

from __future__ import annotations

from pathlib import Path

from telephone_asr.manifests.text import clean_transcript
from telephone_asr.model import pins
from telephone_asr.model.allowed import copy_file
from telephone_asr.model.hub import locate
from telephone_asr.model.layout import TOKENIZER_FILES, read_config
from telephone_asr.model.tokenizer import build_tokenizers
from telephone_asr.outs import check_places, new_out
from telephone_asr.params import Params, load_params
from telephone_asr.paths import MODELS, RAW
from telephone_asr.program import run
from telephone_asr.shards import read_cuts


def main() -> None:
    check_places()
    params = load_params()
    with new_out(MODELS / "tokenizer") as directory:
        make_tokenizer(params, directory)


def make_tokenizer(params: Params, directory: Path) -> None:
    if params.base.is_tiny:
        cuts = (cut for part in ("wideband", "calls") for cut in read_cuts(RAW / part))
        texts = (cut["supervisions"][0]["text"] for cut in cuts)
        build_tokenizers(
            (clean_transcript(text, params.text.english)[0] for text in texts), directory
        )
        return
    base = params.base
    model = locate(base.kind, base.path, base.repo, base.revision)
    files = pins.model_files(model)
    if base.pins is not None:  # `base` checks the weights, which take longer, and records them all
        pins.check({name: files[name] for name in files if name != pins.WEIGHTS}, Path(base.pins))
    source = Path(read_config(model)["tokenizer_conf"]["init_param_path"])
    directory.mkdir(parents=True)
    for name in TOKENIZER_FILES:
        if (source / name).is_file():
            copy_file(source / name, directory / name)


if __name__ == "__main__":
    run(main)
