"""What a plan trains and validates on: examples, their sound, what frozen parts make of it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import telephone_asr
from telephone_asr.channel.portable import generator
from telephone_asr.corpora.several import read_account
from telephone_asr.dataset.no_speech import NO_SPEECH as NOBODY
from telephone_asr.dataset.no_speech import read_clips
from telephone_asr.errors import InputError
from telephone_asr.manifests.messages import Example, read_manifest
from telephone_asr.manifests.reserved import read_reserved
from telephone_asr.model.frontend import Frontend
from telephone_asr.paths import MANIFESTS, NO_SPEECH, SCRATCH, SHARDS
from telephone_asr.paths import UNLABELLED as UNLABELLED_SHARDS
from telephone_asr.processes import shares
from telephone_asr.scratch import fingerprint
from telephone_asr.shards import sound_index
from telephone_asr.training.plan import SCRIPTS, UNLABELLED

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator

    from telephone_asr.dataset.pad import Padding
    from telephone_asr.dataset.speech import Change, Sounds, SpeechDataset
    from telephone_asr.model.pretrained import FunASRNano
    from telephone_asr.params import Params
    from telephone_asr.simulation import FreshLine
    from telephone_asr.training.plan import Plan
    from telephone_asr.training.scripts import Spoken

VERSIONS = ("torch", "transformers", "funasr", "peft", "accelerate")
CODE = Path(telephone_asr.__file__).parent
SIMULATED = "simulated"  # the source whose lines may be drawn anew


class Inputs:
    """Reads what a plan needs, and keeps frozen parts' outputs in the scratch directory."""

    def __init__(self, plan: Plan, params: Params, nano: FunASRNano, accelerator: Accelerator):
        self._plan, self._params, self._nano = plan, params, nano
        self._accelerator = accelerator
        self._prints: dict[Path, str] = {}

    def sets(self, frozen: str, scratch: Path) -> tuple[SpeechDataset, SpeechDataset, int]:
        """Returns the training set, the validation set, and how many of the former's examples are
        clips without speech, which come last.

        Args:
            frozen: a hash of the parts that are not trained.
            scratch: of this training.
        """
        from telephone_asr.dataset import batching

        plan, options = self._plan, self._params.train
        labelled = training_examples(plan.train)
        examples = list(labelled)
        if plan.mix:
            examples += _spread(training_examples(("wideband",)), round(plan.mix * len(labelled)))
        if plan.pseudo:  # beside what people wrote down, never in its place
            examples += _spread(read_manifest(plan.pseudo), round(plan.share * len(labelled)))
        scripts, spoken = self._scripts(labelled)
        examples += scripts
        assert examples[: len(labelled)] == labelled
        clips = self._clips(examples[0].prompt) if plan.no_speech else []
        valid = _spread(_read(plan.valid, "valid"), options.valid_utterances)
        # Of all processes together; a process reads its share of `valid` at every validation.
        cache_mb = options.cache_mb / self._accelerator.num_processes
        valid_mb = min(cache_mb, batching.features_mb(valid))
        train_set = self._dataset(examples, clips, frozen, cache_mb - valid_mb, scratch, spoken)
        return train_set, self._dataset(valid, (), frozen, valid_mb, None), len(clips)

    def prints(self) -> dict[str, str]:
        """Returns hashes of all files that are read, and of the code, by what they are called."""
        plan = self._plan
        sources = plan.sources | ({NOBODY} if plan.no_speech else set())
        paths = {MANIFESTS / source for source in plan.sources}
        if plan.pseudo:
            sources.add(UNLABELLED)
            paths.add(plan.pseudo)
        if plan.scripts:
            paths |= {plan.scripts, *(MANIFESTS / source / "test.jsonl" for source in SHARDS)}
        paths |= {*self._places(sources).values()}
        if fresh := self._plan.fresh_line:
            paths |= {*fresh.recorded}
        prints = {str(path): self._print_of(path) for path in sorted(paths)}
        return prints | {"src/telephone_asr": self._print_of(CODE)}

    def _scripts(self, labelled: Sequence[Example]) -> tuple[list[Example], Spoken | None]:
        """Returns the sentences that nobody spoke as examples, and what gives them a sound."""
        from telephone_asr.dataset.speech import SpeechDataset
        from telephone_asr.decoding.alignment import character_borders
        from telephone_asr.training import scripts

        plan, params, nano = self._plan, self._params, self._nano
        if plan.scripts is None:
            return [], None
        if not nano.has_ctc:
            raise InputError(
                "params.yaml: unlabelled.scripts: expected 0 where the base model has no CTC "
                "branch, which finds the pieces of speech that sentences are put together from."
            )
        reserved = read_reserved(MANIFESTS, params.split.short)
        sentences, in_test = scripts.read_scripts(plan.scripts, params.text.english, reserved)
        some = _spread(list(labelled), scripts.POOL)
        places = self._places(sorted({example.source for example in some}))
        sounds = {source: sound_index(place) for source, place in places.items()}
        dataset = SpeechDataset(some, sounds, Frontend(nano.config["frontend_conf"]), cache_mb=0)
        borders = character_borders(nano, dataset, plan.max_batch_rows)
        count = round(plan.scripts_share * len(labelled))
        inventory = scripts.Inventory(some, borders)
        examples, spoken = scripts.speak(
            sentences, count, inventory, sounds, nano.tokenizer, params.seed
        )
        self._accelerator.print(
            f"{plan.name}: {len(examples)} times one of {len(sentences)} sentences of "
            f"{plan.scripts}, in pieces of {len(some)} utterances; left out: {in_test} sentences "
            f"that a test set has, and {count - len(examples)} times what nobody says in them"
        )
        return examples, spoken

    def _clips(self, prompt: str) -> list[Example]:
        """Reads the clips in which nobody speaks, of which there must be some."""
        directory = NO_SPEECH / self._plan.without_speech
        if clips := read_clips(directory, prompt):
            return clips
        raise InputError(
            f"params.yaml: train.no_speech: {directory} holds no clips to train on: raise "
            "corpus.no_speech.minutes, or set train.no_speech to 0."
        )

    def _places(self, sources: Iterable[str]) -> dict[str, Path]:
        """Returns where the sound of each source lies."""
        places = {**SHARDS, NOBODY: NO_SPEECH / self._plan.without_speech}
        places[UNLABELLED] = UNLABELLED_SHARDS
        return {source: places[source] for source in sources}

    def _dataset(
        self,
        examples: Sequence[Example],
        clips: Sequence[Example],
        frozen: str,
        cache_mb: float,
        scratch: Path | None,
        spoken: Spoken | None = None,
    ) -> SpeechDataset:
        """Returns the examples and the clips at the plan's input stage, if the disk has room for
        it.

        Args:
            scratch: of a training, which has the plan's copies of each.
            spoken: the sound of sentences that nobody spoke.
        """
        from telephone_asr.dataset.speech import SpeechDataset

        plan = self._plan
        copies, fresh = (plan.copies, plan.fresh_line) if scratch else (0, None)
        pad = self._padding() if copies else None
        places = self._places(sorted({e.source for e in (*examples, *clips)} - {SCRIPTS}))
        made = {}
        if scratch and fresh:
            places.pop(SIMULATED, None)
            made[SIMULATED] = fresh.sounds(self._babble(fresh, scratch))
        sounds: dict[str, Sounds] = {s: sound_index(place) for s, place in places.items()}
        if spoken:
            sounds[SCRIPTS] = spoken
        dataset = SpeechDataset(
            examples,
            sounds,
            Frontend(self._nano.config["frontend_conf"]),
            cache_mb,
            copies=max(1, copies),
            change=self._change() if copies else None,
            clips=clips,
            pad=pad,
            fresh=made,
        )
        if plan.input_stage != "features" and examples:
            draws = CODE / "channel" / "portable.py"
            paths = [CODE / "dataset", CODE / "model", draws, *places.values()]
            if fresh:
                paths += [CODE / "channel", CODE / "simulation.py", *fresh.recorded]
            changes = [repr((plan.augment, fresh, pad)), str(self._params.seed)] if copies else []
            changes += [repr(spoken.pieces)] if spoken else []
            self._precompute(dataset, self._key(dataset, frozen, changes, paths))
        return dataset

    def _key(
        self, dataset: SpeechDataset, frozen: str, changes: list[str], paths: Iterable[Path]
    ) -> str:
        """Returns a hash of all that frozen parts' outputs depend on."""
        plan = self._plan
        texts = [plan.input_stage, frozen, repr(self._nano.config["frontend_conf"])]
        texts += [self._params.train.precision, self._accelerator.device.type]
        texts += [str(plan.max_batch_rows), *changes]
        texts += [*(e.key for e in dataset.examples), *map(version, VERSIONS)]
        return fingerprint([*texts, *map(self._print_of, paths)], [])

    def _precompute(self, dataset: SpeechDataset, key: str) -> None:
        """Replaces features by frozen parts' outputs, where the disk has room for them."""
        from accelerate.utils import gather_object

        from telephone_asr.dataset.precomputed import make_room
        from telephone_asr.dataset.speech import output_bytes

        plan, accelerator = self._plan, self._accelerator
        directory = SCRATCH / "frozen" / f"{plan.input_stage}-{key[:16]}"
        needed = output_bytes(self._nano, plan.input_stage, dataset.lengths)
        limit = round(self._params.train.cache_frozen_gb * 1e9)
        fits = not accelerator.is_local_main_process or make_room(directory, needed, limit)
        if all(gather_object([fits])):
            with accelerator.autocast():
                dataset.precompute(
                    *(self._nano, plan.input_stage, plan.max_batch_rows, directory),
                    *(shares(accelerator), accelerator.wait_for_everyone),
                )
        else:
            accelerator.print(
                f"{plan.name}: frozen parts' outputs for {len(dataset)} utterances would take "
                f"{needed / 1e9:.1f} GB, which train.cache_frozen_gb has no room for: they are "
                "computed in every step"
            )

    def _babble(self, fresh: FreshLine, scratch: Path) -> Path:
        """Returns the file of the babble that is heard on a line, mixed once for all who see it."""
        pool = scratch / "babble.npz"
        for rank, _ in shares(self._accelerator):
            if rank == 0 and not pool.exists():
                pool.parent.mkdir(parents=True, exist_ok=True)
                fresh.save_babble(pool)
            self._accelerator.wait_for_everyone()
        return pool

    def _padding(self) -> Padding | None:
        from telephone_asr.dataset.pad import Padding

        pad = self._plan.pad
        return Padding(pad.share, pad.most_s, self._params.seed) if pad and pad.share else None

    def _change(self) -> Change | None:
        from telephone_asr.dataset.augment import augmented

        options, seed = self._plan.augment, self._params.seed
        if options is None or not options.changes:
            return None  # copies that differ in their pauses or their lines alone

        def change(key: str, copy: int, rows: torch.Tensor) -> torch.Tensor:
            return augmented(rows, options, generator(seed, f"augment {key}", copy))

        return change

    def _print_of(self, path: Path) -> str:
        """Returns a hash of a directory's files, read once: corpora are large."""
        if path not in self._prints:
            self._prints[path] = fingerprint([], [path])
        return self._prints[path]


