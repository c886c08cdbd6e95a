"""A plan of training, run: manifests and sound in, weights and curves out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sized
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from telephone_asr.model import parts
from telephone_asr.model.devices import allow_tf32, frozen_llm_in_bf16
from telephone_asr.params import Params
from telephone_asr.paths import METRICS, OWN_SCRATCH, SCRATCH
from telephone_asr.processes import accelerator, check_same, check_shared_out, of_main, put_together
from telephone_asr.scratch import Scratch, fingerprint
from telephone_asr.training.curves import curves
from telephone_asr.training.inputs import VERSIONS, Inputs
from telephone_asr.training.plan import Plan
from telephone_asr.training.track import require

if TYPE_CHECKING:
    import torch

    from telephone_asr.dataset.speech import SpeechDataset
    from telephone_asr.model.fun_asr_nano import Batch
    from telephone_asr.model.pretrained import FunASRNano
    from telephone_asr.training.loop import Result

# Of the train section: what every training depends on.
COMMON_OPTIONS = (
    *("average", "batches_per_step", "cache_frozen_gb", "clip", "evaluations", "hotwords"),
    *("precision", "processes", "valid_utterances", "warmup_share", "weight_decay"),
)


class Trainer:
    """Runs a plan; `finish` clears the scratch directory once the result is written.

    Args:
        work: the scratch directory of work that this training is a part of. What it keeps stays
            there until all of that is done.
    """

    def __init__(self, plan: Plan, params: Params, nano: FunASRNano, work: Path | None = None):
        self.plan, self.params, self.nano = plan, params, nano
        self._work = work
        require(params.train.track)
        self.accelerator = accelerator(params.train.precision)
        allow_tf32(nano.config)
        check_shared_out(params.train, self.accelerator.num_processes)
        self.is_main = self.accelerator.is_main_process
        self._share = self.accelerator.process_index, self.accelerator.num_processes
        self._inputs = Inputs(plan, params, nano, self.accelerator)

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
        train_set, valid_set, clips = self._inputs.sets(frozen, self.scratch.directory)
        self._announce(trained, train_set, valid_set, clips)
        # So many that they are this share of all.
        drawn = round((len(train_set) - clips) * plan.no_speech / (1 - plan.no_speech))
        schedule = batching.schedule(
            *(train_set.lengths, plan.max_batch_rows, plan.rounds, self.params.seed),
            drawn=drawn,
            of=clips,
        )
        tokens = [example.text_length for example in train_set.examples]
        largest = batching.largest(schedule, train_set.lengths, tokens)
        place, run = METRICS / "train" / plan.curves, self.scratch.directory.name
        with (
            curves(place, self.is_main, options.track, run, plan.settings) as on_row,
            frozen_llm_in_bf16(nano, options.precision),
        ):
            result = loop.train(
                Objective(
                    *(nano, train_set.input_stage),
                    *(plan.llm_weight, plan.ctc_weight, plan.guide_weight),
                ),
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
        """Clears the scratch directory, once the main process has written the result."""
        self.accelerator.wait_for_everyone()
        self.scratch.close(remove=self._work is None)

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

    def _open_scratch(self, trained: Mapping[str, torch.nn.Parameter], frozen: str) -> Scratch:
        """Opens the directory named by all that the result depends on."""
        depends_on = self._depends_on(trained, frozen)
        check_same(depends_on, self.accelerator)
        key = fingerprint([f"{name} {value}" for name, value in depends_on.items()], [])
        root, spare = (SCRATCH, OWN_SCRATCH) if self._work is None else (self._work, None)
        scratch = Scratch(root, self.plan.name, key, self.is_main, spare)
        main: Path = of_main(lambda: scratch.directory, self.accelerator)
        if main.exists():  # on this machine's disks, too
            scratch.directory = main
        return scratch

    def _depends_on(self, trained: Mapping[str, torch.nn.Parameter], frozen: str) -> dict[str, str]:
        """Returns plan, params, model, data, code and versions, by what they are called."""
        options = {name: getattr(self.params.train, name) for name in COMMON_OPTIONS}
        decode = self.params.decode
        numbers = (self.params.seed, decode.batch_size, decode.max_tokens)
        return {
            "params.yaml": repr((self.plan, options, numbers, self.nano.config["frontend_conf"])),
            "models": frozen + parts.weights_sha256(trained),
            **{name: version(name) for name in VERSIONS},
            **self._inputs.prints(),
        }

    def _announce(
        self,
        trained: Mapping[str, torch.nn.Parameter],
        train_set: Sized,
        valid_set: Sized,
        clips: int,
    ) -> None:
        plan, count = self.plan, sum(p.numel() for p in trained.values())
        total = sum(p.numel() for p in self.nano.model.parameters())
        n = (len(train_set) - clips) // max(1, plan.copies)
        changed = f" in {plan.copies} changed copies" if plan.copies else ""
        silent = f" and {plan.no_speech:.0%} of {clips} clips without speech" if clips else ""
        self.accelerator.print(
            f"{plan.name}: trains {count:,} of {total:,} parameters on {n} utterances of "
            f"{' and '.join(plan.heard)}{changed}{silent}, validates on {len(valid_set)}; "
            f"lr {plan.lr:g}, {plan.epochs} epochs; state in {self.scratch.directory}"
        )
