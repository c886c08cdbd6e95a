"""The whole report as sections of blocks, from everything that the run left."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from telephone_asr.report import answers, figures, slice_tables, tables, utterances
from telephone_asr.report.blocks import FEW_CHARACTERS, Block, Document, Pictures, Section
from telephone_asr.report.data_tables import data_table, quality_table
from telephone_asr.report.findings import CHECKPOINTS, FINAL, SETS, Findings, compare, lines_of
from telephone_asr.report.slices import KINDS, heat_map, worse_than_all

SHOWN_SLICES = 10


def document(
    findings: Findings,
    curves: Mapping[str, Mapping[str, figures.Curve]],
    corpora: Sequence[Block],
    line: Sequence[Block],
    read_call: utterances.Read,
) -> Document:
    """Everything in the order of a reader's questions.

    Args:
        curves: of each training.
        corpora: pictures and tables of the corpora, by who knows them.
        line: pictures of what the simulated line did.
        read_call: gives the sound of a call.
    """
    synthetic, data = findings.synthetic, findings.data
    found = compare(findings.transcripts, findings.seed)
    changes = {(one.test_set, one.before, one.after): one for one in found}
    calls = lines_of(findings.transcripts, FINAL, "telecall")
    random = utterances.drawn(calls, findings.seed)
    hardest = worse_than_all(findings.metrics[FINAL]["telecall"])

    def section(name: str, title: str, blocks: Iterable[Block | None], *sets: str) -> Section:
        whole = titled(title, synthetic, sets or tuple(SETS))
        return Section(name, title, whole, [block for block in blocks if block])

    sections = [
        section("cer", "Character error rates", _rates(findings, found)),
        section("calls", "Where calls are still bad", _calls(findings, hardest), "telecall"),
        section(
            "confusions",
            "Confusions",
            slice_tables.confusion_tables(findings.transcripts, findings.scoring),
        ),
        section(
            "worst",
            "The worst utterances of the calls",
            [
                f"Of the model that ships, {CHECKPOINTS[FINAL]}, by CER. Texts are aligned as they "
                "are scored: S is a substituted, D a deleted, I an inserted character.",
                utterances.shown(utterances.worst(calls), read_call, findings.scoring),
            ],
            "telecall",
        ),
        section(
            "random",
            "Utterances of the calls drawn at random",
            [utterances.shown(random, read_call, findings.scoring)],
            "telecall",
        ),
        section("training", "Training", _training(findings, curves)),
        section(
            "cost", "Cost", [tables.cost_table(findings.costs), tables.disk_table(findings.stages)]
        ),
        section("data", "Data", [data_table(data), quality_table(data), *corpora]),
        section("line", "What the simulated line did", line, "simulated"),
        section("stages", "Stages", [tables.stage_table(findings.stages)]),
    ]
    return Document(
        titled("Adaptation to telephone speech", synthetic),
        answers.lead(changes, hardest),
        answers.answers(findings, changes, hardest),
        answers.notes(findings),
        [one for one in sections if one.blocks],
    )


def titled(title: str, synthetic: Iterable[str], sets: Sequence[str] = tuple(SETS)) -> str:
    """The title, with word of those of its test sets that are synthetic.

    >>> titled("CER", ["telecall"], ["telecall"]), titled("CER", ["telecall"])
    ('CER (synthetic speech)', 'CER (synthetic: telephone calls)')
    """
    own = [name for name in sets if name in synthetic]
    if not own:
        return title
    if len(own) == len(sets):
        return f"{title} (synthetic speech)"
    return f"{title} (synthetic: {', '.join(SETS[name] for name in own)})"


def _rates(findings: Findings, found: Sequence) -> list[Block]:
    title = titled("Character error rates", findings.synthetic)
    return [
        Pictures("cer", title, figures.cer(findings.metrics)),
        "Dots are CERs, lines their 95 % intervals; each test set has its own axis. "
        + tables.interval_note(findings.transcripts),
        tables.cer_table(findings.metrics, findings.transcripts),
        "A change is the difference on the same utterances, in percentage points. An interval "
        "that holds 0 is within noise.",
        tables.change_table(found),
    ]


def _calls(findings: Findings, hardest: Sequence) -> list[Block | None]:
    by_kind = [slice_tables.slice_table(findings.metrics, "telecall", kind) for kind in KINDS]
    note = f"CERs in brackets rest on fewer than {FEW_CHARACTERS} characters: too few to tell."
    return [
        slice_tables.hardest_table(hardest[:SHOWN_SLICES]) if hardest else None,
        *by_kind,
        note if any(by_kind) else None,
        *(
            heat_map(findings.transcripts, name, f"CER % on {SETS[name]} by SNR and codec, final")
            for name in ("telecall", "simulated")
        ),
        slice_tables.measure_table(findings.metrics),
    ]


def _training(findings: Findings, curves: Mapping) -> list[Block]:
    panels = figures.curves(curves)
    title = titled("Loss and validation CER", findings.synthetic)
    return [
        tables.training_table(findings.checkpoints),
        tables.idle_note(findings.checkpoints),
        "Each training is validated on the valid set of what it trains on (base: wideband), so "
        "the curves' CERs are not compared with each other.",
        Pictures("curves", title, panels) if panels else "",
    ]
