"""`telephone-asr evaluate --whole-calls`: recordings as `transcribe` hears them, scored."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

from telephone_asr.commands.left_out import count_left_out, name_left_out
from telephone_asr.errors import InputError
from telephone_asr.textfiles import printable

if TYPE_CHECKING:
    from telephone_asr.calls.references import Reference
    from telephone_asr.calls.scores import CallScore
    from telephone_asr.corpora.items import Item
    from telephone_asr.model.pretrained import FunASRNano
    from telephone_asr.params import Params
    from telephone_asr.scoring.cer import ErrorRate
    from telephone_asr.shards import Rejected

SHOWN = 10  # of the channels with the highest rates
NAME = 32  # characters of a call's name
COLUMNS = ("characters", "sub.", "del.", "ins.")
SIDES = {None: "", 0: "left", 1: "right"}


def evaluate_calls(
    nano: FunASRNano,
    items: Sequence[Item],
    path: Path,
    file: IO[bytes] | None,
    params: Params,
) -> None:
    """Prints the error rates of the calls of a list, and writes what is heard on each channel.

    What cannot be used is named on stderr, and counted. Raises InputError where nothing can be
    scored.
    """
    from telephone_asr.calls.references import references
    from telephone_asr.shards import Rejected

    listed = list(references(items))
    rejected = [one for one in listed if isinstance(one, Rejected)]
    wanted = [one for one in listed if not isinstance(one, Rejected)]
    scores: list[CallScore] = []
    started = time.perf_counter()
    for score in _scores(nano, wanted, params):
        if isinstance(score, Rejected):
            rejected.append(score)
            continue
        scores.append(score)
        if file:
            lines = (json.dumps(line, ensure_ascii=False) for line in lines_of(score, path.name))
            file.write("".join(f"{line}\n" for line in lines).encode())
    if not scores:
        raise InputError(
            f"--whole-calls: {path} holds no call that can be scored; the first, "
            f"{rejected[0].id}, is left out ({rejected[0].reason}): {rejected[0].detail}"
        )
    name_left_out(rejected)
    for line in [*rates(scores, params.seed), *by_time(scores)]:
        print(printable(line))
    heard_s = sum(score.duration_s for score in scores)
    factor = (time.perf_counter() - started) / max(heard_s, 1e-3)
    print(f"{count_left_out(rejected)}; {heard_s / 3600:.2f} h, real-time factor {factor:.3f}")


def _scores(
    nano: FunASRNano, wanted: Sequence[Reference], params: Params
) -> Iterator[CallScore | Rejected]:
    from tqdm import tqdm

    from telephone_asr.calls.recording import Choice
    from telephone_asr.calls.scores import score_call
    from telephone_asr.calls.transcriber import transcribe_calls
    from telephone_asr.shards import Rejected

    choice = Choice(max_hours=params.corpus.max_hours)
    paths = [reference.path for reference in wanted]
    words = params.decode.hotwords
    calls = transcribe_calls(nano, paths, choice, params.decode.batch_size, hotwords=words)
    bar = tqdm(zip(wanted, calls, strict=True), "whole calls", len(wanted), unit=" calls")
    for reference, call in bar:
        if isinstance(call, Rejected):
            yield Rejected(reference.name, call.reason, call.detail)
        else:
            yield score_call(reference, call, params.scoring)


def lines_of(score: CallScore, source: str) -> Iterator[dict]:
    """Yields what is written of each channel of a call: a line of transcripts, and more."""
    from telephone_asr.scoring.transcripts import transcript_line

    for own in score.channels:
        line = transcript_line(
            key=score.name if own.channel is None else f"{score.name}#{own.channel}",
            source=source,
            speaker=score.name,
            scene="",
            duration_s=score.duration_s,
            snr_db=None,
            reference=own.reference,
            text=own.text,
            cut_off=any(turn.cut_off for turn in own.turns),
            error=own.error,
        )
        turns = [
            {"start": turn.start_s, "end": turn.end_s, "text": turn.text} for turn in own.turns
        ]
        by_time = vars(own.by_time) if own.by_time else None
        yield {**line, "channel": own.channel, "by_time": by_time, "turns": turns}


# --- What is printed


def rates(scores: Sequence[CallScore], seed: int) -> Iterator[str]:
    """Yields the table: all calls with their interval, each channel, the worst channels."""
    from telephone_asr.scoring.cer import ErrorRate
    from telephone_asr.scoring.compare import bootstrap_interval

    channels = [(score.name, own) for score in scores for own in score.channels]
    errors = [own.error for _, own in channels]
    yield f"{'':{NAME}} {'CER':>8} " + " ".join(f"{name:>10}" for name in COLUMNS)
    yield _row(f"{len(scores)} calls", sum(errors, ErrorRate()))
    sides = sorted({own.channel for _, own in channels}, key=lambda channel: channel or 0)
    for side in sides if len(sides) > 1 else ():
        own_errors = (own.error for _, own in channels if own.channel == side)
        yield _row(_side(side) or "both", sum(own_errors, ErrorRate()))
    worst = sorted(channels, key=lambda one: -one[1].error.rate) if len(scores) > 1 else []
    for name, own in worst[:SHOWN]:
        label = f" {_side(own.channel)}"
        yield _row(name[-(NAME - len(label)) :] + label, own.error)
    if len(worst) > SHOWN:
        yield f"and {len(worst) - SHOWN} with lower rates"
    if len(scores) > 1 and sum(errors, ErrorRate()).length:
        low, high = bootstrap_interval(errors, [name for name, _ in channels], seed)
        yield f"95 % interval {low:.2%} to {high:.2%} (by call)"
    if cut_off := sum(turn.cut_off for _, own in channels for turn in own.turns):
        yield f"{cut_off} turns are cut off at the limit of tokens"


def _side(channel: int | None) -> str:
    return SIDES.get(channel, f"channel {(channel or 0) + 1}")


def _row(name: str, error: ErrorRate) -> str:
    rate = f"{error.rate:.2%}" if error.length else "-"
    counts = (error.length, error.substitutions, error.deletions, error.insertions)
    return f"{name:{NAME}} {rate:>8} " + " ".join(f"{count:10,}" for count in counts)


def by_time(scores: Iterable[CallScore]) -> Iterator[str]:
    """Yields what the times of turns tell, of the calls that have them."""
    from telephone_asr.calls.scores import ByTime
    from telephone_asr.calls.time_constrained import COLLAR_S

    timed = [score for score in scores if score.channels[0].by_time]
    total = sum((own.by_time for one in timed for own in one.channels if own.by_time), ByTime())
    if not timed:
        return
    per_minute = total.in_silence / max(total.silence_s / 60, 1e-9)
    parts = {
        "recognition": (total.recognition, "of the turns that are heard, where they are said"),
        "missed": (
            total.missed,
            f"in {total.missed_turns} of {total.turns} turns: nothing is written during them",
        ),
        "in silence": (
            total.in_silence,
            f"{per_minute:.1f} a minute of the {total.silence_s / 60:.1f} in which nobody speaks",
        ),
        "tcpCER": (total.tcp, f"within {COLLAR_S:g} s of where it is said"),
    }
    tcorc = [score.tcorc for score in timed]
    if None not in tcorc:
        parts["tcORC-CER"] = sum(one or 0 for one in tcorc), "on whichever channel it is written"
    yield f"by the turns' times, of {total.length:,} characters:"
    for name, (count, what) in parts.items():
        rate = f"{count / total.length:.2%}" if total.length else "-"
        yield f"{'  ' + name:{NAME}} {rate:>8} {count:10,} {what}"
