"""What a run might have left, small and with known errors, for the tests of the report."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from telephone_asr.names import CHECKPOINTS, TEST_SETS, TRAINED
from telephone_asr.report.blocks import Document
from telephone_asr.report.document import document
from telephone_asr.report.findings import Findings
from telephone_asr.report.lock import StageState
from telephone_asr.scoring.slices import summary

UTTERANCES, SPEAKERS = 30, 10
SAID = "甲乙丙丁戊己庚辛壬癸"
# Wrong characters of each utterance: stage 1 helps, stage 2 helps some calls as much as it hurts
# others, stage 3 hurts; merging changes nothing; wideband gets worse throughout.
CALLS = {
    "base": lambda i: 5,
    "encoder": lambda i: 2,
    "adaptor": lambda i: 2 + (-1) ** i,
    "lora": lambda i: 4,
    "final": lambda i: 4,
}
HEARD = {"insertions_per_minute": 1.5, "share_with_text": 0.25, "cut_off": 0}
WIDEBAND = {"base": 1, "encoder": 2, "adaptor": 2, "lora": 3, "final": 3}


def line(source: str, i: int, errors: int, **fields) -> dict:
    telephone = source != "wideband"
    return {
        "key": f"{source}-{i:02d}",
        "source": source,
        "speaker": f"speaker-{i % SPEAKERS}",
        "scene": ("sales", "debt")[i % 2],
        "duration": 2.5 + i % 3,
        "snr_db": 8.0 + i % 10 if telephone else 40.0,
        "codec": ("alaw", "gsm+alaw", "amr_nb_4750+alaw")[i % 3] if telephone else None,
        "lost_packets": 0.02 * (i % 2) if telephone else None,
        "reference": SAID,
        "text": "错" * errors + SAID[errors:],
        "substitutions": errors,
        "deletions": 0,
        "insertions": 0,
        "characters": len(SAID),
        **fields,
    }


def transcripts() -> dict[str, list[dict]]:
    return {
        name: [
            *(line("telecall", i, CALLS[name](i)) for i in range(UTTERANCES)),
            *(line("simulated", i, CALLS[name](i)) for i in range(UTTERANCES)),
            *(line("wideband", i, WIDEBAND[name]) for i in range(UTTERANCES)),
        ]
        for name in CHECKPOINTS
    }


def metrics(of: dict[str, list[dict]] | None = None) -> dict[str, dict]:
    """As `evaluate` writes them."""
    return {
        name: {s: summary([x for x in lines if x["source"] == s], seed=0) for s in TEST_SETS}
        | {"no_speech": {"silence": {**HEARD, "hotwords": HEARD}}}
        for name, lines in (of or transcripts()).items()
    }


def corpus(**fields) -> dict:
    return {
        "in": 1000,
        "kept": 970,
        "train": 800,
        "valid": 90,
        "test": 80,
        "rejected": {},
        "annotation_errors": 0,
        "hours": 1.5,
        "speakers": 20,
        "mean_speech_length": 250.0,
        "mean_text_length": 9.0,
        "share_all_fields": 1.0,
        "share_audio_exists": 1.0,
        "mb_per_hour": 28.0,
        **fields,
    }


def findings(**fields) -> Findings:
    rejected = {"annotation_error": 20, "too_short": 10}
    checkpoint = {"trainable_parameters": 1234567, "lr": 5e-4, "steps": 300, "valid_cer": 0.25}
    whole = Findings(
        metrics=metrics(),
        transcripts=transcripts(),
        data={
            "simulated": corpus(),
            "wideband": corpus(),
            "telecall": corpus(rejected=rejected, annotation_errors=20, share_audio_exists=0.9999),
        },
        checkpoints={
            name: {**checkpoint, "step": 0 if name == "lora" else 200} for name in TRAINED
        },
        export={
            **{"utterances": 60, "equal": 57, "cer": 0.4, "funasr_cer": 0.405},
            "without_dither": {"utterances": 60, "equal": 60},
        },
        synthetic=frozenset(),
        seed=0,
        costs={"evaluate_lora": {"seconds": 95.2, "real_time_factor": 0.0123}},
        stages=[
            StageState("corpus", "Speech", True, {"data/raw": 83_000_000}),
            StageState("train_lora", "Stage 3", True, {"models/lora": 61_900}),
            StageState("export", "Merged", False, {}),
        ],
    )
    return replace(whole, **fields)


CURVES = {
    "base_ctc": {},
    "encoder": {"loss": [(10, 2.0), (20, 1.0)], "cer": [(0, 3.7), (20, 0.2)]},
    "lora": {"cer": [(0, 0.0)]},
}


def read_call(key: str) -> tuple[np.ndarray, int]:
    """One second of a tone, another for each call."""
    pitch_hz = 200 + sum(key.encode())
    tone = np.sin(2 * np.pi * pitch_hz * np.arange(8000) / 8000)
    return np.rint(8000 * tone).astype(np.int16), 8000


def whole_document(**fields) -> Document:
    return document(findings(**fields), CURVES, ["CORPORA"], ["LINE"], read_call, read_call)
