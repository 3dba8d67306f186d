"""Who is who from chunk to chunk, where what is written and whose voice it is are given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from pyannote.core import Segment
from torch import Tensor

from pyannote_pix2seq.decoding.search import Hypothesis
from pyannote_pix2seq.frontends import AudioTokens
from pyannote_pix2seq.limits import SpeakerCountError, SpeakerLimits
from pyannote_pix2seq.network.compensation import ChannelCompensation
from pyannote_pix2seq.output import SHORTEST_TURN, Turn
from pyannote_pix2seq.prompts import Prompted
from pyannote_pix2seq.strategies import inventory
from pyannote_pix2seq.strategies.by_prompts import ByPrompts
from pyannote_pix2seq.strategies.chain import Chain
from pyannote_pix2seq.strategies.chunks import Chunk
from pyannote_pix2seq.strategies.inventory import SpeakerInventory
from pyannote_pix2seq.strategies.reading import Reading
from pyannote_pix2seq.strategies.speakers import Speaker
from pyannote_pix2seq.strategies.two_pass import TwoPass
from pyannote_pix2seq.strategies.writer import _turns_of
from pyannote_pix2seq.vocabulary import Triplet

NUM_TOKENS = 188
"""Of 30 s, 0.16 s each."""


class ScriptedWriter:
    """Hears in each chunk the voice that its waveform is filled with, and writes what it is told to."""

    capacity = 4
    compensation = ChannelCompensation(8)

    def __init__(self) -> None:
        self.script: list[list[Turn]] = []
        self.asked: list[tuple[int, int | None]] = []
        """Number of prompts of each chunk, and most speakers."""

    @property
    def first_pass(self) -> ScriptedWriter:
        return self

    second_pass = first_pass

    def most_prompts(self, audio: AudioTokens) -> int:
        return self.capacity

    def listen(self, waveform: Tensor) -> AudioTokens:
        voice = torch.zeros(NUM_TOKENS, 3, 8)
        voice[..., int(waveform[0, 0])] = 1.0
        return AudioTokens(torch.zeros(NUM_TOKENS, 28), voice)

    def write(
        self,
        audio: Sequence[AudioTokens],
        prompted: Sequence[Sequence[Speaker]],
        min_speakers: int = 0,
        max_speakers: int | None = None,
    ) -> list[list[Turn]]:
        self.asked += [(len(speakers), max_speakers) for speakers in prompted]
        assert max_speakers != 0  # as decoding does: there is nothing to be written by nobody
        return [self.script.pop(0) for _ in audio]


class IdealWriter(ScriptedWriter):
    """Hears who speaks when in each chunk, and writes it for the prompt that sounds most like it."""

    def __init__(self, *said: list[tuple[float, float, Tensor]]) -> None:
        super().__init__()
        self.said = said

    def listen(self, waveform: Tensor) -> AudioTokens:
        self.now = self.said[int(waveform[0, 0])]
        voices = torch.zeros(NUM_TOKENS, 3, 8)
        for start, end, voice in self.now:
            voices[int(start / 0.16) : int(end / 0.16)] = voice
        return AudioTokens(torch.zeros(NUM_TOKENS, 28), voices)

    def write(self, audio: Any, prompted: Sequence[Sequence[Speaker]], *_: Any, **limits: Any) -> list[list[Turn]]:
        known, turns = [speaker.voice / speaker.voice.norm() for speaker in prompted[0]], []
        for start, end, voice in self.now:
            alike = [float(other @ voice) for other in known]
            if max(alike, default=0.0) < 0.7:
                known.append(voice)
                alike.append(1.0)
            turns.append(Turn(start, end, alike.index(max(alike)), 0.9))
        return [turns]


def read(chain: Chain, index: int, voice: int, *written: list[Turn], later: int = 1) -> list[Turn]:
    """Let a chain read the chunk that begins every 24 s, in which this is written, reading by reading."""
    assert isinstance(chain.writer, ScriptedWriter)
    chain.writer.script = list(written)
    return chain.read(chunk_of(index, voice), later)


def chunk_of(index: int, voice: int) -> Chunk:
    start = 24.0 * index
    core = Segment(start + (3 if index else 0), start + 27)
    return Chunk(torch.full((1, 480000), float(voice)), start, core, is_last=False)


@pytest.fixture
def chain() -> Chain:
    return Chain(ScriptedWriter(), SpeakerLimits(0, None))  # type: ignore[arg-type]


@pytest.mark.parametrize("start", [24.1, 25.6, 26.4, 26.9])
def test_whoever_begins_just_before_a_border_stays_who_he_is(chain: Chain, start: float) -> None:
    (before,) = read(chain, 0, 0, [Turn(start, 30, 0, 0.9)])
    going_on = [Turn(max(start - 24, 0), 6, 0, 0.9)]
    (after,) = read(chain, 1, 0, going_on, going_on)
    assert (before.end, after.start) == (27, 27)
    assert after.speaker == before.speaker


@pytest.mark.parametrize(("start", "seconds"), [(24, 39 - 18), (26, 27 - 18 + 39 - 26)])
def test_every_second_of_a_voice_counts_once_in_whichever_chunk_it_is_heard(
    chain: Chain, start: int, seconds: int
) -> None:
    read(chain, 0, 0, [Turn(18, 30, 0, 0.9)])  # core up to 27 s
    going_on = [Turn(start - 24, 15, 0, 0.9)]  # up to 39 s; a part is of the chunk that its middle is in
    read(chain, 1, 0, going_on, going_on)
    assert chain.inventory.speakers[0].voice.tolist() == pytest.approx([seconds, *[0] * 7])


def test_what_is_known_of_a_speaker_grows_with_each_chunk(chain: Chain) -> None:
    read(chain, 0, 0, [Turn(2, 10, 0, 0.5)])
    going_on = [Turn(5, 15, 0, 0.9)]
    read(chain, 1, 0, going_on, going_on)
    known = chain.inventory.speakers[0]
    assert (known.solo_duration, known.last_heard) == (8 + 10, 24 + 15)
    assert known.quality == pytest.approx(5 * 0.9)


def test_until_somebody_has_spoken_the_only_pass_is_not_a_quick_one(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = ScriptedWriter()
    monkeypatch.setattr(ScriptedWriter, "first_pass", quick)
    read(chain, 0, 0, [Turn(2, 10, 0, 0.9)])
    assert quick.asked == []
    quick.script = [[Turn(5, 15, 0, 0.9)]]
    read(chain, 1, 0, [Turn(5, 15, 0, 0.9)])
    assert quick.asked == [(0, 4)]


@pytest.mark.parametrize(("most", "number"), [(2, 1), (None, 2)])
def test_where_no_more_may_appear_a_number_that_is_nobodys_is_given_again(most: int | None, number: int) -> None:
    ann, bob, hoarse = torch.eye(8)[:3]
    faint, between = 0.55 * ann + 0.83 * hoarse, 0.8 * ann + 0.6 * hoarse  # one person, as the second chunk shows
    later = [(4.0, 10.0, ann), (11.0, 25.0, bob)]
    writer = IdealWriter(
        [(3.0, 12.0, ann), (14.0, 20.0, faint)],
        [(4.0, 12.0, between), (14.0, 20.0, between)],
        [(4.0, 12.0, ann), (13.0, 20.0, between)],
        later,
        later,
    )
    chain = Chain(writer, SpeakerLimits(0, most))  # type: ignore[arg-type]
    found = [[turn.speaker for turn in read(chain, index, index)] for index in range(5)]
    assert found == [[0, 1], [0, 0], [0, 0], [0, number], [0, number]]
    known = chain.inventory.speakers[number]
    assert torch.cosine_similarity(known.voice, bob, dim=0) > 0.99 and known.clip.voice[0, 0].equal(bob)
    parts = [part for part in chain._by_voices.history._parts if part.turn.speaker == number]
    assert parts and all(torch.cosine_similarity(part.voice, bob, dim=0) > 0.99 for part in parts)  # no one else's


def test_a_stranger_who_comes_to_sound_like_a_name_that_may_not_appear_stays_who_he_is() -> None:
    ann, other = torch.eye(8)[:2]
    unlike, alike = 0.4 * ann + 0.917 * other, 0.8 * ann + 0.6 * other
    enrolled = Speaker(AudioTokens(torch.zeros(1, 28), torch.zeros(1, 3, 8)), 1.0, ann, 1.0, name="ann")
    writer = IdealWriter([(4.0, 14.0, unlike)], *3 * [[(4.0, 24.0, alike)]])
    chain = Chain(writer, SpeakerLimits(0, 1), [enrolled])  # type: ignore[arg-type]
    durations = []
    for index in range(4):
        assert [turn.speaker for turn in read(chain, index, index)] == [0]
        durations.append(chain.inventory.speakers[0].solo_duration)
    assert durations == sorted(set(durations))


def test_who_was_forgotten_is_nobody_to_the_voices_either(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory, "REMEMBERED", 1)
    (first,) = read(chain, 0, 0, [Turn(2, 4, 0, 0.9)])
    second, third, fourth = [Turn(5, 7, 0, 0.9)], [Turn(5, 6.5, 0, 0.9)], [Turn(5, 15, 0, 0.9)]
    (other,) = read(chain, 1, 1, second, second)
    (again,) = read(chain, 3, 0, third, third)  # a stranger, for the second spoke later
    (still,) = read(chain, 4, 0, fourth, fourth)  # the stranger, though the first said more than he has
    assert [turn.speaker for turn in (first, other, again, still)] == [0, 1, 2, 2]


def test_silence_when_nobody_is_known_who_could_speak(chain: Chain) -> None:
    assert len(read(chain, 0, 0, [Turn(2, 10, 0, 0.9), Turn(2, 10, 1, 0.9)])) == 2  # never alone: nobody's voice
    assert read(chain, 1, 1, [Turn(10, 12, 0, 0.5)], []) == []  # met, but not written the second time
    assert read(chain, 2, 2, []) == []


def test_who_was_found_in_a_chunk_is_prompted_whomever_it_sounds_like(monkeypatch: pytest.MonkeyPatch) -> None:
    writer, clip = ScriptedWriter(), AudioTokens(torch.zeros(1, 28), torch.zeros(1, 3, 8))
    people = {number: Speaker(clip, 1.0, torch.eye(8)[axis], 1.0) for number, axis in ((3, 0), (7, 1), (9, 2))}
    reading = Reading(writer.listen(torch.zeros(1, 1)), 24.0, Segment(27, 51))
    reading.set_turns([Turn(26, 29, 7, 0.9)])
    assert reading.prompted(writer, people) == [3, 7]  # type: ignore[arg-type]
    monkeypatch.setattr(ScriptedWriter, "capacity", 1)
    assert reading.prompted(writer, people) == [7]  # type: ignore[arg-type]
    reading.forget()
    assert reading.prompted(writer, people) == [3]  # type: ignore[arg-type]


def test_more_speakers_than_the_last_chunk_can_have_are_an_error() -> None:
    chain = Chain(ScriptedWriter(), SpeakerLimits(8, None))  # type: ignore[arg-type]
    read(chain, 0, 0, [Turn(2, 10, 0, 0.9)], later=7)  # as the head of the file says
    with pytest.raises(SpeakerCountError, match="ends at 51.0 s, earlier than its head says: 7 of the speakers"):
        read(chain, 1, 0, later=0)


def test_a_file_that_is_longer_than_its_head_says_has_time_for_its_speakers() -> None:
    writer = ScriptedWriter()
    writer.script = [[Turn(2, 10, 0, 0.9)], *2 * [[Turn(5, 10, 0, 0.9)]], [Turn(5, 10, 1, 0.9)]]
    chunks = [chunk_of(0, 0), chunk_of(1, 0), chunk_of(2, 1)._replace(is_last=True)]
    found = Chain(writer, SpeakerLimits(2, None)).diarize(chunks, 1, lambda *_: None)  # type: ignore[arg-type]
    assert [turn.speaker for turn in found.turns] == [0, 0, 1]
    assert writer.script == []  # the second chunk is read twice, which it is not if new speakers have to be in it


def test_nobody_is_heard_before_his_time_where_there_are_enough_without_him() -> None:
    written = [Turn(2, 10, 0, 0.9), Turn(28, 29, 1, 0.9)]  # the second, beyond the core
    for needed, speakers in ((1, [0]), (2, [0, 1])):
        chain = Chain(ScriptedWriter(), SpeakerLimits(needed, None))  # type: ignore[arg-type]
        assert [turn.speaker for turn in read(chain, 0, 0, written, later=0)] == speakers


def by_prompts(limits: SpeakerLimits, *names: str) -> ByPrompts:
    """Reads behind prompts; the first person with a name has the first voice, and so on."""
    clip = AudioTokens(torch.zeros(1, 28), torch.zeros(1, 3, 8))
    known = [Speaker(clip, 1.0, torch.eye(8)[axis], 1.0, name=name) for axis, name in enumerate(names)]
    return ByPrompts(ScriptedWriter(), SpeakerInventory(limits, known))  # type: ignore[arg-type]


def read_once(reader: ByPrompts, index: int, voice: int, written: list[Turn], needed: int = 0) -> list[Turn]:
    chunk = chunk_of(index, voice)
    reader.writer.script = [written]  # type: ignore[attr-defined]
    return reader.read(reader.writer.listen(chunk.waveform), chunk, needed)


def test_what_a_recording_adds_to_an_enrolled_speaker_ends_with_it() -> None:
    clip = AudioTokens(torch.zeros(1, 28), torch.zeros(1, 3, 8))
    ann = Speaker(clip, 1.0, torch.eye(8)[0], 1.0, name="ann")
    reader = ByPrompts(ScriptedWriter(), SpeakerInventory(SpeakerLimits(0, None), [ann]))  # type: ignore[arg-type]
    read_once(reader, 0, 0, [Turn(2, 10, 0, 0.9)])
    assert reader.inventory.speakers[-1].solo_duration == 1.0 + 8.0
    assert (ann.solo_duration, ann.quality, ann.clip) == (1.0, 1.0, clip) and ann.voice.tolist() == [1.0, *[0.0] * 7]


@pytest.mark.parametrize("most", [0, 1])
def test_where_not_all_can_be_prompted_there_is_room_for_who_is_not(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = by_prompts(SpeakerLimits(0, 2))
    found = read_once(reader, 0, 0, [Turn(2, 10, 0, 0.9)])
    monkeypatch.setattr(ScriptedWriter, "most_prompts", lambda *_: most)
    found += read_once(reader, 1, 1, [Turn(5, 10, most, 0.9)])
    found += read_once(reader, 2, 0, [Turn(5, 6, most, 0.9)])  # who is one of the two
    assert reader.writer.asked == [(0, 2), (most, most + 1), (most, most + 1)]  # type: ignore[attr-defined]
    assert {turn.speaker for turn in found} == {0, 1} and reader.inventory.num_heard == 2


def test_who_has_no_name_is_whom_the_prompt_is_of_whatever_it_sounds_like() -> None:
    reader = by_prompts(SpeakerLimits(0, None))
    for voice in (0, 1):
        (turn,) = read_once(reader, voice, voice, [Turn(5, 10, 0, 0.9)])
        assert turn.speaker == 0


def test_of_two_numbers_that_are_one_person_one_is_prompted() -> None:
    reader = by_prompts(SpeakerLimits(0, None))
    read_once(reader, 0, 0, [Turn(2, 10, 0, 0.9), Turn(12, 20, 1, 0.9)])
    reader.inventory.present = {0}  # as clustering found
    read_once(reader, 1, 0, [Turn(5, 10, 0, 0.9)])
    assert [asked[0] for asked in reader.writer.asked] == [0, 1]  # type: ignore[attr-defined]


def test_nobody_is_prompted_who_may_not_speak() -> None:
    reader = by_prompts(SpeakerLimits(0, 1), "ann")
    read_once(reader, 0, 1, [Turn(2, 10, 1, 0.9)])  # a stranger, beside the prompt of ann
    read_once(reader, 1, 0, [Turn(5, 10, 0, 0.9)])
    assert reader.writer.asked == [(1, 2), (1, 1)] and reader.inventory.heard == {0}  # type: ignore[attr-defined]


def test_of_those_who_speak_behind_the_core_only_a_stranger_is_heard_before_his_time() -> None:
    reader = by_prompts(SpeakerLimits(1, None), "ann")
    found = read_once(reader, 0, 0, [Turn(28, 29, 0, 0.9), Turn(29, 30, 1, 0.9)], needed=1)
    assert [turn.speaker for turn in found] == [0] and reader.inventory.heard == {0}


def test_where_one_more_may_speak_it_is_who_has_a_name_and_only_who_is_heard_is_updated() -> None:
    reader = by_prompts(SpeakerLimits(0, 1), "ann", "bob")
    reader.inventory.speakers[-2].voice = torch.eye(8)[0]
    # a stranger, then ann; bob, who sounds like her, only behind the core
    found = read_once(reader, 0, 0, [Turn(2, 4, 2, 0.9), Turn(5, 9, 0, 0.9), Turn(28, 29, 1, 0.9)])
    assert [turn[:3] for turn in found] == [(2, 4, -1), (5, 9, -1)] and reader.inventory.heard == {-1}
    assert [reader.inventory.speakers[number].solo_duration for number in (-1, -2)] == [1.0 + 4.0, 1.0]


def test_of_speakers_whom_only_the_first_pass_heard_those_who_said_most_have_their_surest_turns() -> None:
    writer = ScriptedWriter()
    first_pass = [
        [Turn(5, 10, 0, 0.9)],
        [Turn(3, 12, 0, 0.6), Turn(14, 20, 0, 0.8), Turn(21, 23, 0, 0.7)],
        [Turn(5, 15, 0, 0.9)],
    ]
    writer.script = [*first_pass, [], [], []]
    strategy = TwoPass(writer, SpeakerLimits(2, None))  # type: ignore[arg-type]
    found = strategy.diarize([chunk_of(index, voice=index) for index in range(3)], 3, lambda *_: None)
    assert [turn[:2] for turn in sorted(found.turns)] == [(24 + 14, 24 + 20), (48 + 5, 48 + 15)]
    assert [round(turn.confidence, 6) for turn in sorted(found.turns)] == [0.8, 0.9]


def test_turns_of_the_only_chunk_end_with_the_recording() -> None:
    writer = ScriptedWriter()
    writer.script = [[Turn(2, 30.08, 0, 0.9), Turn(29.95, 30.08, 1, 0.5)]]  # in the last token, beyond the audio
    chunk = Chunk(torch.zeros(1, 478400), 0.0, Segment(0, 29.9), is_last=True)
    found = TwoPass(writer, SpeakerLimits(0, None)).diarize([chunk], 1, lambda *_: None)  # type: ignore[arg-type]
    assert [turn[:3] for turn in found.turns] == [(2, 29.9, 0), (pytest.approx(29.89), 29.9, 1)]


def test_turns_that_begin_within_the_prompts_begin_with_the_chunk() -> None:
    audio = AudioTokens(torch.zeros(1, 28), torch.zeros(1, 3, 8))
    written = [Triplet(0.0, 4.0, 0), Triplet(3.0, 3.5, 1), Triplet(4.0, 6.0, 0), Triplet(5.5, 8.0, 1)]
    found = Hypothesis([], written, [1.0, 0.2, 0.3, 0.4], 0.0)
    turns = _turns_of(found, Prompted(audio, written[:1], offset=5.0))
    assert turns == [Turn(0.0, SHORTEST_TURN, 1, 0.2), Turn(0.0, 1.0, 0, 0.3), Turn(0.5, 3.0, 1, 0.4)]


@pytest.mark.parametrize(("sounds_like", "number"), [(0, -1), (1, 0)])
def test_a_name_is_only_given_to_who_sounds_like_it(sounds_like: int, number: int) -> None:
    voice = torch.zeros(8)
    voice[0] = 1.0
    clip = AudioTokens(torch.zeros(1, 28), torch.zeros(1, 3, 8))
    chain = Chain(ScriptedWriter(), SpeakerLimits(1, None), [Speaker(clip, 1.0, voice, 1.0, name="ann")])  # type: ignore[arg-type]
    chain.writer.script = [[Turn(2, 10, 0, 0.9)]]  # type: ignore[attr-defined]  # written for ann, whoever it is
    chunk = Chunk(torch.full((1, 480000), float(sounds_like)), 0.0, Segment(0, 27), is_last=True)
    (turn,) = chain.read(chunk, later=0)
    assert turn.speaker == number


ANN, OTHER, CHANNEL = torch.eye(8)[[0, 6, 7]]
"""Axes of voices, the last of which tells nothing but where a voice was heard."""


class ThroughChannel(ScriptedWriter):
    """Hears a voice whose cosine with ANN is 0.18, and 0.4 where the channel is compensated."""

    compensation = ChannelCompensation(8)
    compensation.whitening[-1, -1] = 0.0
    compensation.least.fill_(0.3)

    def listen(self, waveform: Tensor) -> AudioTokens:
        voice = (0.4 * ANN + 0.84**0.5 * OTHER + 2 * CHANNEL) / 5**0.5
        return AudioTokens(torch.zeros(NUM_TOKENS, 28), voice.expand(NUM_TOKENS, 3, 8))


def number_in(strategy: Any) -> int:
    """Number of the only speaker of the only chunk."""
    strategy.writer.script = [[Turn(2, 10, 0, 0.9)]]
    return strategy.diarize([chunk_of(0, 0)._replace(is_last=True)], 1, lambda *_: None).turns[0].speaker


@pytest.mark.parametrize(("enrolled", "number"), [(ANN, -1), (0.4 * torch.eye(8)[1] + 2 * CHANNEL, 0)])
@pytest.mark.parametrize(("strategy", "needed"), [(Chain, 0), (Chain, 1), (TwoPass, 0)])
def test_names_are_given_by_voices_without_the_channel(
    strategy: Any, needed: int, enrolled: Tensor, number: int
) -> None:
    """Chains read by voices, and by prompts where somebody is needed: what is written is written for the prompt."""
    clip = AudioTokens(torch.zeros(1, 28), torch.zeros(1, 3, 8))
    known = [Speaker(clip, 1.0, enrolled, 1.0, name="ann")]
    assert number_in(strategy(ThroughChannel(), SpeakerLimits(needed, None), known)) == number
