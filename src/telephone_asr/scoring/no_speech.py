"""What is recognised where nobody speaks: all of it is made up.

The clips are those of data/no_speech/test, the same for every model: the numbers can be compared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from telephone_asr.scoring.cer import score
from telephone_asr.scoring.cut_off import CutOff
from telephone_asr.scoring.options import Scoring
from telephone_asr.scoring.transcripts import transcript_line

# In the prompt of the second hearing, where params have none: names and terms that calls are about.
HOTWORDS = (
    *("王伟", "李娜", "张敏", "刘洋", "陈静"),
    *("信用卡", "分期", "还款日", "逾期", "客户经理"),
)


def made_up_lines(
    clips: Sequence[tuple[str, str, float]],
    texts: Sequence[str],
    hotwords: int,
    options: Scoring,
) -> list[dict]:
    """Returns a line for each clip, as those of the transcripts.

    Args:
        clips: key, kind and seconds of each.
        hotwords: how many the prompt had.
    """
    errors = score([""] * len(texts), texts, **vars(options))
    return [
        transcript_line(
            *(key, "no_speech", "", kind, seconds, None, "", text, isinstance(text, CutOff), error),
        )
        | {"hotwords": hotwords}
        for (key, kind, seconds), text, error in zip(clips, texts, errors, strict=True)
    ]


def rates(lines: Sequence[dict]) -> dict[str, dict]:
    """Counts the characters recognised in a minute of each kind, and the share of the clips with
    any; of lines with hotwords under "hotwords" of the kind."""
    by_kind: dict[tuple[str, bool], list[dict]] = defaultdict(list)
    for line in lines:
        by_kind[line["scene"], line["hotwords"] > 0].append(line)
    found: dict[str, dict] = {}
    for (kind, prompted), own in by_kind.items():
        written = [line["insertions"] for line in own]
        rate = {
            "insertions_per_minute": round(sum(written) * 60 / sum(x["duration"] for x in own), 3),
            "share_with_text": round(sum(n > 0 for n in written) / len(own), 4),
            "cut_off": sum(line["cut_off"] for line in own),
        }
        found.setdefault(kind, {}).update({"hotwords": rate} if prompted else rate)
    return found
