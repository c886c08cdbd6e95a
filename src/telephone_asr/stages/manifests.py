"""manifests: the three corpora as FunASR manifests, every utterance kept or rejected by reason."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Any

from tqdm import tqdm

from telephone_asr.corpora import several, unwatched
from telephone_asr.errors import InputError
from telephone_asr.manifests import fresh_line, sorting, text
from telephone_asr.manifests.account import Tally, accounts, reasons_of
from telephone_asr.manifests.messages import manifest_line, prompt_for
from telephone_asr.manifests.reserved import compared
from telephone_asr.manifests.sorting import Kept, Rules, Survey, Verdicts
from telephone_asr.manifests.split import SPLITS, Sets, Split, assign_split, read_frozen
from telephone_asr.model.frontend import WIDEBAND_FS, fbank_frames
from telephone_asr.model.layout import plain_tokenizer
from telephone_asr.names import OWN
from telephone_asr.outs import new_out, write_json
from telephone_asr.params import Params, load_params
from telephone_asr.paths import (
    FROZEN_SPLITS,
    MANIFESTS,
    METRICS,
    MODELS,
    RAW,
    SHARDS,
    TESTS,
    UNPACKED,
)
from telephone_asr.program import run
from telephone_asr.shards import (
    REJECTED,
    SIMULATED_PREFIX,
    Rejected,
    read_cuts,
    simulated_id,
    sound_index,
    stored_sound,
)
from telephone_asr.textfiles import json_lines

# Utterances that were never decoded are counted with the corpus they would have been in.
UNREAD = {"wideband": RAW / "wideband", "simulated": RAW / "wideband", "telecall": RAW / "calls"}
# A simulated utterance is where the one that it was made of is.
FROZEN = {name: FROZEN_SPLITS / f"{name}.txt" for name in ("wideband", "telecall")}
FROZEN["simulated"] = FROZEN["wideband"]
CutsOf = Callable[[str, str], sorting.Cuts]  # of a corpus; why it is read


def main() -> None:
    params = load_params()
    lists = {"test_sets": params.corpus.test_sets}
    unwatched.warn(params.corpus.wideband.path, params.corpus.calls.path, **lists)
    rules = _rules(params)
    recorded = _survey("wideband", _cuts(None, "wideband", "surveys"), rules)
    cuts_of = partial(_cuts, recorded.sets if params.train.fresh_line else None)
    tests = {name: _survey_tests(name, rules) for name in several.read_account(RAW / TESTS)}
    sorted_, tested = _sort_all(rules, recorded, cuts_of, tests)
    # No sentence that a model is tested on may have been in its training, in whatever corpus.
    every = (*sorted_.values(), *tested.values())
    sentences = set().union(*(verdicts.test_sentences for _, verdicts in every))
    for source, (_, verdicts) in sorted_.items():
        sorting.leave_out_test_sentences(cuts_of(source, "compares"), rules, verdicts, sentences)
    _check_sets(sorted_, params.split)
    metrics = {}
    for source, (corpus, verdicts) in sorted_.items():
        with new_out(MANIFESTS / source) as new:
            metrics[source] = make_manifests(new, source, rules, corpus, verdicts, cuts_of)
    shutil.rmtree(MANIFESTS / TESTS, ignore_errors=True)
    speakers = set().union(*(verdicts.speakers for _, verdicts in sorted_.values()))
    own = _make_tests(rules, tested, speakers)
    write_json(METRICS / "data.json", metrics | ({OWN: own} if own else {}))
    for source, row in metrics.items():
        rejected = sum(row["rejected"].values())
        print(
            f"{MANIFESTS / source}: {row['kept']} kept, {rejected} rejected, {row['in']} in all; "
            f"{row['share_written']:.1%} have digits or punctuation, so the prompt is "
            f"'{row['prompt']}'"
        )


def _rules(params: Params) -> Rules:
    tokenizer = plain_tokenizer(MODELS / "tokenizer")
    return Rules(
        filter=params.filter,
        split=params.split,
        english=params.text.english,
        count_frames=partial(fbank_frames, fs=WIDEBAND_FS),  # as many as at 8 kHz
        tokenise=lambda texts: [encoding.ids for encoding in tokenizer.encode_batch(texts)],
        unknown=tokenizer.token_to_id(tokenizer.model.unk_token or ""),
        compared=compared,
    )


def _cuts(made: Sets | None, source: str, title: str) -> sorting.Cuts:
    """Returns what reads a corpus's cuts. made: the sets of the recordings, where simulated speech
    is made in the training."""

    def read() -> Iterable[dict]:
        cuts = read_cuts(SHARDS[source])
        if made is not None and source == "simulated":
            cuts = fresh_line.with_made(read_cuts(SHARDS["wideband"]), cuts, made)
        # disable=None: a log that no terminal shows needs no bars of a few seconds.
        return tqdm(cuts, f"{title} {source}", unit="utterance", leave=False, disable=None)

    return read


Sorted = dict[str, tuple[Survey, Verdicts]]  # by source, or by the name of a test set


def _sort_all(
    rules: Rules, recorded: Survey, cuts_of: CutsOf, tests: Mapping[str, Survey]
) -> tuple[Sorted, Sorted]:
    """Sorts all corpora: no recording is in two of them, but for what was simulated of it; and the
    test sets of the user's own, none of whose recordings is learnt.

    Args:
        recorded: the survey of the wideband one.
        tests: those of the user's own test sets.
    """
    surveys = {
        s: recorded if s == "wideband" else _survey(s, cuts_of(s, "surveys"), rules) for s in SHARDS
    }
    twins = sorting.same_sounds(
        *((surveys[s], _reader(SHARDS[s])) for s in ("wideband", "telecall")),
        *((survey, _reader(RAW / TESTS / name)) for name, survey in tests.items()),
    )
    tested, sounds = _sort_tests(rules, tests, twins)
    both = Kept(twins)
    kept = {"wideband": both, "telecall": both}
    of_simulated = {simulated_id(key): [simulated_id(t) for t in twins[key]] for key in twins}
    kept["simulated"] = Kept(of_simulated)
    simulated = Kept(of_simulated, sounds.by_hash, {simulated_id(id_) for id_ in sounds.ids})
    sorted_ = {}
    for source, corpus in surveys.items():
        corpus.sounds.clear()
        wideband, judge = source != "telecall", cuts_of(source, "judges")
        tests_ = simulated if source == "simulated" else sounds
        verdicts = sorting.decide(judge, rules, corpus, wideband, kept[source], tests_)
        sorted_[source] = corpus, verdicts
    return sorted_, tested


def _reader(shards: Path) -> sorting.Read:
    """Returns a reader of a corpus's sound, which makes its index when something is read."""
    index = cache(lambda: sound_index(shards))
    return lambda key: index().read(key)


