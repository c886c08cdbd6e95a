"""Error counts against other people's scorers, on random pairs of texts.

Alignments with equally few edits may be split otherwise into substitutions, deletions and
insertions: totals are compared always, the split where there is only one.
"""

import importlib.util
import os
import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from telephone_asr.scoring.cer import ErrorRate, count_errors

PAIRS = 1200
SCLITE = shutil.which("sclite") or "/usr/lib/sctk/bin/sclite"  # Debian's sctk puts it there
VOCABULARY = [*"还款百三二的吗我您好", "wifi", "app", "ok"]


def garble(reference: list[str], edits: int, generator: random.Random) -> list[str]:
    hypothesis = list(reference)
    for _ in range(edits):
        place = generator.randint(0, len(hypothesis))
        kind = generator.choice(("substitute", "delete", "insert"))
        if kind == "insert":
            hypothesis.insert(place, generator.choice(VOCABULARY))
        elif place < len(hypothesis):
            hypothesis[place : place + 1] = (
                [generator.choice(VOCABULARY)] if kind == "substitute" else []
            )
    return hypothesis


def make_pairs(seed: int) -> list[tuple[list[str], list[str]]]:
    """Half are a reference with up to four edits, half have nothing to do with each other."""
    generator = random.Random(seed)
    pairs = []
    for i in range(PAIRS):
        reference = generator.choices(VOCABULARY, k=generator.randint(0, 12))
        if i % 2:
            hypothesis = garble(reference, generator.randint(0, 4), generator)
        else:
            hypothesis = generator.choices(VOCABULARY, k=generator.randint(0, 12))
        pairs.append((reference, hypothesis))
    return pairs


@pytest.fixture(scope="module")
def pairs():
    return make_pairs(seed=6)


def splits(reference: list[str], hypothesis: list[str]) -> set[tuple[int, int, int]]:
    """Every split (substitutions, deletions, insertions) that the fewest edits can have."""
    row = [{(0, 0, j)} for j in range(len(hypothesis) + 1)]
    for i, said in enumerate(reference, start=1):
        above, row = row, [{(0, i, 0)}]
        for j, heard in enumerate(hypothesis, start=1):
            found = {(s + (said != heard), d, n) for s, d, n in above[j - 1]}
            found |= {(s, d + 1, n) for s, d, n in above[j]}
            found |= {(s, d, n + 1) for s, d, n in row[j - 1]}
            fewest = min(map(sum, found))
            row.append({split for split in found if sum(split) == fewest})
    return row[-1]


def wenet(reference: list[str], hypothesis: list[str]) -> tuple[int, int, int]:
    """WeNet's compute-wer.py: a table of costs, filled row by row, where a deletion is preferred to
    an insertion and that to a diagonal step of the same cost; then back from its end."""
    costs = {(0, 0): (0, "start")}
    costs |= {(i, 0): (i, "del") for i in range(1, len(reference) + 1)}
    costs |= {(0, j): (j, "ins") for j in range(1, len(hypothesis) + 1)}
    for i, lab in enumerate(reference, start=1):
        for j, rec in enumerate(hypothesis, start=1):
            best = costs[i - 1, j][0] + 1, "del"
            for cost, step in (
                (costs[i, j - 1][0] + 1, "ins"),
                (costs[i - 1, j - 1][0] + (lab != rec), "cor" if lab == rec else "sub"),
            ):
                if cost < best[0]:
                    best = cost, step
            costs[i, j] = best
    counts = dict.fromkeys(("sub", "del", "ins", "cor"), 0)
    place = len(reference), len(hypothesis)
    while place != (0, 0):
        step = costs[place][1]
        counts[step] += 1
        place = place[0] - (step != "ins"), place[1] - (step != "del")
    return counts["sub"], counts["del"], counts["ins"]


def split_of(errors: ErrorRate) -> tuple[int, int, int]:
    return errors.substitutions, errors.deletions, errors.insertions


def check(pairs, other) -> None:
    """`other` gives a split for a pair; ours must be as short, and the same where it can be."""
    unique = 0
    for reference, hypothesis in pairs:
        ours, theirs = split_of(count_errors(reference, hypothesis)), other(reference, hypothesis)
        possible = splits(reference, hypothesis)
        assert sum(ours) == sum(theirs), (reference, hypothesis)
        assert ours in possible
        if len(possible) == 1:
            unique += 1
            assert ours == theirs, (reference, hypothesis)
    assert unique > len(pairs) / 2


def needs(scorer: str, is_here: bool) -> None:
    """Skips where a scorer is not installed, but in CI, which brings all of them."""
    if not is_here and os.environ.get("SCORERS") == "all":
        pytest.fail(f"{scorer} is not here, and this run is to compare with all scorers")
    if not is_here:
        pytest.skip(f"{scorer} is not installed")


def test_as_wenet_counts(pairs):
    check(pairs, wenet)


def test_as_torchaudio_counts_edits(pairs):
    functional = pytest.importorskip("torchaudio.functional")
    for reference, hypothesis in pairs:
        errors = count_errors(reference, hypothesis).errors
        assert errors == functional.edit_distance(reference, hypothesis)


def test_as_meeteval_counts(pairs):
    needs("meeteval", importlib.util.find_spec("meeteval") is not None)
    from meeteval.wer.wer.siso import siso_word_error_rate as siso

    def theirs(reference, hypothesis):
        found = siso(" ".join(reference), " ".join(hypothesis))
        return found.substitutions, found.deletions, found.insertions

    check(pairs, theirs)


def test_as_sclite_counts(pairs, tmp_path):
    """NIST's scorer weighs a substitution 4 and the others 3, so it may find more edits than
    there must be; of one or two it finds exactly those."""
    needs("Debian's sctk", Path(SCLITE).is_file())
    pairs = [pair for pair in pairs if all(pair)]
    names = {word: f"w{i}" for i, word in enumerate(VOCABULARY)}  # it knows no UTF-8 by itself
    for k, name in enumerate(("ref", "hyp")):
        lines = [
            f"{' '.join(names[w] for w in pair[k])} (u-{i:04d})\n" for i, pair in enumerate(pairs)
        ]
        (tmp_path / name).write_text("".join(lines))
    files = ["-r", tmp_path / "ref", "trn", "-h", tmp_path / "hyp", "trn"]
    report = subprocess.run(
        [SCLITE, *files, "-i", "rm", "-o", "pra", "stdout"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    scores = re.findall(r"id: \(u-(\d+)\)\nScores: \(#C #S #D #I\) (\d+) (\d+) (\d+) (\d+)", report)
    assert len(scores) == len(pairs) > 1000
    few = 0
    for number, *counts in scores:
        reference, hypothesis = pairs[int(number)]
        ours = count_errors(reference, hypothesis)
        _, *theirs = map(int, counts)
        assert sum(theirs) >= ours.errors
        if ours.errors <= 2:
            few += 1
            assert sum(theirs) == ours.errors
            if len(splits(reference, hypothesis)) == 1:
                assert tuple(theirs) == split_of(ours)
    assert few > 300
