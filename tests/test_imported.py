"""Corpora that people bring, of whatever kind."""

import pytest

from corpus_fixtures import KEY, kaldi
from telephone_asr.corpora.imported import list_items
from telephone_asr.errors import InputError


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
