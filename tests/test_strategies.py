"""Strategies for long recordings: how many speakers, how they are prompted, and many files."""

from __future__ import annotations

import gc
import io
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
from pitched import RATE, make, of_speakers, rows, talk, tone

from pyannote_pix2seq.decoding.search import Hypothesis
from pyannote_pix2seq.frontends import AudioTokens
from pyannote_pix2seq.limits import SpeakerCountError, SpeakerLimits
from pyannote_pix2seq.model import Pix2Seq
from pyannote_pix2seq.output import Turn
from pyannote_pix2seq.pipeline import Pix2SeqDiarization
from pyannote_pix2seq.prompts import NUM_SILENT_TOKENS, Prompted
from pyannote_pix2seq.strategies.chunks import Chunker
from pyannote_pix2seq.strategies.speakers import Speaker
from pyannote_pix2seq.strategies.strategy import STRATEGIES
from pyannote_pix2seq.strategies.writer import PROMPTS, Writer

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
    used: list[tuple[Any, ...]] = []
    write = Writer._decode

    def spied(self: Writer, behind: Any, limits: SpeakerLimits) -> Any:
        options = self.decoding
        used.append((options.num_samples, options.spread, options.temperature, options.threshold, options.pad_offset))
        return write(self, behind, limits)

    monkeypatch.setattr(Writer, "_decode", spied)
    for num_samples, seconds, expected in (
        (6, 4.0, {(6, True, 1.0, 0.5, 0.2)}),
        (6, 14.0, {(1, False, 0.8, 0.4, 0.0), (3, True, 1.0, 0.5, 0.2)}),
        (32, 14.0, {(4, False, 0.8, 0.4, 0.0), (16, True, 1.0, 0.5, 0.2)}),
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
    chunk = pipeline.grid.chunk
    assert lengths["compact"] <= {chunk + number * (1 + NUM_SILENT_TOKENS) for number in range(4)}
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
    for nothing in (None, 5):
        with pytest.raises(TypeError, match=f"^apply_batch takes a list of files, .*, not {nothing}\\.$"):
            pipeline.apply_batch(nothing)


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
