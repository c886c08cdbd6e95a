"""Labels as pseudo_label writes them, of turns that are never decoded."""

from telephone_asr.unlabelled.labels import Label


def label(**changes) -> Label:
    """A label that every filter keeps."""
    fields = {
        **{"id": "call-a-0000100", "speaker": "call-a", "text": "我明天还款"},
        **{"confidence": 0.9, "ctc_text": "我明天还款", "ctc_confidence": 0.8, "distance": 0.0},
        **{"loop": False, "characters_per_s": 4.0, "speech_s": 1.25},
    }
    return Label(**fields | changes)
