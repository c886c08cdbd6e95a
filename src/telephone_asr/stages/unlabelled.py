"""unlabelled: whole calls without transcripts into turns at 8 kHz, shards of data/unlabelled.

Every second of every channel is in metrics/unlabelled.json once, and what is left out, but for
silence, in left_out.jsonl with its reason: docs/unlabelled.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

import telephone_asr
from telephone_asr.channel.babble import BabblePool
from telephone_asr.corpora import several, spoken
from telephone_asr.errors import InputError
from telephone_asr.outs import check_places, new_out, write_json
from telephone_asr.params import Params, load_params
from telephone_asr.paths import (
    MANIFESTS,
    METRICS,
    OWN_SCRATCH,
    RAW,
    SCRATCH,
    TELECALL,
    TESTS,
    UNLABELLED,
)
from telephone_asr.program import run
from telephone_asr.shards import Utterance, read_shard, write_shards
from telephone_asr.simulation import with_own_sounds
from telephone_asr.textfiles import json_lines
from telephone_asr.workers import run_jobs

if TYPE_CHECKING:
    from telephone_asr.unlabelled.account import Account, Total
    from telephone_asr.unlabelled.importing import Embedded, HeldOut, Recorded
    from telephone_asr.unlabelled.turns import Rules

LEFT_OUT = "left_out.jsonl"
METRICS_FILE = METRICS / "unlabelled.json"
HELD_OUT = ("test", "valid")  # whose sound no recording may have in it
BABBLE_UTTERANCES = 150
FRAMES_A_SECOND = 100  # of filter.min_frames and max_frames
# What the turns depend on.
CODE = (
    "calls",
    "channel",
    "corpora",
    "sameness.py",
    "shards.py",
    "telephone_rate.py",
    "unlabelled",
)


def main() -> None:
    check_places()
    params = load_params()
    if not params.unlabelled.rounds:
        with new_out(UNLABELLED) as new:
            new.mkdir()
        write_json(METRICS_FILE, {"rounds": 0})  # `gate` takes a file without a number for broken
        print("unlabelled.rounds is 0: no calls without transcripts")
        return
    import_all(params)


def import_all(params: Params) -> None:
    """Cuts all recordings into turns, on all cores; interrupted, it goes on where it was."""
    from telephone_asr.scratch import Scratch
    from telephone_asr.unlabelled.account import Total
    from telephone_asr.unlabelled.importing import batches
    from telephone_asr.unlabelled.turns import Rules

    limits = params.filter.min_frames / FRAMES_A_SECOND, params.filter.max_frames / FRAMES_A_SECOND
    rules = Rules(params.corpus.max_hours, limits)
    held_out = _held_out()
    recorded = _recorded(params)
    identity = _identity(params, recorded, rules, held_out)
    scratch = Scratch(SCRATCH, "unlabelled", identity, spare=OWN_SCRATCH)
    pieces = scratch.directory.absolute() / "pieces"
    groups = batches(recorded)
    _import_groups(params, groups, pieces, rules, held_out)
    total = Total()
    with new_out(UNLABELLED) as new:
        new.mkdir()
        write_shards(new, _gather(pieces, len(groups), new, total), params.corpus.shard_size)
        assert total.recordings.total() == len(recorded), (total.recordings, len(recorded))
        if not total.turns:
            raise _nothing(params, new / LEFT_OUT)
    write_json(METRICS_FILE, total.metrics())
    scratch.close(remove=True)
    hours = total.metrics()["channel_hours"]
    print(
        f"{UNLABELLED}: {total.turns} turns of {total.recordings['used']} recordings of "
        f"{len(recorded)}, {hours['speech']:.2f} of {hours['all']:.2f} hours of their channels"
    )


def _held_out() -> HeldOut:
    """Returns test and validation calls, and test sets of the user's own, with absolute paths."""
    from telephone_asr.unlabelled.importing import HeldOut

    calls = tuple((MANIFESTS / "telecall" / f"{name}.jsonl").absolute() for name in HELD_OUT)
    own = (
        ((RAW / TESTS / name).absolute(), ((MANIFESTS / TESTS / name / "test.jsonl").absolute(),))
        for name in several.read_account(MANIFESTS / TESTS)
    )
    return HeldOut(((TELECALL.absolute(), calls), *own))


def _recorded(params: Params) -> list[Recorded]:
    """Returns the recordings that are meant, or the embedded calls that are to be made."""
    from telephone_asr.calls.inputs import Source, sources
    from telephone_asr.corpora import conversations
    from telephone_asr.unlabelled.importing import Recorded, with_ids

    own = params.corpus.unlabelled
    path = Path(own.path)
    if not path.exists():
        raise InputError(
            f"params.yaml: corpus.unlabelled.path: {path} does not exist; name a recording, a "
            "folder of them, or a list (.txt) with a path in each line."
        )
    if own.kind == "synthetic":
        calls = conversations.plan(spoken.read_index(path), params.seed)
        return [Recorded(call.id, call) for call in calls]
    meant = list(sources([path]))
    problems = [one for one in meant if isinstance(one, str)]
    if problems:
        more = f" (and {len(problems) - 1} more like it)" if len(problems) > 1 else ""
        said = problems[0].rstrip(".")
        raise InputError(f"params.yaml: corpus.unlabelled.path: {said}{more}.")
    return with_ids([one for one in meant if isinstance(one, Source)])


