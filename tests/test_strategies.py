"""Long recordings: limits on speakers, enrolment, streams, batches; a tiny model that hears voices."""

from __future__ import annotations

import copy
import gc
import io
import pickle
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from pyannote_pix2seq.audio.samples import AudioError
from pyannote_pix2seq.decoding.search import Hypothesis
from pyannote_pix2seq.enrolment import Enrolment, EnrolmentError
from pyannote_pix2seq.frontends import FRONTENDS, AudioTokens
from pyannote_pix2seq.limits import SpeakerCountError, SpeakerLimits
from pyannote_pix2seq.model import Pix2Seq
from pyannote_pix2seq.output import Turn
from pyannote_pix2seq.pipeline import Pix2SeqDiarization
from pyannote_pix2seq.prompts import Prompted, num_silent_tokens
from pyannote_pix2seq.specifications import specifications_of
from pyannote_pix2seq.strategies import by_voices, history, inventory
from pyannote_pix2seq.strategies.by_voices import ByVoices
from pyannote_pix2seq.strategies.chain import Chain
from pyannote_pix2seq.strategies.chunks import Chunker
from pyannote_pix2seq.strategies.history import Group
from pyannote_pix2seq.strategies.inventory import SpeakerInventory
from pyannote_pix2seq.strategies.speakers import Speaker
from pyannote_pix2seq.strategies.strategy import STRATEGIES
from pyannote_pix2seq.strategies.streaming import Stream, StreamError
from pyannote_pix2seq.strategies.writer import PROMPTS, Writer
from pyannote_pix2seq.vocabulary import Triplet, Vocabulary

RATE = 16000
Output = Any


class Pitched(FRONTENDS["mel"]):  # type: ignore[misc, name-defined]
    """Mel-spectrograms; whose voice it is can be seen in the spectrum."""

    num_voices = 3
    voice_dim = 16
    frozen = True

    def forward(self, waveforms: torch.Tensor) -> AudioTokens:
        num_tokens = self.num_tokens(waveforms.shape[-1])
        padding = num_tokens * self.samples_per_token - waveforms.shape[-1]
        pieces = torch.nn.functional.pad(waveforms[:, 0], (0, padding)).unflatten(1, (num_tokens, -1))
        spectrum = torch.fft.rfft(pieces).abs()[..., 1:97].unflatten(-1, (16, 6)).mean(-1)
        voice = torch.nn.functional.normalize(spectrum - spectrum.mean(-1, keepdim=True), dim=-1)
        return AudioTokens(super().forward(waveforms).content, voice[:, :, None].expand(-1, -1, 3, -1))


def of_speakers(num_speakers: int) -> Pix2Seq:
    """One narrow layer of random weights: windows of 8 s."""
    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng(devices=[]):
        patch.setitem(FRONTENDS, "pitched", Pitched)
        torch.manual_seed(0)
        model = Pix2Seq(frontend="pitched", width=16, num_layers=1, num_heads=2)
        model.specifications = specifications_of(Vocabulary(window=8.0, resolution=0.04, num_speakers=num_speakers))
        model.build()
    return model.eval()


@pytest.fixture(scope="module")
def model() -> Pix2Seq:
    return of_speakers(3)


def make(model: Pix2Seq, strategy: str, **options: Any) -> Pix2SeqDiarization:
    return Pix2SeqDiarization(model, chunk=4.0, strategy=strategy, decoding={"max_turns": 6}, **options)


def tone(frequency: float, seconds: float, seed: int = 0) -> torch.Tensor:
    """A voice that comes and goes, (1, num_samples)."""
    time = torch.arange(round(seconds * RATE)) / RATE
    noise = torch.randn(len(time), generator=torch.Generator().manual_seed(seed))
    return ((0.2 * torch.sin(2 * torch.pi * frequency * time) + 0.01 * noise) * torch.sin(1.3 * time) ** 2)[None]