def _sort_tests(
    rules: Rules, tests: Mapping[str, Survey], twins: Mapping[str, Sequence[str]]
) -> tuple[Sorted, Kept]:
    """Sorts the user's own test sets, of which two may have the same sound; returns what is kept of
    all of them, too."""
    account, tested, every = several.read_account(RAW / TESTS), Sorted(), Kept(twins)
    for name, survey in tests.items():
        survey.sounds.clear()
        kept, wideband = Kept(twins), account[name]["band"] == "wideband"
        verdicts = sorting.decide(_test_cuts(name, "judges"), rules, survey, wideband, kept)
        tested[name] = survey, verdicts
        every.by_hash |= kept.by_hash
        every.ids |= kept.ids
    return tested, every


def _survey_tests(name: str, rules: Rules) -> Survey:
    survey = sorting.survey(_test_cuts(name, "surveys"), rules, None)
    survey.sets = sorting.AllTested(rules.split, None, survey.sets.speakers)
    return survey


def _test_cuts(name: str, title: str) -> sorting.Cuts:
    cuts = partial(read_cuts, RAW / TESTS / name)
    return lambda: tqdm(cuts(), f"{title} {name}", unit="utterance", leave=False, disable=None)


def _make_tests(rules: Rules, tested: Sorted, speakers: set[str]) -> dict[str, dict]:
    """Writes the manifests of the user's own test sets; returns what is said of them. speakers:
    those of the corpora."""
    account, told = several.read_account(RAW / TESTS), {}
    for name, (survey, verdicts) in tested.items():
        if "test" not in verdicts.sets:
            reason, detail = next(iter(verdicts.rejected.values()))
            raise InputError(
                f"params.yaml: corpus.test_sets: nothing of {name} can be tested with; one of its "
                f"utterances: {reason}, {detail}."
            )
        with new_out(MANIFESTS / TESTS / name) as new:
            row = make_manifests(new, name, rules, survey, verdicts, _test_cuts)
        shared = len(verdicts.speakers & speakers)
        told[name] = {**account[name], **row, "speakers_in_corpora": shared}
    if told:
        shutil.copyfile(RAW / TESTS / several.ACCOUNT, MANIFESTS / TESTS / several.ACCOUNT)
    return told


