"""Prompts as they are put together when speech is decoded."""

from __future__ import annotations

from collections.abc import Sequence


def with_hotwords(prompt: str, hotwords: Sequence[str]) -> str:
    """Returns the prompt with words to make likelier, as FunASR's `FunASRNano.get_prompt` has it.

    >>> with_hotwords("语音转写：", ["张三", "还款"]).splitlines()[-2:]
    ['热词列表：[张三, 还款]', '语音转写：']
    """
    if not hotwords:
        return prompt
    return (
        "请结合上下文信息，更加准确地完成语音转写任务。如果没有相关信息，我们会留空。\n\n\n"
        f"**上下文信息：**\n\n\n热词列表：[{', '.join(hotwords)}]\n{prompt}"
    )
