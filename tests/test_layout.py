from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from pyannote_pix2seq.simulation.layout import (
    CHOICES,
    LAYOUTS,
    LayoutError,
    Recordings,
    find_left_out,
    find_speakers,
    split_of,
)


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def files_of(speakers: list[Recordings], folder: Path) -> dict[str, list[str]]:
    return {speaker.speaker: [path.relative_to(folder).as_posix() for path in speaker.paths] for speaker in speakers}


CORPORA = {
    "librispeech": ("train-clean-100/19/198/19-198-0000.flac", "librivox-19"),
    "libritts": ("train-clean-100/19/198/19_198_000000_000002.wav", "librivox-19"),
    "librilight": ("small/19/sea_fairies_64kb_mp3/01_chapter.flac", "librivox-19"),
    "vctk": ("wav48_silence_trimmed/p225/p225_001_mic1.flac", "vctk-p225"),
}


@pytest.mark.parametrize("layout", CORPORA)
@pytest.mark.parametrize("is_named", [True, False])
def test_corpora_are_known_by_the_names_of_their_files(tmp_path: Path, layout: str, is_named: bool) -> None:
    name, speaker = CORPORA[layout]
    found = find_speakers(touch(tmp_path, name), layout if is_named else "auto")
    assert found == [Recordings(speaker, layout, split_of(speaker), (tmp_path / name,))]
    assert LAYOUTS[layout].match(LAYOUTS[layout].example)


@pytest.mark.parametrize(("name", "part"), [("small/19/a_book/1.flac", "small"), ("wav48/p225/p225_001.wav", "wav48")])
def test_part_of_a_corpus_is_known_too(tmp_path: Path, name: str, part: str) -> None:
    whole, fragment = find_speakers(touch(tmp_path, name)), find_speakers(tmp_path / part)
    assert whole == fragment and len(whole) == 1


def test_the_second_microphone_of_vctk_says_nothing_new(tmp_path: Path) -> None:
    touch(tmp_path, *(f"wav48_silence_trimmed/p225/p225_00{n}_mic{m}.flac" for n in (1, 2) for m in (1, 2)))
    names = [f"wav48_silence_trimmed/p225/p225_00{n}_mic1.flac" for n in (1, 2)]
    assert files_of(find_speakers(tmp_path), tmp_path) == {"vctk-p225": names}


def write_common_voice(folder: Path, rows: list[tuple[str, str]]) -> Path:
    lines = ["client_id\tpath\tsentence", *(f'{client}\t{path}\tHe said: "yes' for client, path in rows)]
    touch(folder, *(f"clips/{path}" for _, path in rows))
    (folder / "validated.tsv").write_text("\n".join(lines) + "\n")
    return folder


def test_common_voice_tells_people_apart_by_client_in_all_languages(tmp_path: Path) -> None:
    ann, bob = "a" * 128, "b" * 128
    write_common_voice(tmp_path / "en", [(ann, "1.mp3"), (bob, "2.mp3")])
    write_common_voice(tmp_path / "fr", [(ann, "3.mp3")])
    names = {
        f"commonvoice-{'a' * 16}": ["en/clips/1.mp3", "fr/clips/3.mp3"],
        f"commonvoice-{'b' * 16}": ["en/clips/2.mp3"],
    }
    assert files_of(find_speakers(tmp_path), tmp_path) == names
    assert len(find_speakers(tmp_path / "fr", "commonvoice")) == 1
    (tmp_path / "fr" / "clips" / "3.mp3").unlink()
    with pytest.raises(LayoutError, match=r"validated.tsv, line 2: client a{16} has a clip .*3\.mp3"):
        find_speakers(tmp_path)
    (tmp_path / "en" / "validated.tsv").unlink()
    with pytest.raises(LayoutError, match="validated.tsv, which tells who speaks"):
        find_speakers(tmp_path)


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ("client_id\tsentence\nann\tHi\n", r" has no column path\. .* client_id and path,"),
        ("", r" has no column client_id, path\. "),
        ("client_id\tsentence\tpath\nann\tHi\t1.mp3\nbob\tHi\n", r", line 3 has no path\. "),
        ("client_id\tpath\n\t1.mp3\n", r", line 2 has no client_id\. "),
        ("client_id\tpath\nann\t" + "x" * 200000, r" cannot be read beyond line 1 \(field larger .*Give a table"),
    ],
)
def test_a_malformed_table_of_common_voice_is_refused(tmp_path: Path, table: str, complaint: str) -> None:
    touch(tmp_path, "clips/1.mp3")
    (tmp_path / "validated.tsv").write_text(table)
    with pytest.raises(LayoutError, match=f"^{re.escape(str(tmp_path / 'validated.tsv'))}{complaint}"):
        find_speakers(tmp_path)


