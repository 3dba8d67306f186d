"""What is kept of people who are enrolled, and who is known by it in recordings."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pitched import Pitched, make, rows, talk, tone
from torch import Tensor

from pyannote_pix2seq.audio.samples import AudioError
from pyannote_pix2seq.decoding.search import Hypothesis
from pyannote_pix2seq.enrolment import Enrolment, EnrolmentError
from pyannote_pix2seq.frontends import AudioTokens, Frontend, MelFrontend, VoicedMelFrontend
from pyannote_pix2seq.limits import SpeakerLimits
from pyannote_pix2seq.model import Pix2Seq
from pyannote_pix2seq.pipeline import Pix2SeqDiarization
from pyannote_pix2seq.prompts import Prompted
from pyannote_pix2seq.strategies.by_voices import ByVoices
from pyannote_pix2seq.strategies.history import Group
from pyannote_pix2seq.strategies.inventory import SpeakerInventory
from pyannote_pix2seq.strategies.speakers import Speaker
from pyannote_pix2seq.strategies.strategy import STRATEGIES
from pyannote_pix2seq.strategies.writer import Writer
from pyannote_pix2seq.vocabulary import Triplet

SAMPLES = 2560
"""Of an audio token, 0.16 s."""


class Loud(Frontend):
    """What is loud is speech, and tokens are numbered by a second channel of the content."""

    content_dim, num_voices, voice_dim = 2, 2, 3
    frozen = True

    def forward(self, waveforms: Tensor) -> AudioTokens:
        num_tokens = self.num_tokens(waveforms.shape[-1])
        padded = torch.nn.functional.pad(waveforms[:, 0], (0, num_tokens * SAMPLES - waveforms.shape[-1]))
        loudness = padded.unflatten(1, (num_tokens, SAMPLES)).amax(-1)
        content = torch.stack([loudness, torch.arange(num_tokens).expand_as(loudness)], dim=-1)
        voice = torch.stack([torch.stack([loudness, 0 * loudness, 0 * loudness], -1), torch.ones(1, num_tokens, 3)], 2)
        return AudioTokens(content, voice)

    def speech(self, content: Tensor) -> Tensor:
        return content[..., 0]


class Weighted(Loud):
    """One that is learned."""

    frozen = False

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(weight))


def recording(*loudness: tuple[int, float]) -> dict[str, Any]:
    """(number of audio tokens, probability that they are speech) one after the other."""
    samples = np.concatenate([np.full(count * SAMPLES, value, dtype=np.float32) for count, value in loudness])
    return {"waveform": samples[None], "sample_rate": 16000, "uri": "alone"}


def enrol(recordings: Sequence[dict[str, Any]] | dict[str, Any]) -> Enrolment:
    return Enrolment.of({"ann": recordings}, Loud())


def test_the_clip_is_the_five_seconds_with_the_most_speech_and_the_voice_is_of_all_speech() -> None:
    (ann,) = enrol(recording((20, 0.4), (31, 0.9), (40, 0.6)))
    assert ann.clip.content[:, 1].tolist() == list(range(20, 51))
    assert ann.quality == pytest.approx(31 * 0.9 * 0.16) and ann.solo_duration == pytest.approx(71 * 0.16)
    torch.testing.assert_close(ann.voice, torch.tensor([31 * 0.9 + 40 * 0.6, 0.0, 0.0]))
    assert [field.untyped_storage().nbytes() for field in ann.clip] == [field.nbytes for field in ann.clip]


def test_every_second_of_long_recordings_counts_once() -> None:
    long, short = recording((188, 0.6), (188, 0.8), (6, 0.7)), recording((10, 0.9))  # pieces of 30.08 s
    (ann,) = enrol([long, short])
    assert ann.solo_duration == pytest.approx((188 + 188 + 6 + 10) * 0.16)
    torch.testing.assert_close(ann.voice, torch.tensor([188 * 0.6 + 188 * 0.8 + 6 * 0.7 + 10 * 0.9, 0.0, 0.0]))
    assert ann.quality == pytest.approx(31 * 0.8 * 0.16)  # of the best piece


def test_a_second_of_speech_is_needed() -> None:
    (ann,) = enrol([recording((3, 0.5), (9, 0.49)), recording((4, 0.5))])
    assert ann.solo_duration == pytest.approx(7 * 0.16)
    with pytest.raises(EnrolmentError, match=r"^0\.96 s of speech can be heard of ann; 1 s or more are needed"):
        enrol(recording((6, 1.0), (90, 0.49)))


def test_digital_silence_is_nobodys_speech_to_a_frontend_that_does_not_know_speech() -> None:
    frontend, silence = VoicedMelFrontend(content_dim=8), torch.zeros(1, 40 * SAMPLES)
    samples = torch.cat([silence, tone(150, 20 * 0.16), silence], dim=1)
    (ann,) = Enrolment.of({"ann": {"waveform": samples, "sample_rate": 16000}}, frontend)
    assert ann.solo_duration == pytest.approx(20 * 0.16) == ann.quality
    assert ann.clip.content.any(dim=1).sum() == 20
    with pytest.raises(EnrolmentError, match=r"^0\.00 s of speech can be heard of ann"):
        Enrolment.of({"ann": {"waveform": silence, "sample_rate": 16000}}, frontend)


def test_a_frontend_that_is_being_trained_hears_people_as_it_does_afterwards() -> None:
    torch.manual_seed(0)
    frontend, alone = MelFrontend(content_dim=8), {"waveform": tone(150, 6.0), "sample_rate": 16000, "uri": "ann"}
    (trained,) = Enrolment.of({"ann": alone}, frontend.eval())
    (training,) = Enrolment.of({"ann": alone}, frontend.train())
    torch.testing.assert_close(training.clip.content, trained.clip.content, rtol=0, atol=0)


def test_people_of_another_frontend_are_refused(tmp_path: Path) -> None:
    people = enrol(recording((40, 0.9)))
    people.check(Loud())
    for other in (Weighted(0.5), type("Louder", (Loud,), {})()):
        with pytest.raises(EnrolmentError, match=r"^ann was enrolled with another model, .* Enrol again"):
            people.check(other)
    people.save(tmp_path / "people.npz")
    Enrolment.load(tmp_path / "people.npz").check(Loud())
    learned = Enrolment.of({"ann": recording((40, 0.9))}, Weighted(0.5))
    learned.check(Weighted(0.5))
    with pytest.raises(EnrolmentError, match="another model"):
        learned.check(Weighted(0.6))  # nor is the same frontend, trained on
    Enrolment([]).check(Weighted(0.6))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_nobody_has_a_name_unless_he_sounds_like_it(model: Pix2Seq, strategy: str, recordings: dict[str, Path]) -> None:
    pipeline = make(model, strategy)
    labels = pipeline(talk(), known=recordings, min_speakers=2).speaker_diarization.labels()
    assert "zoe" not in labels and {"ann", "bob"} & set(labels)  # who does not speak does not appear
    strangers = [label for label in labels if label not in recordings]
    assert strangers == [f"SPEAKER_{number:02d}" for number in range(len(strangers))]
    for number in (1, 2, 3):
        assert len(pipeline(talk(), known=recordings, num_speakers=number).speaker_diarization.labels()) == number


def test_a_file_of_people_that_may_not_be_read_is_not_said_to_be_something_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    enrol(recording((40, 0.9))).save(tmp_path / "people.npz")
    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(EnrolmentError, match=r"people.npz cannot be opened \(Permission denied\)\. Allow this user"):
        Enrolment.load(tmp_path / "people.npz")
    monkeypatch.undo()
    with pytest.raises(EnrolmentError, match=r"xxx holds no enrolment"):
        Enrolment.load(tmp_path / ("x" * 300))


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
    with torch.device("meta"):  # the default of the caller
        assert repr(Enrolment.load(tmp_path / "people.npz")) == "Enrolment(ann, bob)"


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
    for name in ("text", "other", "lost", "short", "flipped"):
        with pytest.raises(EnrolmentError, match="holds no enrolment"):
            Enrolment.load(tmp_path / f"{name}.npz")
    with pytest.raises(EnrolmentError, match=r"old.npz was saved by an earlier version. Enrol again."):
        Enrolment.load(tmp_path / "old.npz")
    with np.load(tmp_path / "people.npz") as file:
        np.savez(tmp_path / "unnamed.npz", **{**file, "names": np.array(["NA", *file["names"][1:]])})
    with pytest.raises(EnrolmentError, match="'NA' cannot be a name in RTTM: .* Use another name, such as 'alice'"):
        Enrolment.load(tmp_path / "unnamed.npz")


@pytest.mark.parametrize("given", ["people.npz", {"ann": "ann.wav"}, ["ann.wav"]])
def test_what_are_no_speakers_is_told_with_what_makes_them(given: Any) -> None:
    with pytest.raises(EnrolmentError, match=r"^Enrolment\(.*(ann|people).*\) was asked for; .* `Enrolment\.load"):
        Enrolment(given)
    (ann,) = enrol(recording((40, 0.9)))
    with pytest.raises(EnrolmentError, match=r"^Enrolment\(\[Speaker\(a str.* with names"):
        Enrolment([replace(ann, name=None)])


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (io.StringIO("opened as text"), "^<_io.* was given for ann; it has to be .* binary streams"),
        (torch.zeros(1, 16000), r"^tensor\(.* was given for ann; it has to be .* mappings with 'waveform'"),
        ([["ann.wav"]], r"^\[\['ann.wav'\]\] was given for ann; it has to be a recording, or a list"),
    ],
)
def test_what_is_no_recording_is_told_of_whom_it_was_given(given: Any, complaint: str) -> None:
    with pytest.raises(EnrolmentError, match=complaint):
        Enrolment.of({"ann": given}, Loud())


def test_a_folder_is_not_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(EnrolmentError, match=r"^\S+ is a folder\. Name a file in it that `save` wrote\.$"):
        Enrolment.load(tmp_path)


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
