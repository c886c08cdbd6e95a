"""Sound that is heard once: written down again, the texts are those of sound that is heard anew."""

from dataclasses import replace

from telephone_asr.decoding.heard import dataset_of, heard_before, listen
from telephone_asr.params import Decode

HOTWORDS = ("张三", "还款")
DECODE = Decode(batch_size=5, max_tokens=40, beams=1, branch=None, hotwords=(), hotword_floor=None)


def test_what_is_heard_once_is_written_down_again_as_if_it_were_heard_anew(
    fitted, make_inputs, corpus
):
    inputs = make_inputs(fitted)
    keys = {example.key for example in inputs.examples[::2]}
    texts, heard = listen(fitted, inputs, DECODE, kept=keys)
    assert heard.keys() == keys
    chosen = [example for example in inputs.examples if example.key in keys]
    again = heard_before(fitted, chosen, heard, corpus.sounds)
    assert listen(fitted, again, DECODE) == (texts[::2], {})
    prompted = replace(DECODE, hotwords=HOTWORDS)
    anew, _ = listen(fitted, inputs, prompted)
    assert listen(fitted, again, prompted)[0] == anew[::2]
    assert anew != texts  # the words are in the prompt


def test_the_encoder_is_not_asked_for_what_it_has_heard(fitted, make_inputs, corpus):
    inputs = make_inputs(fitted)
    _, heard = listen(fitted, inputs, DECODE, kept={e.key for e in inputs.examples})
    asked = []
    hook = fitted.model.audio_encoder.register_forward_pre_hook(lambda *_: asked.append(1))
    try:
        listen(fitted, heard_before(fitted, inputs.examples, heard, corpus.sounds), DECODE)
        assert not asked
        listen(fitted, inputs, DECODE)
        assert asked
    finally:
        hook.remove()


def test_sound_is_read_where_it_was_not_heard(fitted, make_inputs, corpus):
    read = dataset_of(fitted, corpus.examples, corpus.sounds)
    assert listen(fitted, read, DECODE) == listen(fitted, make_inputs(fitted), DECODE)