def talk(seconds: float = 14.0, sample_rate: int = RATE) -> dict[str, Any]:
    """Two voices in turn."""
    turns = [tone((150, 400)[k % 2], 2.5, seed=k) for k in range(int(seconds / 2.5) + 1)]
    return {"waveform": torch.cat(turns, dim=1)[:, : round(seconds * RATE)], "sample_rate": sample_rate, "uri": "talk"}


def rows(output: Output) -> list[tuple[float, float, str]]:
    return [(*segment, label) for segment, _, label in output.speaker_diarization.itertracks(yield_label=True)]


# how many speakers


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("seconds", [0.3, 3.0, 14.0])
def test_any_number_of_speakers_up_to_the_capacity_is_obeyed(model: Pix2Seq, strategy: str, seconds: float) -> None:
    pipeline = make(model, strategy)
    capacity = 3 * pipeline.grid.num_chunks(seconds)
    for number in range(1, capacity + 1):
        output = pipeline(talk(seconds), num_speakers=number)
        assert len(output.speaker_diarization.labels()) == len(output.speaker_embeddings) == number
    with pytest.raises(SpeakerCountError, match=f"at most {capacity} speakers here"):
        pipeline(talk(seconds), num_speakers=capacity + 1)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("prompts", PROMPTS)
def test_prompts_of_more_speakers_than_fit_the_window_are_left_out(
    strategy: str, prompts: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, lengths, decode = of_speakers(20), [], Writer._decode

    def spied(self: Writer, behind: list[Prompted], limits: SpeakerLimits) -> list[Hypothesis]:
        lengths.extend(len(chunk.audio.content) for chunk in behind)
        return decode(self, behind, limits)

    monkeypatch.setattr(Writer, "_decode", spied)
    output = make(model, strategy, prompts=prompts)(talk(12.0), num_speakers=20)
    assert len(output.speaker_diarization.labels()) == 20
    assert 25 < max(lengths) <= 50  # tokens of a chunk, and of the window


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_limits_are_obeyed_in_silence(model: Pix2Seq, strategy: str) -> None:
    silence = {"waveform": torch.zeros(1, 6 * RATE), "sample_rate": RATE, "uri": "silence"}
    pipeline = make(model, strategy)
    for min_speakers, max_speakers in ((1, 1), (2, 3), (4, 5), (6, None)):
        number = len(
            pipeline(silence, min_speakers=min_speakers, max_speakers=max_speakers).speaker_diarization.labels()
        )
        assert min_speakers <= number <= (max_speakers or 99)


def test_a_first_pass_that_is_not_the_only_one_is_quick(model: Pix2Seq, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[tuple[int, float, float]] = []
    write = Writer._decode

    def spied(self: Writer, behind: Any, limits: SpeakerLimits) -> Any:
        options = self.decoding
        used.append((options.num_samples, options.temperature, options.threshold, options.pad_offset))
        return write(self, behind, limits)

    monkeypatch.setattr(Writer, "_decode", spied)
    for num_samples, seconds, expected in (
        (6, 4.0, {(6, 1.0, 0.5, 0.2)}),
        (6, 14.0, {(1, 0.8, 0.4, 0.0), (3, 1.0, 0.5, 0.2)}),
        (32, 14.0, {(4, 0.8, 0.4, 0.0), (16, 1.0, 0.5, 0.2)}),
    ):
        decoding = {"method": "consensus", "num_samples": num_samples, "max_turns": 6, "pad_offset": 0.2}
        pipeline = Pix2SeqDiarization(model, chunk=4.0, strategy="two_pass", decoding=decoding)
        pipeline(talk(seconds), min_speakers=2)
        assert set(used) == expected
        used.clear()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_prompts_can_be_one_audio_token_each(model: Pix2Seq, strategy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths: dict[str, set[int]] = {"clip": set(), "compact": set()}
    listen = Pix2Seq.listen
    for prompts, found in lengths.items():
        pipeline = make(model, strategy, prompts=prompts)

        def spied(self: Pix2Seq, audio: AudioTokens, *rest: Any, found: set[int] = found) -> Any:
            found.add(audio.content.shape[1])
            return listen(self, audio, *rest)

        monkeypatch.setattr(Pix2Seq, "listen", spied)
        assert len(pipeline(talk(), num_speakers=3).speaker_diarization.labels()) == 3
    chunk, silence = pipeline.grid.chunk, num_silent_tokens(model.frontend.token_duration)
    assert lengths["compact"] <= {chunk + number * (1 + silence) for number in range(4)}
    assert max(lengths["clip"]) > max(lengths["compact"]) > chunk


def test_a_compact_prompt_has_the_voice_of_the_speaker_and_a_clip_its_own(model: Pix2Seq) -> None:
    clip = AudioTokens(torch.ones(5, model.frontend.content_dim), torch.eye(16)[0].expand(5, 3, 16))
    speaker = Speaker(clip, 1.0, 20 * torch.eye(16)[1], 20.0)
    for prompts, length, axis in (("compact", 1, 1), ("clip", 5, 0)):
        writer = Writer(model, make(model, "chain").decoding, prompts)
        audio, _, _ = writer._prompt(writer.listen(tone(150, 1.0)), [speaker])
        torch.testing.assert_close(audio.voice[:length], torch.eye(16)[axis].expand(length, 3, 16))
        assert not audio.voice[length].any()


@pytest.mark.parametrize(
    ("third", "asked", "expected"),
    [
        ([Turn(3.3, 3.9, 0, 0.9)], None, [0, 1]),  # goes on with the second voice
        ([Turn(1.4, 2.0, 2, 0.9), Turn(3.3, 3.9, 2, 0.9)], None, [0, 1]),  # has both voices: he is nobody
        ([Turn(1.4, 2.0, 2, 0.9), Turn(3.3, 3.9, 2, 0.9)], 3, [0, 1, 1, 2]),  # but not if three were asked for
    ],
)
def test_turns_of_one_chunk_are_told_to_those_whose_voice_they_have(
    model: Pix2Seq, monkeypatch: pytest.MonkeyPatch, third: list[Turn], asked: int | None, expected: list[int]
) -> None:
    written = [Turn(0.2, 1.3, 0, 0.9), Turn(2.6, 3.2, 1, 0.9), *third]
    monkeypatch.setattr(Writer, "write", lambda *_: [written])
    output = make(model, "two_pass")(talk(4.0), num_speakers=asked)
    assert sorted(label for *_, label in rows(output)) == [f"SPEAKER_{number:02d}" for number in expected]


def test_a_recording_that_one_chunk_holds_is_read_once(model: Pix2Seq) -> None:
    for seconds, is_read_again in ((4.0, False), (6.0, True)):
        steps: list[str] = []
        output = make(model, "two_pass")(
            talk(seconds), min_speakers=1, hook=lambda step, *_, steps=steps, **__: steps.append(step)
        )
        assert "first pass" in steps and ("second pass" in steps) == is_read_again
        assert len(output.speaker_diarization) > 0


def test_chunks_with_as_many_prompts_are_written_together_and_turns_stay_in_their_chunks(
    model: Pix2Seq, monkeypatch: pytest.MonkeyPatch
) -> None:
    pitches = [150, 150, 150, 400, 0, 0, 400, 550, 400, 400, 550, 150, 550, 550]  # every 2 s, two to a chunk
    waveform = torch.cat([tone(pitch, 2.0) if pitch else torch.zeros(1, 2 * RATE) for pitch in pitches], dim=1)
    batches: list[list[int]] = []
    done: list[tuple[int, int]] = []

    def said(chunk: AudioTokens, people: list[Speaker]) -> list[Turn]:
        halves = [half.sum(0) for half in chunk.voice[:24, 0].split(12)]
        known = torch.stack([who.voice for who in people] or halves)
        alike = [int(torch.cosine_similarity(known, half[None]).argmax()) for half in halves]
        return [Turn(2 * k + 0.2, 2 * k + 1.8, alike[k], 0.9) for k in range(2) if halves[k].any()]

    def write(_: Writer, audio: list[AudioTokens], prompted: list[list[Speaker]], *__: int, **___: int) -> Any:
        batches.append([len(people) for people in prompted])
        return [said(chunk, people) for chunk, people in zip(audio, prompted, strict=True)]

    def hook(step: str, *_: Any, total: int = 0, completed: int = 0, **__: Any) -> None:
        done.extend([(completed, total)] * (step == "second pass"))

    monkeypatch.setattr(Writer, "write", write)
    pipeline = make(model, "two_pass", hop=4.0)
    output = pipeline({"waveform": waveform, "sample_rate": RATE, "uri": "talk"}, hook=hook)
    people = {150: "SPEAKER_00", 400: "SPEAKER_01", 550: "SPEAKER_02"}
    expected = [(round(2 * k + 0.2, 3), people[pitch]) for k, pitch in enumerate(pitches) if pitch]
    assert [(round(start, 3), label) for start, _, label in rows(output)] == expected
    assert sorted(batches) == [[0] * 3, [0] * 4, [1] * 3, [2] * 3]  # nobody is prompted in silence: it is read once
    assert done == [(0, 7), (3, 7), (6, 7), (7, 7)]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_file_that_is_shorter_than_it_says_ends_all_steps_and_cannot_have_as_many_speakers(
    model: Pix2Seq, strategy: str, tmp_path: Path
) -> None:
    whole = tmp_path / "whole.mp3"
    soundfile.write(whole, talk(40.0)["waveform"][0].numpy(), RATE)
    (tmp_path / "cut.mp3").write_bytes(whole.read_bytes()[: whole.stat().st_size // 8])
    pipeline = make(model, strategy)
    asked = 3 * pipeline.writer.capacity
    assert len(pipeline(whole, num_speakers=asked).speaker_diarization.labels()) == asked
    with pytest.raises(SpeakerCountError, match=f"num_speakers={asked} was asked for, but there can be at most"):
        pipeline(tmp_path / "cut.mp3", num_speakers=asked)
    last: dict[str, tuple[int, int]] = {}
    pipeline(tmp_path / "cut.mp3", hook=lambda step, *_, **now: last.update({step: now.values()}))
    assert all(completed == total for _, total, completed in list(last.values())[:-1])


def test_limits_that_contradict_each_other() -> None:
    for numbers in ((None, 3, 2), (2, 3, None), (3, None, 2)):
        with pytest.raises(SpeakerCountError, match="min_speakers cannot be more than max_speakers"):
            SpeakerLimits.check(*numbers)
    for number in (0, -1, 2.0, "2", True):
        with pytest.raises(SpeakerCountError, match=f"num_speakers={number!r} was asked for"):
            SpeakerLimits.check(number, None, None)  # type: ignore[arg-type]
    assert SpeakerLimits.check(3, 1, 5) == (3, 3) and SpeakerLimits.check(None, None, None) == (0, None)


# streams


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


# people we know


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("people")
    for name, frequency in (("ann", 150), ("bob", 400), ("zoe", 550)):
        soundfile.write(folder / f"{name}.wav", tone(frequency, 6.0, seed=9)[0].numpy(), RATE)
    return {name: folder / f"{name}.wav" for name in ("ann", "bob", "zoe")}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_nobody_has_a_name_unless_he_sounds_like_it(model: Pix2Seq, strategy: str, recordings: dict[str, Path]) -> None:
    pipeline = make(model, strategy)
    labels = pipeline(talk(), known=recordings, min_speakers=2).speaker_diarization.labels()
    assert "zoe" not in labels and {"ann", "bob"} & set(labels)  # who does not speak does not appear
    strangers = [label for label in labels if label not in recordings]
    assert strangers == [f"SPEAKER_{number:02d}" for number in range(len(strangers))]
    for number in (1, 2, 3):
        assert len(pipeline(talk(), known=recordings, num_speakers=number).speaker_diarization.labels()) == number


def test_who_sounds_like_a_name_has_it_only_where_he_does(model: Pix2Seq) -> None:
    ann, other, between = torch.eye(16)[0], torch.eye(16)[1], 0.5 * torch.eye(16)[0] + torch.eye(16)[1]  # cosine 0.447
    known = Speaker(AudioTokens(torch.zeros(1, 64), torch.zeros(1, 3, 16)), 1.0, ann, 1.0, name="ann")
    reading = ByVoices(make(model, "chain").writer, SpeakerInventory(SpeakerLimits(0, None), [known]), [known])
    for voice, here, is_there, expected in (
        (ann, ann, True, {1: -1}),
        (ann, 0.6 * ann + other, True, {1: -1}),
        (ann, between, True, {}),
        (ann, 0 * ann, False, {1: -1}),
        (between, ann, True, {}),
    ):
        groups = [Group(other, other, {}), Group(voice, here, {})]
        assert reading._enrolled_groups(groups, {0, 1} if is_there else {0}) == expected


def test_the_second_pass_remembers_people_not_speakers_of_chunks(model: Pix2Seq) -> None:
    """Clips of everybody in every chunk of hours would fill memory."""
    alive: list[int] = []

    def hook(step: str, *_: Any, **__: Any) -> None:
        if step == "second pass":
            alive.append(sum(issubclass(type(each), Speaker) for each in gc.get_objects()))

    gc.collect()
    before = sum(issubclass(type(each), Speaker) for each in gc.get_objects())
    make(model, "two_pass")(talk(40.0), hook=hook, max_speakers=3)
    assert alive and max(alive) - before <= 3


def test_enrolment_fits_into_a_small_file(model: Pix2Seq, recordings: dict[str, Path], tmp_path: Path) -> None:
    pipeline = make(model, "two_pass")
    people = pipeline.enrol({"ann": [recordings["ann"], recordings["ann"]], "bob": recordings["bob"]})
    people.save(tmp_path / "people.npz")
    assert (tmp_path / "people.npz").stat().st_size < 40_000
    loaded = Enrolment.load(tmp_path / "people.npz")
    assert [speaker.name for speaker in loaded] == ["ann", "bob"] and repr(loaded) == "Enrolment(ann, bob)"
    assert len(loaded[0].clip.content) == 31  # 5 s
    assert repr(loaded[1:]) == "Enrolment(bob)" and loaded.index(loaded[1]) == 1
    assert re.fullmatch(r"Speaker\(ann, \d+\.\d s alone\)", repr(loaded[0]))
    with pytest.raises(EnrolmentError) as refused:
        pipeline(talk(), known=list(people))  # type: ignore[arg-type]
    assert len(str(refused.value)) < 500
    torch.testing.assert_close(loaded[0].clip.content, people[0].clip.content, rtol=0, atol=0.01)
    assert rows(pipeline(talk(), known=loaded)) == rows(pipeline(talk(), known=people))
    assert rows(pipeline(talk(), known=tmp_path / "people.npz")) == rows(pipeline(talk(), known=loaded))


def test_people_who_cannot_be_enrolled(
    model: Pix2Seq,
    tiny_model: Pix2Seq,
    recordings: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pipeline = make(model, "chain")
    with monkeypatch.context() as patch:
        patch.setattr(Pitched, "speech", lambda frontend, content: 0 * content[..., 0])
        with pytest.raises(EnrolmentError, match="0.00 s of speech can be heard of ann"):
            pipeline.enrol({"ann": recordings["ann"]})
    for num_samples in (0, 2):  # none, and too few for a sample at the sample rate of the model
        short = {"waveform": torch.zeros(1, num_samples), "sample_rate": 192_000, "uri": "hm"}
        with pytest.raises(AudioError, match="hm is empty: there is not one sample in it"):
            pipeline.enrol({"ann": [recordings["ann"], short]})
    with pytest.raises(EnrolmentError, match="'ann b' cannot be a name in RTTM: .* such as 'ann_b'"):
        pipeline(talk(), known={"ann b": recordings["ann"]})
    people = pipeline.enrol({"ann": recordings["ann"]})
    with pytest.raises(EnrolmentError, match="Enrol again with this pipeline"):
        Pix2SeqDiarization(tiny_model, chunk=5.0)(talk(), known=people)
    with pytest.raises(EnrolmentError, match="several people have that name"):
        pipeline(talk(), known=Enrolment([*people, *people]))
    with pytest.raises(EnrolmentError, match=r"known=5 was given; .* a mapping of names to recordings"):
        pipeline(talk(), known=5)
    (tmp_path / "text.npz").write_text("no enrolment")
    np.savez(tmp_path / "other.npz", a=np.ones(3))
    with pytest.raises(EnrolmentError, match=r"There is no file .*gone.npz"):
        pipeline(talk(), known=tmp_path / "gone.npz")
    for wrong in ("ann.wav", ["ann.wav"], None):
        with pytest.raises(EnrolmentError, match="it has to be a mapping of names to recordings"):
            pipeline.enrol(wrong)
    for wrong, complaint in (
        ({"ann": 3}, "3 was given for ann"),
        ({"ann": []}, "No recording of ann was given"),
        ({3: "ann.wav"}, "^3 was given as the name of a speaker, but is of the type int; names are strings.* '3'"),
        ({None: "ann.wav"}, "^None was given as .* of the type NoneType; names are strings.* such as 'alice'"),
    ):
        with pytest.raises(EnrolmentError, match=complaint):
            pipeline.enrol(wrong)
    with pytest.raises(EnrolmentError, match=r"^\S+ is a folder\. Name a file to write, such as \S+people\.npz\.$"):
        people.save(tmp_path)
    people.save(tmp_path / "people.npz")
    with np.load(tmp_path / "people.npz") as file:
        for name, changed in {
            "lost": {"voice_0": [np.nan] * 16},
            "short": {"clip_content_0": np.zeros((0, 64))},
        }.items():
            np.savez(tmp_path / f"{name}.npz", **{**file, **changed})
        old = {"content": "clip_content", "voice": "clip_voice", "mean": "voice", "alone": "solo_duration"}
        kept = {name: file[name] for name in ("names", "quality_0")}
        np.savez(tmp_path / "old.npz", **kept, **{f"{before}_0": file[f"{now}_0"] for before, now in old.items()})
    damaged = bytearray((tmp_path / "people.npz").read_bytes())
    damaged[len(damaged) // 2] ^= 255
    (tmp_path / "flipped.npz").write_bytes(damaged)
    for name in ("text", "other", "lost", "short", "old", "flipped"):
        with pytest.raises(EnrolmentError, match="holds no enrolment"):
            Enrolment.load(tmp_path / f"{name}.npz")
    with np.load(tmp_path / "people.npz") as file:
        np.savez(tmp_path / "unnamed.npz", **{**file, "names": np.array(["NA", *file["names"][1:]])})
    with pytest.raises(EnrolmentError, match="'NA' cannot be a name in RTTM: .* Use another name, such as 'alice'"):
        Enrolment.load(tmp_path / "unnamed.npz")


def test_whoever_was_prompted_has_the_turns_of_his_voice(
    model: Pix2Seq, recordings: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = make(model, "chain")
    people = pipeline.enrol({name: recordings[name] for name in ("ann", "bob")})

    def decode(writer: Writer, behind: list[Prompted], limits: SpeakerLimits) -> list[Hypothesis]:
        """All is said by the first."""
        turns = [[*chunk.turns, Triplet(chunk.offset + 0.5, chunk.offset + 2.0, 0)] for chunk in behind]
        return [Hypothesis([], each, [0.5] * len(each), 0.0) for each in turns]

    monkeypatch.setattr(Writer, "_decode", decode)
    audio = [pipeline.writer.listen(tone(frequency, 2.5)) for frequency in (150, 400)]
    written = pipeline.writer.write(audio, [people, people])
    assert [[turn.speaker for turn in turns] for turns in written] == [[0], [1]]


# many files


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_crash_loses_nothing_of_the_other_files(
    model: Pix2Seq, strategy: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline = make(model, strategy)
    push = Chunker.push

    def crash(chunker: Chunker, block: torch.Tensor) -> Any:
        if (block == 0.125).any():
            raise ZeroDivisionError("oh")
        return push(chunker, block)

    monkeypatch.setattr(Chunker, "push", crash)
    files = [{**talk(1.0), "uri": f"file{number}"} for number in range(5)]
    files[2] |= {"waveform": torch.full((1, RATE), 0.125), "uri": 5}  # which is no text, but no reason to stop
    with pytest.warns(UserWarning) as warned:
        done = list(pipeline.apply_batch(files, progress=True, max_speakers=2))
    messages = [str(each.message) for each in warned]
    assert messages == ["5 is left out: ZeroDivisionError: oh", "1 of 5 recordings have no result: 5"]
    assert [file["uri"] for file, _ in done] == ["file0", "file1", "file3", "file4"]
    assert all(output.speaker_diarization.uri == file["uri"] for file, output in done)
    assert "recordings: 100%" in capsys.readouterr().err
    with pytest.raises(TypeError, match="apply_batch has no option speakers. It has num_speakers, min_speakers"):
        pipeline.apply_batch(files, speakers=2)
    with pytest.raises(SpeakerCountError):
        pipeline.apply_batch(files, num_speakers=0)
    for one in ("talk.wav", files[0], io.BytesIO(b"RIFF\nWAVE")):
        with pytest.raises(TypeError, match=f"not one {type(one).__name__}: put it in a list"):
            pipeline.apply_batch(one)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_step_begins_and_ends(model: Pix2Seq, strategy: str) -> None:
    calls: dict[str, list[tuple[int, int]]] = {}

    def hook(step: str, artifact: Any, file: Any, total: int | None = None, completed: int | None = None) -> None:
        calls.setdefault(step, []).append((completed, total))  # type: ignore[arg-type]

    make(model, strategy)(talk(), hook=hook)
    steps = ["chunks"] if strategy == "chain" else ["listening", "first pass", "second pass"]
    assert list(calls) == [*steps, "speaker_diarization"]
    for step in steps:
        assert calls[step][0][0] == 0 and calls[step][-1] == (5, 5)


def test_two_passes_need_voices(tiny_model: Pix2Seq) -> None:
    with pytest.raises(ValueError, match="it has to be chain with this model's frontend"):
        Pix2SeqDiarization(tiny_model, chunk=5.0, strategy="two_pass")
    with pytest.raises(ValueError, match="strategy='once'"):
        Pix2SeqDiarization(tiny_model, chunk=5.0, strategy="once")
    with pytest.raises(ValueError, match="prompts='short' was given; it has to be one of compact, clip"):
        Pix2SeqDiarization(tiny_model, chunk=5.0, prompts="short")
    with pytest.raises(ValueError, match="MelFrontend is learned.* Use prompts='clip'"):
        Pix2SeqDiarization(tiny_model, chunk=5.0, prompts="compact")
    assert Pix2SeqDiarization(tiny_model, chunk=5.0).prompts == "clip"
    with pytest.raises(ValueError, match="hop=0"):
        Pix2SeqDiarization(tiny_model, chunk=5.0, hop=0)


def test_chunks_are_as_long_as_the_window_allows_unless_told_otherwise(tiny_model: Pix2Seq) -> None:
    pipeline = Pix2SeqDiarization(tiny_model)
    half = tiny_model.vocabulary.window / 2
    assert half < 30 and pipeline.grid.seconds(pipeline.grid.chunk) == pytest.approx(half, abs=0.16)
    pipeline.chunk = 5.0
    assert (pipeline.grid.chunk, pipeline.grid.hop) == (32, 25)  # of 0.16 s: 5 s, every 4 s
    pipeline.hop = 2.5
    assert (pipeline.grid.chunk, pipeline.grid.hop) == (32, 16)