def _survey(source: str, cuts: sorting.Cuts, rules: Rules) -> Survey:
    frozen = read_frozen(FROZEN[source]) if rules.split.frozen else None
    prefix = SIMULATED_PREFIX if source == "simulated" else ""
    survey = sorting.survey(cuts, rules, frozen, prefix)
    if frozen and not survey.sets.frozen_speakers:
        raise InputError(
            f"{FROZEN[source]} names {len(frozen)} utterances, and none of them is in {source}: "
            "set split.frozen to false, or freeze this corpus's test set "
            "(`telephone-asr data freeze`)."
        )
    return survey


def make_manifests(
    directory: Path,
    source: str,
    rules: Rules,
    corpus: Survey,
    verdicts: Verdicts,
    cuts_of: CutsOf,
) -> dict:
    """Writes train, valid, test, rejected and changed.jsonl of one corpus, or of a test set of the
    user's own; returns its metrics."""
    shards, imported = (d.get(source, RAW / TESTS / source) for d in (SHARDS, UNREAD))
    unread = json_lines(imported / REJECTED, "run `dvc repro corpus`")
    rejected = [Rejected(**entry) for entry in unread]
    total = len(verdicts.sets) + len(rejected)
    directory.mkdir(parents=True)
    account = several.copy_account(imported, directory)
    shares = {name: sorting.share_written(corpus, verdicts, name) for name in account}
    share = shares[""] = sorting.share_written(corpus, verdicts)
    prompts = {name: prompt_for(own) for name, own in shares.items()}
    tally, changed = Tally(), []
    by_corpus = {name: Tally() for name in account}
    cuts = cuts_of(source, "writes")
    with ExitStack() as files:
        lines = {
            name: files.enter_context(open(directory / f"{name}.jsonl", "w", encoding="utf-8"))
            for name in (SPLITS if source in SHARDS else ("test",))
        }
        for place, (cut, example, how) in enumerate(
            sorting.examples(cuts, rules, corpus, prompts, source)
        ):
            before = cut["supervisions"][0]["text"]
            if how:
                changed.append({"id": example.key, "rules": how, "before": before})
            own = (tally, *([by_corpus[example.corpus]] if account else []))
            if (set_ := verdicts.sets[place]) is None:
                rejected.append(Rejected(example.key, *verdicts.rejected[place], example.corpus))
                continue
            if set_ == sorting.NO_SPEECH:
                for one in own:
                    one.silent.append({"id": example.key})
                continue
            lies = SHARDS["wideband"] if fresh_line.is_made(cut) else shards
            suffix, exists = stored_sound(lies, cut)
            audio = UNPACKED / source / f"{example.key}.{suffix}"
            lines[set_].write(manifest_line(example, audio.as_posix()) + "\n")
            for one in own:
                one.add(set_, example, exists)
    _write_lines(directory / "rejected.jsonl", (entry.fields() for entry in rejected))
    _write_lines(directory / "changed.jsonl", changed)
    if tally.silent:
        _write_lines(directory / sorting.NO_SPEECH_LIST, tally.silent)
    assert tally.kept + len(rejected) == total, (source, tally.kept, len(rejected), total)
    said: dict[str, Any] = {"prompt": prompts[""], "share_written": round(share, 4)}
    if account:
        told = said["corpora"] = accounts(account, by_corpus, rejected)
        for name, row in told.items():
            row |= {"prompt": prompts[name], "share_written": round(shares[name], 4)}
    return _metrics(source, total, tally, reasons_of(rejected), corpus, verdicts) | said


