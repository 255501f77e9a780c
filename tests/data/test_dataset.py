import importlib
import pkgutil
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from torch.utils.data import Subset

from dld_spotter.core.batches import Sample, TextInstances
from dld_spotter.core.errors import DataError
from dld_spotter.data import readers
from dld_spotter.data.dataset import FileDataset, has_curved_words, read_image, report_damage
from dld_spotter.data.splits import NamedPart
from dld_spotter.data.transforms import TransformedDataset, default_transforms

GRADIENT = np.stack([np.arange(12)[:, None] * 10 + np.arange(20)[None] * 5] * 3, -1).astype(np.uint8)


class Numbers(FileDataset):
    """Entries that say their index, some of them damaged."""

    def __init__(self, length, bad=(), strict=False):
        super().__init__(length, strict)
        self.bad = set(bad)

    def load(self, index):
        if index in self.bad:
            raise DataError(f"entry {index} is bad; mend it")
        return Sample(np.zeros((1, 1, 3), np.uint8), TextInstances.of([], []), str(index))


def test_damaged_entries_are_replaced_counted_and_reported_once(caplog):
    dataset = Numbers(5, bad=[1, 2, 4])
    assert [dataset[i].name for i in range(5)] == ["0", "3", "3", "3", "0"]
    assert dataset.damaged == [1, 2, 4]
    report_damage([dataset, None, Numbers(3)])
    (record,) = caplog.records
    expected = (
        "3 of 5 entries were damaged and skipped: entry 1 is bad; mend it; entry 2 is bad; mend it; entry 4 is bad; mend it"
    )
    assert expected in record.getMessage()


def test_what_several_parts_say_is_told_once(caplog):
    dataset = Numbers(4, bad=[1])
    dataset[1]
    report_damage([Subset(dataset, [0]), Subset(dataset, [1, 2]), Numbers(3)])
    assert len(caplog.records) == 1


def test_strict_raises_at_the_first():
    with pytest.raises(DataError, match="entry 1 is bad"):
        Numbers(3, bad=[1], strict=True)[1]


def test_nothing_readable_is_an_error():
    with pytest.raises(DataError, match="none of the 2 entries can be read"):
        Numbers(2, bad=[0, 1])[0]


def test_beyond_the_end():
    with pytest.raises(IndexError):
        Numbers(2)[2]
    assert len(list(Numbers(2))) == 2


CURVED = {"COCOText", "CTW1500", "DavarDatalist", "JsonLines", "TextOCR", "TotalText"}


def test_readers_say_whether_words_are_polygons_of_any_length():
    modules = [importlib.import_module(f"{readers.__name__}.{found.name}") for found in pkgutil.iter_modules(readers.__path__)]
    classes = {value for module in modules for value in vars(module).values() if isinstance(value, type)}
    assert {value.__name__ for value in classes if issubclass(value, FileDataset) and value.curved} == CURVED


def test_wrapped_readers_keep_the_form_of_their_words():
    straight, curved = Numbers(3), Numbers(3)
    curved.names, curved.curved = ["0", "1", "2"], True
    transforms = default_transforms(32)
    for dataset, expected in ((straight, False), (curved, True)):
        dataset.names = ["0", "1", "2"]
        part = NamedPart(dataset, {"train": 1.0}, "train")
        for wrapped in (dataset, part, Subset(part, [0]), Subset(TransformedDataset(part, transforms), [1])):
            assert has_curved_words(wrapped) is expected


def test_grey_palette_alpha_and_cmyk_become_rgb(tmp_path):
    image = Image.fromarray(GRADIENT)
    for mode, name in (("L", "a.png"), ("P", "b.png"), ("RGBA", "c.png"), ("LA", "d.png"), ("1", "e.png"), ("CMYK", "f.tif")):
        image.convert(mode).save(tmp_path / name)
        read = read_image(tmp_path / name)
        assert read.shape == (12, 20, 3)
        assert read.dtype == np.uint8
        assert read.flags.writeable
        if mode in ("L", "RGBA", "LA", "CMYK"):
            np.testing.assert_allclose(read.astype(int), GRADIENT, atol=2)


def test_transparent_pixels_are_white(tmp_path):
    Image.fromarray(np.zeros((2, 2, 4), np.uint8)).save(tmp_path / "a.png")
    assert (read_image(tmp_path / "a.png") == 255).all()


def test_sixteen_bit_grey_is_brought_to_eight(tmp_path):
    Image.fromarray(GRADIENT[..., 0].astype(np.uint16) * 257).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), GRADIENT)


@pytest.mark.parametrize(
    ("form", "factor"),
    [(np.float32, 1 / 255), (np.float32, 1), (np.float32, 257), (np.int32, 1), (np.int32, (2**31 - 1) / 127)],
)
def test_other_numbers_of_bits_are_brought_to_eight(tmp_path, form, factor):
    grey = GRADIENT[..., 0] // (2 if factor > 257 else 1)
    Image.fromarray((grey.astype(float) * factor).astype(form)).save(tmp_path / "a.tif")
    assert np.abs(read_image(tmp_path / "a.tif")[..., 0].astype(int) - grey).max() <= 1


def test_pixels_that_are_no_number_are_black(tmp_path):
    values = GRADIENT[..., 0].astype(np.float32)
    values[0, :3] = np.nan, np.inf, -np.inf
    Image.fromarray(values).save(tmp_path / "a.tif")
    expected = GRADIENT[..., 0].copy()
    expected[0, :3] = 0
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif")[..., 0], expected)


def test_exif_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # show turned by 90 degrees clockwise
    Image.fromarray(GRADIENT).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), np.rot90(GRADIENT, -1))


def png_chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def test_damaged_images_name_the_file(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "cut.jpg")
    whole = (tmp_path / "cut.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("no image")
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", b"") + png_chunk(b"IEND", b""))
    for name in ("cut.jpg", "empty.jpg", "text.jpg", "bomb.png", "missing.jpg"):
        with pytest.raises(DataError) as caught:
            read_image(tmp_path / name)
        assert str(caught.value).count(str(tmp_path / name)) == 1, "the path is told, and told once"


def test_the_wrong_extension_does_not_matter(tmp_path):
    Image.fromarray(GRADIENT).save(tmp_path / "a.jpg", format="PNG")
    np.testing.assert_array_equal(read_image(tmp_path / "a.jpg"), GRADIENT)
