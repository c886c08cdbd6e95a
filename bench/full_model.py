"""What the benches at full size run on: Fun-ASR-Nano as it is published but for its weights, which
are random, and utterances of noise.

The published config.yaml is taken as it is; `small` is the same with smaller numbers, for tests.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

TEXT = "您好请问您是张先生吗您在我们公司"  # 16 characters
RATE_HZ = 16000
QWEN3 = {  # Qwen3-0.6B's config.json
    "vocab_size": 151936,
    "hidden_size": 1024,
    "intermediate_size": 3072,
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "max_position_embeddings": 40960,
    "rope_theta": 1000000.0,
}
END_OF_TEXT = 151643  # of its tokenizer; <|im_start|> and <|im_end|> are behind it
QWEN_PATTERN = (  # of the Qwen tokenizers: how a text is cut up before its pieces are looked up
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
# The pieces of a prompt that are one token each in Qwen3's tokenizer, so that a generated one gives
# the published 18 or 24 tokens before the speech, and 5 after it.
PROMPT_TOKENS = (
    *("system", "You", " are", " a", " helpful", " assistant", "user", "assistant"),
    *("语音", "进行", "文本"),
)
HAN = "".join(map(chr, range(0x4E00, 0xA000)))
# The 3,755 of GB 2312's first level.
COMMON_HAN = b"".join(bytes(pair) for pair in product(range(0xB0, 0xD8), range(0xA1, 0xFF)))
SMALL_ENCODER = {"output_size": 64, "linear_units": 128, "num_blocks": 2, "tp_blocks": 1}
SMALL_LAYERS = {"ffn_dim": 128, "encoder_dim": 64, "llm_dim": 64}
SMALL_LLM = {"vocab_size": 8000, "hidden_size": 64, "intermediate_size": 128}
SMALL_LLM |= {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
SMALL_LLM |= {"head_dim": 16}


def configuration(small: bool = False) -> dict[str, Any]:
    """Returns the published config.yaml, or the same with smaller numbers."""
    from telephone_asr.model import layout

    config = layout.published()
    if small:
        config["audio_encoder_conf"] |= SMALL_ENCODER
        config["audio_adaptor_conf"] |= SMALL_LAYERS
        config["ctc_decoder_conf"] |= SMALL_LAYERS | {"n_layer": 1}
        config["ctc_vocab_size"] = 5000
    return config


def language_model(small: bool = False) -> dict[str, Any]:
    """Returns the language model's config.json."""
    sizes = QWEN3 | (SMALL_LLM if small else {})
    first = min(END_OF_TEXT, sizes["vocab_size"] - len(SPECIAL))
    return sizes | {"pad_token_id": first, "eos_token_id": first + 2}


def write_model(directory: Path, tokenizer: Path, small: bool = False) -> None:
    """Writes a model directory in ModelScope's layout with random weights in bf16.

    Args:
        tokenizer: a directory that `write_tokenizers` or `write_qwen_tokenizer` filled.
    """
    from telephone_asr.model import tiny

    tiny.write_model(directory, configuration(small), language_model(small), tokenizer, seed=0)


def write_without_ctc(directory: Path, source: Path) -> None:
    """Writes the same model as Hugging Face has it: without the weights of the CTC branch."""
    import torch

    from telephone_asr.model import layout, pretrained, writing

    state = pretrained.read_weights(source / "model.pt")
    writing.copy_beside(layout.read_config(source), directory)
    for name in ("config.yaml", "configuration.json"):
        (directory / name).write_bytes((source / name).read_bytes())
    kept = {n: t for n, t in state.items() if not n.startswith(pretrained.CTC_BRANCH)}
    torch.save({"state_dict": kept}, directory / "model.pt")


# --- Tokenizers


def write_tokenizers(directory: Path, small: bool = False) -> None:
    """Writes tokenizers of the published sizes, which need no file of anyone's: one token a
    character, and as many words that no text has as there is room for."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

    han = COMMON_HAN.decode("gb2312", errors="ignore") if small else HAN
    characters = sorted({*map(chr, range(32, 127)), *han, *"\n，。：？！、"})
    size, end = (language_model(small)[key] for key in ("vocab_size", "pad_token_id"))
    names = [*PROMPT_TOKENS, *characters]
    names += [f"<{i}>" for i in range(len(names), end)] + list(SPECIAL)
    names += [f"<{i}>" for i in range(len(names), size)]
    vocabulary = {name: i for i, name in enumerate(names)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=f"<{end - 1}>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in PROMPT_TOKENS])
    _save(tokenizer, characters, directory)


def write_qwen_tokenizer(directory: Path) -> None:
    """Writes Qwen3's own tokenizer, from the vocabulary that PyPI's dashscope holds: what a prompt
    costs, and a transcript, depends on how many tokens it is."""
    from importlib.metadata import distribution

    from transformers.convert_slow_tokenizer import TikTokenConverter

    files = distribution("dashscope").files or []
    vocabulary = next(file for file in files if file.name == "qwen.tiktoken").locate()
    converter = TikTokenConverter(
        vocab_file=str(vocabulary), pattern=QWEN_PATTERN, extra_special_tokens=list(SPECIAL)
    )
    _save(converter.converted(), [HAN], directory)


def _save(tokenizer: Any, texts: Iterable[str], directory: Path) -> None:
    """Writes it as the language model's, with a CTC vocabulary of every character of the texts."""
    from transformers import PreTrainedTokenizerFast

    from telephone_asr.model.tokenizer import build_tokenizers

    build_tokenizers(texts, directory)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=SPECIAL[0],
        eos_token=SPECIAL[2],
        clean_up_tokenization_spaces=False,
    ).save_pretrained(directory)


# --- Sound


class Sample(NamedTuple):
    """An utterance to be made."""

    key: str
    seconds: float
    text: str = TEXT


def write_samples(shards: Path, samples: Sequence[Sample], rate_hz: int = RATE_HZ) -> None:
    """Writes utterances of noise, which cost what speech does."""
    from telephone_asr.shards import Utterance, write_shards

    def utterances() -> Iterator[Utterance]:
        for i, sample in enumerate(samples):
            rng = np.random.default_rng(i)
            noise = 3000 * rng.standard_normal(round(rate_hz * sample.seconds))
            yield Utterance(sample.key, noise.astype(np.int16), rate_hz, sample.text, f"s{i % 4}")

    write_shards(shards, utterances(), shard_size=500)


def write_manifest(
    path: Path, samples: Sequence[Sample], source: str, rate_hz: int = RATE_HZ
) -> None:
    """Writes the manifest of such utterances; FunASR looks for their sound in `files` beside it."""
    from telephone_asr.manifests.messages import PROMPT, Example, manifest_line
    from telephone_asr.model.frontend import fbank_frames

    lines = []
    for i, sample in enumerate(samples):
        frames = fbank_frames(round(rate_hz * sample.seconds), rate_hz, rate_hz)
        sizes = frames, len(sample.text), sample.seconds
        example = Example(sample.key, sample.text, PROMPT, *sizes, f"s{i % 4}", "", source)
        lines.append(manifest_line(example, str(path.parent / "files" / f"{sample.key}.wav")))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_files(directory: Path, shards: Path, samples: Sequence[Sample]) -> list[Path]:
    """Writes the sound of utterances as files, as FunASR reads it."""
    import soundfile

    from telephone_asr.shards import sound_index

    sounds = sound_index(shards)
    directory.mkdir(parents=True, exist_ok=True)
    paths = [directory / f"{sample.key}.wav" for sample in samples]
    for path in paths:
        soundfile.write(path, *sounds.read(path.stem))
    return paths