def test_any_other_folder_has_one_folder_a_speaker(tmp_path: Path) -> None:
    touch(tmp_path, "ann/a.wav", "ann/more/b.ogg", "bob/C.MP3", "stray.wav", "ann/notes.txt")
    assert files_of(find_speakers(tmp_path), tmp_path) == {"ann": ["ann/a.wav", "ann/more/b.ogg"], "bob": ["bob/C.MP3"]}


def test_folders_of_speakers_have_printable_names(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    folder.mkdir()
    (folder / "a.wav").touch()
    with pytest.raises(LayoutError, match=r"the folder of speaker '.udcff' has no printable name. Rename it"):
        find_speakers(tmp_path)


def test_the_same_person_in_two_corpora_is_one_speaker_of_one_split(tmp_path: Path) -> None:
    people = range(1, 301)
    speech = touch(tmp_path / "LibriSpeech", *(f"train-clean-100/{n}/7/{n}-7-0000.flac" for n in people))
    tts = touch(tmp_path / "LibriTTS", *(f"dev-clean/{n}/8/{n}_8_000000_000000.wav" for n in people))
    light = touch(tmp_path / "light", *(f"large/{n}/a_book/a_chapter.flac" for n in people))
    alone = {speaker.speaker: speaker.split for speaker in find_speakers(tts)}
    together = find_speakers([speech, tts, light])
    assert {speaker.speaker: speaker.split for speaker in together} == alone  # whatever else there is
    assert {speaker.split for speaker in find_speakers(light)} == {"train", "dev", "test"}
    splits = {split: {s.speaker for s in together if s.split == split} for split in ("train", "dev", "test")}
    assert not splits["train"] & splits["dev"] and not splits["test"] & (splits["train"] | splits["dev"])
    reader = next(speaker for speaker in together if speaker.speaker == "librivox-19")
    assert len(reader.paths) == 3 and len(together) == len(people)  # he cannot be two voices of one conversation


def test_splits_are_the_same_everywhere_and_about_as_large_as_promised() -> None:
    splits = [split_of(f"speaker-{number}") for number in range(2000)]
    assert 150 < splits.count("dev") < 250 and 150 < splits.count("test") < 250
    assert [split_of(name) for name in ("librivox-19", "librivox-89", "librivox-129")] == ["train", "dev", "test"]


def write_manifest(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_manifest_says_what_it_knows(tmp_path: Path) -> None:
    touch(tmp_path, "a.wav", "b.wav")
    rows = ("speaker\tpath\tcorpus\tsplit\tseconds", "ann\ta.wav\ttoy\ttest\t1", "bob\tb.wav\t\t\t1")
    ann, bob = find_speakers(write_manifest(tmp_path / "mine.tsv", *rows))
    assert ann == Recordings("ann", "toy", "test", (tmp_path / "a.wav",))
    assert (bob.corpus, bob.split) == ("mine", split_of("bob"))


def test_a_recording_that_is_missing_is_named_with_its_line(tmp_path: Path) -> None:
    touch(tmp_path, "a.wav")
    manifest = write_manifest(tmp_path / "m.tsv", "speaker\tpath", "ann\ta.wav", "bob\tgone.wav")
    with pytest.raises(LayoutError, match=rf"m\.tsv, line 3: speaker 'bob' .*{re.escape(str(tmp_path / 'gone.wav'))}"):
        find_speakers(manifest)


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        (("speaker\tpath", "ann\ta.wav", "bob"), r", line 3 has no path\. Every row needs speaker and path\."),
        (("path\tspeaker", "a.wav\t"), r", line 2 has no speaker\. "),
        (("speaker,path", "ann,a.wav"), r" has no column speaker, path\. Its first line .* separated by tabs"),
        (("speaker\tpath", "ann\t" + "x" * 200000), r" cannot be read beyond line 1 \(field larger"),
    ],
)
def test_a_malformed_manifest_is_refused(tmp_path: Path, lines: tuple[str, ...], complaint: str) -> None:
    touch(tmp_path, "a.wav")
    with pytest.raises(LayoutError, match=f"^{re.escape(str(tmp_path / 'm.tsv'))}{complaint}"):
        find_speakers(write_manifest(tmp_path / "m.tsv", *lines))


