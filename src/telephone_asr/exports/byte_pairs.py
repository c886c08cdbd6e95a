"""A tokenizer as byte pairs, which is how runtimes in C++ read the one of Qwen3.

Theirs know one kind of tokenizer: text is split into words, each byte of a word is one of 256
letters, and pairs of pieces are joined as long as `merges` says so.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class BytePairs:
    """Holds a vocabulary in letters that stand for bytes, its merges, and the added tokens, which
    stand for themselves, by their ids."""

    vocabulary: dict[str, int]
    merges: list[tuple[str, str]]
    added: dict[str, int]
    content: dict[str, Any]  # of tokenizer.json


def read_byte_pairs(directory: Path) -> BytePairs:
    """Reads a directory's tokenizer.json, as it is or, of one that has a token for each character
    (the tiny model's), as byte pairs that give the same tokens."""
    from telephone_asr.model.layout import plain_tokenizer

    content = json.loads(plain_tokenizer(directory).to_str())
    model, added = content["model"], {t["content"]: t["id"] for t in content["added_tokens"]}
    if model["type"] == "BPE":
        merges = [tuple(m.split(" ") if isinstance(m, str) else m) for m in model["merges"]]
        return BytePairs(model["vocab"], merges, added, content)
    letters = byte_letters()
    vocabulary: dict[str, int] = {}
    pairs: dict[tuple[str, str], None] = {}
    for token, i in model["vocab"].items():
        pieces = [letters[byte] for byte in token.encode()]
        if token in added:
            continue
        vocabulary["".join(pieces)] = i
        # A character's first byte is never one of its later ones: what is joined within characters
        # never reaches from one into the next.
        pairs |= {("".join(pieces[:n]), pieces[n]): None for n in range(1, len(pieces))}
    return BytePairs(vocabulary, sorted(pairs, key=lambda m: len(m[0])), added, content)


def byte_letters() -> list[str]:
    """Returns the letter of each byte: itself where it can be seen, else the next one from U+0100
    on, as GPT-2 has it."""
    seen = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in seen]
    return [chr(256 + hidden.index(byte)) if byte in hidden else chr(byte) for byte in range(256)]
