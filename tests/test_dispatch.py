"""The data stages and the scores, computed as on other processors: the same bytes.

NumPy, OpenBLAS and the C library choose functions by what the processor can do, and round the last
bit otherwise in each. Their own switches hide what a processor can do, before they are loaded: so
each setting has a process of its own. What has no such switch is in docs/reproducible.md.
"""

import hashlib
import json
import os
import platform
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

from repository_fixtures import ROOT, SMALL, import_corpora, write_params
from speech_fixtures import write_wav

CODECS = (
    *("mulaw", "alaw", "gsm+alaw", "amr_nb+alaw", "amr_nb+alaw+amr_nb", "g726", "g722+alaw"),
    *("g723", "opus", "opus+alaw"),
    *(("amr_wb+alaw", "alaw+amr_wb") if find_spec("imageio_ffmpeg") else ()),
)
ENHANCED = 0.5 if find_spec("pywebrtc_audio") else 0
EVERYTHING = {  # that a line can do, to about half of the utterances each
    "music": {"share": 0.6, "snr_db": [0, 10]},
    "clipping": {"share": 0.7, "soft": 0.6, "headroom_db": [2, 8]},
    "noise_suppression": ENHANCED,
    "gain_control": ENHANCED,
    "handset": 0.5,
    "echo": {"share": 0.5, "delay_ms": [20, 80], "loss_db": [10, 20]},
    "codec": dict.fromkeys(CODECS, 1),
    "loss": {
        **{"share": 0.7, "rate": [0.02, 0.2], "mean_burst_packets": 1.5},
        **{"burst_density": 0.9, "concealed": 0.6},
    },
}
PARAMS = {
    **{f"channel.{key}": value for key, value in EVERYTHING.items()},
    **{f"corpus.synthetic.line.{key}": value for key, value in EVERYTHING.items()},
    "corpus.no_speech": {"minutes": 0.7, "test_minutes": 0.15, "path": None},  # each variant once
    "split": {"valid": 0.3, "test": 0.3, "seed": 2, "frozen": False, "short": 100},
}
STAGES = ("corpus", "simulate", "telecall", "no_speech", "tokenizer", "manifests")

PROGRAM = """
import importlib, json, os, sys
import numpy as np
from telephone_asr.scoring import compare, slices
from telephone_asr.scoring.cer import errors_of

print("exp64", np.exp(np.linspace(0, 1, 1000)).tobytes().hex())
for directory in sys.argv[2:]:
    os.chdir(directory)
    for name in sys.argv[1].split():
        importlib.import_module(f"telephone_asr.stages.{name}").main()

with open("../transcripts.jsonl", encoding="utf-8") as file:
    a, b = (json.loads(line) for line in file)
os.makedirs("metrics", exist_ok=True)
with open("metrics/scores.json", "w", encoding="utf-8") as file:
    json.dump(slices.summary(a, 0), file)
    for n in (len(a), 60, 12, 9):  # of many speakers, of seven, of few
        both = [[errors_of(line) for line in lines[:n]] for lines in (a, b)]
        speakers = [line["speaker"] for line in a[:n]]
        json.dump(compare.bootstrap_interval(both[0], speakers, 0), file)
        json.dump(compare.paired_difference(*both, speakers, 0), file)
        json.dump(compare.paired_p_value(*both, speakers, 0), file)
"""


def settings() -> dict[str, dict[str, str]]:
    """The environment of each: this machine as it is, and what can be hidden of it."""
    above_sse = [name for name in __cpu_dispatch__ if __cpu_features__.get(name)]
    above_avx2 = [name for name in above_sse if name.startswith("AVX512") or name == "X86_V4"]
    found = {"as it is": {}}
    if above_avx2:
        found["AVX2"] = {
            "NPY_DISABLE_CPU_FEATURES": " ".join(above_avx2),
            "OPENBLAS_CORETYPE": "Haswell",
        }
    if "X86_V3" in above_sse or "AVX2" in above_sse:
        found["SSE4"] = {
            "NPY_DISABLE_CPU_FEATURES": " ".join(above_sse),
            "OPENBLAS_CORETYPE": "Nehalem",
            # By these, glibc chooses exp, log, sin, cos with a fused multiply-add or without.
            "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-FMA4,-AVX512F,-AVX512VL,"
            "-AVX2_Usable,-FMA_Usable,-FMA4_Usable",  # as before 2.33
        }
    return found


