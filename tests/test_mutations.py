"""Would the tests notice a scorer that is wrong? Each mutation breaks a copy of it in one way, and
the tests of scoring are run on the copy: one of them has to fail.

Slow: `python -m pytest -m slow -s tests/test_mutations.py` prints which test caught what.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TESTS = ("cer", "normalise", "compare", "slices", "content", "scorers", "no_speech", "score")
# Without those that compare with what may not be installed, and without the doctests: those stand
# in the file that is broken.
SELECTED = "not torchaudio and not meeteval and not sclite and not terminals and not doctests"

# What is broken: file in scoring/, what stands there, what stands there afterwards.
MUTATIONS = {
    "one deletion is forgotten": (
        "cer.py",
        "found.substitutions, found.deletions, found.insertions, len(reference)",
        "found.substitutions, max(found.deletions - 1, 0), found.insertions, len(reference)",
    ),
    "insertions are not counted": (
        "cer.py",
        "self.substitutions + self.deletions + self.insertions\n",
        "self.substitutions + self.deletions\n",
    ),
    "reference and hypothesis are exchanged": (
        "cer.py",
        "align(reference, hypothesis)\n",
        "align(hypothesis, reference)\n",
    ),
    "the rate is by the hypothesis's length": (
        "cer.py",
        "found.insertions, len(reference))",
        "found.insertions, len(hypothesis))",
    ),
    "an empty reference has no errors": (
        "cer.py",
        "return math.inf if self.errors else 0.0",
        "return 0.0",
    ),
    "an empty reference is an utterance without insertions": (
        "cer.py",
        "    found = align(reference, hypothesis)\n",
        "    found = align(reference, hypothesis if reference else reference)\n",
    ),
    "rates are averaged, not added": (
        "cer.py",
        "self.length + other.length,\n",
        "max(self.length, other.length),\n",
    ),
    "slices average the rates of their utterances": (
        "slices.py",
        "    whole = sum(errors, ErrorRate()).as_dict()\n",
        "    whole = sum(errors, ErrorRate()).as_dict()\n"
        '    whole["cer"] = float(np.mean([one.rate for one in errors]))\n',
    ),
    "the reference alone is normalised": (
        "cer.py",
        "count_errors(units_of(reference), units_of(hypothesis))",
        "count_errors(units_of(reference), units(hypothesis, unit))",
    ),
    "digits are not normalised": (
        "normalise.py",
        'return _NUMBER.sub(_in_digits, _ARABIC_ONE_IN_WORD.sub("一", text))',
        "return text",
    ),
    "三百二 is 302": (
        "normalise.py",
        'spelled += {"百": "十", "千": "百", "万": "千", "亿": "千万"}[ending.group(1)]',
        'spelled = spelled[:-1] + "零" + spelled[-1]',
    ),
    "punctuation counts": (
        "normalise.py",
        'r"[\\W_]+"',
        'r"[\\s_]+"',
    ),
    "fillers go out of the middle of English words": (
        "normalise.py",
        "return start + re.escape(word) + end",
        "return re.escape(word)",
    ),
    "English words count as letters in the mixed rate": (
        "cer.py",
        'rf"[{LATIN}]+|[^ ]"',
        'rf"[{LATIN}]|[^ ]"',
    ),
    "bootstrap over utterances, not speakers": (
        "compare.py",
        "    if len(names) == 1:\n",
        "    if len(names) >= 1:\n",
    ),
    "slices' intervals are over utterances": (
        "slices.py",
        '[line["speaker"] for line in lines], seed)',
        '[line["reference"] + str(i) for i, line in enumerate(lines)], seed)',
    ),
    "the interval of few speakers is not widened": (
        "compare.py",
        "return _alike(ndtr(math.sqrt(n / (n - 1)) * stdtrit(n - 1, tail)))",
        "return tail",
    ),
    "a 90 % interval is called one of 95 %": (
        "compare.py",
        "len(totals), (1 - level) / 2\n",
        "len(totals), 1 - level\n",
    ),
    "two to four speakers get percentiles": (
        "compare.py",
        "    if n < FEWEST_GROUPS:\n        reach",
        "    if False:\n        reach",
    ),
    "the other digits of a wrong number stay hanzi": (
        "normalise.py",
        "    return value if value == re.sub(",
        "    return numeral if value == re.sub(",
    ),
    "the p-value is one-sided": (
        "compare.py",
        "return 2 * _contracted(max",
        "return _contracted(max",
    ),
    "the p-value knows one direction only": (
        "compare.py",
        "min(_share_below_0(differences), _share_below_0(-differences), 0.5)",
        "min(_share_below_0(-differences), 0.5)",
    ),
    "the difference is one checkpoint alone": (
        "compare.py",
        "[b.errors - a.errors, a.length]",
        "[b.errors, a.length]",
    ),
    "a band's lower limit belongs to the one below": (
        "slices.py",
        "index = bisect_right(limits, value)",
        "index = bisect_right(limits, value - 1e-9)",
    ),
    "a number with a digit more is the same number": (
        "content.py",
        "heard = Counter(find(kind, hypothesis))",
        "heard = Counter({item: hypothesis.count(item) for item in wanted})",
    ),
    "what the reference repeats is a loop too": (
        "slices.py",
        "any(2 * piece not in reference for piece in repeated)",
        "any(repeated)",
    ),
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """The package and the tests of scoring, without conftest.py and its models."""
    directory = tmp_path_factory.mktemp("mutant")
    shutil.copytree(ROOT / "src", directory / "src")
    (directory / "tests").mkdir()
    for name in TESTS:
        shutil.copy(ROOT / "tests" / f"test_{name}.py", directory / "tests")
    return directory


def run_tests(directory: Path, first: str) -> subprocess.CompletedProcess:
    """Until one fails; those of the module `first` come first."""
    names = sorted(TESTS, key=lambda name: name != first)
    files = [f"tests/test_{name}.py" for name in names]
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "--no-header", "-k", SELECTED, *files],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(directory / "src"), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_the_scorer_as_it_is_passes(copy):
    done = run_tests(copy, TESTS[0])
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("what", MUTATIONS)
def test_a_broken_scorer_is_caught(copy, what):
    name, right, wrong = MUTATIONS[what]
    path = copy / "src" / "telephone_asr" / "scoring" / name
    text = path.read_text(encoding="utf-8")
    assert text.count(right) == 1, f"{name} has changed: mutate something else for '{what}'"
    try:
        path.write_text(text.replace(right, wrong), encoding="utf-8")
        done = run_tests(copy, path.stem)
    finally:
        path.write_text(text, encoding="utf-8")
    caught = re.search(r"^FAILED (\S+)", done.stdout, re.M)
    assert done.returncode == 1, done.stdout + done.stderr
    assert caught, done.stdout
    print(f"{what}: {caught.group(1)}")
