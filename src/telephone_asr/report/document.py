"""Puts the whole report together as sections of blocks, from everything that the run left."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from telephone_asr.names import FINAL, TELEPHONE, TEST_SETS
from telephone_asr.report import corpora, figures, findings, slices, tables, utterances
from telephone_asr.report.blocks import FEW_CHARACTERS, Block, Document, Pictures, Section
from telephone_asr.report.findings import Changes, Findings
from telephone_asr.report.slices import Slice
from telephone_asr.scoring.transcripts import lines_of
from telephone_asr.titles import TITLES

SHOWN_SLICES = 10
NOBODY_SPEAKS = (
    "All that is written here is made up. The clips are made by other generators than those that "
    "are trained on (docs/scoring.md)."
)
HEARD_NOTHING = "None: nothing is written in any clip."
HOW_ALIGNED = (
    f"Of the model that ships, {TITLES[FINAL]}, by CER. Texts are aligned as they are scored: S is "
    "a substituted, D a deleted, I an inserted character."
)


def document(
    run: Findings,
    curves: Mapping[str, Mapping[str, figures.Curve]],
    of_corpora: Sequence[Block | None],
    of_line: Sequence[Block],
    read_call: utterances.Read,
    read_clip: utterances.Read,
) -> Document:
    """Returns everything in the order of a reader's questions.

    Args:
        curves: of each training.
        of_corpora: pictures and tables of the corpora, by who knows them.
        of_line: pictures of what the simulated line did.
        read_call: gives the sound of a call.
        read_clip: gives the sound of a clip in which nobody speaks.
    """
    changes = findings.compare(run.transcripts, run.seed, run.test_sets)
    calls = lines_of(run.transcripts, FINAL, "telecall")
    worst, random = (
        utterances.shown(own, read_call, run.scoring, texts=run.texts, names=run.names)
        for own in (utterances.worst(calls), utterances.drawn(calls, run.seed))
    )
    silent = utterances.shown(
        utterances.worst_made_up(run.made_up),
        *(read_clip, run.scoring, HEARD_NOTHING, run.texts, run.names),
    )
    hardest = slices.worse_than_all(run.metrics[FINAL]["telecall"])
    confusions = slices.confusion_tables(run.transcripts, run.scoring)
    aligned = HOW_ALIGNED if run.texts != "none" else None
    costs = [tables.cost_table(run.costs), tables.disk_table(run.stages)]
    data = [
        *(corpora.data_table(run.data), corpora.corpus_table(run.data)),
        *(corpora.test_set_table(run.data), corpora.quality_table(run.data)),
        *of_corpora,
    ]

    def section(name: str, title: str, blocks: Iterable[Block | None], *sets: str) -> Section:
        whole = titled(title, run.synthetic, sets or TEST_SETS)
        return Section(name, title, whole, [block for block in blocks if block])

    sections = [
        section("cer", "Character error rates", _rates(run, changes)),
        section("calls", "Where calls are still bad", _calls(run, hardest), "telecall"),
        section("confusions", "Confusions", confusions),
        section("nobody", "Where nobody speaks", _nobody(run, silent)),
        section("worst", "The worst utterances of the calls", [aligned, worst], "telecall"),
        section("random", "Utterances of the calls drawn at random", [random], "telecall"),
        section("training", "Training", _training(run, curves)),
        section("cost", "Cost", costs),
        section("data", "Data", data),
        section("line", "What the simulated line did", of_line, "simulated"),
        section("stages", "Stages", [tables.stage_table(run.stages)]),
    ]
    return Document(
        titled("Adaptation to telephone speech", run.synthetic),
        findings.lead(changes, hardest),
        findings.answers(run, changes, hardest),
        findings.notes(run),
        [one for one in sections if one.blocks],
    )


def titled(title: str, synthetic: Iterable[str], sets: Sequence[str] = TEST_SETS) -> str:
    """Returns the title, with word of those of its test sets that are synthetic.

    >>> titled("CER", ["telecall"], ["telecall"]), titled("CER", ["telecall"])
    ('CER (synthetic speech)', 'CER (synthetic: telephone calls)')
    """
    own = [name for name in sets if name in synthetic]
    if not own:
        return title
    if len(own) == len(sets):
        return f"{title} (synthetic speech)"
    return f"{title} (synthetic: {', '.join(TITLES[name] for name in own)})"


def _rates(run: Findings, changes: Changes) -> list[Block]:
    title = titled("Character error rates", run.synthetic)
    return [
        Pictures("cer", title, figures.cer(run.metrics, run.test_sets)),
        "Dots are CERs, lines their 95 % intervals; each test set has its own axis. "
        + tables.interval_note(run.transcripts, run.test_sets),
        tables.cer_table(run.metrics, run.transcripts, run.test_sets),
        "A change is the difference on the same utterances, in percentage points. An interval "
        "that holds 0 is within noise.",
        tables.change_table(changes),
    ]


def _calls(run: Findings, hardest: Sequence[Slice]) -> list[Block | None]:
    by_kind = [slices.slice_table(run.metrics, "telecall", kind) for kind in slices.SLICE_TITLES]
    note = f"CERs in brackets rest on fewer than {FEW_CHARACTERS} characters: too few to tell."
    return [
        slices.hardest_table(hardest[:SHOWN_SLICES]) if hardest else None,
        *by_kind,
        note if any(by_kind) else None,
        *(
            slices.heat_map(
                run.transcripts, name, f"CER % on {TITLES[name]} by SNR and codec, final"
            )
            for name in TELEPHONE
        ),
        slices.short_turn_table(run.metrics),
        slices.measure_table(run.metrics),
        tables.hotword_table(run.metrics),
    ]


def _nobody(run: Findings, silent: Block) -> list[Block | None]:
    table = slices.no_speech_table(run.metrics)
    title = TITLES[FINAL]
    said = f"The clips of each kind in which {title} writes most, with hotwords or without:"
    return [table, NOBODY_SPEAKS, said, silent] if table else []


def _training(run: Findings, curves: Mapping[str, Mapping[str, figures.Curve]]) -> list[Block]:
    panels = figures.curves(curves)
    title = titled("Loss and validation CER", run.synthetic)
    return [
        tables.training_table(run.checkpoints),
        tables.idle_note(run.checkpoints),
        "Each training is validated on the valid set of what it trains on (base: wideband), so "
        "the curves' CERs are not compared with each other.",
        Pictures("curves", title, panels) if panels else "",
    ]
