"""One telephone line, from the speaker's room to the listener's end.

The order is that of a call. In the room: reverberation, level, noise, babble, music. In the
telephone: clipping, noise suppression, automatic gain, the wideband codecs that a call begins with,
the handset's response, the band-pass. On the way: echo, codecs, lost packets. So the noise passes
the band-pass and the codec with the speech, and packets are lost after they have been coded.

    rng = generator(seed, utterance_id)
    pcm, done = simulate(samples, 16000, Line(), babble_pool, rng, speaker)
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import TypeVar

import numpy as np

from telephone_asr.channel import codecs
from telephone_asr.channel.babble import BabblePool
from telephone_asr.channel.band import (
    TELEPHONE_RATE_HZ,
    WIDEBAND_RATE_HZ,
    telephone_band,
    to_wideband,
)
from telephone_asr.channel.clipping import clip
from telephone_asr.channel.echo import add_echo
from telephone_asr.channel.enhancement import SUPPRESSION_DB, control_gain, suppress_noise
from telephone_asr.channel.level import SILENCE_DB, active_level_db, rms
from telephone_asr.channel.loss import lose_packets
from telephone_asr.channel.music import hold_music
from telephone_asr.channel.noise import Track, add_at_snr, hum_track, noise_track
from telephone_asr.channel.options import Line, codec_weights
from telephone_asr.channel.portable import amplitude, to_int16
from telephone_asr.channel.room import reverberate
from telephone_asr.channel.wideband import through_wideband
from telephone_asr.errors import InputError

T = TypeVar("T")
MAX_SAMPLE = 1000.0  # a float further from the scale -1..1 is a mistake, not speech
TUNES, TUNE_S = 8, 20.0  # of music on hold


def draw(line: Line, rng: np.random.Generator) -> dict:
    """Draws what will happen to one utterance: a JSON-able dict, None for what does not.

    All draws are made always and in this order, so that changing a range or a share changes no
    other value. dB with 2 decimals, ms with 1, shares with 4. The codec may still be "amr_nb", of
    any rate. noise_suppression_db, gain_control, noise, noise_snr_db and room are keys only where
    they happen; noise and room are places in the user's recordings, from 0 to 1.
    """
    chance = iter(rng.random(24).tolist())

    def between(bounds: tuple[float, float], digits: int = 2) -> float:
        return round(bounds[0] + (bounds[1] - bounds[0]) * next(chance), digits)

    def happens(share: float) -> bool:
        return next(chance) < share

    level_db = between(line.level_db)
    white_db = between(line.white_noise_snr_db)
    pink_db = between(line.pink_noise_snr_db)
    hum_db = between(line.hum.snr_db)
    babble_db = between(line.babble.snr_db)
    music, music_db = happens(line.music.share), between(line.music.snr_db)
    clips, soft = happens(line.clipping.share), happens(line.clipping.soft)
    headroom_db = between(line.clipping.headroom_db)
    handset = happens(line.handset)
    echoes = happens(line.echo.share)
    delay_ms, echo_db = between(line.echo.delay_ms, 1), between(line.echo.loss_db)
    loses, rate = happens(line.loss.share), between(line.loss.rate, 4)
    concealed = happens(line.loss.concealed)
    place = next(chance)
    suppressed, suppression = happens(line.noise_suppression), next(chance)
    gain_controlled = happens(line.gain_control)
    noise, noise_db = next(chance), between(line.noise.snr_db)
    room = next(chance)
    some: dict = {}
    if suppressed:
        some["noise_suppression_db"] = SUPPRESSION_DB[int(suppression * len(SUPPRESSION_DB))]
    if gain_controlled:
        some["gain_control"] = True
    if noise < line.noise.share:
        some |= {"noise": noise / line.noise.share, "noise_snr_db": noise_db}
    if room < line.room:
        some["room"] = room / line.room
    return some | {
        "level_db": level_db,
        "white_noise_snr_db": white_db,
        "pink_noise_snr_db": pink_db,
        "hum_snr_db": hum_db,
        "babble_snr_db": babble_db,
        "music_snr_db": music_db if music else None,
        "clipping": ("soft" if soft else "hard") if clips else None,
        "clipping_headroom_db": headroom_db if clips else None,
        "handset": handset,
        "echo_delay_ms": delay_ms if echoes else None,
        "echo_loss_db": echo_db if echoes else None,
        "codec": _choose(codec_weights(line.codec), place),
        "loss_rate": rate if loses else 0.0,
        "loss_concealed": concealed if loses else None,
    }


def simulate(
    samples: np.ndarray,
    sample_rate_hz: int,
    line: Line,
    babble_pool: BabblePool | None,
    rng: np.random.Generator,
    speaker: str,
) -> tuple[np.ndarray, dict]:
    """Returns one utterance as it arrives at the other end of `line`, and what was done to it.

    samples: mono (n,), float on the scale -1..1 or int16. Returns int16
    (ceil(n * 8000 / sample_rate_hz),) at 8 kHz, time-aligned, saturated where it is too loud, and
    the dict of `draw` with babble_talkers and lost_packets (the share really lost) added, and noise
    and room as numbers of the user's recordings; without a pool there is none of these, no babble,
    and babble_snr_db is None.
    Speech below -80 dBov counts as silence: it is not amplified, the noises have the level they
    would have beside speech. Raises InputError for samples that are not mono or not finite.
    """
    speech = to_wideband(_finite_mono(samples), sample_rate_hz)
    done = draw(line, rng)
    own_rooms, own_noises = (babble_pool.rooms, babble_pool.noises) if babble_pool else ((), ())
    room, noise = _drawn(done, "room", own_rooms), _drawn(done, "noise", own_noises)
    if room is not None:
        speech = reverberate(speech, room[0])
    speech = _at_level(speech, done["level_db"])
    if noise is not None:
        piece = noise[0].piece(noise[1], len(speech))
        add_at_snr(speech, *piece, done["level_db"], done["noise_snr_db"])
    done["babble_talkers"] = _add_room(speech, done, line, babble_pool, rng, speaker)
    if babble_pool is None:
        done["babble_snr_db"] = None
    if done["clipping"]:
        highest = float(amplitude(done["level_db"] + done["clipping_headroom_db"]))
        speech = clip(speech, highest, done["clipping"])
    speech = _enhanced(speech, done)
    done["codec"] = codecs.resolve(done["codec"], rng)
    first, rest = codecs.split_wideband(done["codec"])
    speech = _through_wideband(speech, first)
    narrow = telephone_band(speech, WIDEBAND_RATE_HZ, line.band_hz, done["handset"])
    if done["echo_delay_ms"] is not None:
        delay = round(done["echo_delay_ms"] * TELEPHONE_RATE_HZ / 1000)
        narrow = add_echo(narrow, delay, done["echo_loss_db"])
    pcm = to_int16(narrow * np.float32(32768))
    if rest:
        pcm = codecs.through_codec(pcm, rest)
    burst = line.loss.mean_burst_packets, line.loss.burst_density
    pcm, lost = lose_packets(pcm, rng, done["loss_rate"], *burst, bool(done["loss_concealed"]))
    done["lost_packets"] = round(float(lost.mean()), 4) if len(lost) else 0.0
    return pcm, done


def _add_room(
    speech: np.ndarray,
    done: dict,
    line: Line,
    babble_pool: BabblePool | None,
    rng: np.random.Generator,
    speaker: str,
) -> int | None:
    """Adds everything that is heard beside the speech, in place; returns how many talk in the
    babble. Where each noise is begun is drawn whether it is used or not."""
    level_db, n = done["level_db"], len(speech)

    def add(track: Track, place: float, snr_db: float) -> None:
        add_at_snr(speech, *track.piece(place, n), level_db, snr_db)

    places = rng.random(4).tolist()
    add(noise_track("white"), places[0], done["white_noise_snr_db"])
    add(noise_track("pink"), places[1], done["pink_noise_snr_db"])
    hum = hum_track(line.hum.frequency_hz, line.hum.harmonics)
    add(hum, places[2], done["hum_snr_db"])
    tune, place = divmod(places[3] * TUNES, 1)
    if done["music_snr_db"] is not None:
        add(_tune(int(tune)), place, done["music_snr_db"])
    if babble_pool is None:
        return None
    babble, n_talkers = babble_pool.draw(rng, n, speaker)
    add_at_snr(speech, babble, rms(babble), level_db, done["babble_snr_db"])
    return n_talkers


def _drawn(done: dict, key: str, own: Sequence[T]) -> tuple[T, float] | None:
    """Returns the recording of the user's that the draw fell on, and the place in it, and notes its
    number; None where it fell on none."""
    if key in done and own:
        number, place = divmod(done[key] * len(own), 1)
        done[key] = min(int(number), len(own) - 1)
        return own[done[key]], place
    for name in (key, f"{key}_snr_db"):
        done.pop(name, None)
    return None


def _enhanced(speech: np.ndarray, done: dict) -> np.ndarray:
    """Returns what the telephone's noise suppression and automatic gain make of its microphone's
    sound, in this order, as in WebRTC."""
    if (level_db := done.get("noise_suppression_db")) is not None:
        speech = suppress_noise(speech, level_db)
    return control_gain(speech) if done.get("gain_control") else speech


def _through_wideband(speech: np.ndarray, legs: list[str]) -> np.ndarray:
    if not legs or not len(speech):
        return speech
    pcm = to_int16(speech * np.float32(32768))
    for leg in legs:
        pcm = through_wideband(pcm, leg)
    return pcm * np.float32(1 / 32768)


@lru_cache(maxsize=TUNES)
def _tune(number: int) -> Track:
    return Track.of(hold_music(number, TUNE_S))


def _choose(probabilities: dict[str, float], place: float) -> str:
    """Returns the name that `place` (0 to 1) falls on."""
    for name, probability in probabilities.items():
        place -= probability
        if place < 0:
            return name
    return name  # rounding: the probabilities add up to 1


def _finite_mono(samples: np.ndarray) -> np.ndarray:
    """Returns float32 (n,) on the scale -1..1."""
    samples = np.asarray(samples)
    if samples.ndim != 1:
        raise InputError(f"expected mono samples of shape (n,), got {samples.shape}")
    if samples.dtype == np.int16:
        return samples * np.float32(1 / 32768)
    if not np.issubdtype(samples.dtype, np.floating):
        raise InputError(f"expected float or int16 samples, got {samples.dtype}")
    # Checked by magnitude before float32, where 1e300 would be infinite; a NaN compares as false.
    if len(samples) and not (samples.max() <= MAX_SAMPLE and samples.min() >= -MAX_SAMPLE):
        raise InputError("expected samples on the scale -1..1, got NaN, infinity or beyond 1000")
    return samples.astype(np.float32)


def _at_level(speech: np.ndarray, level_db: float) -> np.ndarray:
    """Returns a copy of the speech with this active level in dBov; silence stays as it is."""
    present_db = active_level_db(speech, WIDEBAND_RATE_HZ)
    gain_db = level_db - present_db if present_db > SILENCE_DB else 0.0
    return speech * amplitude(gain_db)
