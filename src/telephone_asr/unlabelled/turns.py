"""Whole recordings into turns: which stretches of which channels somebody speaks in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import heappush, heappushpop
from itertools import pairwise
from pathlib import Path

import numpy as np

from telephone_asr.calls.recording import Choice, Recording, listen
from telephone_asr.channel.band import TELEPHONE_RATE_HZ
from telephone_asr.corpora.items import Item, load_all
from telephone_asr.corpora.sound import SoundError, open_sound
from telephone_asr.corpora.values import shown
from telephone_asr.sameness import HOP, RATE_HZ, as_text, words
from telephone_asr.shards import Rejected, Utterance
from telephone_asr.silero import FRAME_S, Activity
from telephone_asr.telephone_rate import at_telephone_rate
from telephone_asr.unlabelled.account import KEPT, SILENCE, Account
from telephone_asr.unlabelled.known import KnownSounds
from telephone_asr.unlabelled.music import is_music

LOUD_DB = -55.0  # of full scale; below it nobody looks for music
ABOVE_FLOOR_DB = 10.0  # by which sound that is not speech stands out of the line's noise
SPEECH = 0.5  # probability, the detector's own threshold
HOLE_S, SHORTEST_S, LONGEST_S = 0.5, 0.35, 20.0  # of stretches that are loud without speech
NOTHING = (SILENCE, "silent_channel", "same_channel")
PROBES, PROBE_S = 6, 3.0  # the longest turns, by whose beginnings copies of a recording are known


@dataclass(frozen=True)
class Rules:
    """What of a recording is used."""

    max_hours: float  # of a recording
    speech_s: tuple[float, float]  # of a turn


@dataclass(frozen=True)
class Stretch:
    """A stretch of a channel that is not silence; kind: speech, other (loud), blip."""

    channel: int | None
    start_s: float
    end_s: float
    kind: str
    speech_s: float = 0.0
    above_floor_db: float = 0.0


def turns(account: Account, path: Path, rules: Rules, known: KnownSounds) -> Iterator[Utterance]:
    """Yields the turns of a recording at 8 kHz, and writes its account.

    Where the account has a `reason` in the end, the recording is not used, nor what was yielded.
    """
    heard_s = 0.0

    def on_sound(seconds: float) -> None:
        nonlocal heard_s
        heard_s += seconds

    try:
        recording = listen(path, Choice(max_hours=rules.max_hours), on_sound)
        yield from _turns(account, recording, rules, known)
        recording.check_unchanged()
    except SoundError as error:
        if not account.samples:
            _account_unheard(account, path, heard_s)
        reason = "too_long" if error.reason == "too_long" else "unusable"
        account.take_whole(reason, f"{shown(path)}: {error}")


def _account_unheard(account: Account, path: Path, heard_s: float) -> None:
    """Accounts for what was heard before an error; where that was nothing, for what is promised."""
    try:
        sound = open_sound(path)
    except SoundError:
        return
    account.channels, account.sample_rate_hz = sound.channels, sound.rate_hz
    samples = round(heard_s * sound.rate_hz) or (0 if sound.truncated else sound.frames or 0)
    account.samples = {"unusable": samples * sound.channels}
    sound.close()


def _turns(
    account: Account, recording: Recording, rules: Rules, known: KnownSounds
) -> Iterator[Utterance]:
    stretches = [
        stretch
        for channel, activity in recording.activities.items()
        for stretch in _stretches(recording, channel, activity)
    ]
    stretches.sort(key=lambda one: (one.start_s, one.channel or 0))
    _account_silence(account, recording, stretches)
    loaded = load_all([_item(recording.path, one) for one in stretches], rules.max_hours)
    probes: list[tuple[float, str, np.ndarray]] = []
    for stretch, sound in zip(stretches, loaded, strict=True):
        if isinstance(sound, Rejected):
            raise SoundError(sound.detail, sound.reason)
        turn = at_telephone_rate(sound)
        found = _verdict(stretch, turn.samples, rules)
        own = words(turn.samples, TELEPHONE_RATE_HZ)
        if found == KEPT and (same := known.same_as(turn.samples, TELEPHONE_RATE_HZ, own)):
            at = f"at {stretch.start_s:.1f} s it has the sound of {same}"
            account.take_whole("held_out", at)
            return
        _count(account, recording, stretch, found)
        if found == KEPT:
            id_ = f"{account.id}-{_letter(stretch.channel)}-{round(100 * stretch.start_s):07d}"
            _keep_probe(probes, stretch.end_s - stretch.start_s, id_, own)
            yield Utterance(
                id=id_,
                samples=turn.samples,
                sample_rate_hz=turn.sample_rate_hz,
                text="",
                speaker=f"{account.id}-{_letter(stretch.channel)}",
                custom={
                    "recording": account.id,
                    "channel": _letter(stretch.channel),
                    "start_s": round(stretch.start_s, 3),
                },
            )
    account.probes = [(id_, as_text(own)) for _, id_, own in sorted(probes)]
    _conclude(account)


def _item(path: Path, stretch: Stretch) -> Item:
    return Item(path.stem, path, stretch.start_s, stretch.end_s, stretch.channel)


def _letter(channel: int | None) -> str:
    return "m" if channel is None else chr(ord("a") + channel)


def _stretches(recording: Recording, channel: int | None, activity: Activity) -> Iterator[Stretch]:
    """Yields what is not silence on a channel: the segments that `transcribe` would take, and what
    is loud outside of them, or like speech for less than any segment."""
    n = len(activity.level_db)
    outside = np.ones(n, dtype=bool)
    for piece in recording.pieces:
        if piece.channel == channel:
            part = piece.segment
            outside[int(part.start_s / FRAME_S) : int(np.ceil(part.end_s / FRAME_S))] = False
            speech_s = part.speech_end_s - part.speech_start_s
            yield Stretch(channel, part.start_s, part.end_s, "speech", speech_s)
    if not outside.any():
        return
    floor_db = float(np.percentile(activity.level_db[outside], 10))
    blips = outside & (activity.speech >= SPEECH)
    loud = outside & ~blips & (activity.level_db > LOUD_DB)
    for kind, mask in (("blip", blips), ("other", loud)):
        for first, last in _runs(mask, outside & ~blips if kind == "other" else mask):
            end_s = min(last * FRAME_S, recording.duration_s)
            if kind == "other" and end_s - first * FRAME_S < SHORTEST_S:
                continue
            above_db = float(np.mean(activity.level_db[first:last])) - floor_db
            yield Stretch(channel, first * FRAME_S, end_s, kind, above_floor_db=above_db)


def _runs(mask: np.ndarray, open_: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yields first and end of the runs of frames in a mask, across holes of less than HOLE_S where
    `open_`, none longer than LONGEST_S."""
    frames = np.flatnonzero(mask)
    if not len(frames):
        return
    shut = np.concatenate([[0], np.cumsum(~open_)])
    gaps = np.diff(frames)
    apart = (gaps > HOLE_S / FRAME_S) | (shut[frames[1:]] > shut[frames[:-1]])
    longest = int(LONGEST_S / FRAME_S)
    for run in np.split(frames, np.flatnonzero(apart) + 1):
        ends = [*range(int(run[0]), int(run[-1]) + 1, longest), int(run[-1]) + 1]
        yield from pairwise(ends)


