"""Plans of trainings: what differs from one to the next."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from telephone_asr.dataset.speech import InputStage
    from telephone_asr.params import Augment, Pad
    from telephone_asr.simulation import FreshLine

UNLABELLED = "unlabelled"  # the source of speech that has the model's own transcripts
SCRIPTS = "scripts"  # and of sentences that are put together from what was spoken
COPIES = 4  # changed ones of an utterance that frozen parts hear, at the most


@dataclass(frozen=True)
class Plan:
    """Says of one training: on what, how long, and towards what."""

    name: str  # of the scratch directory, the curves and the progress bar
    train: tuple[str, ...]  # sources: wideband, simulated, telecall
    valid: tuple[str, ...]
    input_stage: InputStage  # what comes before it is frozen and computed beforehand
    lr: float
    seed: int
    epochs: int
    max_batch_rows: int  # of 60 ms, padding counted
    llm_weight: float
    ctc_weight: float
    mix: float = 0.0  # wideband utterances for each of `train`, so that nothing is forgotten
    no_speech: float = 0.0  # share of all utterances in which nobody speaks
    splice: bool = False  # see training/splice.py
    guide_weight: float = 0.0  # of the losses of training/guide.py, which the model then has
    augment: Augment | None = None
    pad: Pad | None = None
    fresh_line: FreshLine | None = None  # of simulated speech; None: as data/simulated has it
    round_: int = 0  # of self-training, 0: before it
    pseudo: Path | None = None  # a manifest of data/unlabelled with the model's own transcripts
    share: float = 0.0  # of these for each utterance of `train`, at the most
    scripts: Path | None = None  # sentences that nobody spoke, see training/scripts.py
    scripts_share: float = 0.0  # of these for each utterance of `train`

    @property
    def curves(self) -> str:
        """Returns where the training's curves lie, below those of all."""
        return f"rounds/{self.round_}/{self.name}" if self.round_ else self.name

    @property
    def rounds(self) -> int:
        """Returns how often everything is heard. Where utterances have copies, a round holds all of
        them, drawn into batches together: that leaves the tiny base's language model better than
        one copy an epoch does (validation CER 0.143 and 0.170)."""
        if not self.has_copies:
            return self.epochs
        most = self.epochs if self.input_stage == "features" else COPIES
        return -(-self.epochs // max(1, most))

    @property
    def copies(self) -> int:
        """Returns how many copies of an utterance are heard, as many as there are epochs in a
        round; 0: it is heard as it is. Frozen parts hear each of them beforehand."""
        return -(-self.epochs // self.rounds) if self.has_copies and self.rounds else 0

    @property
    def has_copies(self) -> bool:
        changes = (self.augment and self.augment.changes) or (self.pad and self.pad.share)
        return bool(changes or self.fresh_line)

    @property
    def settings(self) -> dict[str, int | float | str]:
        """Returns what it is compared with other trainings by, where curves are looked at."""
        return {key: one for key, one in vars(self).items() if isinstance(one, (int, float, str))}

    @property
    def trains_on(self) -> tuple[str, ...]:
        return (*self.train, *(("wideband",) if self.mix else ()))

    @property
    def heard(self) -> tuple[str, ...]:
        """Returns the sources of all speech that is trained on."""
        more = {UNLABELLED: self.pseudo, SCRIPTS: self.scripts}
        return (*self.trains_on, *(source for source, path in more.items() if path))

    @property
    def without_speech(self) -> str:
        """Returns which clips without speech it is trained on: those of its own band."""
        return "wideband" if self.train == ("wideband",) else "train"

    @property
    def sources(self) -> set[str]:
        """Returns all corpora that it reads."""
        return {*self.trains_on, *self.valid}
