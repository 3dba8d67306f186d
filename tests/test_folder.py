from __future__ import annotations

from pathlib import Path

from pyannote_pix2seq.simulation.folder import files_below


def make(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def below(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in files_below(folder)]


def test_files_are_sorted_as_paths_are(tmp_path: Path) -> None:
    make(tmp_path, "b/c/1", "b-a/2", "b/3", "4", "a/5")
    assert files_below(tmp_path) == sorted(path for path in tmp_path.rglob("*") if path.is_file())


def test_links_to_folders_and_files_are_followed(tmp_path: Path) -> None:
    make(tmp_path / "elsewhere", "ann/1", "ann/more/2", "3")
    folder = make(tmp_path / "folder", "bob/4")
    (folder / "ann").symlink_to(tmp_path / "elsewhere" / "ann")
    (folder / "5").symlink_to(tmp_path / "elsewhere" / "3")
    (tmp_path / "alias").symlink_to(folder)
    assert below(folder) == below(tmp_path / "alias") == ["5", "ann/1", "ann/more/2", "bob/4"]


def test_links_to_folders_above_lead_nowhere(tmp_path: Path) -> None:
    folder = make(tmp_path / "folder", "ann/1")
    make(tmp_path, "beside/2")
    for name, target in (("self", folder), ("ann/up", folder), ("out", tmp_path)):
        (folder / name).symlink_to(target)
    assert below(folder) == ["ann/1"]


def test_folders_are_read_once_and_by_their_own_names(tmp_path: Path) -> None:
    folder, other = make(tmp_path / "folder", "bob/1"), make(tmp_path / "other", "2")
    for link, target in ((folder / "a", folder / "bob"), (folder / "b", other), (folder / "c", other)):
        link.symlink_to(target)
    (other / "back").symlink_to(folder)  # a circle
    assert below(folder) == ["b/2", "bob/1"]


def test_links_that_are_broken_do_no_harm(tmp_path: Path) -> None:
    make(tmp_path, "1")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    assert below(tmp_path) == ["1", "circle", "gone"]