def test_speakers_of_a_manifest_that_is_not_utf8_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "zoe.wav")
    (tmp_path / "m.tsv").write_text("speaker\tpath\nZoë\tzoe.wav\n", encoding="latin-1")
    with pytest.raises(LayoutError, match=r"m\.tsv, line 2: speaker 'Zo.udceb' is not written in UTF-8\. Save the"):
        find_speakers(tmp_path / "m.tsv")


def test_sources_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match=f"No recording in {re.escape(str(tmp_path))}"):
        find_speakers(tmp_path)
    with pytest.raises(LayoutError, match=f"There is no file or folder {re.escape(str(tmp_path / 'nowhere'))}. Check"):
        find_speakers(tmp_path / "nowhere")
    touch(tmp_path, "b.wav", "c.wav")
    with pytest.raises(LayoutError, match="no column path"):
        find_speakers(write_manifest(tmp_path / "m.tsv", "speaker\tfile", "a\tb.wav"))
    rows = ("speaker\tsplit\tpath", "a\ttrain\tb.wav", "a\tdev\tc.wav")
    with pytest.raises(LayoutError, match="'a' is in .* and in"):
        find_speakers(write_manifest(tmp_path / "m.tsv", *rows))
    with pytest.raises(LayoutError, match=f"no layout 'timit'. There are {', '.join(CHOICES)}"):
        find_speakers(tmp_path, "timit")


def test_folders_of_formats_that_are_not_taken_say_which_are(tmp_path: Path) -> None:
    touch(tmp_path, "alice/1.m4a", "bob/2.M4A", "bob/notes.txt")
    complaint = r"It has 2 sound files, the first alice/1.m4a: .m4a files are not taken, only .flac, .mp3, .* ffmpeg -i"
    with pytest.raises(LayoutError, match=complaint):
        find_speakers(tmp_path)


def test_recordings_outside_of_folders_of_speakers_say_where_they_belong(tmp_path: Path) -> None:
    touch(tmp_path, "1.wav")
    complaint = r"It has one sound file 1.wav: it lies in .* itself, not in a folder of a speaker: move it into one"
    with pytest.raises(LayoutError, match=complaint):
        find_speakers(tmp_path)


def test_what_is_left_out_of_folders_is_known(tmp_path: Path) -> None:
    touch(tmp_path, "ann/1.opus", "ann/more/2.m4a", "ann/notes.txt", "bob/clips/3.webm", "4.flac", "m.tsv")
    left_out = [path.relative_to(tmp_path).as_posix() for path, _ in find_left_out([tmp_path, tmp_path / "m.tsv"])]
    assert left_out == ["4.flac", "ann/more/2.m4a", "bob/clips/3.webm"]


def test_speakers_of_linked_folders_are_found(tmp_path: Path) -> None:
    touch(tmp_path / "elsewhere", "ann/1.wav", "bob/2.wav", "bob/more/3.m4a")
    corpus = touch(tmp_path / "corpus", "carl/4.wav")
    for name in ("ann", "bob"):
        (corpus / name).symlink_to(tmp_path / "elsewhere" / name)
    assert files_of(find_speakers(corpus), corpus) == {
        "ann": ["ann/1.wav"],
        "bob": ["bob/2.wav"],
        "carl": ["carl/4.wav"],
    }
    assert [path for path, _ in find_left_out(corpus)] == [corpus / "bob" / "more" / "3.m4a"]


