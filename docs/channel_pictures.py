"""Draws the pictures of docs/channel.md: one synthetic sentence over lines that do one thing each.

pip install -c constraints.txt -e '.[line]'
python docs/channel_pictures.py
"""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from telephone_asr.channel.babble import BabblePool
from telephone_asr.channel.line import simulate
from telephone_asr.channel.options import Babble, Clipping, Echo, Hum, Line, Loss, Music
from telephone_asr.channel.portable import generator
from telephone_asr.corpora import spoken
from telephone_asr.report.figures import png
from telephone_asr.report.sound import spectrograms

HERE = Path(__file__).parent
SPEECH = HERE.parent / "src/telephone_asr/corpora/speech/wideband"
SENTENCE = 40  # of the corpus: long enough to show, short enough to see
FAR = (60.0, 60.0)  # an SNR at which nothing is seen
CLEAN = Line(
    level_db=(-20.0, -20.0),
    white_noise_snr_db=FAR,
    pink_noise_snr_db=FAR,
    hum=Hum(snr_db=FAR),
    babble=Babble(snr_db=FAR),
    codec="alaw",
)
TEN = (10.0, 10.0)
LOSSY = Loss(share=1.0, rate=(0.15, 0.15), mean_burst_packets=2.0)
PICTURES: dict[str, dict[str, Line]] = {
    "level": {
        "level_db -18": replace(CLEAN, level_db=(-18.0, -18.0)),
        "level_db -45": replace(CLEAN, level_db=(-45.0, -45.0)),
    },
    "noise": {
        "white_noise_snr_db 10": replace(CLEAN, white_noise_snr_db=TEN),
        "pink_noise_snr_db 10": replace(CLEAN, pink_noise_snr_db=TEN),
        "hum 150 Hz and above, snr_db 10": replace(CLEAN, hum=Hum(150.0, 5, TEN)),
        "babble.snr_db 10": replace(CLEAN, babble=Babble(snr_db=TEN)),
        "music.snr_db 10": replace(CLEAN, music=Music(1.0, TEN)),
        "none of them": CLEAN,
    },
    "telephone": {
        "clipping soft, headroom_db 0": replace(CLEAN, clipping=Clipping(1.0, 1.0, (0.0, 0.0))),
        "clipping hard, headroom_db 0": replace(CLEAN, clipping=Clipping(1.0, 0.0, (0.0, 0.0))),
        "handset": replace(CLEAN, handset=1.0),
        "band_hz 300 to 3400": CLEAN,
    },
    "enhancement": {
        "white_noise_snr_db 10": replace(CLEAN, white_noise_snr_db=TEN),
        "the same, noise_suppression": replace(
            CLEAN, white_noise_snr_db=TEN, noise_suppression=1.0
        ),
        "level_db -50": replace(CLEAN, level_db=(-50.0, -50.0)),
        "the same, gain_control": replace(CLEAN, level_db=(-50.0, -50.0), gain_control=1.0),
    },
    "echo": {
        "no echo": CLEAN,
        "echo, 300 ms, loss_db 10": replace(CLEAN, echo=Echo(1.0, (300.0, 300.0), TEN)),
    },
    "codec": {
        name: replace(CLEAN, codec=name)
        for name in (
            *("alaw", "mulaw", "amr_nb_12200", "amr_nb_4750", "gsm", "g726", "g722"),
            *("amr_nb_4750+alaw+amr_nb_4750", "g723", "amr_wb_6600+alaw"),
            *("opus_8000+alaw", "opus_16000+alaw"),
        )
    },
    "loss": {
        "loss, silent": replace(CLEAN, loss=replace(LOSSY, concealed=0.0)),
        "loss, concealed": replace(CLEAN, loss=replace(LOSSY, concealed=1.0)),
    },
}


def main() -> None:
    utterances = spoken.first(spoken.read_index(SPEECH), 6.0)
    speech = [samples for _, samples in spoken.read(SPEECH, utterances)]
    voices = ((u.speaker, s / np.float32(32768)) for u, s in zip(utterances, speech, strict=True))
    pool = BabblePool.build(voices)
    (HERE / "channel").mkdir(exist_ok=True)
    for name, lines in PICTURES.items():
        sounds = []
        for caption, line in lines.items():
            rng, speaker = generator(0, "docs"), utterances[SENTENCE].speaker
            samples, _ = simulate(speech[SENTENCE], 16000, line, pool, rng, speaker)
            sounds.append((caption, samples, 8000))
        path = HERE / "channel" / f"{name}.png"
        panels = spectrograms("sheet", sounds, top_khz=4)
        picture = Image.open(io.BytesIO(png(panels, f"channel: {name}", columns=2)))
        picture = picture.resize((picture.width * 2 // 3, picture.height * 2 // 3))
        picture.quantize(48).save(path, optimize=True)  # a fifth of the size, for git
        print(path.relative_to(HERE.parent))


if __name__ == "__main__":
    main()
