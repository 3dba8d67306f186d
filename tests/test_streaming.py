"""Streams: the same turns as of a file, within their latency; and whom the chain behind them knows or forgets."""

from __future__ import annotations

import copy
import gc
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pitched import RATE, make, rows, talk, tone

from pyannote_pix2seq.audio.samples import AudioError
from pyannote_pix2seq.frontends import AudioTokens
from pyannote_pix2seq.limits import SpeakerCountError, SpeakerLimits
from pyannote_pix2seq.model import Pix2Seq
from pyannote_pix2seq.output import Turn
from pyannote_pix2seq.strategies import by_voices, history, inventory
from pyannote_pix2seq.strategies.chain import Chain
from pyannote_pix2seq.strategies.chunks import Chunker
from pyannote_pix2seq.strategies.inventory import SpeakerInventory
from pyannote_pix2seq.strategies.speakers import Speaker
from pyannote_pix2seq.strategies.streaming import Stream, StreamError
from pyannote_pix2seq.strategies.writer import Writer


@pytest.mark.parametrize("sizes", [(1000,), (7, 40000, 333), (10**6,)])
@pytest.mark.parametrize("options", [{}, {"num_speakers": 2}, {"max_speakers": 1}])
@pytest.mark.parametrize("is_forgetful", [False, True])
def test_a_stream_equals_the_chain(
    model: Pix2Seq,
    sizes: tuple[int, ...],
    options: dict[str, int],
    is_forgetful: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if is_forgetful:
        forget_almost_everybody(monkeypatch)
    pipeline, file = make(model, "chain"), talk(13.0, sample_rate=12000)  # slower: 17 s
    output = pipeline(file, **options)
    stream, found, position = pipeline.stream(12000, **options), [], 0
    while position < file["waveform"].shape[1]:
        for size in sizes:
            found += stream.push(file["waveform"][:, position : position + size])
            position += size
    found = sorted([*found, *stream.close()])
    assert [turn[:3] for turn in found] == sorted(rows(output))
    assert sorted(turn.confidence for turn in found) == sorted(output.confidence)
    assert len(found) > 3


@pytest.fixture
def one_voice_a_chunk(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Every chunk is one turn, of whoever of its prompts sounds most like it; silence is nobody's without prompts.

    How many prompts there are, by chunk.
    """
    prompts = []

    def write(
        writer: Writer, audio: list[AudioTokens], prompted: list[list[Speaker]], *_: int, max_speakers: int = 0
    ) -> list[list[Turn]]:
        voice = audio[0].voice[:, 0].sum(0)
        alike = [torch.cosine_similarity(voice, speaker.voice, dim=0).item() for speaker in prompted[0]]
        if alike:
            prompts.append(len(alike))
        return [[Turn(0.2, 3.8, int(np.argmax(alike or [0])), 0.9)]] if alike or voice.any() else [[]]

    monkeypatch.setattr(Writer, "write", write)
    return prompts


def test_a_chain_knows_people_by_their_voices(model: Pix2Seq, one_voice_a_chunk: list[int]) -> None:
    voices = [150, 400, 400, 650, 150, 650, 400, 150]
    waveform = torch.cat([tone(voice, 4.0, seed=k) for k, voice in enumerate(voices)], dim=1)
    output = make(model, "chain", hop=4.0)({"waveform": waveform, "sample_rate": RATE, "uri": "talk"})
    found = {label: {round(start) // 4 for start, _, who in rows(output) if who == label} for *_, label in rows(output)}
    assert found == {"SPEAKER_00": {0, 4, 7}, "SPEAKER_01": {1, 2, 6}, "SPEAKER_02": {3, 5}}
    assert one_voice_a_chunk == [1] * 7  # of those who are known, only those who sound like somebody in the chunk


def test_who_was_taken_for_two_is_prompted_once(
    model: Pix2Seq, one_voice_a_chunk: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = make(model, "chain", hop=4.0).stream(RATE)
    voices = [tone(150, 4.0, seed=k) for k in range(4)]
    with monkeypatch.context() as patch:
        recognise_nobody(patch)
        said = [*stream.push(voices[0]), *stream.push(voices[1]), *stream.push(voices[2])]
    said += stream.push(voices[3]) + stream.push(torch.zeros(1, 4 * RATE)) + stream.close()
    assert [turn.speaker for turn in said[:2]] == ["SPEAKER_00", "SPEAKER_01"]
    assert one_voice_a_chunk == [1, 1, 1] and said[2].speaker == said[3].speaker
    assert said[3].speaker in {"SPEAKER_00", "SPEAKER_01"}


def test_who_had_to_be_heard_is_prompted_where_he_goes_on_and_nobody_in_silence(
    model: Pix2Seq, one_voice_a_chunk: list[int]
) -> None:
    pipeline = make(model, "chain", hop=4.0)
    chunker = Chunker(pipeline.grid)
    chunks = list(chunker.push(torch.cat([tone(150, 8.0), torch.zeros(1, 4 * RATE)], dim=1)))
    reading = Chain(pipeline.writer, SpeakerLimits(1, None))
    for chunk in [*chunks, chunker.close()][:3]:
        reading.read(chunk, later=0)  # as if it were the last one, for there is more than the head of the file says
    assert one_voice_a_chunk == [1]


def forget_almost_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory, "REMEMBERED", 1)
    recognise_nobody(monkeypatch)


def recognise_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_voices, "same_people", lambda groups, given: dict(given))


@pytest.mark.parametrize("number", [1, 2, 5, 15])
def test_those_who_are_forgotten_count(model: Pix2Seq, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    forget_almost_everybody(monkeypatch)
    output = make(model, "chain")(talk(), num_speakers=number)
    assert output.speaker_diarization.labels() == [f"SPEAKER_{k:02d}" for k in range(number)]
    assert len(output.speaker_embeddings) == number


def test_who_is_silent_for_long_and_said_little_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory, "REMEMBERED", 2)

    def speaker(solo_duration: float, last_heard: float, name: str | None = None) -> Speaker:
        return Speaker(
            AudioTokens(torch.zeros(1, 2), torch.zeros(1, 1, 2)), 1.0, torch.ones(2), solo_duration, last_heard, name
        )

    people = SpeakerInventory(SpeakerLimits(0, None), [speaker(1.0, -np.inf, "ann")])
    people.speakers |= {0: speaker(100.0, 10.0), 1: speaker(2.0, 60.0), 2: speaker(0.0, 99.0), 3: speaker(1.0, 100.0)}
    people.heard, people.present = {0, 1, 2, 3}, {1, 3}
    assert people.forget(100.0) == [1, 2]  # for every second alone: 0.9 s, 20 s, 100 s, none
    assert list(people.speakers) == [-1, 0, 3] and people.heard == {0, 3} and people.present == {3}
    assert people.new_number() == 0  # numbers are not given back: these were set by hand


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_stream_cannot_be_copied_and_goes_on(model: Pix2Seq, duplicate: Callable[[Stream], object]) -> None:
    stream, undisturbed = make(model, "chain").stream(RATE), make(model, "chain").stream(RATE)
    waveform = talk()["waveform"]
    said, expected = stream.push(waveform), undisturbed.push(waveform)
    with pytest.raises(StreamError, match="cannot be copied or pickled"):
        duplicate(stream)
    assert said + stream.close() == expected + undisturbed.close() != []


def test_blocks_of_a_stream_may_be_shorter_than_they_have_channels(model: Pix2Seq) -> None:
    waveform = talk(11.0)["waveform"]
    stereo, mono = (make(model, "chain").stream(RATE) for _ in range(2))
    turns = [turn for block in waveform.expand(8, -1).split(4, dim=1) for turn in stereo.push(block)]
    assert [*turns, *stereo.close()] == [*mono.push(waveform), *mono.close()] != []
    with pytest.raises(AudioError, match=r"shape \(1600, 2\), but must be \(channel, time\). Transpose"):
        make(model, "chain").stream(RATE).push(waveform[:, :3200].reshape(1600, 2))


@pytest.mark.parametrize(("block", "kind"), [([0.0, 0.1], "list"), (bytes(3200), "bytes")])
def test_blocks_that_have_no_samples_yet_are_to_be_converted(model: Pix2Seq, block: Any, kind: str) -> None:
    with pytest.raises(AudioError, match=rf"a {kind}, but .*\. Convert it with numpy\.asarray or.*numpy\.frombuffer"):
        make(model, "chain").stream(RATE).push(block)


@pytest.mark.parametrize("rate", [RATE, 48000])
def test_what_is_wrong_in_a_stream_is_found_where_it_is(model: Pix2Seq, rate: int) -> None:
    stream, wrong = make(model, "chain").stream(rate), torch.zeros(1, rate)
    assert stream.push(torch.zeros(1, rate)) == []
    wrong[0, rate // 2] = torch.nan
    for _ in range(2):  # what was refused does not count
        with pytest.raises(AudioError, match=rf"1 of the {rate} samples of the stream .* the first at 1\.500 s"):
            stream.push(wrong)


def test_a_stream_whose_channels_cancel_each_other_out_says_so_once(model: Pix2Seq) -> None:
    left = talk(22.0)["waveform"]
    for right, is_told in ((-left, True), (left, False)):
        stream = make(model, "chain").stream(RATE)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            for block in torch.cat([left, right]).split(RATE, dim=1):
                stream.push(block)
            assert len(told) == is_told  # not only at the end
            stream.close()
        assert [str(each.message).partition(",")[0] for each in told] == [
            "the stream: its channels cancel each other out"
        ] * is_told
        assert all("Push one of them: stream.push(block[:1])" in str(each.message) for each in told)


def test_what_a_stream_said_it_never_revises(model: Pix2Seq) -> None:
    stream, waveform, said, known = make(model, "chain").stream(RATE), talk(20.0)["waveform"], [], []
    assert stream.latency == pytest.approx((25 + 20) * 0.16 / 2 + 0.1)
    for number, block in enumerate(waveform.split(RATE // 2, dim=1), 1):
        now = [*stream.push(block)]
        said += now
        known.append((number / 2 - stream.latency, sorted(said + stream.going_on)))
    final = sorted(said + stream.close())
    for until, turns in known:
        assert _until(turns, until) == _until(final, until)


def test_turns_of_a_stream_come_within_its_latency(model: Pix2Seq, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(self: Chain, chunk: Any, later: int) -> list[Turn]:
        starts = np.arange(chunk.core.start, chunk.core.end - 0.3, 0.5)
        return [Turn(start, start + 0.2, 0, 0.5) for start in starts.tolist()]

    monkeypatch.setattr(Chain, "read", read)
    stream, late = make(model, "chain", hop=2.0).stream(RATE), []
    for number in range(1, 201):
        turns = stream.push(np.zeros(RATE // 10, dtype=np.float32))
        late.append(max((number / 10 - turn.end for turn in turns), default=0.0))
    is_first = np.arange(1, 201) <= 41  # until the first chunk, of 25 tokens, is complete
    assert max(np.array(late)[is_first]) == pytest.approx(4.1 - 0.2)
    assert stream.latency - 0.5 < max(np.array(late)[~is_first]) <= stream.latency + 0.1


def _until(turns: list[Any], until: float) -> list[tuple[float, float, str]]:
    return [(turn.start, min(turn.end, until), turn.speaker) for turn in turns if turn.start < until]


def test_a_stream_keeps_nothing_but_two_chunks_and_the_speakers(
    model: Pix2Seq, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(self: Chain, chunk: Any, later: int) -> list[Turn]:  # nobody has to be heard here
        return [Turn(chunk.core.start + 0.5, chunk.core.end - 0.5, 0, 0.5)]

    monkeypatch.setattr(Chain, "read", read)
    stream = make(model, "chain").stream(RATE)
    num_turns = 0
    for _ in range(1440):  # an hour and a half, in blocks longer than they would be
        num_turns += len(stream.push(np.zeros(4 * RATE, dtype=np.float32)))
        kept = sum(block.shape[1] for block in stream._chunker._blocks)
        assert kept <= (25 + 20 + 25) * 2560 and len(stream.going_on) <= 1
    assert num_turns > 1400


@pytest.mark.parametrize("max_speakers", [None, 12])
def test_a_stream_that_hears_new_people_all_day_keeps_no_more_of_them(
    model: Pix2Seq, monkeypatch: pytest.MonkeyPatch, recordings: dict[str, Path], max_speakers: int | None
) -> None:
    def write(
        writer: Writer, audio: Any, prompted: list[list[Speaker]], *_: int, max_speakers: int = 0
    ) -> list[list[Turn]]:
        return [[Turn(0.8, 2.4, max(len(prompted[0]) - 1, 0), 0.5)]]  # the last of them is the newcomer

    monkeypatch.setattr(Writer, "write", write)
    recognise_nobody(monkeypatch)
    monkeypatch.setattr(inventory, "REMEMBERED", 8)
    monkeypatch.setattr(history, "MAX_PARTS", 20)
    noise = torch.rand(1, 20 * 2560, generator=torch.Generator().manual_seed(0)) - 0.5
    stream = make(model, "chain").stream(RATE, known={"SPEAKER_07": recordings["ann"]}, max_speakers=max_speakers)
    labels, kept = [], []
    for number in range(90):
        labels += [turn.speaker for turn in stream.push(noise)]
        if number % 30 == 29:
            kept.append(sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects()))
    assert kept[0] == kept[1] == kept[2]
    speakers = stream._chain.inventory.speakers
    assert list(speakers)[0] == -1 and len(speakers) <= 8 + 2
    for clip in (clip for number, speaker in speakers.items() if number >= 0 for clip in speaker.clip):
        assert clip.untyped_storage().nbytes() == clip.nbytes
    people = [f"SPEAKER_{number:02d}" for number in range(91) if number != 7][:max_speakers]
    assert len(labels) > 85 and list(dict.fromkeys(labels)) == people[: len(labels)]


def test_a_stream_whose_chunk_fails_loses_nothing(model: Pix2Seq, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline, audio = make(model, "chain"), talk(16.0)["waveform"]
    whole = pipeline.stream(RATE)
    expected = [*whole.push(audio), *whole.close()]
    read, numbers = Chain.read, iter(range(100))

    def read_but_the_third(self: Chain, chunk: Any, later: int) -> list[Turn]:
        if next(numbers) == 2:
            raise MemoryError
        return read(self, chunk, later)

    monkeypatch.setattr(Chain, "read", read_but_the_third)
    stream = pipeline.stream(RATE)
    with pytest.raises(MemoryError):
        stream.push(audio)
    assert next(numbers) == 3  # two chunks had been read, and more were to come
    assert [*stream.push(audio[:, :0]), *stream.close()] == expected and len(expected) > 3


@pytest.mark.parametrize("failing", [0, 1])
def test_a_stream_whose_end_fails_loses_nothing(model: Pix2Seq, failing: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline, num_samples = make(model, "chain"), 86550  # the second of three chunks and 0.01 s: both read in the end
    audio = talk(10.0)["waveform"][:, :num_samples]
    whole = pipeline.stream(12000)
    expected = [*whole.push(audio), *whole.close()]
    stream = pipeline.stream(12000)
    found = stream.push(audio)
    read, numbers = Chain.read, iter(range(100))

    def read_but_one(self: Chain, chunk: Any, later: int) -> list[Turn]:
        if next(numbers) == failing:
            raise MemoryError
        return read(self, chunk, later)

    monkeypatch.setattr(Chain, "read", read_but_one)
    with pytest.raises(MemoryError):
        stream.close()
    with pytest.raises(StreamError, match="This stream is closed"):
        stream.push(audio)
    assert [*found, *stream.close()] == expected and len(expected) > 1
    assert next(numbers) == 3 and stream.close() == [] == stream.going_on


def test_streams_that_cannot_go_on(model: Pix2Seq) -> None:
    pipeline = make(model, "chain")
    stream = pipeline.stream(RATE)
    assert stream.push(torch.zeros(1, 0)) == [] == stream.push(torch.zeros(1, 100)) == stream.close() == stream.close()
    with pytest.raises(StreamError, match="This stream is closed"):
        stream.push(torch.zeros(1, 100))
    upright = torch.zeros(RATE, 2), torch.zeros(480, 1), torch.zeros(64, 1)  # as sound cards give them
    for block in ([0.0, 0.0], torch.zeros(1, 2, 3), *upright):
        with pytest.raises(AudioError, match=r"the stream .* must be (a )?\(channel, time\)"):
            pipeline.stream(RATE).push(block)  # type: ignore[arg-type]
    assert pipeline.stream(RATE).push(torch.zeros(2, 1)) == []
    with pytest.raises(SpeakerCountError, match="at most 3 speakers"):
        pipeline.stream(RATE, min_speakers=4)
    for rate in (0, 44100.5, "16000", True):
        with pytest.raises(AudioError, match=f"The sample rate of the stream is {rate!r}"):
            pipeline.stream(rate)  # type: ignore[arg-type]
    assert isinstance(stream, Stream)


@pytest.mark.parametrize(("num_samples", "num_turns"), [(0, 0), (1599, 0), (1600, 1)])
def test_nobody_has_to_be_heard_in_less_than_a_tenth_of_a_second(
    model: Pix2Seq, num_samples: int, num_turns: int
) -> None:
    stream = make(model, "chain").stream(RATE, min_speakers=1)
    assert len(stream.push(tone(150, 1.0)[:, :num_samples]) + stream.close()) == num_turns
