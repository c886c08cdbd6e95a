"""Calls with two channels, made of the embedded speech, whose turns are known."""

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from repository_fixtures import ROOT

sys.path.append(str(ROOT / "bench"))
from calls import RATE_HZ, Said, make_call, trimmed

SPEECH = ROOT / "src" / "telephone_asr" / "corpora" / "speech" / "calls"


@pytest.fixture(scope="session")
def spoken_utterances() -> list[tuple[np.ndarray, str]]:
    """Embedded utterances at 8 kHz, without the silence around them."""
    import soxr

    from telephone_asr.corpora import spoken

    index = [one for one in spoken.read_index(SPEECH) if one.seconds > 1][:40]
    return [
        (trimmed(soxr.resample(samples / np.float32(32768), 16000, RATE_HZ)), one.text)
        for one, samples in spoken.read(SPEECH, index)
    ]


@pytest.fixture(scope="session")
def made_call(
    tmp_path_factory, spoken_utterances
) -> Callable[[float, int], tuple[Path, list[Said]]]:
    """made_call(minutes, seed=0): a stereo file and what is said in it."""
    folder = tmp_path_factory.mktemp("calls")

    def make(minutes: float, seed: int = 0) -> tuple[Path, list[Said]]:
        path = folder / f"call-{minutes}-{seed}.wav"
        return path, make_call(path, spoken_utterances, minutes, seed)

    return make


@pytest.fixture(scope="session")
def by_heart(made_once, spoken_utterances) -> tuple[Path, list[tuple[np.ndarray, str]]]:
    """A tiny model whose CTC branch knows a dozen utterances by heart, and these."""
    known = spoken_utterances[:12]
    texts = [text for _, text in spoken_utterances]
    return made_once("by-heart", lambda folder: learn(known, texts, folder)) / "model", known


def learn(known: list[tuple[np.ndarray, str]], texts: list[str], folder: Path) -> None:
    import torch
    from torch.nn.utils.rnn import pad_sequence

    from model_fixtures import TINY
    from telephone_asr.channel.portable import to_int16
    from telephone_asr.model.frontend import Frontend
    from telephone_asr.model.fun_asr_nano import ctc_loss, encode
    from telephone_asr.model.pretrained import load
    from telephone_asr.model.tiny import write_tiny
    from telephone_asr.model.tokenizer import build_tokenizers
    from telephone_asr.model.writing import save_weights

    build_tokenizers(texts, folder / "tokenizer")
    size = dataclasses.replace(TINY, encoder_dim=64)
    write_tiny(folder / "model", size, folder / "tokenizer", 16000, seed=1)
    nano = load(folder / "model")
    nano.model.requires_grad_(True)
    frontend = Frontend(nano.config["frontend_conf"])
    # With more and less of a quiet line around them, as a detector may cut them.
    rng, batches = np.random.default_rng(0), []
    for _ in range(8):
        around = [np.zeros(n, np.float32) for n in rng.integers(0, RATE_HZ // 3, 24)]
        sounds = [
            np.concatenate([around[2 * n], samples, around[2 * n + 1]])
            for n, (samples, _) in enumerate(known)
        ]
        quiet = [one + 1e-4 * rng.standard_normal(len(one)) for one in sounds]
        rows = [frontend(to_int16(one * 32768), RATE_HZ) for one in quiet]
        batches.append((pad_sequence(rows, True), torch.tensor([len(row) for row in rows])))
    trained = [p for name, p in nano.model.named_parameters() if not name.startswith("llm.")]
    optimizer = torch.optim.AdamW(trained, lr=2e-3)
    for step in range(200):
        encoded = encode(nano, *batches[step % len(batches)])
        loss = ctc_loss(nano, [text for _, text in known], *encoded)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 5.0)
        optimizer.step()
        optimizer.zero_grad()
    save_weights(nano.model.state_dict(), folder / "model" / "model.pt")