SETTINGS = settings()
pytestmark = pytest.mark.skipif(
    len(SETTINGS) < 2 or platform.machine() != "x86_64",
    reason="only an x86-64 processor with AVX2 can be told to compute as older ones do",
)


def transcripts(n: int) -> str:
    """Two checkpoints' lines of the same utterances."""
    rng = np.random.default_rng(0)
    lines = [], []
    for i in range(n):
        wrong = [int(rng.integers(0, 5)) for _ in lines]
        common = {"speaker": f"s{i % 7 if i < 60 else i}", "scene": "sales", "duration": i / 50}
        common |= {"snr_db": i % 40, "codec": "alaw", "lost_packets": i % 7 / 100}
        common |= {
            "characters": 12,
            "deletions": 0,
            "insertions": 0,
            "reference": "尾号4625欠款300元",
        }
        for one, errors in zip(lines, wrong, strict=True):
            text = "尾号4625欠款300元" if errors else "尾号4624欠款"
            one.append({**common, "text": text, "substitutions": errors})
    few = [{**line, "speaker": f"s{i % 3}"} for one in lines for i, line in enumerate(one[:12])]
    lines[0][:12], lines[1][:12] = few[:12], few[12:]
    return "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in lines)


def prepare(directory: Path, speech, minutes: float) -> list[Path]:
    """A repository of synthetic speech and one of imported, at other rates too."""
    synthetic, imported = directory / "synthetic", directory / "imported"
    synthetic.mkdir(parents=True)
    speech_of = ROOT / "src" / "telephone_asr" / "corpora" / "speech"
    own = {f"corpus.{part}.path": str(speech_of / part) for part in ("wideband", "calls")}
    own |= {f"corpus.synthetic.{part}_minutes": minutes for part in ("wideband", "calls")}
    write_params(synthetic, {**PARAMS, **own, "corpus.shard_size": 20})
    import_corpora(imported, speech)
    for i, rate_hz in enumerate((44100, 22050, 11025, 48000)):
        sound = speech(1.0, seed=300 + i, rate_hz=rate_hz)
        write_wav(imported / "import" / "wideband" / f"w{i}.wav", sound, rate_hz)
    write_params(imported, {**PARAMS, **SMALL})
    (directory / "transcripts.jsonl").write_text(transcripts(150), encoding="utf-8")
    return [synthetic, imported]


def start(directories: list[Path], environment: dict[str, str]) -> subprocess.Popen:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("OPENBLAS_", "NPY_"))}
    one = {"LOKY_MAX_CPU_COUNT": "1", "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    command = [sys.executable, "-W", "error::ImportWarning", "-c", PROGRAM, " ".join(STAGES)]
    return subprocess.Popen(
        [*command, *map(str, directories)],
        env={**inherited, **one, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def outs(directories: list[Path]) -> dict[str, str]:
    """The hash of every file that the stages wrote."""
    return {
        f"{directory.name}/{path.relative_to(directory)}": hashlib.sha256(
            path.read_bytes()
        ).hexdigest()
        for directory in directories
        for folder in ("data", "models", "metrics")
        for path in sorted((directory / folder).rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module", params=[0.7, pytest.param(8, marks=pytest.mark.slow)])
def computed(tmp_path_factory, speech, request) -> dict[str, tuple[str, dict[str, str]]]:
    """What each setting prints, and the hashes of what it writes; the settings run side by side."""
    directory = tmp_path_factory.mktemp("dispatch")
    started = {}
    for name, environment in SETTINGS.items():
        directories = prepare(directory / name.replace(" ", "_"), speech, request.param)
        started[name] = directories, start(directories, environment)
    found = {}
    for name, (directories, process) in started.items():
        printed, complaint = process.communicate()
        assert process.returncode == 0, f"{name}: {complaint}"
        found[name] = printed.partition("\n")[0], outs(directories)
    return found


def test_each_setting_reaches_the_libraries(computed):
    """As it is, NumPy's exp differs in each; where it did not, equal bytes would say nothing."""
    assert len({first for first, _ in computed.values()}) == len(SETTINGS)


@pytest.mark.parametrize("name", [name for name in SETTINGS if name != "as it is"])
def test_every_byte_is_the_same(computed, name):
    _, expected = computed["as it is"]
    _, found = computed[name]
    assert found.keys() == expected.keys()
    assert len(found) > 50
    assert [path for path in found if found[path] != expected[path]] == []