def _check_sets(sorted_: Mapping[str, tuple[Survey, Verdicts]], split: Split) -> None:
    """Raises InputError where a set of a corpus has nothing in it."""
    for source, (_, verdicts) in sorted_.items():
        sizes = Counter(verdicts.sets)
        if not any(sizes[name] for name in SPLITS):
            counts = Counter(reason for reason, _ in verdicts.rejected.values())
            reasons = ", ".join(f"{reason} {n:,}" for reason, n in counts.most_common())
            raise InputError(
                f"params.yaml: filter: all {len(verdicts.sets)} utterances of {source} are "
                f"rejected ({reasons}); loosen the limits (docs/data.md)."
            )
        if empty := [name for name in SPLITS if not sizes[name]]:
            same = sum(reason == "sentence_in_test" for reason, _ in verdicts.rejected.values())
            raise InputError(
                f"params.yaml: split.seed: with {split.seed}, nothing of {source} "
                f"({len(verdicts.speakers)} speakers; {same} utterances left out for a sentence of "
                f"a test set, see split.short) is in its {empty[0]} set: choose "
                f"{_better(sorted_, split)}."
            )


def _better(sorted_: Mapping[str, tuple[Survey, Verdicts]], split: Split) -> str:
    """Names seeds with which every set has its share of the speakers of each corpus."""
    every = [v.speakers for corpus, v in sorted_.values() if corpus.sets.split_by == "speaker"]
    even = (s for s in range(1000) if _is_even(every, replace(split, seed=s)))
    seeds = ", ".join(str(seed) for seed in islice(even, 3))
    return f"another, such as {seeds}" if seeds else "other shares (split.valid, split.test)"


def _is_even(corpora: Iterable[Iterable[str]], split: Split) -> bool:
    """Tells whether each set has its share of each corpus's speakers, give or take one or two."""
    for speakers in corpora:
        sizes = Counter(assign_split(speaker, split) for speaker in speakers)
        for name, share in (("valid", split.valid), ("test", split.test)):
            if not sizes[name] or abs(sizes[name] - share * sizes.total()) > 2:
                return False
    return True


def _write_lines(path: Path, entries: Iterable[dict]) -> None:
    with open(path, "w", encoding="utf-8") as file:
        for entry in entries:
            file.write(json.dumps(entry, ensure_ascii=False) + "\n")


def _metrics(
    source: str, total: int, tally: Tally, reasons: dict, corpus: Survey, verdicts: Verdicts
) -> dict:
    """Returns what metrics/data.json says of one corpus."""
    spoken, usual = tally.spoken, verdicts.usual
    shards = SHARDS.get(source, RAW / TESTS / source)
    stored_bytes = sum(path.stat().st_size for path in shards.iterdir())
    return {
        "in": total,
        "kept": tally.kept,
        **{name: tally.sets[name] for name in SPLITS},
        "no_speech": len(tally.silent),
        "rejected": reasons,
        "annotation_errors": reasons.get("annotation_error", 0),
        "hours": round(tally.seconds / 3600, 4),
        "speakers": len(tally.speakers),
        "split_by": corpus.sets.split_by,
        "min_frames": usual.min_frames,
        "max_frames": usual.max_frames,
        "s_per_syllable": round(usual.s_per_syllable, 4),
        "pitch_hz": round(usual.pitch_hz, 1),
        "text": {"version": text.VERSION, **dict(sorted(corpus.changed.items()))},
        "mean_speech_length": round(tally.frames / spoken, 2),
        "mean_text_length": round(tally.tokens / spoken, 2),
        "share_all_fields": round(tally.complete / spoken, 4),
        "share_audio_exists": round(tally.exist / spoken, 4),
        "mb_per_hour": round(stored_bytes / 1e6 / (corpus.seconds / 3600), 2),
    }


if __name__ == "__main__":
    run(main)
