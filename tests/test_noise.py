from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from toy import SAMPLE_RATE

from pyannote_pix2seq.simulation import noise
from pyannote_pix2seq.simulation.noise import BLOCK_SECONDS, NoiseError, Noises, coloured_noise


def rng_of(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def hiss(path: Path, num_samples: int) -> None:
    """Write a recording of so many samples."""
    with path.open("wb") as file:
        soundfile.write(file, np.full(num_samples, 0.1), SAMPLE_RATE, format="WAV")


def test_noise_of_any_colour_is_heard_at_low_frequencies_most() -> None:
    for seed in range(5):
        power = np.square(np.abs(np.fft.rfft(coloured_noise(rng_of(seed), SAMPLE_RATE))))
        assert power[:2000].mean() > 0.9 * power[6000:].mean()


def test_recorded_noise_is_of_the_kind_asked_for(tmp_path: Path) -> None:
    for kind, level in (("hum", 0.1), ("hiss", 0.5)):
        (tmp_path / kind).mkdir()
        for number in range(2):
            soundfile.write(tmp_path / kind / f"{number}.wav", np.full(SAMPLE_RATE, level), SAMPLE_RATE)
    noises = Noises(tmp_path)
    assert noises.kinds == ["hiss", "hum"] and "4 recordings of 2 kinds" in repr(noises)
    for kind, level in (("hum", 0.1), ("hiss", 0.5)):
        drawn = noises.draw(kind, rng_of(), 5 * SAMPLE_RATE)
        assert drawn.shape == (5 * SAMPLE_RATE,) and np.median(drawn) == pytest.approx(level, abs=0.01)
        assert np.abs(np.diff(drawn, prepend=0)).max() < 0.01  # no click where crops meet
    (tmp_path / "manifest.tsv").write_text("path\tkind\nhum/0.wav\thum\n")
    assert Noises(tmp_path).kinds == Noises(tmp_path / "manifest.tsv").kinds == ["hum"]


def test_the_digest_is_that_of_the_recordings_wherever_they_lie(tmp_path: Path) -> None:
    for home in ("a", "b"):
        (tmp_path / home / "noise").mkdir(parents=True)
        hiss(tmp_path / home / "noise" / "rain.wav", 10)
    (tmp_path / "a" / "noise" / "README.md").write_text("is no sound")
    digests = [Noises(tmp_path / home / "noise").digest for home in ("a", "b")]
    hiss(tmp_path / "a" / "noise" / "rain.wav", 20)
    hiss(tmp_path / "b" / "noise" / "wind.wav", 10)
    digests += [Noises(tmp_path / home / "noise").digest for home in ("a", "b")]
    assert digests[0] == digests[1] and len(set(digests)) == 3


def test_the_digest_of_a_manifest_is_that_of_what_it_lists(tmp_path: Path) -> None:
    (tmp_path / "manifest.tsv").write_text("path\tkind\nrain.wav\twater\n")
    hiss(tmp_path / "rain.wav", 10)
    first = Noises(tmp_path / "manifest.tsv").digest
    assert Noises(tmp_path).digest == first
    hiss(tmp_path / "rain.wav", 20)
    second = Noises(tmp_path / "manifest.tsv").digest
    (tmp_path / "manifest.tsv").write_text("path\tkind\nrain.wav\twind\n")
    assert len({first, second, Noises(tmp_path / "manifest.tsv").digest}) == 3


def test_the_kind_of_noise_is_the_name_of_its_folder_however_that_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rain" / "hail").mkdir(parents=True)
    hiss(tmp_path / "rain" / "1.wav", 10)
    hiss(tmp_path / "rain" / "hail" / "2.wav", 20)
    monkeypatch.chdir(tmp_path / "rain")
    given = [Noises(place) for place in (tmp_path / "rain", ".", "hail/..")]
    assert [noises.kinds for noises in given] == 3 * [["hail", "rain"]]
    assert len({noises.digest for noises in given}) == 1


def test_names_that_are_not_utf8_have_a_digest_too(tmp_path: Path) -> None:
    digests = set()
    for letter in (b"\xe9", b"\xe8"):  # of Latin-1
        folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf" + letter))
        folder.mkdir()
        hiss(folder / "rain.wav", 10)
        digests.add(Noises(folder).digest)
    assert len(digests) == 2


def test_linked_folders_of_noise_are_heard(tmp_path: Path) -> None:
    (tmp_path / "elsewhere" / "rain").mkdir(parents=True)
    soundfile.write(tmp_path / "elsewhere" / "rain" / "1.wav", np.full(SAMPLE_RATE, 0.1), SAMPLE_RATE)
    (tmp_path / "noise").mkdir()
    (tmp_path / "noise" / "linked").symlink_to(tmp_path / "elsewhere")
    assert Noises(tmp_path / "noise").kinds == ["rain"]


def test_long_recordings_are_read_in_blocks_that_fit_together(tmp_path: Path) -> None:
    seconds = 3 * BLOCK_SECONDS + 2
    ramp = np.linspace(0, 0.9, seconds * 8000)
    soundfile.write(tmp_path / "ramp.wav", ramp, 8000)
    drawn = Noises(tmp_path).draw(tmp_path.name, rng_of(3), 15 * SAMPLE_RATE)
    steps = np.diff(drawn[1000:-1000])
    assert np.abs(steps - 0.9 / (seconds * SAMPLE_RATE)).max() < 2e-3  # neither a gap nor a repetition


@pytest.mark.parametrize(("start", "seconds"), [(0.0, 10.4), (3.0, 7.0), (9.99, 0.02), (20.0, 9.5)])
def test_crops_are_as_long_as_asked_wherever_blocks_end(tmp_path: Path, start: float, seconds: float) -> None:
    ramp = np.linspace(0, 0.9, 30 * SAMPLE_RATE)
    soundfile.write(tmp_path / "ramp.wav", ramp, SAMPLE_RATE)
    first, num_samples = round(start * SAMPLE_RATE), round(seconds * SAMPLE_RATE)
    crop = noise._crop(tmp_path / "ramp.wav", first, num_samples)
    np.testing.assert_allclose(crop, ramp[first : first + num_samples], atol=1e-4)


def test_memory_is_bounded_however_long_recordings_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    def counted(path: Path, start: int, seconds: int) -> np.ndarray:
        block = noise.read_block(path, start, seconds)
        read.append(len(block))
        return block

    monkeypatch.setattr(noise, "_read", counted)
    soundfile.write(tmp_path / "long.wav", np.random.default_rng(0).normal(0, 0.1, 100 * SAMPLE_RATE), SAMPLE_RATE)
    Noises(tmp_path).draw(tmp_path.name, rng_of(), 2 * SAMPLE_RATE)
    assert len(read) <= 2 and max(read) <= BLOCK_SECONDS * SAMPLE_RATE


def test_what_is_drawn_does_not_depend_on_what_was_drawn_before(tmp_path: Path) -> None:
    for number in range(3):
        samples = np.random.default_rng(number).normal(0, 0.1, (25 + number) * 22050)
        soundfile.write(tmp_path / f"{number}.flac", samples, 22050)
    noises, kind = Noises(tmp_path), tmp_path.name
    later = [noises.draw(kind, rng_of(seed), 30 * SAMPLE_RATE) for seed in (0, 1, 2)][2]
    noise._read.cache_clear()
    assert np.array_equal(noises.draw(kind, rng_of(2), 30 * SAMPLE_RATE), later)


def test_sources_without_noise_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NoiseError, match="No recording"):
        Noises(tmp_path)
    with pytest.raises(NoiseError, match=f"^There is no file or folder {tmp_path / 'nois'}. Check its name"):
        Noises(tmp_path / "nois")
    manifest = tmp_path / "manifest.tsv"
    manifest.write_text("file\tkind\n")
    with pytest.raises(NoiseError, match=r"no column path\. Its first line .*: path and kind,"):
        Noises(tmp_path)
    manifest.write_text("kind\tpath\nrain\n")
    with pytest.raises(NoiseError, match=r"manifest\.tsv, line 2 has no path\. Every row needs path and kind"):
        Noises(tmp_path)
    manifest.write_text("path\tkind\ngone.wav\n")
    with pytest.raises(NoiseError, match=r"manifest\.tsv, line 2 has no kind\."):
        Noises(tmp_path)
    manifest.write_text("path\tkind\ngone.wav\train\n")
    with pytest.raises(NoiseError, match=r"manifest.tsv, line 2: there is no file .*gone\.wav"):
        Noises(tmp_path)
    soundfile.write(tmp_path / "gone.wav", np.zeros(100), SAMPLE_RATE)
    with pytest.raises(NoiseError, match="'wind' is no kind of noise of .* It has rain"):
        Noises(tmp_path).draw("wind", rng_of(), 10)


