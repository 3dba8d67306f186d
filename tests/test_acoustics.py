from __future__ import annotations

import pickle
from dataclasses import asdict, fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
from toy import SAMPLE_RATE, rms, toy_voice, write_toy_voices

from pyannote_pix2seq.errors import ArgumentError, OptionError
from pyannote_pix2seq.simulation.acoustics import Acoustics
from pyannote_pix2seq.simulation.acoustics_limits import LIMITS, AcousticsError
from pyannote_pix2seq.simulation.level import WanderingGains, clip, to_peak
from pyannote_pix2seq.simulation.noise import Noises
from pyannote_pix2seq.simulation.pitch import shift_pitch
from pyannote_pix2seq.simulation.scene import Scene
from pyannote_pix2seq.simulation.store import LEVEL
from pyannote_pix2seq.simulation.voices import Voices

SILENT = Acoustics.none()
ALONE = Scene(levels=(0.0, 0.0), speeds=(1.0, 1.0), pitches=(0.0, 0.0))


def rng_of(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def two_speakers(seconds: int = 4) -> np.ndarray:
    """One speaks in the first half, the other in the second."""
    tracks = np.zeros((2, seconds * SAMPLE_RATE), dtype=np.float32)
    half = seconds * SAMPLE_RATE // 2
    for track, part, f0 in zip(tracks, (slice(half), slice(half, None)), (150, 230), strict=True):
        voice = toy_voice(f0, seconds / 2)
        track[part] = voice * LEVEL / rms(voice)
    return tracks


def hear(acoustics: Acoustics, tracks: np.ndarray, seed: int = 0) -> np.ndarray:
    return acoustics.apply([tracks], acoustics.draw(("ann", "bob"), rng_of(seed)), rng_of(seed + 1000))


def test_without_acoustics_voices_are_added_up() -> None:
    tracks = two_speakers()
    mixture, dry = hear(SILENT, tracks), tracks.sum(axis=0)
    assert mixture.dtype == np.float32
    np.testing.assert_allclose(mixture, dry * np.abs(mixture).max() / np.abs(dry).max(), atol=1e-6)
    assert np.abs(mixture).max() == pytest.approx(10 ** (-1 / 20), rel=1e-5)
    scene = SILENT.draw(("ann", "bob"), rng_of())
    assert (scene.levels, scene.speeds, scene.pitches) == (ALONE.levels, ALONE.speeds, ALONE.pitches)
    assert str(scene) == "voices alone"


def test_levels_differ_between_speakers_and_some_are_quiet() -> None:
    loud = replace(SILENT, loudness=5.0, quiet_probability=0.15)
    tracks, half = two_speakers(), 2 * SAMPLE_RATE
    sounds = [hear(loud, tracks, seed) for seed in range(300)]
    difference = np.array([20 * np.log10(rms(sound[:half]) / rms(sound[half:])) for sound in sounds])
    assert np.abs(difference).max() <= 30 + 1
    assert 6 < difference.std() < 12  # sqrt(2) * 5 dB for normal speakers, and some are quiet
    assert abs(difference.mean()) < 2


def test_who_is_quiet_is_quieter_by_as_much_as_asked() -> None:
    quiet = replace(SILENT, quiet_probability=1.0, quiet=(5.0, 15.0))
    levels = np.array(quiet.draw(["ann"] * 500, rng_of()).levels)
    assert -15 <= levels.min() < -14.5 and -5.5 < levels.max() <= -5


def test_levels_drift_within_a_turn_without_a_step() -> None:
    gains = WanderingGains([0.0] * 60, 2.0, rng_of()).draw(20 * SAMPLE_RATE)
    decibels = 20 * np.log10(gains[:, :: 5 * SAMPLE_RATE])
    assert gains.dtype == np.float32 and gains.shape == (60, 20 * SAMPLE_RATE)
    assert np.diff(decibels, axis=1).std() == pytest.approx(2.0, rel=0.2)
    assert np.abs(np.diff(gains, axis=1)).max() < 1e-4


def test_levels_return_to_their_own_with_each_piece_without_a_step() -> None:
    drawn = WanderingGains([-6.0] * 60, 2.0, rng_of())
    pieces = [drawn.draw(7 * SAMPLE_RATE) for _ in range(3)]  # which end between two moments
    assert np.abs(np.diff(np.concatenate(pieces, axis=1), axis=1)).max() < 2e-4
    for piece in pieces:
        decibels = 20 * np.log10(piece[:, 5 * SAMPLE_RATE])
        assert decibels.mean() == pytest.approx(-6, abs=1) and decibels.std() == pytest.approx(2 * 2**0.5, rel=0.2)


def test_nobody_is_louder_or_quieter_than_the_limits() -> None:
    gains = WanderingGains([-30.0, 25.0], 10.0, rng_of()).draw(60 * SAMPLE_RATE)
    decibels = 20 * np.log10(gains)
    assert decibels.min() == pytest.approx(-20, abs=1e-4) and decibels.max() == pytest.approx(10, abs=1e-4)


@pytest.mark.parametrize("decibels", [0.0, 20.0])
def test_noise_is_as_far_below_speech_as_asked(decibels: float) -> None:
    noisy = replace(SILENT, noise_probability=1.0, signal_to_noise=(decibels, decibels))
    tracks = np.pad(two_speakers(), ((0, 0), (0, 4 * SAMPLE_RATE)))
    sound = hear(noisy, tracks)
    noise = rms(sound[4 * SAMPLE_RATE + 100 :])
    speech = np.sqrt(rms(sound[: 4 * SAMPLE_RATE]) ** 2 - noise**2)
    assert 20 * np.log10(speech / noise) == pytest.approx(decibels, abs=1.5)


@pytest.mark.parametrize("room_probability", [0.0, 1.0])
def test_a_crowd_is_heard_where_nobody_speaks(tmp_path: Path, room_probability: float) -> None:
    voices = Voices(write_toy_voices(tmp_path), "train")
    crowd = {"bystanders": voices, "crowd_probability": 1.0, "crowd_size": (3, 3), "signal_to_crowd": (20.0, 20.0)}
    crowded = replace(SILENT, **crowd, room_probability=room_probability, rt60=(0.2, 0.2))
    sound = hear(crowded, np.pad(two_speakers(), ((0, 0), (0, 48000))))
    assert 20 * np.log10(rms(sound[:64000]) / rms(sound[80000:])) == pytest.approx(20, abs=3)


def test_a_crowd_is_far_from_the_microphone_wherever_the_speakers_are(tmp_path: Path) -> None:
    voices = Voices(write_toy_voices(tmp_path), "train")
    scene = replace(ALONE, crowd=("train01",), rt60=0.5)

    def crowd(**distances: tuple[float, float]) -> np.ndarray:
        crowded = replace(SILENT, bystanders=voices, **distances)
        return crowded.apply([np.zeros((2, SAMPLE_RATE), dtype=np.float32)], scene, rng_of())

    usual = crowd()
    assert np.array_equal(crowd(near=(0.3, 0.4)), usual) and not np.array_equal(crowd(distant=(4.5, 5.0)), usual)


def test_nobody_is_in_the_conversation_and_in_the_crowd(tmp_path: Path) -> None:
    voices = Voices(write_toy_voices(tmp_path), "train")
    crowded = replace(SILENT, bystanders=voices, crowd_probability=1.0, crowd_size=(8, 8))
    speakers = tuple(voices.speakers[:3])
    for seed in range(20):
        assert sorted(crowded.draw(speakers, rng_of(seed)).crowd) == voices.speakers[3:]  # five of eight are left
    assert crowded.draw(tuple(voices.speakers), rng_of()).crowd == ()


def test_a_far_microphone_hears_more_of_the_room() -> None:
    shares = {}
    for distant in (0.0, 1.0):
        room = replace(SILENT, room_probability=1.0, distant_probability=distant, rt60=(0.5, 0.5))
        click = np.zeros((2, SAMPLE_RATE), dtype=np.float32)
        click[0, 0] = 1.0
        sounds = [np.square(hear(room, click, seed)) for seed in range(30)]
        shares[distant] = np.median([sound[200:].sum() / sound.sum() for sound in sounds])
    assert shares[1.0] > shares[0.0] + 0.1


def test_noise_crowd_and_peak_are_the_same_in_all_pieces(tmp_path: Path) -> None:
    voices = Voices(write_toy_voices(tmp_path), "train")
    tracks = two_speakers(8)
    quiet_beginning = replace(ALONE, levels=(-15.0, 5.0), peak=-6.0)
    halves = np.split(tracks, 2, axis=1)
    dry = SILENT.apply(halves, quiet_beginning, rng_of())
    np.testing.assert_array_equal(dry, SILENT.apply([tracks], quiet_beginning, rng_of()))
    half = len(dry) // 2
    assert 20 * np.log10(rms(dry[half:]) / rms(dry[:half])) == pytest.approx(20, abs=1)
    assert np.abs(dry).max() == pytest.approx(10 ** (-6 / 20), rel=1e-5)
    silence = np.zeros((2, 8 * SAMPLE_RATE), dtype=np.float32)
    crowded = replace(SILENT, bystanders=voices)
    for noisy in (
        replace(ALONE, noise="generated", signal_to_noise=10.0),
        replace(ALONE, crowd=("train01", "train02", "train03"), signal_to_crowd=10.0),
    ):
        sound = crowded.apply([tracks, silence, silence], noisy, rng_of())
        middle, end = rms(sound[len(dry) : 2 * len(dry)]), rms(sound[2 * len(dry) :])
        assert 20 * np.log10(middle / end) == pytest.approx(0, abs=1)
        speech = np.sqrt(rms(sound[: len(dry)]) ** 2 - middle**2)
        assert 20 * np.log10(speech / middle) == pytest.approx(10, abs=1)


def test_people_keep_their_places_from_piece_to_piece() -> None:
    click = np.zeros((2, SAMPLE_RATE), dtype=np.float32)
    click[0, 0] = 1.0
    scene = replace(ALONE, rt60=0.4)
    first, second = np.split(SILENT.apply([click, click], scene, rng_of(1)), 2)
    np.testing.assert_allclose(first, second, atol=1e-6)  # echoes have ended within the second of a piece
    elsewhere = SILENT.apply([click, click], scene, rng_of(2))[:SAMPLE_RATE]
    assert rms(first - elsewhere) > 0.1 * rms(first)


def test_echoes_last_longer_than_speech_and_are_as_loud_as_the_room() -> None:
    tracks = np.pad(two_speakers(2), ((0, 0), (0, SAMPLE_RATE)))
    end = 2 * SAMPLE_RATE
    assert not hear(SILENT, tracks)[end:].any()
    after = {}
    for rt60 in (0.2, 0.6):
        sounds = [hear(replace(SILENT, room_probability=1.0, rt60=(rt60, rt60)), tracks, seed) for seed in range(10)]
        after[rt60] = np.mean([rms(sound[end + 1600 : end + 4800]) / rms(sound[:end]) for sound in sounds])
    assert 0.002 < after[0.2] < 0.3 * after[0.6]


def test_clipping_flattens_peaks() -> None:
    sound = np.sin(np.linspace(0, 100, 5000)).astype(np.float32)
    assert np.abs(clip(sound, 6.0)).max() == pytest.approx(0.501, abs=0.001)
    clipped = hear(replace(SILENT, clipping_probability=1.0, clipping=(12.0, 12.0)), two_speakers())
    assert np.mean(np.abs(clipped) > 0.999 * np.abs(clipped).max()) > 0.05


def test_the_highest_peak_may_be_a_trough() -> None:
    sound = np.array([0.1, -0.5, 0.2], dtype=np.float32)
    assert to_peak(sound, -6.0) == pytest.approx(10 ** (-6 / 20) * np.array([0.2, -1, 0.4]), rel=1e-5)
    assert clip(sound, 6.0) == pytest.approx([0.1, -0.5 * 10 ** (-6 / 20), 0.2], rel=1e-5)
    assert not to_peak(np.zeros(3, dtype=np.float32), -6.0).any()


@pytest.mark.parametrize("semitones", [-2.0, 3.0])
def test_pitch_changes_and_speed_does_not(semitones: float) -> None:
    pytest.importorskip("python_stretch")
    voice = np.concatenate([np.zeros(8000, np.float32), toy_voice(200, 1.0), np.zeros(8000, np.float32)])
    higher = shift_pitch(voice, semitones)
    assert higher.shape == voice.shape and higher.dtype == np.float32
    spectrum = np.abs(np.fft.rfft(higher))
    assert np.argmax(spectrum) * SAMPLE_RATE / len(voice) == pytest.approx(200 * 2 ** (semitones / 12), abs=5)
    assert rms(higher[8000:24000]) == pytest.approx(rms(voice[8000:24000]), rel=0.1)
    assert rms(higher[:7000]) < 0.02 * rms(voice) > rms(higher[25000:])
    assert np.array_equal(higher, shift_pitch(voice, semitones))


def test_each_option_is_drawn_apart_from_the_others(tmp_path: Path) -> None:
    voices = Voices(write_toy_voices(tmp_path), "train")
    usual = Acoustics(bystanders=voices)
    for seed in range(20):
        scene = usual.draw(("train00", "train01"), rng_of(seed))
        quiet = replace(usual, noise_probability=0, crowd_probability=0).draw(("train00", "train01"), rng_of(seed))
        assert quiet == replace(scene, noise=None, crowd=())
        dry = replace(usual, room_probability=0, telephone_probability=1).draw(("train00", "train01"), rng_of(seed))
        assert replace(dry, telephone=None) == replace(scene, rt60=None, telephone=None)


APART: dict[str, tuple[Any, set[str]]] = {
    "loudness": (9.0, {"levels"}),
    "quiet_probability": (0.7, {"levels"}),
    "quiet": ((20.0, 30.0), {"levels"}),
    "drift": (8.0, set()),
    "speed": ((0.7, 0.8), {"speeds"}),
    "pitch_probability": (0.9, {"pitches"}),
    "pitch": ((5.0, 6.0), {"pitches"}),
    "room_probability": (0.2, {"rt60"}),
    "distant_probability": (0.9, {"is_distant"}),
    "rt60": ((1.0, 2.0), {"rt60"}),
    "near": ((0.2, 0.3), set()),
    "distant": ((7.0, 8.0), set()),
    "noise_probability": (0.2, {"noise"}),
    "recorded_probability": (0.1, {"noise", "signal_to_noise"}),
    "signal_to_noise": ((50.0, 60.0), {"signal_to_noise"}),
    "noises": (None, {"noise", "signal_to_noise"}),
    "crowd_probability": (0.9, {"crowd"}),
    "crowd_size": ((2, 3), {"crowd"}),
    "signal_to_crowd": ((50.0, 60.0), {"signal_to_crowd"}),
    "bystanders": (None, {"crowd"}),
    "clipping_probability": (0.9, {"clipping"}),
    "clipping": ((20.0, 30.0), {"clipping"}),
    "peak": ((-50.0, -40.0), {"peak"}),
    "telephone_probability": (0.9, {"telephone"}),
    "telephones": (("gsm",), {"telephone", "codec"}),
    "codec_probability": (0.9, {"codec"}),
    "codecs": (("mp3",), {"codec"}),
    "compression": ((0.0, 0.1), {"compression"}),
}
"""Another value of each option, and what of a scene is another one then."""


@pytest.fixture
def usual(tmp_path: Path) -> Acoustics:
    """With three kinds of noise, and voices for a crowd."""
    for kind in ("rain", "wind", "hum"):
        (tmp_path / "noise" / kind).mkdir(parents=True)
        soundfile.write(tmp_path / "noise" / kind / "1.wav", np.full(10, 0.1), SAMPLE_RATE)
    return Acoustics(
        noises=Noises(tmp_path / "noise"), bystanders=Voices(write_toy_voices(tmp_path / "voices"), "train")
    )


def scenes_of(acoustics: Acoustics) -> list[dict[str, Any]]:
    return [asdict(acoustics.draw(("train00", "train01"), rng_of(seed))) for seed in range(150)]


def test_options_change_what_they_say_and_nothing_else(usual: Acoustics) -> None:
    assert set(APART) == {field.name for field in fields(usual)}
    scenes = scenes_of(usual)
    for name, (value, expected) in APART.items():
        others = scenes_of(replace(usual, **{name: value}))
        changed = {part for one, other in zip(scenes, others, strict=True) for part in one if one[part] != other[part]}
        assert changed == expected, name


def test_whether_there_is_something_depends_on_how_much_is_drawn_before(usual: Acoustics, tmp_path: Path) -> None:
    (tmp_path / "two.tsv").write_text("path\tkind\nnoise/rain/1.wav\tdrops\nnoise/wind/1.wav\tgusts\n")
    cases: list[tuple[dict[str, Any], str, bool]] = [
        ({"recorded_probability": 0.1}, "noise", True),
        ({"noises": None}, "noise", True),
        ({"noises": Noises(tmp_path / "two.tsv")}, "noise", False),
        ({"crowd_size": (2, 3)}, "crowd", True),
        ({"bystanders": Voices(write_toy_voices(tmp_path / "few", num_train=4), "train")}, "crowd", True),
        ({"telephones": ("gsm",)}, "telephone", True),
        ({"telephones": ("gsm", "alaw")}, "telephone", False),
        ({"telephones": ("gsm",)}, "codec", False),
        ({"codecs": ("mp3",)}, "codec", False),
    ]
    for options, part, expected in cases:
        there = [[bool(scene[part]) for scene in scenes_of(each)] for each in (usual, replace(usual, **options))]
        assert (there[0] != there[1]) is expected, options


def test_options_are_drawn_as_often_as_asked_and_within_their_ranges() -> None:
    scenes = [Acoustics().draw(("ann", "bob"), rng_of(seed)) for seed in range(2000)]
    often = {
        "rt60": 0.7,
        "noise": 0.85,
        "clipping": 0.03,
        "telephone": 0.08,
        "codec": 0.15,
    }
    for name, probability in often.items():
        assert np.mean([getattr(scene, name) is not None for scene in scenes]) == pytest.approx(probability, abs=0.03)
    assert np.mean([scene.is_distant for scene in scenes]) == pytest.approx(0.1, abs=0.03)
    assert np.mean([pitch != 0 for scene in scenes for pitch in scene.pitches]) == pytest.approx(0.1, abs=0.02)
    speeds = np.array([scene.speeds for scene in scenes])
    assert 0.9 <= speeds.min() < 0.91 and 1.09 < speeds.max() <= 1.1
    assert {scene.telephone for scene in scenes} == {None, "alaw", "mulaw", "gsm"}
    assert {scene.codec for scene in scenes} == {None, "mp3", "vorbis"}


def test_acoustics_that_sound_different_have_another_digest(tmp_path: Path) -> None:
    voices = Voices(write_toy_voices(tmp_path / "voices"), "train")
    soundfile.write(tmp_path / "rain.wav", np.full(10, 0.1), SAMPLE_RATE)
    usual = Acoustics(noises=Noises(tmp_path), bystanders=voices)
    digests = {usual.digest}
    soundfile.write(tmp_path / "rain.wav", np.full(20, 0.1), SAMPLE_RATE)
    others = [
        {"drift": 8.0},
        {"near": (0.2, 0.3)},
        {"distant": (3.0, 4.0)},
        {"clipping_probability": 0.5},  # of which the first conversations may have none
        {"noises": Noises(tmp_path)},
        {"noises": None},
        {"bystanders": Voices(write_toy_voices(tmp_path / "others", num_train=3), "train")},
        {"bystanders": None},
    ]
    digests |= {replace(usual, **other).digest for other in others}
    assert len(digests) == 1 + len(others)
    assert replace(usual).digest == usual.digest == pickle.loads(pickle.dumps(usual)).digest


def test_scenes_say_what_will_be_heard() -> None:
    assert str(ALONE) == "voices alone"
    scene = replace(
        ALONE, rt60=0.413, noise="rain", signal_to_noise=12.2, crowd=("a", "b"), signal_to_crowd=20, codec="mp3"
    )
    assert str(scene) == (
        "a near microphone in a room of 0.41 s, rain 12 dB below speech, a crowd of 2 20 dB below speech, mp3 file"
    )
    generated = replace(ALONE, is_distant=True, rt60=0.5, noise="generated", clipping=3.0, telephone="gsm")
    assert str(generated) == (
        "a distant microphone in a room of 0.50 s, noise 0 dB below speech, clipped by 3 dB, gsm telephone"
    )


def test_scenes_that_cannot_be_heard_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AcousticsError, match="'rain' to be heard and no recording.*Give `noises`"):
        SILENT.apply([two_speakers()], replace(ALONE, noise="rain"), rng_of())
    with pytest.raises(AcousticsError, match="crowd of 1 .*Give `bystanders`"):
        SILENT.apply([two_speakers()], replace(ALONE, crowd=("ann",)), rng_of())


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"rt60": 0.0}, "rt60=0.0 was given; it has to be a number of seconds above 0, or None without a room"),
        ({"rt60": float("nan")}, "rt60=nan was given"),
        ({"levels": (0.0, float("nan"))}, r"levels=\(0.0, nan\) was given; it has to be numbers of dB, one of each"),
        ({"speeds": (0.0, 1.0)}, r"speeds=\(0.0, 1.0\) was given; it has to be numbers above 0"),
        ({"pitches": (0.0, float("inf"))}, r"pitches=\(0.0, inf\) was given; it has to be numbers of semitones"),
        ({"signal_to_noise": float("nan")}, "signal_to_noise=nan was given; it has to be a number of dB"),
        ({"peak": float("nan")}, "peak=nan was given; it has to be a number of dB"),
        ({"clipping": "loud"}, "clipping='loud' was given; it has to be a number of dB, 0 or more, or None without"),
        ({"compression": 1.5}, "compression=1.5 was given; it has to be a number from 0 to 0.99"),
    ],
)
def test_scenes_that_would_sound_of_nothing_are_refused(numbers: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=f"^Scene: {message}"):
        replace(ALONE, **numbers)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"noise_probability": 2}, "noise_probability=2 was given; it has to be a number from 0 to 1"),
    ({"room_probability": "often"}, "room_probability='often'"),
    ({"rt60": (0.7, 0.2)}, r"rt60=\(0.7, 0.2\) .* two numbers from 0.05 to 3, the lowest first"),
    ({"rt60": 0.5}, "rt60=0.5 .* two numbers"),
    ({"rt60": (0.0, 0.5)}, r"rt60=\(0.0, 0.5\) .* from 0.05 to 3"),
    ({"speed": (0.9, 5.0)}, r"speed=\(0.9, 5.0\) .* from 0.5 to 2"),
    ({"drift": -1.0}, "drift=-1.0"),
    ({"crowd_size": (0, 4)}, r"crowd_size=\(0, 4\)"),
    ({"crowd_size": (2.9, 2.9)}, r"crowd_size=\(2.9, 2.9\) .* two whole numbers"),
    ({"noise_probability": True}, "noise_probability=True .* a number from 0 to 1"),
    ({"compression": (0.5, 1.0)}, r"compression=\(0.5, 1.0\) .* 0 to 0.99"),
    ({"codecs": ("mp3", "aac")}, r"codecs=\('mp3', 'aac'\) .* one or more of mp3, vorbis, opus"),
    ({"telephones": ()}, r"telephones=\(\) .* one or more of alaw, mulaw, gsm"),
    ({"codecs": "mp3"}, "codecs='mp3'"),
]


