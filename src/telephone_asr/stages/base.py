"""base: the model to adapt. A hub's snapshot, a directory, or the tiny one, trained here."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from telephone_asr.model import parts, pins
from telephone_asr.model.frontend import WIDEBAND_FS
from telephone_asr.model.hub import locate
from telephone_asr.model.layout import read_config
from telephone_asr.model.pretrained import CTC_BRANCH, load
from telephone_asr.model.writing import copy_beside, copy_configurations, save_weights
from telephone_asr.outs import check_places, new_out
from telephone_asr.params import Base, Params, load_params
from telephone_asr.paths import METRICS, MODELS, OWN_SCRATCH
from telephone_asr.program import run
from telephone_asr.training.plan import Plan
from telephone_asr.training.trainer import Trainer

BASE = MODELS / "base"


def main() -> None:
    check_places()
    params = load_params()
    if not params.base.is_tiny:
        with new_out(BASE) as new:
            copy_model(params.base, new)
        for name in ("base_ctc", "base_llm"):  # no training, no curves
            with new_out(METRICS / "train" / name) as new:
                new.mkdir()
    else:
        train_tiny(params)


def copy_model(base: Base, target: Path) -> None:
    """Copies the files of a Fun-ASR-Nano, the user's or a hub's snapshot, that are used, and of its
    configurations what they may say.

    Raises InputError where it is not to be had, is incomplete, or has other files than its pins.
    """
    source = locate(base.kind, base.path, base.repo, base.revision)
    files = pins.model_files(source)
    unknown = pins.check(files, Path(base.pins)) if base.pins is not None else {}
    if not load(source).has_ctc:  # which says whether it is whole
        print(f"{source} has no CTC branch: adapted without it, and without timestamps")
    if base.pins is not None and unknown:
        pins.record(unknown, Path(base.pins))
    target.mkdir(parents=True)
    shutil.copyfile(files[pins.WEIGHTS], target / pins.WEIGHTS)
    config = read_config(source)
    copy_beside(config, target)
    copy_configurations(source, config, target)


def train_tiny(params: Params) -> None:
    """Trains the tiny model on the wideband speech, in two steps.

    First CTC alone teaches the encoder to hear, and the adaptor to bring what it hears in few rows
    (`training.guide`); then the encoder is frozen, and the adaptor and the language model learn to
    write it, from whole and from spliced utterances. Training all of it at once, with the language
    model's loss alone, or without splicing, ends in a model that knows the sentences and does not
    listen.
    """
    from telephone_asr.model.tiny import as_published, write_tiny
    from telephone_asr.training import guide

    tiny = params.base.tiny
    building = OWN_SCRATCH / "base"  # becomes models/base when it is whole
    shutil.rmtree(building, ignore_errors=True)
    dither = params.frontend.dither
    write_tiny(building, tiny, MODELS / "tokenizer", WIDEBAND_FS, params.seed, dither)
    nano = load(building)
    guide.add_guide(nano, params.seed)

    # Without sound that nobody speaks in: CTC begins with blanks everywhere, and where a tenth of
    # the utterances ask for nothing else it stays there (validation CER 0.89 rather than 0.05).
    listening = Plan(
        name="base_ctc",
        train=("wideband",),
        valid=("wideband",),
        input_stage="features",
        seed=params.seed,
        llm_weight=0.0,
        ctc_weight=1.0,
        guide_weight=1.0,
        augment=params.train.augment,
        pad=params.train.pad,
        **vars(tiny.ctc),
    )
    hearing = ("audio_encoder.", *CTC_BRANCH, "audio_adaptor.", "llm.model.embed_tokens.")
    first = Trainer(listening, params, nano)
    by_ctc = first.run(parts.choose_trained(nano, (*hearing, f"{guide.NAME}.")))

    writing = replace(
        listening,
        name="base_llm",
        input_stage="encoded",
        llm_weight=1.0,
        ctc_weight=0.0,
        guide_weight=0.5,
        splice=True,
        no_speech=tiny.no_speech,
        **vars(tiny.llm),
    )
    second = Trainer(writing, params, nano)
    by_llm = second.run(
        parts.choose_trained(nano, ("audio_adaptor.", "llm.", f"{guide.NAME}.adaptor."))
    )
    guide.remove_guide(nano)

    save_weights(as_published(nano.model), building / "model.pt")
    with new_out(BASE) as new:
        shutil.move(building, new)
    first.finish()
    second.finish()
    print(f"{BASE}: validation CER {by_llm.cer:.4f} ({by_ctc.cer:.4f} by CTC alone)")


if __name__ == "__main__":
    run(main)