def test_a_kind_without_a_sample_is_refused(tmp_path: Path) -> None:
    for name in ("click", "tick"):
        soundfile.write(tmp_path / f"{name}.wav", np.full(1, 0.5), 48000)
    message = rf"(click|tick)\.wav lasts 0\.021 ms, .* a sample at 16000 Hz, and kind '{tmp_path.name}' has no longer"
    with pytest.raises(NoiseError, match=message):
        Noises(tmp_path).draw(tmp_path.name, rng_of(), 10)
    soundfile.write(tmp_path / "hum.wav", np.full(SAMPLE_RATE, 0.5), SAMPLE_RATE)
    assert Noises(tmp_path).draw(tmp_path.name, rng_of(), 10).any()  # of the one that has some


def test_recordings_that_cannot_be_opened_are_left_out_and_so_are_kinds_without_others(tmp_path: Path) -> None:
    for kind in ("rain", "wind"):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "bad.wav").write_bytes(b"RIFF" + bytes(100))
    message = r"No noise from 2 recordings: .*bad\.wav cannot be read as audio: it is cut off .* Copy it again\.$"
    with pytest.warns(UserWarning, match=message), pytest.raises(NoiseError, match="No recording in"):
        Noises(tmp_path)
    soundfile.write(tmp_path / "rain" / "good.wav", np.full(SAMPLE_RATE, 0.5), SAMPLE_RATE)
    with pytest.warns(UserWarning, match=message):
        noises = Noises(tmp_path)
    assert noises.kinds == ["rain"] and noises.draw("rain", rng_of(), 10).any()


def test_recordings_without_a_sample_are_left_out_too(tmp_path: Path) -> None:
    for kind in ("rain", "wind"):
        (tmp_path / kind).mkdir()
        hiss(tmp_path / kind / "nothing.wav", 0)
    hiss(tmp_path / "rain" / "some.wav", 10)
    with pytest.warns(UserWarning, match=r"No noise from 2 recordings: .*nothing\.wav is empty: there is not"):
        noises = Noises(tmp_path)
    assert noises.kinds == ["rain"] and noises.draw("rain", rng_of(), SAMPLE_RATE // 10).any()


@pytest.mark.parametrize(
    "content",
    [
        b"path\tkind\n" + b"\xe9" * 9,
        b"OggS\x00\x02" + bytes(300),
        b'"' + b"x" * 200000,
        b'path\tkind\n"' + b"x" * 200000,
    ],
)
def test_what_is_no_manifest_of_noise_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "noise.tsv").write_bytes(content)
    with pytest.raises(NoiseError, match=r"noise\.tsv"):
        Noises(tmp_path / "noise.tsv")
