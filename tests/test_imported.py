"""Corpora that people bring, of whatever kind."""

import pytest

from corpus_fixtures import KEY, kaldi
from telephone_asr.corpora.imported import (
    gather_rejected,
    import_shard,
    list_items,
    with_good_ids,
)
from telephone_asr.corpora.items import Item
from telephone_asr.errors import InputError
from telephone_asr.shards import Rejected


@pytest.mark.parametrize("kind", ["kaldi", "lhotse", "calls"])
@pytest.mark.parametrize("key", ["corpus.calls", "corpus.wideband"])
def test_a_path_that_does_not_exist(kind, key, tmp_path):
    with pytest.raises(InputError) as error:
        list_items(kind, tmp_path / "nowhere", key)
    text = str(error.value)
    assert f"params.yaml: {key}.path: {tmp_path / 'nowhere'} does not exist" in text
    assert kind in text


@pytest.mark.parametrize("kind", ["kaldi", "lhotse", "calls"])
def test_a_corpus_without_utterances(kind, tmp_path):
    path = kaldi(tmp_path / "corpus", wav_scp="\n", text="\n")
    if kind != "kaldi":
        path = tmp_path / "corpus.jsonl"
        path.write_bytes(b"")
    with pytest.raises(InputError, match=rf"params\.yaml: {KEY}\.path: .* holds no utterances"):
        list_items(kind, path, KEY)


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (["a", "A", "ａ"], [None, "duplicate_id", "duplicate_id"]),  # one file on some systems
        (["客户-1", "客户-2"], [None, None]),
        (["a\nb", "a\0", "a\x1b[2J", "a\u2028", "\ud800"], ["bad_id"] * 5),
        (["a" * 200, "b" * 201, "客" * 67], [None, "bad_id", "bad_id"]),
        (["", "a/b", "..", "a\\b"], ["bad_id"] * 4),
    ],
)
def test_ids_name_files_everywhere(ids, expected, tmp_path):
    items = with_good_ids([Item(id_, "lost.wav") for id_ in ids], set())
    found = [item.problem and item.problem.reason for item in items]
    assert found == expected
    assert all(len(item.problem.detail) < 400 for item in items if item.problem)
    _, rejected = import_shard(items, tmp_path, 0)
    assert len(rejected) == len(ids)
    assert len(gather_rejected(tmp_path, 1)) == len(ids)  # whatever was in them, it can be written


def test_details_with_odd_line_ends_are_gathered_whole(tmp_path):
    problem = Rejected("a\u2028b", "unreadable_line", "one\x85line\u2028alone")
    import_shard([Item("a", problem=problem)], tmp_path, 0)
    assert gather_rejected(tmp_path, 1) == [problem]
