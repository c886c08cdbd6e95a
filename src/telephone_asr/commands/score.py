"""`telephone-asr score`: how far one text file is from another."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from telephone_asr.errors import InputError
from telephone_asr.textfiles import read_lines

if TYPE_CHECKING:
    from rich.console import Console

    from telephone_asr.scoring.cer import ErrorRate
    from telephone_asr.scoring.options import Scoring

COLOURS = {"S": "bold red", "D": "bold blue", "I": "bold green", " ": ""}
LABEL = 5  # cells before each line of an alignment


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "score", help="error rate of a text file against a reference, both lines of `id text`"
    )
    parser.add_argument("reference", type=Path, metavar="REF")
    parser.add_argument("hypothesis", type=Path, metavar="HYP")
    parser.add_argument(
        "--utt2spk", type=Path, metavar="FILE", help="lines of `id speaker`, for the interval"
    )
    parser.add_argument(
        "--unit",
        choices=("character", "mixed"),
        default="character",
        help="mixed: English words count as one each (MER)",
    )
    parser.add_argument("--fillers", default="", metavar="嗯,呃", help="taken out of both texts")
    parser.add_argument(
        "--erhua", choices=("keep", "fold"), default="keep", help="fold: 这儿 is 这"
    )
    parser.add_argument(
        "--errors", type=int, default=10, metavar="N", help="show the N worst utterances"
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    from telephone_asr.scoring.options import Scoring

    fillers = tuple(word for word in arguments.fillers.split(",") if word.strip())
    options = Scoring(arguments.unit, fillers, arguments.erhua)
    paths = arguments.reference, arguments.hypothesis, arguments.utt2spk
    score_files(*paths, options, arguments.errors)


def score_files(
    reference: Path, hypothesis: Path, utt2spk: Path | None, options: Scoring, n_shown: int
) -> None:
    """Prints the rate with its counts and interval, then the worst utterances, aligned."""
    from rich.console import Console

    from telephone_asr.scoring.cer import score

    references, hypotheses = read_text(reference), read_text(hypothesis)
    _check_same_ids(reference, references, hypothesis, hypotheses)
    groups = read_text(utt2spk) if utt2spk else {key: key for key in references}
    if utt2spk:
        _check_has_ids(utt2spk, groups, references, "a line with its speaker")
    keys = list(references)
    texts = [references[key] for key in keys], [hypotheses[key] for key in keys]
    errors = dict(zip(keys, score(*texts, **vars(options)), strict=True))
    if not sum(one.length for one in errors.values()):
        raise InputError(f"{reference} has no text to score against: lines are `id text`.")
    console = Console(highlight=False)  # no colours where NO_COLOR is set or nobody looks
    drawn = "speakers" if utt2spk else "utterances"
    for line in totals(errors, [groups[key] for key in keys], options, drawn):
        console.print(line, soft_wrap=True)
    wrong = [key for key in keys if errors[key].errors]
    for key in sorted(wrong, key=lambda k: (-errors[k].errors, -errors[k].rate))[:n_shown]:
        print_alignment(console, key, references[key], hypotheses[key], errors[key], options)


def totals(
    errors: Mapping[str, ErrorRate], groups: Sequence[str], options: Scoring, drawn: str
) -> list[str]:
    """Says the rate of all utterances, and what it is made of."""
    from telephone_asr.scoring.cer import ErrorRate
    from telephone_asr.scoring.compare import FEWEST_GROUPS, bootstrap_interval
    from telephone_asr.scoring.normalise import VERSION

    low, high = bootstrap_interval(list(errors.values()), groups, seed=0)
    total, n_groups = sum(errors.values(), ErrorRate()), len(set(groups))
    name, units = ("CER", "characters") if options.unit == "character" else ("MER", "units")
    few = "" if n_groups >= FEWEST_GROUPS else ", too few to trust it"
    return [
        f"{name} {100 * total.rate:.2f} %, 95 % interval {100 * low:.2f} to {100 * high:.2f} "
        f"(bootstrap over {n_groups:,} {drawn}{few})",
        f"{total.substitutions:,} substituted, {total.deletions:,} deleted, "
        f"{total.insertions:,} inserted, of {total.length:,} {units} in {len(errors):,} "
        f"utterances; normaliser {VERSION}",
    ]


def print_alignment(
    console: Console, key: str, reference: str, hypothesis: str, error: ErrorRate, options: Scoring
) -> None:
    """Prints both texts, normalised, under each other, with a line of S, D and I below them."""
    from rich.text import Text

    from telephone_asr.scoring.alignment import blocks, columns
    from telephone_asr.scoring.cer import units
    from telephone_asr.scoring.normalise import normalise_for_scoring

    lists = (
        units(normalise_for_scoring(text, options.fillers, options.erhua), options.unit)
        for text in (reference, hypothesis)
    )
    rate = f"{100 * error.rate:.1f} %" if error.length else "no reference"
    console.print(
        Text(f"\n{key}: {rate}, S {error.substitutions} D {error.deletions} I {error.insertions}"),
        soft_wrap=True,
    )
    for block in blocks(columns(*lists), max(console.width - LABEL, 10)):
        rows = {
            "ref": [column.reference for column in block],
            "hyp": [column.hypothesis for column in block],
            "": [column.mark.ljust(column.cells) for column in block],
        }
        for label, texts in rows.items():
            line = Text(label.ljust(LABEL))
            for column, text in zip(block, texts, strict=True):
                line.append(text, COLOURS[column.mark])
            line.rstrip()
            if line:
                console.print(line, soft_wrap=True)


def read_text(path: Path) -> dict[str, str]:
    """Reads a Kaldi text file: an id, white space, the text; a line with an id alone has no text.

    Raises InputError for a file that is missing or not UTF-8, and for an id that is there twice.
    """
    texts: dict[str, str] = {}
    places: dict[str, int] = {}
    for number, line in read_lines(path):
        if line.startswith('{"'):
            raise InputError(
                f"{path} is JSONL: make lines of `id text` of it (of the --output of evaluate: "
                "`jq -r '.key + \" \" + .text'`)."
            )
        key, *rest = line.split(maxsplit=1)
        if key in texts:
            raise InputError(
                f"{path}:{number}: the id {key} is already on line {places[key]}; each utterance "
                "needs an id of its own."
            )
        texts[key], places[key] = rest[0].strip() if rest else "", number
    return texts


def _check_same_ids(
    reference: Path, references: Mapping, hypothesis: Path, hypotheses: Mapping
) -> None:
    _check_has_ids(hypothesis, hypotheses, references, "a line, the id alone if nothing was heard")
    _check_has_ids(reference, references, hypotheses, "a reference")


def _check_has_ids(path: Path, there: Mapping, wanted: Mapping, needed: str) -> None:
    missing = [key for key in wanted if key not in there]
    if missing:
        more = f" and {len(missing) - 1:,} more" if len(missing) > 1 else ""
        raise InputError(f"{path} lacks {missing[0]}{more}: every utterance needs {needed}.")
