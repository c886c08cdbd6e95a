"""Other people talking: babble, mixed beforehand from the corpus's own voices, and with it what
else of a line is recorded: a user's noise and rooms."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from telephone_asr.channel.band import WIDEBAND_RATE_HZ, to_wideband
from telephone_asr.channel.level import SILENCE_DB, active_level_db, rms
from telephone_asr.channel.noise import Track, circular
from telephone_asr.channel.portable import amplitude, random_numbers
from telephone_asr.errors import InputError

TRACK_RMS = 0.1  # of a babble track


@dataclass(frozen=True, eq=False)
class BabblePool:
    """A store of babble mixed beforehand: drawing from it costs nothing.

    tracks: float32 (n_tracks, n_samples) at 16 kHz, all of one rms. talkers: who speaks in each.
    noises and rooms: a user's, as `Track` and `room.room_response` make them.
    It takes n_tracks * track_s * 64 kB (31 MB by default) and goes to workers through a file.
    """

    tracks: np.ndarray
    talkers: tuple[tuple[str, ...], ...]
    noises: tuple[Track, ...] = ()
    rooms: tuple[np.ndarray, ...] = ()

    @classmethod
    def build(
        cls,
        speech: Iterable[tuple[str, np.ndarray]],
        talkers: tuple[int, int] = (4, 8),
        seed: int = 0,
        *,
        sample_rate_hz: int = WIDEBAND_RATE_HZ,
        n_tracks: int = 16,
        track_s: float = 30.0,
    ) -> "BabblePool":
        """Mixes `n_tracks` tracks, each of talkers[0] to talkers[1] voices at equal active level.

        speech: (speaker, samples -1..1) pairs; of each speaker the first `track_s` seconds are
        held in memory (2 MB), the rest is skipped: a hundred speakers are plenty.
        The result depends on the speech, its order and the seed alone.
        Tracks leave out one speaker after the other, so that nobody need be mixed with their own
        voice: from 2 to `n_tracks` speakers, each is missing from some track; with more, chance
        sees to it. Where speakers are fewer than talkers, one talks more than once in a track.
        Raises InputError if no pair holds any speech.
        """
        voices = _voices(speech, sample_rate_hz, round(track_s * WIDEBAND_RATE_HZ))
        if not voices:
            raise InputError("no speech to make babble of: every utterance given is silent")
        rng = random_numbers(seed)
        names = sorted(voices)
        tracks, track_talkers = [], []
        for index in range(n_tracks):
            others = [n for n in names if n != names[index % len(names)]] or names
            n_talkers = int(rng.integers(talkers[0], talkers[1], endpoint=True))
            chosen = _choose(rng, others, n_talkers)
            tracks.append(_mix(rng, [voices[name] for name in chosen]))
            track_talkers.append(tuple(chosen))
        return cls(np.stack(tracks), tuple(track_talkers))

    def save(self, path: Path) -> None:
        """Writes an .npz file."""
        making = path.with_name(path.name + ".tmp")
        with open(making, "wb") as file:
            own: dict[str, Any] = {f"noise{i:06d}": n.samples for i, n in enumerate(self.noises)}
            own |= {f"room{i:06d}": response for i, response in enumerate(self.rooms)}
            np.savez(file, tracks=self.tracks, talkers=json.dumps(self.talkers), **own)
        making.replace(path)

    @classmethod
    def load(cls, path: Path) -> "BabblePool":
        """Reads what `save` wrote."""
        with np.load(path) as file:
            talkers = tuple(tuple(names) for names in json.loads(str(file["talkers"])))
            noises = tuple(Track.of(file[name]) for name in file.files if name.startswith("noise"))
            rooms = tuple(file[name] for name in file.files if name.startswith("room"))
            return cls(file["tracks"], talkers, noises, rooms)

    def draw(
        self, rng: np.random.Generator, n_samples: int, not_speaker: str
    ) -> tuple[np.ndarray, int]:
        """Returns babble (n_samples,) at 16 kHz without `not_speaker`, and how many talk in it.

        A random track from a random point, going round at its end. Where everyone is
        `not_speaker` (a corpus of one speaker) that voice is used nevertheless.
        """
        without = [i for i, names in enumerate(self.talkers) if not_speaker not in names]
        candidates = without or range(len(self.talkers))
        index = candidates[int(rng.integers(len(candidates)))]
        track = self.tracks[index]
        piece = circular(track, int(rng.integers(len(track))), n_samples)
        return piece, len(self.talkers[index])


def _voices(
    speech: Iterable[tuple[str, np.ndarray]], sample_rate_hz: int, n_samples: int
) -> dict[str, np.ndarray]:
    """Returns (n_samples,) float32 at 16 kHz of each speaker: utterances at 0 dBov end to end,
    repeated where they are too few."""
    utterances: dict[str, list[np.ndarray]] = {}
    for speaker, samples in speech:
        kept = utterances.setdefault(speaker, [])
        if sum(map(len, kept)) >= n_samples:
            continue
        wideband = to_wideband(samples, sample_rate_hz)
        level_db = active_level_db(wideband, WIDEBAND_RATE_HZ)
        if level_db > SILENCE_DB:
            kept.append(wideband * amplitude(-level_db))
    return {s: np.resize(np.concatenate(kept), n_samples) for s, kept in utterances.items() if kept}


def _choose(rng: np.random.Generator, names: list[str], n_talkers: int) -> list[str]:
    """Returns n_talkers names, nobody a second time before everybody has been chosen."""
    chosen: list[str] = []
    while len(chosen) < n_talkers:
        chosen += [names[i] for i in rng.permutation(len(names))]
    return chosen[:n_talkers]


def _mix(rng: np.random.Generator, voices: list[np.ndarray]) -> np.ndarray:
    """Returns the sum of the voices, each from a random point on, as one track."""
    track = np.zeros(len(voices[0]), dtype=np.float32)
    for voice in voices:
        track += np.roll(voice, int(rng.integers(len(voice))))
    return track * np.float32(TRACK_RMS / rms(track))
