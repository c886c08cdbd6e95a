"""The tiny model's tokenizers: of the language model one token a character, and a few for the chat
template; and the vocabulary of the CTC branch."""

from __future__ import annotations

import base64
import string
from collections.abc import Iterable
from pathlib import Path

from telephone_asr.manifests.hotwords import AFTER, BEFORE
from telephone_asr.model.layout import CTC_VOCABULARY

PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
# Whole phrases of the prompt are one token each: a model of a few layers learns to listen only
# when little stands between the speech and the transcript.
PROMPT_TOKENS = (
    "user\n",
    "assistant\n",
    "语音转写：",
    "语音转写，不进行文本规整：",
    "\n",
    BEFORE,  # a list of hotwords
    AFTER,
)
ALWAYS = string.digits + string.ascii_letters + "，。？！、：； .,?!%-'"


def build_tokenizers(texts: Iterable[str], directory: Path) -> None:
    """Writes a Hugging Face tokenizer and a CTC vocabulary that know every character of the texts.

    A full-size language model's tokenizer knows every character there is; this one knows those of
    the corpora (and ASCII and punctuation), whichever set an utterance later falls into.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    characters = sorted(set(ALWAYS).union(*texts) - {"\n"})
    vocabulary = {token: i for i, token in enumerate([PAD, START, END, "<unk>", *characters])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens([PAD, START, END])
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in PROMPT_TOKENS])
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        unk_token="<unk>",
        clean_up_tokenization_spaces=False,
    ).save_pretrained(directory)
    lines = (
        f"{base64.b64encode(token).decode()} {rank}\n"
        for rank, token in enumerate(ctc_tokens(characters))
    )
    (directory / CTC_VOCABULARY).write_text("".join(lines), encoding="ascii")


def ctc_tokens(characters: Iterable[str]) -> list[bytes]:
    """Returns the tokens of a CTC vocabulary in the order of their ranks: every byte, and what
    byte pair encoding has to join so that each character is one token.

    In UTF-8 a character's first byte is never one of its later ones, so that what is joined within
    characters never reaches from one into the next.
    """
    encoded = sorted({character.encode() for character in characters}, key=lambda c: (len(c), c))
    beginnings = {c[:n] for c in encoded for n in range(2, len(c) + 1)}
    return [bytes([i]) for i in range(256)] + sorted(beginnings, key=lambda b: (len(b), b))