def _identity(params: Params, recorded: Sequence[Recorded], rules: Rules, held_out: HeldOut) -> str:
    """Returns what names the scratch directory: a hash of all that the turns depend on."""
    from telephone_asr.scratch import files_identity, fingerprint

    texts = [repr(rules), *(files_identity(shards) for shards, _ in held_out.sets)]
    manifests = [path for _, own in held_out.sets for path in own]
    for one in recorded:
        texts.append(repr(one))
        if isinstance(one.what, Path) and one.what.is_file():
            status = one.what.stat()
            texts.append(f"{status.st_size} {status.st_mtime_ns}")
    own = params.corpus
    if own.unlabelled.kind == "synthetic":
        texts += [repr(own.synthetic.line), str(params.seed), own.unlabelled.path]
    source = Path(telephone_asr.__file__).parent
    return fingerprint(texts, [*(source / name for name in CODE), *manifests])


def _import_groups(
    params: Params,
    groups: Sequence[Sequence[Recorded]],
    pieces: Path,
    rules: Rules,
    held_out: HeldOut,
) -> None:
    """Cuts the groups that are not cut yet. Raises InputError where too many are unusable."""
    from telephone_asr.unlabelled.importing import accounts_path, import_batch

    pieces.mkdir(parents=True, exist_ok=True)
    missing = [i for i in range(len(groups)) if not accounts_path(pieces, i).is_file()]
    embedded = _embedded(params, pieces) if missing else None
    jobs = ((groups[i], pieces, i, rules, held_out, embedded) for i in missing)
    total = sum(map(len, groups))
    before = total - sum(len(groups[i]) for i in missing)
    unusable = 0
    bar = tqdm(total=total, initial=before, desc="calls without transcripts", unit="recording")
    with bar, closing(run_jobs(import_batch, jobs)) as results:
        for accounts in results:
            bar.update(len(accounts))
            broken = [one for one in accounts if one.reason == "unusable"]
            unusable += len(broken)
            if unusable > params.corpus.max_rejected_share * total:
                raise InputError(
                    f"params.yaml: corpus.unlabelled.path: {unusable} of {total} recordings cannot "
                    "be used, more than corpus.max_rejected_share allows; one of them: "
                    f"{broken[-1].detail.rstrip('.')}."
                )


def _embedded(params: Params, pieces: Path) -> Embedded | None:
    from telephone_asr.unlabelled.importing import Embedded

    if params.corpus.unlabelled.kind != "synthetic":
        return None
    archives, line = Path(params.corpus.unlabelled.path).absolute(), params.corpus.synthetic.line
    pool = pieces / "babble.npz"
    if not pool.is_file():
        first = spoken.read(archives, spoken.read_index(archives)[:BABBLE_UTTERANCES])
        voices = ((one.speaker, samples / np.float32(32768)) for one, samples in first)
        built = BabblePool.build(voices, line.babble.talkers, params.seed)
        with_own_sounds(built, line, RAW).save(pool)
    return Embedded(archives, line, pool, params.seed)


def _gather(pieces: Path, n_pieces: int, new: Path, total: Total) -> Iterator[Utterance]:
    """Yields the turns of the recordings that are used, and writes down what is left out."""
    from telephone_asr.unlabelled.account import read_accounts
    from telephone_asr.unlabelled.copies import copies
    from telephone_asr.unlabelled.importing import accounts_path

    def accounts() -> Iterator[tuple[int, Account]]:
        for index in range(n_pieces):
            yield from ((index, one) for one in read_accounts(accounts_path(pieces, index)))

    originals = copies(accounts(), pieces)
    with open(new / LEFT_OUT, "w", encoding="utf-8", errors="replace") as left_out:
        for index, group in groupby(accounts(), key=itemgetter(0)):
            used = set()
            for _, account in group:
                if account.id in originals:
                    same = f"it has the sound of {originals[account.id]}"
                    account.take_whole("duplicate", same)
                total.add(account)
                if account.reason is None:
                    used.add(account.id)
                for line in account.lines():
                    left_out.write(json.dumps(line, ensure_ascii=False) + "\n")
            for turn in read_shard(pieces, index):
                if turn.custom["recording"] in used:
                    yield turn


def _nothing(params: Params, left_out: Path) -> InputError:
    first = next(json_lines(left_out, ""), {"reason": "nothing in it", "id": "", "detail": ""})
    return InputError(
        f"params.yaml: corpus.unlabelled.path: nothing of {params.corpus.unlabelled.path} can be "
        f"used; {first['id']}, for one: {first['reason']}, {first['detail']}."
    )


if __name__ == "__main__":
    run(main)