@pytest.mark.parametrize(("options", "message"), WRONG, ids=[str(options) for options, _ in WRONG])
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(AcousticsError, match=message):
        Acoustics(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noises": SimpleNamespace(kinds=[], draw=None)}, "noises=.* has no `digest`. Give Noises"),
        ({"noises": "noise/"}, r"noises='noise/' was given, a str, which has no `kinds`. Give Noises\(folder\)"),
        ({"bystanders": Path("voices")}, r"bystanders=.* has no `choose`. Give Voices\(folder, split\)"),
    ],
)
def test_folders_are_no_sounds(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=f"^Acoustics: {message}"):
        Acoustics(**options)


def test_every_number_has_limits_and_there_are_no_unknown_options() -> None:
    numbers = {field.name for field in fields(Acoustics)} - {"noises", "bystanders", "telephones", "codecs"}
    assert {name for name in numbers if not name.endswith("_probability")} == set(LIMITS)
    with pytest.raises(TypeError, match="noise"):
        Acoustics(noise=0.5)  # type: ignore[call-arg]


def test_a_codec_that_this_libsndfile_lacks_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("soundfile.check_format", lambda format, subtype: format != "MP3")
    with pytest.raises(AcousticsError, match="here lacks mp3. Leave them out of codecs and telephones"):
        Acoustics()
    Acoustics(codecs=("vorbis",))


def test_acoustics_of_ones_own_are_others() -> None:
    class Hum(Acoustics):
        pass

    assert Hum().digest != Acoustics().digest == Acoustics().digest
