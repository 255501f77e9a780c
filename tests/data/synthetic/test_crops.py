"""Reading folders of word crops."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from dld_spotter.core.errors import ConfigError, DataError
from dld_spotter.data.synthetic import CropSource
from tests.data.samples import write_crops

GREY = np.full((20, 60, 3), 90, np.uint8)


def texts(source: CropSource) -> set[str]:
    return {source[index].texts[0] for index in range(len(source))}


def test_a_crop_is_read_with_its_word(tmp_path: Path):
    image = np.random.default_rng(0).integers(0, 256, (20, 60, 3), np.uint8)
    crop = CropSource(write_crops(tmp_path, [("Café 5%", image)], margin=3))[0]
    np.testing.assert_array_equal(crop.image, image)
    np.testing.assert_allclose(crop.quads[0], [[3.5, 3.5], [56.5, 3.5], [56.5, 16.5], [3.5, 16.5]], atol=1e-4)
    assert (crop.texts[0], crop.ignore[0]) == ("Café 5%", False)


def test_words_that_nobody_could_read_are_marked(tmp_path: Path):
    crop = CropSource(write_crops(tmp_path, [("###", GREY)]))[0]
    assert (crop.texts[0], crop.ignore[0]) == ("", True)


def test_quotes_and_hashes_are_text(tmp_path: Path):
    words = ['"SCAN"', '"We', "#1", "it's"]
    assert texts(CropSource(write_crops(tmp_path, [(word, GREY) for word in words]))) == set(words)


def test_a_crop_may_be_stored_smaller_and_in_another_format(tmp_path: Path):
    write_crops(tmp_path, [("word", GREY)], margin=2)
    file = tmp_path / "words" / "word_1.png"
    Image.open(file).resize((30, 10)).save(file.with_suffix(".jpg"))
    file.unlink()
    crop = CropSource(tmp_path)[0]
    assert crop.image.shape == (10, 30, 3)
    np.testing.assert_allclose(crop.quads[0], np.array([[2.5, 2.5], [57.5, 2.5], [57.5, 17.5], [2.5, 17.5]]) / 2, atol=1e-4)


def test_crops_may_lie_beside_the_table(tmp_path: Path):
    write_crops(tmp_path, [("word", GREY)])
    (tmp_path / "words" / "word_1.png").rename(tmp_path / "word_1.png")
    (tmp_path / "words").rmdir()
    assert texts(CropSource(tmp_path)) == {"word"}


def test_crops_are_drawn_by_the_height_of_their_word(tmp_path: Path):
    heights = [8, 12, 20, 40, 41]
    source = CropSource(write_crops(tmp_path, [(str(h), np.zeros((h, 30, 3), np.uint8)) for h in heights]))
    rng = np.random.default_rng(0)
    assert {source.draw(rng, (10, 30)).texts[0] for _ in range(40)} == {"12", "20"}
    assert {source.draw(rng).texts[0] for _ in range(100)} == {str(h) for h in heights}
    assert source.draw(rng, (50, 90)) is None


def test_only_drawn_crops_are_read(tmp_path: Path):
    source = CropSource(write_crops(tmp_path, [("good", GREY), ("bad", GREY)]))
    (tmp_path / "words" / "word_2.png").write_bytes(b"no image")
    assert source[0].texts[0] == "good"
    with pytest.raises(DataError, match=r"word_2\.png cannot be read"):
        source[1]


@pytest.mark.parametrize("folder", [None, "absent"])
def test_a_missing_folder_is_named(folder: str | None):
    with pytest.raises(DataError, match=rf"data\.crops={folder} is not a folder; set data\.crops"):
        CropSource(folder)


def test_a_folder_without_a_table_is_named(tmp_path: Path):
    with pytest.raises(DataError, match=r"holds no words_map\.tsv"):
        CropSource(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\t100\t", "\tx\t", r"words_map\.tsv, line 2: expected 16 columns .* found 'word_1"),
        ("\t60\t", "\t0\t", "line 2: expected"),
        ("\t102\t", "\tnan\t", "line 2: expected"),
        ("\tfirst", "", "line 2: expected"),
        ("\tsecond", "\tsecond\tword", "line 3: expected"),
        ("word_2.png", "word_9.png", r"line 3: there is no image word_9\.png"),
        ("\ttext", "\tlabel", "line 1: the header lacks text"),
    ],
)
def test_a_malformed_table_is_told_with_its_line(tmp_path: Path, old: str, new: str, message: str):
    table = write_crops(tmp_path, [("first", GREY), ("second", GREY)], margin=2) / "words_map.tsv"
    text = table.read_text(encoding="utf-8")
    assert old in text
    table.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(DataError, match=message):
        CropSource(tmp_path)


def test_a_table_without_crops_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match="lists no crop"):
        CropSource(write_crops(tmp_path, []))


def test_parts_of_the_photos_share_no_photo_and_lack_none(tmp_path: Path):
    words = {f"w{number}" for number in range(200)}
    write_crops(tmp_path, [(word, GREY) for word in sorted(words)])
    first, second, third = (texts(CropSource(tmp_path, part)) for part in ((0, 0.5), (0.5, 0.9), (0.9, 1)))
    assert first | second | third == words
    assert len(first) + len(second) + len(third) == len(words)
    assert [len(part) / len(words) for part in (first, second, third)] == pytest.approx([0.5, 0.4, 0.1], abs=0.1)


def test_the_crops_of_one_photo_stay_together(tmp_path: Path):
    table = write_crops(tmp_path, [(f"{photo}-{word}", GREY) for photo in range(30) for word in range(3)]) / "words_map.tsv"
    lines = table.read_text(encoding="utf-8").splitlines()
    for place in range(1, len(lines)):
        fields = lines[place].split("\t")
        fields[1] = f"photo_{(place - 1) // 3}.jpg"
        lines[place] = "\t".join(fields)
    table.write_text("\n".join(lines), encoding="utf-8")
    kept, held_out = ({word.split("-")[0] for word in texts(CropSource(tmp_path, part))} for part in ((0, 0.7), (0.7, 1)))
    assert kept
    assert held_out
    assert not kept & held_out


def test_adding_a_crop_moves_no_photo_to_another_part(tmp_path: Path):
    crops = [(f"w{number}", GREY) for number in range(40)]
    before = texts(CropSource(write_crops(tmp_path / "few", crops), (0.9, 1)))
    after = texts(CropSource(write_crops(tmp_path / "many", [*crops, *(("new", GREY) for _ in range(40))]), (0.9, 1)))
    assert before
    assert after - {"new"} == before


def test_a_part_without_photos_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match=r"lists no crop of the part \[0\.9, 1\.0\] of its photos; give a larger part"):
        CropSource(write_crops(tmp_path, [("word", GREY)]), [0.9, 1.0])


@pytest.mark.parametrize("photos", [(0.5, 0.5), (0.9, 0.1), (-0.1, 0.5), (0.5, 1.1), (0.5,), (0, 0.5, 1)])
def test_a_part_that_is_no_range_is_refused(tmp_path: Path, photos: tuple[float, ...]):
    with pytest.raises(ConfigError, match=r"crops\.source\.photos must be two shares in 0\.\.1"):
        CropSource(write_crops(tmp_path, [("word", GREY)]), photos)


def test_the_official_training_crops_are_read():
    folder = Path(__file__).parents[4] / "shared" / "data" / "icdar2015" / "train"
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent")
    source = CropSource(folder)
    assert len(source) == 4468
    for index in range(0, len(source), 97):
        crop = source[index]
        height, width = crop.image.shape[:2]
        assert crop.texts[0]
        assert (crop.quads >= 0).all()
        assert (crop.quads <= (width, height)).all()


def photo_of_words(folder: Path) -> tuple[np.ndarray, CropSource]:
    """A photo with a smooth gradient and three words, of which two are neighbours; the source of its crops."""
    down, across = np.mgrid[:120, :300]
    photo = np.stack([across * 0.8, down * 2.0, across * 0.3 + down], axis=-1).astype(np.uint8)
    places = {"left": (20, 30, 50, 20), "right": (76, 32, 40, 20), "far": (200, 80, 60, 24)}
    (folder / "words").mkdir(parents=True)
    lines = ["word\timage\tx0\ty0\tw\th\tx1\ty1\tx2\ty2\tx3\ty3\tx4\ty4\ttext"]
    for name, (x, y, w, h) in places.items():
        cv2.imwrite(str(folder / "words" / f"{name}.png"), photo[y : y + h, x : x + w, ::-1])
        corners = [x, y, x + w - 1, y, x + w - 1, y + h - 1, x, y + h - 1]
        lines.append("\t".join(map(str, [f"{name}.png", "photo.png", x, y, w, h, *corners, name])))
    (folder / "words_map.tsv").write_text("\n".join(lines))
    return photo, CropSource(folder, together=0.5)


def test_neighbours_stay_together_as_they_stand_in_their_photo(tmp_path: Path):
    photo, source = photo_of_words(tmp_path)
    crops = {source[index].texts: source[index] for index in range(len(source))}
    assert set(crops) == {("left", "right"), ("far",)}
    both = crops["left", "right"]
    np.testing.assert_allclose(both.quads[1] - both.quads[0], [[56, 2], [46, 2], [46, 2], [56, 2]], atol=1e-3)
    part = photo[30:52, 20:116]
    known = np.zeros(part.shape[:2], bool)
    known[:20, :50] = known[2:, 56:] = True
    np.testing.assert_array_equal(both.image[known], part[known])
    between = (slice(4, 18), slice(51, 55))  # nothing of the photo is known here
    assert np.abs(both.image[between].astype(int) - part[between]).max() < 12
    assert both.cover[10, 53] == 255
    assert both.cover[0, -1] == 0


def test_words_apart_are_single_crops(tmp_path: Path):
    photo_of_words(tmp_path)
    assert {CropSource(tmp_path, together=0.05)[index].texts for index in range(3)} == {("left",), ("right",), ("far",)}
    assert len(CropSource(tmp_path)) == 3
    with pytest.raises(ConfigError, match="together must be at least 0"):
        CropSource(tmp_path, together=-1)
