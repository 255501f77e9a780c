"""Characters and their indices.

The index space is shared by every decoder: 0 is padding and, for CTC, the blank; 1 ends a sequence; 2 starts one
(never predicted); the characters follow. Sharing one space lets attention and CTC logits be compared and distilled
with the same code.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dld_spotter.core.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

PADDING = BLANK = 0
END = 1
START = 2
SPECIAL = 3
PRINTABLE_ASCII = "".join(chr(code) for code in range(33, 127))


@dataclass(frozen=True)
class Charset:
    """The characters a recogniser can write.

    Args:
        characters: the distinct characters in index order.
        fold_case: map text and ``characters`` to lower case, so that any charset can be used without regard to case.

    Where a space is among the characters, whole lines can be written: every run of white space in a text is one space.
    """

    characters: str
    fold_case: bool = False
    _index: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        repeated = sorted(char for char, count in Counter(self.characters).items() if count > 1)
        if not self.characters or repeated:
            raise ConfigError(
                f"charset.characters must be distinct and not empty, found repeated {repeated}; remove the repeats"
            )
        if self.fold_case:
            object.__setattr__(self, "characters", "".join(dict.fromkeys(self.characters.lower())))
        object.__setattr__(self, "_index", {char: SPECIAL + i for i, char in enumerate(self.characters)})

    def __len__(self) -> int:
        """Number of classes, the three special ones included."""
        return SPECIAL + len(self.characters)

    def normalize(self, text: str) -> str:
        """Bring text to the form that is encoded: NFC, lower case if case is folded, single spaces if there is a space."""
        text = unicodedata.normalize("NFC", text)
        text = text.lower() if self.fold_case else text
        return " ".join(text.split()) if " " in self._index else text

    def unknown(self, text: str) -> list[str]:
        """List the characters of ``text`` that cannot be written, in order, with repeats."""
        return [char for char in self.normalize(text) if char not in self._index]

    def encode(self, texts: Sequence[str], length: int) -> "Tensor":
        """Encode texts as ``(N, length)`` int64: characters, one END, then padding; longer texts are cut.

        Characters outside the charset are left out; ask :meth:`unknown` first where that matters.
        """
        import torch  # here alone, so that an exported spotter reads without it

        return torch.from_numpy(self.indices(texts, length))

    def indices(self, texts: Sequence[str], length: int) -> np.ndarray:
        """What :meth:`encode` gives, as an array."""
        labels = np.full((len(texts), length), PADDING, np.int64)
        for row, text in enumerate(texts):
            found = [self._index[char] for char in self.normalize(text) if char in self._index][: length - 1]
            labels[row, : len(found) + 1] = [*found, END]
        return labels

    def classes(self, text: str) -> list[int]:
        """Class index of each character of ``text``, which can all be written."""
        return [self._index[char] for char in text]

    def decode(self, indices: Iterable[int]) -> str:
        """Turn class indices into text, up to the first END; padding and START are left out."""
        characters = []
        for index in indices:
            if index == END:
                break
            if index >= SPECIAL:
                characters.append(self.characters[index - SPECIAL])
        return "".join(characters)


def read_characters(path: Path) -> str:
    """Read the characters of a charset from a UTF-8 file, in their order, each once.

    Line breaks and control characters are left out, so one character a line will do as well as all on one line; a space counts.

    Raises:
        ConfigError: the file is missing, holds no character, or is not UTF-8.
    """
    try:
        text = unicodedata.normalize("NFC", path.read_text("utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"charset_file={path} cannot be read as UTF-8 ({error}); give a text file with the characters"
        ) from error
    characters = "".join(dict.fromkeys(char for char in text if unicodedata.category(char) not in ("Cc", "Zl", "Zp")))
    if not characters:
        raise ConfigError(f"charset_file={path} holds no character; give a text file with the characters")
    if "${" in characters:  # which configurations take for a reference
        characters = characters.replace("$", "") + "$"
    return characters
