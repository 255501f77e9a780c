import shutil
import string
from collections import Counter
from pathlib import Path

import matplotlib
import numpy as np
import pytest

from dld_spotter.core.charset import PRINTABLE_ASCII
from dld_spotter.core.errors import DataError
from dld_spotter.data.synthetic import FontBook
from dld_spotter.data.synthetic.fonts import FontFace
from dld_spotter.data.synthetic.glyphs import PADDING, load_glyph, set_word

MATPLOTLIB_FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
SANS = str(MATPLOTLIB_FONTS / "DejaVuSans.ttf")


def test_built_in_fonts_write_text():
    names = {Path(face.path).name for face in FontBook().faces}
    assert {"DejaVuSans.ttf", "STIXGeneral.ttf", "cmr10.ttf"} <= names
    assert not {"cmex10.ttf", "cmsy10.ttf", "cmmi10.ttf", "STIXSizOneSymReg.ttf", "LastResortHE-Regular.ttf"} & names
    assert all(face.draws(string.ascii_letters + string.digits) for face in FontBook().faces)


def test_tex_fonts_do_not_claim_characters_they_draw_otherwise():
    faces = {Path(face.path).name: face for face in FontBook().faces}
    assert faces["DejaVuSans.ttf"].draws(PRINTABLE_ASCII)
    assert not faces["cmr10.ttf"].draws("<")
    assert not faces["cmti10.ttf"].draws("$")


def test_another_font_stands_in_for_a_missing_character():
    book, rng = FontBook(), np.random.default_rng(0)
    letters_only = FontFace("letters.ttf", frozenset(string.ascii_letters))
    assert book.covering("abc", letters_only, rng) is letters_only
    assert book.covering("a<b", letters_only, rng).draws("a<b")
    with pytest.raises(DataError, match="no font has glyphs"):
        book.covering("\U0010fffd", letters_only, rng)


def test_folder_of_fonts(tmp_path):
    (tmp_path / "deep").mkdir()
    shutil.copy(SANS, tmp_path / "deep" / "only.TTF")
    assert [Path(face.path).name for face in FontBook(tmp_path).faces] == ["only.TTF"]


def test_every_subfolder_is_drawn_equally_often(tmp_path):
    weights = ["DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSans-Oblique.ttf", "DejaVuSans-BoldOblique.ttf"]
    for folder, names in {"sans": weights, "serif": ["DejaVuSerif.ttf"], "mono": ["DejaVuSansMono.ttf"]}.items():
        (tmp_path / folder).mkdir()
        for name in names:
            shutil.copy(MATPLOTLIB_FONTS / name, tmp_path / folder)
    book, rng = FontBook(tmp_path), np.random.default_rng(0)
    drawn = [Path(book.draw(rng).path) for _ in range(3000)]
    families, faces = Counter(path.parent.name for path in drawn), Counter(path.name for path in drawn)
    assert all(abs(families[name] / len(drawn) - 1 / 3) < 0.04 for name in ("sans", "serif", "mono"))
    assert all(abs(faces[name] / families["sans"] - 1 / 4) < 0.06 for name in weights)


def test_folder_without_usable_font_is_named(tmp_path):
    shutil.copy(MATPLOTLIB_FONTS / "cmex10.ttf", tmp_path)
    with pytest.raises(DataError, match=r"no usable font among 1 "):
        FontBook(tmp_path)


def test_damaged_font_is_named(tmp_path):
    (tmp_path / "broken.ttf").write_bytes(b"nothing of a font")
    with pytest.raises(DataError, match=r"broken\.ttf"):
        FontBook(tmp_path)


@pytest.mark.parametrize("text", ["word", "Wqj|", "Hh", "a", "@W%"])
@pytest.mark.parametrize("em", [9.0, 33.0])
def test_box_encloses_the_ink_with_its_margin(text, em):
    ink = set_word(text, SANS, em)
    mask = ink.draw()
    rows, columns = np.flatnonzero(mask.max(axis=1)), np.flatnonzero(mask.max(axis=0))
    assert mask.shape == (len(rows) + rows[0] + PADDING, columns[-1] + 1 + PADDING)
    assert rows[0] == columns[0] == PADDING
    left, top, right, bottom = ink.box
    height = bottom - top
    assert right - left == pytest.approx(ink.scale * (columns[-1] + 1 - columns[0]) + 0.1 * height / 1.1)
    assert top <= ink.corner[1] + ink.scale * rows[0]
    assert bottom >= ink.corner[1] + ink.scale * (rows[-1] + 1)


def test_low_marks_get_a_box_of_letter_height():
    letter = set_word("x", SANS, 30).box
    for mark in ("-", ".", "_", "'"):
        box = set_word(mark, SANS, 30).box
        assert box[1] <= letter[1] + 1
        assert box[3] >= letter[3] - 1


def test_tracking_widens_and_blank_glyphs_leave_no_ink():
    assert set_word("wide", SANS, 20, 0.2).width == pytest.approx(set_word("wide", SANS, 20).width + 3 * 0.2 * 20, abs=2)
    assert set_word("\u00a0", SANS, 20) is None


def test_glyphs_are_what_the_font_library_draws():
    from PIL import Image, ImageDraw, ImageFont

    canvas = Image.new("L", (60, 60))
    ImageDraw.Draw(canvas).text((10, 40), "g", 255, font=ImageFont.truetype(SANS, 30), anchor="ls")
    glyph = load_glyph(SANS, 30, "g")
    rows, columns = glyph.mask.shape
    np.testing.assert_array_equal(
        np.asarray(canvas)[40 + glyph.top :][:rows, 10 + glyph.left : 10 + glyph.left + columns], glyph.mask
    )
    assert int(np.asarray(canvas, np.int64).sum()) == int(glyph.mask.sum(dtype=np.int64))
