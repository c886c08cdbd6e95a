"""A plan of training, run: manifests and sound in, weights and curves out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import telephone_asr
from telephone_asr.dataset.no_speech import NO_SPEECH as NOBODY
from telephone_asr.dataset.no_speech import read_clips
from telephone_asr.errors import InputError
from telephone_asr.manifests.messages import Example, read_manifest
from telephone_asr.model import parts
from telephone_asr.model.devices import allow_tf32
from telephone_asr.model.frontend import Frontend
from telephone_asr.params import Params
from telephone_asr.paths import MANIFESTS, METRICS, NO_SPEECH, OWN_SCRATCH, SCRATCH, SHARDS
from telephone_asr.processes import accelerator, put_together
from telephone_asr.scratch import Scratch, fingerprint
from telephone_asr.shards import sound_index
from telephone_asr.training.curves import curves
from telephone_asr.training.plan import Plan

if TYPE_CHECKING:
    import torch

    from telephone_asr.dataset.speech import Change, SpeechDataset
    from telephone_asr.model.fun_asr_nano import Batch
    from telephone_asr.model.pretrained import FunASRNano
    from telephone_asr.training.loop import Result

# Of the train section: what every training depends on.
COMMON_OPTIONS = (
    *("average", "batches_per_step", "cache_frozen_gb", "clip", "evaluations", "hotwords"),
    *("precision", "processes", "valid_utterances", "warmup_share", "weight_decay"),
)
VERSIONS = ("torch", "transformers", "funasr", "peft", "accelerate")
CODE = Path(telephone_asr.__file__).parent


class Trainer:
    """Runs a plan; `finish` clears the scratch directory once the result is written."""

    def __init__(self, plan: Plan, params: Params, nano: FunASRNano):
        self.plan, self.params, self.nano = plan, params, nano
        self.accelerator = accelerator(params.train.precision)
        allow_tf32(nano.config)
        self.is_main = self.accelerator.is_main_process
        self._share = self.accelerator.process_index, self.accelerator.num_processes
        self._prints: dict[Path, str] = {}

    def run(self, trained: Mapping[str, torch.nn.Parameter]) -> Result:
        """Trains the parameters `trained`, which must be the only ones that require gradients."""
        from telephone_asr.dataset import batching
        from telephone_asr.model.recompute import recompute_layers
        from telephone_asr.training import loop
        from telephone_asr.training.objective import Objective

        plan, options, nano = self.plan, self.params.train, self.nano
        frozen = parts.frozen_sha256(nano)
        nano.model.to(self.accelerator.device)
        if options.gradient_checkpointing:
            recompute_layers(nano)
        self.scratch = self._open_scratch(trained, frozen)
        examples = _read(plan.train, "train")
        if plan.mix:
            examples += _spread(_read(("wideband",), "train"), round(plan.mix * len(examples)))
        clips = self._clips(examples[0].prompt) if plan.no_speech else []
        valid = _spread(_read(plan.valid, "valid"), options.valid_utterances)
        # Of all processes together; a process reads its share of `valid` at every validation.
        cache_mb = options.cache_mb / self.accelerator.num_processes
        valid_mb = min(cache_mb, batching.features_mb(valid))
        train_set = self._dataset(examples, frozen, cache_mb - valid_mb, plan.copies, clips)
        valid_set = self._dataset(valid, frozen, valid_mb)
        self._announce(trained, train_set, valid_set, len(clips))
        # So many that they are this share of all of an epoch.
        drawn = (len(train_set) - len(clips)) * plan.no_speech / (1 - plan.no_speech)
        schedule = batching.schedule(
            *(train_set.lengths, plan.max_batch_rows, plan.epochs, self.params.seed),
            drawn=round(drawn),
            of=len(clips),
        )
        tokens = [example.text_length for example in train_set.examples]
        largest = batching.largest(schedule, train_set.lengths, tokens)
        with curves(METRICS / "train" / plan.name, self.is_main) as on_row:
            result = loop.train(
                Objective(nano, train_set.input_stage, plan.llm_weight, plan.ctc_weight),
                trained,
                self._batch_at(train_set, schedule, largest),
                len(schedule),
                largest,
                lambda: self._cer(valid_set),
                plan,
                options,
                self.scratch,
                on_row,
                self.accelerator,
            )
        if parts.frozen_sha256(nano) != frozen:
            raise RuntimeError(f"{plan.name}: a frozen weight has changed during training")
        return result

    def finish(self) -> None:
        """Clears the scratch directory, once the result is written."""
        self.scratch.close(remove=True)

    def _clips(self, prompt: str) -> list[Example]:
        """Reads the clips in which nobody speaks, of which there must be some."""
        directory = NO_SPEECH / self.plan.without_speech
        if clips := read_clips(directory, prompt):
            return clips
        raise InputError(
            f"params.yaml: train.no_speech: {directory} holds no clips to train on: raise "
            "corpus.no_speech.minutes, or set train.no_speech to 0."
        )

    def _places(self, sources: Iterable[str]) -> dict[str, Path]:
        """Returns where the sound of each source lies."""
        places = {**SHARDS, NOBODY: NO_SPEECH / self.plan.without_speech}
        return {source: places[source] for source in sources}

    def _cer(self, dataset: SpeechDataset) -> float:
        """Returns the CER of the model as it is now; each process transcribes its share."""
        from telephone_asr.decoding.recognise import transcribe
        from telephone_asr.scoring.cer import ErrorRate, score
        from telephone_asr.scoring.cut_off import count_cut_off

        decode = self.params.decode
        by_ctc = not self.plan.llm_weight
        with self.accelerator.autocast():
            texts = transcribe(
                self.nano, dataset, decode.batch_size, decode.max_tokens, by_ctc, self._share
            )
        texts = put_together(texts)
        if cut_off := count_cut_off(texts):
            self.accelerator.print(
                f"{self.plan.name}: {cut_off} of {len(texts)} validation texts are cut off at "
                f"{decode.max_tokens} tokens (decode.max_tokens)"
            )
        return sum(score([e.text for e in dataset.examples], texts), ErrorRate()).rate

    def _batch_at(
        self, dataset: SpeechDataset, schedule: list[list[int]], largest: list[int]
    ) -> Callable[[int], Batch]:
        """Returns what maps a number to its batch, with hotwords in its prompts."""
        from telephone_asr.training.hotwords import PromptLists

        hotwords, batch_at = self.params.train.hotwords, self._plain_batch_at(dataset, schedule)
        if not (hotwords.share and self.plan.llm_weight):
            return batch_at
        texts = [example.text for example in dataset.examples]
        lists = PromptLists(texts, **vars(hotwords), seed=self.params.seed, always=largest)
        return lambda number: lists.put_into(batch_at(number), number)

    def _plain_batch_at(
        self, dataset: SpeechDataset, schedule: list[list[int]]
    ) -> Callable[[int], Batch]:
        from telephone_asr.decoding.alignment import character_borders
        from telephone_asr.training.splice import Splicer

        if not self.plan.splice:
            return lambda number: dataset.batch(schedule[number])
        borders = character_borders(self.nano, dataset, self.plan.max_batch_rows)
        return Splicer(dataset, borders, schedule, self.params.seed).batch

    def _dataset(
        self,
        examples: list[Example],
        frozen: str,
        cache_mb: float,
        copies: int = 0,
        clips: Sequence[Example] = (),
    ) -> SpeechDataset:
        """Returns the examples, or so many changed copies of each, and the clips, at the plan's
        input stage, if the disk has room for it."""
        from accelerate.utils import broadcast_object_list

        from telephone_asr.dataset.precomputed import make_room
        from telephone_asr.dataset.speech import SpeechDataset, output_bytes

        plan, options = self.plan, self.params.train
        sources = sorted({e.source for e in (*examples, *clips)})
        frontend = Frontend(self.nano.config["frontend_conf"])
        places = self._places(sources)
        sounds = {source: sound_index(place) for source, place in places.items()}
        dataset = SpeechDataset(
            *(examples, sounds, frontend, cache_mb),
            copies=max(1, copies),
            change=self._change() if copies else None,
            clips=clips,
        )
        if plan.input_stage == "features" or not examples:
            return dataset
        texts = [plan.input_stage, frozen, repr(self.nano.config["frontend_conf"])]
        texts += [options.precision, self.accelerator.device.type]
        texts += [
            str(plan.max_batch_rows),
            repr(copies and plan.augment),
            *(e.key for e in dataset.examples),
            *map(version, VERSIONS),
        ]
        texts += map(self._print_of, [CODE / "model", *places.values()])
        key = fingerprint(texts, [])
        directory = SCRATCH / "frozen" / f"{plan.input_stage}-{key[:16]}"
        needed, limit = (
            output_bytes(self.nano, plan.input_stage, dataset.lengths),
            options.cache_frozen_gb,
        )
        fits = [self.is_main and make_room(directory, needed, round(limit * 1e9))]
        if broadcast_object_list(fits) == [True]:
            with self.accelerator.autocast():
                dataset.precompute(
                    self.nano, plan.input_stage, plan.max_batch_rows, directory, self._share
                )
            self.accelerator.wait_for_everyone()
        else:
            self.accelerator.print(
                f"{plan.name}: frozen parts' outputs for {len(dataset)} utterances would take "
                f"{needed / 1e9:.1f} GB, which train.cache_frozen_gb has no room for: they are "
                "computed in every step"
            )
        return dataset

    def _change(self) -> Change:
        from telephone_asr.dataset.augment import augmented

        options, seed = self.plan.augment, self.params.seed
        assert options is not None  # a plan with copies has it
        return lambda i, rows: augmented(rows, options, np.random.default_rng([seed, i]))

    def _open_scratch(self, trained: Mapping[str, torch.nn.Parameter], frozen: str) -> Scratch:
        """Opens the directory named by all that the result depends on: plan, params, model, data,
        code, versions."""
        from accelerate.utils import broadcast_object_list

        options = {name: getattr(self.params.train, name) for name in COMMON_OPTIONS}
        decode = self.params.decode
        texts = [repr(self.plan), repr(options), str(decode.batch_size), str(decode.max_tokens)]
        texts += [str(self.params.seed), frozen, repr(self.nano.config["frontend_conf"])]
        texts += [parts.weights_sha256(trained), *map(version, VERSIONS)]
        paths = [MANIFESTS / source for source in self.plan.sources]
        sources = self.plan.sources | ({NOBODY} if self.plan.no_speech else set())
        paths += self._places(sources).values()
        texts += map(self._print_of, [*sorted(paths), CODE])
        key = fingerprint(texts, [])
        scratch = Scratch(SCRATCH, self.plan.name, key, self.is_main, OWN_SCRATCH)
        [scratch.directory] = broadcast_object_list([scratch.directory])
        return scratch

    def _print_of(self, path: Path) -> str:
        """Returns a hash of a directory's files, read once: corpora are large."""
        if path not in self._prints:
            self._prints[path] = fingerprint([], [path])
        return self._prints[path]

    def _announce(
        self,
        trained: Mapping[str, torch.nn.Parameter],
        train_set: Sized,
        valid_set: Sized,
        clips: int,
    ) -> None:
        plan, count = self.plan, sum(p.numel() for p in trained.values())
        total = sum(p.numel() for p in self.nano.model.parameters())
        silent = f" and {plan.no_speech:.0%} of {clips} clips without speech" if clips else ""
        self.accelerator.print(
            f"{plan.name}: trains {count:,} of {total:,} parameters on {len(train_set) - clips} "
            f"utterances of {' and '.join(plan.trains_on)}{silent}, validates on {len(valid_set)}; "
            f"lr {plan.lr:g}, {plan.epochs} epochs; state in {self.scratch.directory}"
        )


def _read(sources: tuple[str, ...], split: str) -> list[Example]:
    examples = [e for s in sources for e in read_manifest(MANIFESTS / s / f"{split}.jsonl")]
    if not examples:
        raise InputError(
            f"{MANIFESTS}: the {split} set of {' and '.join(sources)} is empty: import more "
            "speech, or change split in params.yaml."
        )
    return examples


def _spread(examples: list[Example], at_most: int) -> list[Example]:
    """Returns at most so many of them, evenly over the whole."""
    n = min(at_most, len(examples))
    return [examples[i * len(examples) // n] for i in range(n)]
