"""manifests: the three corpora as FunASR manifests, every utterance kept or rejected by reason."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cache, partial
from itertools import islice
from pathlib import Path

from tqdm import tqdm

from telephone_asr.corpora import unwatched
from telephone_asr.errors import InputError
from telephone_asr.manifests import fresh_line, sorting, text
from telephone_asr.manifests.messages import Example, manifest_line, prompt_for
from telephone_asr.manifests.reserved import compared
from telephone_asr.manifests.sorting import Kept, Rules, Survey, Verdicts
from telephone_asr.manifests.split import SPLITS, Sets, Split, assign_split, read_frozen
from telephone_asr.model.frontend import WIDEBAND_FS, fbank_frames
from telephone_asr.model.layout import plain_tokenizer
from telephone_asr.outs import new_out, write_json
from telephone_asr.params import Params, load_params
from telephone_asr.paths import FROZEN_SPLITS, MANIFESTS, METRICS, MODELS, RAW, SHARDS, UNPACKED
from telephone_asr.program import run
from telephone_asr.shards import (
    REJECTED,
    SIMULATED_PREFIX,
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
    unwatched.warn(params.corpus.wideband.path, params.corpus.calls.path)
    rules = _rules(params)
    recorded = _survey("wideband", _cuts(None, "wideband", "surveys"), rules)
    cuts_of = partial(_cuts, recorded.sets if params.train.fresh_line else None)
    sorted_ = _sort_all(rules, recorded, cuts_of)
    # No sentence that a model is reserved on may have been in its training, in whatever corpus.
    sentences = set().union(*(verdicts.test_sentences for _, verdicts in sorted_.values()))
    for source, (_, verdicts) in sorted_.items():
        sorting.leave_out_test_sentences(cuts_of(source, "compares"), rules, verdicts, sentences)
    _check_sets(sorted_, params.split)
    metrics = {}
    for source, (corpus, verdicts) in sorted_.items():
        with new_out(MANIFESTS / source) as new:
            metrics[source] = make_manifests(new, source, rules, corpus, verdicts, cuts_of)
    write_json(METRICS / "data.json", metrics)
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


def _sort_all(
    rules: Rules, recorded: Survey, cuts_of: CutsOf
) -> dict[str, tuple[Survey, Verdicts]]:
    """Sorts all corpora: no recording is in two of them, but for what was simulated of it.
    recorded: the survey of the wideband one."""
    surveys = {
        s: recorded if s == "wideband" else _survey(s, cuts_of(s, "surveys"), rules) for s in SHARDS
    }
    twins = sorting.same_sounds(*((surveys[s], _reader(s)) for s in ("wideband", "telecall")))
    both = Kept(twins)
    kept = {"wideband": both, "telecall": both}
    kept["simulated"] = Kept(
        {simulated_id(key): [simulated_id(t) for t in twins[key]] for key in twins}
    )
    sorted_ = {}
    for source, corpus in surveys.items():
        corpus.sounds.clear()
        wideband, judge = source != "telecall", cuts_of(source, "judges")
        verdicts = sorting.decide(judge, rules, corpus, wideband, kept[source])
        sorted_[source] = corpus, verdicts
    return sorted_


def _reader(source: str) -> sorting.Read:
    """Returns a reader of a corpus's sound, which makes its index when something is read."""
    index = cache(lambda: sound_index(SHARDS[source]))
    return lambda key: index().read(key)


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
    """Writes train, valid, test, rejected and changed.jsonl of one corpus; returns its metrics."""
    rejected = list(json_lines(UNREAD[source] / REJECTED, "run `dvc repro corpus`"))
    total = len(verdicts.sets) + len(rejected)
    directory.mkdir(parents=True)
    share = sorting.share_written(corpus, verdicts)
    prompt = prompt_for(share)
    tally, changed = Tally(), []
    cuts = cuts_of(source, "writes")
    with ExitStack() as files:
        lines = {
            name: files.enter_context(open(directory / f"{name}.jsonl", "w", encoding="utf-8"))
            for name in SPLITS
        }
        for place, (cut, example, how) in enumerate(
            sorting.examples(cuts, rules, corpus, prompt, source)
        ):
            before = cut["supervisions"][0]["text"]
            if how:
                changed.append({"id": example.key, "rules": how, "before": before})
            if (set_ := verdicts.sets[place]) is None:
                reason, detail = verdicts.rejected[place]
                rejected.append({"id": example.key, "reason": reason, "detail": detail})
                continue
            if set_ == sorting.NO_SPEECH:
                tally.silent.append({"id": example.key})
                continue
            lies = "wideband" if fresh_line.is_made(cut) else source
            suffix, exists = stored_sound(SHARDS[lies], cut)
            audio = UNPACKED / source / f"{example.key}.{suffix}"
            lines[set_].write(manifest_line(example, audio.as_posix()) + "\n")
            tally.add(set_, example, exists)
    _write_lines(directory / "rejected.jsonl", rejected)
    _write_lines(directory / "changed.jsonl", changed)
    if tally.silent:
        _write_lines(directory / sorting.NO_SPEECH_LIST, tally.silent)
    assert tally.kept + len(rejected) == total, (source, tally.kept, len(rejected), total)
    reasons = dict(sorted(Counter(entry["reason"] for entry in rejected).items()))
    said = {"prompt": prompt, "share_written": round(share, 4)}
    return _metrics(source, total, tally, reasons, corpus, verdicts) | said


@dataclass
class Tally:
    """Counts the utterances that are kept, and what is known of them."""

    sets: Counter = field(default_factory=Counter)
    silent: list[dict] = field(default_factory=list)  # those in which nobody speaks
    speakers: set[str] = field(default_factory=set)
    seconds: float = 0.0
    frames: int = 0
    tokens: int = 0
    complete: int = 0
    exist: int = 0

    def add(self, set_: str, example: Example, exists: bool) -> None:
        self.sets[set_] += 1
        self.speakers.add(example.speaker)
        self.seconds += example.duration_s
        self.frames += example.speech_length
        self.tokens += example.text_length
        fields = (example.key, example.text, example.prompt, example.speaker, example.speech_length)
        self.complete += all(fields)
        self.exist += exists

    @property
    def spoken(self) -> int:
        return sum(self.sets.values())

    @property
    def kept(self) -> int:
        return self.spoken + len(self.silent)


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
    stored_bytes = sum(path.stat().st_size for path in SHARDS[source].iterdir())
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