def _read(sources: tuple[str, ...], split: str) -> list[Example]:
    examples = [e for s in sources for e in read_manifest(MANIFESTS / s / f"{split}.jsonl")]
    if not examples:
        raise InputError(
            f"{MANIFESTS}: the {split} set of {' and '.join(sources)} is empty: import more "
            "speech, or change split in params.yaml."
        )
    return examples


def training_examples(sources: tuple[str, ...]) -> list[Example]:
    """Returns the training examples of an epoch: those of a corpus of a list as often as its weight
    says, at 0.5 every second one."""
    weights = {
        (source, name): one["weight"]
        for source in sources
        for name, one in read_account(MANIFESTS / source).items()
    }
    examples: list[Example] = []
    seen: Counter[tuple[str, str]] = Counter()
    for example in _read(sources, "train"):
        key = example.source, example.corpus
        n, weight = seen[key], weights.get(key, 1)
        seen[key] += 1
        examples += [example] * (math.floor((n + 1) * weight) - math.floor(n * weight))
    if not examples:
        raise InputError(
            f"{MANIFESTS}: nothing of {' and '.join(sources)} is trained on, since every corpus of "
            "it has weight 0: raise one in the list that params.yaml names."
        )
    return examples


def _spread(examples: list[Example], at_most: int) -> list[Example]:
    """Returns at most so many of them, evenly over the whole."""
    n = min(at_most, len(examples))
    return [examples[i * len(examples) // n] for i in range(n)]