def _verdict(stretch: Stretch, samples: np.ndarray, rules: Rules) -> str:
    """Returns KEPT, SILENCE or the reason why a stretch is left out."""
    if stretch.kind == "blip" or (
        stretch.kind == "speech" and stretch.speech_s < rules.speech_s[0]
    ):
        return "too_short"
    if is_music(samples, stretch.kind):
        return "music"
    if stretch.kind == "other":
        return "not_speech" if stretch.above_floor_db > ABOVE_FLOOR_DB else SILENCE
    return "too_long" if stretch.end_s - stretch.start_s > rules.speech_s[1] else KEPT


def _account_silence(account: Account, recording: Recording, stretches: Sequence[Stretch]) -> None:
    """Begins an account: all of a channel is silence until something else is known of it."""
    account.channels, account.sample_rate_hz = recording.channels, recording.sample_rate_hz
    samples = round(recording.duration_s * recording.sample_rate_hz)
    mixed = None in recording.activities
    account.samples = {"same_channel": samples * (recording.channels - 1)} if mixed else {}
    for channel in recording.activities:
        there = any(one.channel == channel for one in stretches)
        name = SILENCE if there else "silent_channel"
        account.samples[name] = account.samples.get(name, 0) + samples


def _count(account: Account, recording: Recording, stretch: Stretch, verdict: str) -> None:
    """Takes a stretch out of the silence."""
    if verdict == SILENCE:
        return
    first, last = (
        round(seconds * recording.sample_rate_hz) for seconds in (stretch.start_s, stretch.end_s)
    )
    account.samples[SILENCE] -= last - first
    assert account.samples[SILENCE] >= 0, (account.id, stretch)
    account.samples[verdict] = account.samples.get(verdict, 0) + last - first
    account.turns += verdict == KEPT
    if verdict != KEPT:
        before = account.left_out[-1] if account.left_out else None
        start_s, end_s = round(stretch.start_s, 3), round(stretch.end_s, 3)
        channel = _letter(stretch.channel)
        if before and (before["channel"], before["reason"], before["end_s"]) == (
            *(channel, verdict, start_s),
        ):
            before["end_s"] = end_s
        else:
            place = {"channel": channel, "start_s": start_s, "end_s": end_s}
            account.left_out.append({**place, "reason": verdict})


def _keep_probe(
    probes: list[tuple[float, str, np.ndarray]], seconds: float, id_: str, own: np.ndarray
) -> None:
    probe = (seconds, id_, own[: round(PROBE_S * RATE_HZ / HOP)])
    if len(probes) < PROBES:
        heappush(probes, probe)
    else:
        heappushpop(probes, probe)


def _conclude(account: Account) -> None:
    """Gives a recording of which no turn is kept its reason: what most of it is."""
    if account.turns:
        return
    seconds = {name: n for name, n in account.seconds().items() if n}
    heard = {name: n for name, n in seconds.items() if name not in NOTHING} or seconds
    account.reason = max(heard, key=lambda name: heard[name])
    parts = ", ".join(f"{name} {n:.1f} s" for name, n in seconds.items())
    account.detail = f"no turn of it is kept: {parts}"