def test_a_recording_that_two_sources_have_is_taken_once(tmp_path: Path) -> None:
    touch(tmp_path / "mine", "ann/1.wav", "ann/2.wav")
    manifest = write_manifest(tmp_path / "mine" / "m.tsv", "speaker\tpath\tcorpus", "ann\tann/2.wav\tmine")
    assert files_of(find_speakers([tmp_path / "mine", manifest]), tmp_path / "mine") == {
        "ann": ["ann/1.wav", "ann/2.wav"]
    }


def test_a_recording_is_taken_once_however_its_source_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = touch(tmp_path / "LibriSpeech", "19/198/19-198-0000.flac", "19/198/19-198-0001.flac")
    (tmp_path / "link").symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    (reader,) = find_speakers([Path("LibriSpeech"), folder, tmp_path / "link"])
    names = ("19-198-0000.flac", "19-198-0001.flac")
    assert reader.paths == tuple(Path("LibriSpeech/19/198", name) for name in names)


def test_two_people_of_one_name_are_not_taken_for_one(tmp_path: Path) -> None:
    touch(tmp_path, "a/19/x.wav", "b/19/y.wav")
    with pytest.raises(LayoutError, match="'19' is in .*'a'.* and in .*'b'"):
        find_speakers([tmp_path / "a", tmp_path / "b"])


def test_two_people_are_not_taken_for_one_where_their_folders_or_manifests_have_one_name(tmp_path: Path) -> None:
    touch(tmp_path, "a/wav/19/x.wav", "b/wav/19/y.wav")
    homes = [tmp_path / "a" / "wav", tmp_path / "b" / "wav"]
    with pytest.raises(LayoutError, match=r"'19' is in .*/a/wav/19 and in .*/b/wav/19: two people\? Rename one or"):
        find_speakers(homes)
    (one,) = find_speakers([homes[0], homes[0]])
    manifests = [write_manifest(home / "m.tsv", "speaker\tpath", f"19\t{next(home.rglob('*.wav'))}") for home in homes]
    with pytest.raises(LayoutError, match=r"'19' is in .*/a/wav/m.tsv and in .*/b/wav/m.tsv: two people\?"):
        find_speakers(manifests)
    for manifest in manifests:
        write_manifest(manifest, "speaker\tpath\tcorpus", f"19\t{next(manifest.parent.rglob('*.wav'))}\twav")
    (both,) = find_speakers(manifests)
    assert (len(one.paths), len(both.paths)) == (1, 2)
    with pytest.raises(LayoutError, match="two people"):
        find_speakers([manifests[0], *homes])


def test_a_folder_of_several_corpora_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, CORPORA["librispeech"][0], CORPORA["vctk"][0], "mine/ann/a.wav")
    with pytest.raises(LayoutError, match="1 like librispeech.*one folder a speaker"):
        find_speakers(tmp_path)
    assert [s.speaker for s in find_speakers(tmp_path, "vctk")] == ["vctk-p225"]
    with pytest.raises(LayoutError, match=r"named like small/19/a_book/a_chapter.flac, as librilight has it"):
        find_speakers(tmp_path, "librilight")


def test_splits_of_a_manifest_are_train_dev_and_test(tmp_path: Path) -> None:
    touch(tmp_path, "ann.wav")
    manifest = tmp_path / "mine.tsv"
    manifest.write_text("speaker\tpath\tsplit\nann\tann.wav\tdevelopment\n")
    with pytest.raises(LayoutError, match="line 2: speaker 'ann' is of split 'development'. Splits are train"):
        find_speakers(manifest)


def test_the_manifest_of_the_page_on_training_says_who_is_of_which_split(tmp_path: Path) -> None:
    page = Path(__file__).parents[1] / "docs" / "training.md"
    shown = re.findall(r"```\n(speaker\tpath\tsplit\n.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "speech.tsv").write_text(*shown)
    touch(tmp_path, "ann/monday.wav", "bob/1.flac")
    found = find_speakers(tmp_path / "speech.tsv")
    assert {speaker.speaker: speaker.split for speaker in found} == {"ann": "train", "bob": "dev"}
