"""English words with how often they are met: the vocabulary that comes with the package.

    apt-get download scowl && dpkg -x scowl_*.deb SCOWL
    pip install --no-deps --target=PROFANITY better-profanity==0.7.0
    python experiments/20_language_prior/english.py SCOWL/usr/share/dict/scowl ICDAR2015/train \
        PROFANITY/better_profanity/profanity_wordlist.txt > src/dld_spotter/assets/vocabularies/english.txt

The lists of SCOWL group words by how common they are. All words of a list count alike: the list's share of the words of photos
(crops of ICDAR2015's training photos, those kept for validation left out), parted among its words. Words that may offend are
met 0 times: they are read where they stand, but not proposed where something else may stand.
"""

import sys
import unicodedata
from collections import Counter
from pathlib import Path

from dld_spotter.data.synthetic.crops import CropSource

PHOTOS = (0.0, 0.9)
WORDS, NAMES = ("english-words", "american-words", "british-words"), ("english-upper", "american-upper")
OTHERS = ("english-proper-names", "english-contractions", "english-abbreviations")
LEVELS = (10, 20, 35, 40, 50, 55, 60)
LISTS = [*((WORDS, (level,)) for level in LEVELS), (NAMES, LEVELS[:5]), *(((name,), LEVELS[:5]) for name in OTHERS)]
"""Names and levels of what is counted together."""
PER = 1e8
NOTICE = """\
# English words of SCOWL 2020.12.07 (http://wordlist.aspell.net), each with how often it is met in 100 million; made by
# experiments/20_language_prior/english.py. SCOWL's notice:
# Copyright 2000-2011 by Kevin Atkinson. Permission to use, copy, modify, distribute and sell these word lists, the
# associated scripts, the output created from the scripts, and its documentation for any purpose is hereby granted
# without fee, provided that the above copyright notice appears in all copies and that both that copyright notice and
# this permission notice appear in supporting documentation. Kevin Atkinson makes no representations about the
# suitability of this array for any purpose. It is provided "as is" without express or implied warranty."""


def main(scowl: str, crops: str, offensive: str) -> None:
    """Read both, print."""
    offends = set(Path(offensive).read_text("utf-8").split())
    group: dict[str, int] = {}
    for number, (names, levels) in enumerate(LISTS):
        for path in (Path(scowl) / f"{name}.{level}" for name in names for level in levels):
            for word in path.read_text("utf-8").split() if path.is_file() else ():
                word = "".join(char for char in unicodedata.normalize("NFKD", word) if not unicodedata.combining(char))
                if word.isascii() and 2 <= len(word) <= 20 and not word.endswith("'s"):
                    group.setdefault(word.lower(), number)
    source = CropSource(crops, PHOTOS)
    seen = [text.lower() for crop in map(source.__getitem__, range(len(source))) for text in crop.texts]
    met = Counter(group[word] for word in seen if word in group)
    sizes = Counter(group.values())
    print(NOTICE)
    for word, number in sorted(group.items(), key=lambda item: (item[1], item[0])):
        often = PER * (met[number] + 1) / (sum(met.values()) + len(LISTS)) / sizes[number]
        print(word, 0 if word in offends else max(1, round(often)), sep="\t")
    for number, (names, levels) in enumerate(LISTS):
        print(f"{names[0]} {levels}: {met[number]} of {len(seen)} words, {sizes[number]} in the lists", file=sys.stderr)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
