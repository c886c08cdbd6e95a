"""Small models in the layouts in which Fun-ASR-Nano is published, with what differs between them.

    python tests/published_fixtures.py LAYOUT DIRECTORY

They share nothing with the tiny model but the writer: a tokenizer of byte pairs, in which a word is
one token, the long prompt, an adaptor without stacking, and the published number of CTC classes.
"""

import base64
import sys
from pathlib import Path

import pytest

from speech_fixtures import TEXTS
from telephone_asr.model import layout, writing
from telephone_asr.model.pretrained import CTC_BRANCH, read_weights
from telephone_asr.model.tiny import write_model
from telephone_asr.model.tokenizer import END, PAD, START, ctc_tokens

LAYOUTS = ("modelscope", "huggingface", "mlt")
WORDS = ("您好请问", "明天还款", "我是张三", "APP", "2026", "谢谢再见", "语音转写", "transcribe")
LLM = {
    **{"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2},
    **{"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8},
    **{"max_position_embeddings": 4096, "initializer_range": 0.2},
}


def write_published(directory: Path, name: str) -> Path:
    """A model directory as a hub has it (of LAYOUTS)."""
    tokenizer = directory.parent / "tokenizer"
    write_tokenizers(tokenizer)
    config = layout.published()
    config["audio_encoder_conf"] |= {
        **{"output_size": 32, "linear_units": 64, "num_blocks": 2, "tp_blocks": 1}
    }
    config["audio_adaptor_conf"] |= {"ffn_dim": 64, "llm_dim": 32, "encoder_dim": 32}
    config["ctc_decoder_conf"] |= {"ffn_dim": 64, "llm_dim": 32, "encoder_dim": 32, "n_layer": 1}
    if name == "mlt":
        config = layout.without_ctc(config)
    write_model(directory, config, LLM | {"vocab_size": 420}, tokenizer, seed=5)
    if name != "modelscope":
        drop_ctc(directory)
    # What FunASR needs none of, and has no business in models/base.
    (directory / "example").mkdir()
    (directory / "example" / "zh.mp3").write_bytes(b"no sound")
    (directory / "model.py").write_text("raise SystemExit('code of the model was run')\n")
    return directory


def write_tokenizers(directory: Path) -> None:
    """Byte pairs for the language model, as Qwen's are, and a vocabulary for the CTC branch."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[PAD, START, END],
        show_progress=False,
    )
    tokenizer.train_from_iterator([*TEXTS, *WORDS] * 3, trainer)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, eos_token=END
    ).save_pretrained(directory)
    lines = [
        f"{base64.b64encode(token).decode()} {rank}\n"
        for rank, token in enumerate([*ctc_tokens(set("".join(TEXTS))), b"AP", b"APP"])
    ]
    (directory / layout.CTC_VOCABULARY).write_text("".join(lines), encoding="ascii")


def drop_ctc(directory: Path) -> None:
    """Takes the CTC branch out of the weights; config.yaml goes on naming it, if it did."""
    state = read_weights(directory / "model.pt")
    kept = {name: tensor for name, tensor in state.items() if not name.startswith(CTC_BRANCH)}
    writing.save_weights(kept, directory / "model.pt")


@pytest.fixture(scope="session", params=LAYOUTS)
def published_layout(request) -> str:
    return request.param


@pytest.fixture(scope="session")
def published_directory(published_layout, tmp_path_factory) -> Path:
    """To be read only."""
    return write_published(tmp_path_factory.mktemp(published_layout) / "model", published_layout)


@pytest.fixture
def modelscope_directory(tmp_path) -> Path:
    """To be broken."""
    return write_published(tmp_path / "published" / "model", "modelscope")


if __name__ == "__main__":
    write_published(Path(sys.argv[2]), sys.argv[1])
