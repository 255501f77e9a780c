"""Damages files: bytes, lines, values of JSON, and members of archives. The same seed damages in the same way."""

import io
import json
import zipfile
from collections.abc import Callable
from random import Random
from typing import Any

TOKENS = (
    *(b"", b"\0", b"\n", b"\r", b",", b",####", b"###", b'"', b"[", b"]", b"{", b"}", b"<", b">", b"&", b"%", b"#", b"-", b";"),
    *(b"-1", b"0", b"1e400", b"-1e39", b"nan", b"inf", b"NaN", b"Infinity", b"2013.0", b"9" * 400, b"9" * 5000, b"1_3"),
    *(b"null", b"true", b'""', b"[[]]", b"[" * 2000, b'{"a":' * 1500, b"../../etc/passwd", b"${oc.env:HOME}", b"_target_"),
    *("\ud7ff\u2028\u0085\u0660\u00b2\u4e2d".encode(), b"\xef\xbb\xbf", b"\xff\xfe", b"\xed\xa0\x80", b"\xe9", b"\x1b[31m"),
    b'<!DOCTYPE a [<!ENTITY b "bbbbbbbbbb"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>',
)
NUMBERS = (0, 1, -1, 2, 0.5, 255, 2**31, -(2**63), 2**64, 10**400, 1e39, 1e308, float("nan"), float("inf"), -0.0)
VALUES: tuple[Any, ...] = (
    *(None, True, False, "", "a", "\ud800", "\0", "###", "x" * 5000, [], {}, [[]], [[1, 2]], {"a": None}, *NUMBERS),
    *({"_target_": "os.system", "_args_": ["true"]}, "???", "${oc.env:HOME}", "/dev/zero", "../../../etc/passwd", "\u2028"),
)
LARGEST = 2**21


def damage(content: bytes, random: Random, others: list[bytes]) -> bytes:
    """Change a file in one to four places."""
    for _ in range(random.choice((1, 1, 2, 4))):
        content = random.choice(_BYTES)(content, random, others)[:LARGEST]
    return content


def damage_json(content: bytes, random: Random, others: list[bytes]) -> bytes:
    """Change values of a JSON document, or its bytes."""
    if random.random() < 0.3:
        return damage(content, random, others)
    try:
        tree = json.loads(content)
    except (ValueError, RecursionError):
        return damage(content, random, others)
    return json.dumps(damage_tree(tree, random), ensure_ascii=random.random() < 0.5).encode("utf-8", "surrogatepass")


def damage_lines(content: bytes, random: Random, others: list[bytes]) -> bytes:
    """Change lines that are JSON documents each."""
    lines = content.split(b"\n")
    place = random.randrange(len(lines))
    lines[place] = damage_json(lines[place], random, others) if lines[place] else lines[place]
    return b"\n".join(lines) if random.random() < 0.8 else damage(b"\n".join(lines), random, others)


def damage_tree(tree: Any, random: Random) -> Any:
    """Change one to three values, keys or lengths somewhere in plain values."""
    for _ in range(random.choice((1, 1, 2, 3))):
        tree = _changed(tree, random)
    return tree


def damage_zip(content: bytes, random: Random, others: list[bytes]) -> bytes:
    """Change a member of an archive and pack it again, or the bytes of the archive."""
    if random.random() < 0.35:
        return damage(content, random, others)
    stream = io.BytesIO()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as opened:
            members = [(name, opened.read(name)) for name in opened.namelist()[:30]]
    except Exception:  # it was damaged before
        return damage(content, random, others)
    chosen = random.randrange(len(members)) if members else -1
    ways = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    way = random.choices(ways, (4, 4, 1, 1))[0]
    with zipfile.ZipFile(stream, "w", way) as packed:
        for place, (name, member) in enumerate(members):
            if place == chosen:
                name = random.choice((name, name, name, "../" + name, name.upper(), "a" * 300 + name, "\u2028.txt", ""))
                member = damage(member, random, others)
                if random.random() < 0.1:
                    continue
            packed.writestr(name or "x", member)
            if place == chosen and random.random() < 0.1:
                packed.writestr(name or "x", member)
    packed_bytes = bytearray(stream.getvalue())
    if random.random() < 0.3:  # what the lists of members say
        for mark, offset in ((b"PK\1\2", 8), (b"PK\3\4", 6)):
            place = packed_bytes.find(mark)
            if place >= 0 and place + 30 < len(packed_bytes):
                packed_bytes[place + offset + random.randrange(20)] = random.randrange(256)
    return bytes(packed_bytes)


def _changed(tree: Any, random: Random) -> Any:
    if isinstance(tree, dict) and tree and random.random() < 0.85:
        key = random.choice(list(tree))
        fate, changed = random.random(), dict(tree)
        if fate < 0.7:
            changed[key] = _changed(tree[key], random)
        elif fate < 0.8:
            del changed[key]
        elif fate < 0.9:
            changed[random.choice(("_target_", "", "x", key + "s", "\ud800", "image", "words"))] = changed.pop(key)
        else:
            changed[random.choice(("_target_", "extra", "id"))] = random.choice(VALUES)
        return changed
    if isinstance(tree, list) and tree and random.random() < 0.85:
        place, fate = random.randrange(len(tree)), random.random()
        if fate < 0.7:
            return [*tree[:place], _changed(tree[place], random), *tree[place + 1 :]]
        if fate < 0.85:
            return [*tree[:place], *tree[place + 1 :]]
        return [*tree, *tree[place:]] if len(tree) < 1000 else tree[:place]
    if isinstance(tree, str) and random.random() < 0.3:
        return damage(tree.encode("utf-8", "replace"), random, []).decode("utf-8", "replace")[:10_000]
    return random.choice(VALUES)


def _flip(content: bytes, random: Random, _: list[bytes]) -> bytes:
    changed = bytearray(content)
    for _ in range(random.choice((1, 1, 3, 16)) if changed else 0):
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def _overwrite(content: bytes, random: Random, _: list[bytes]) -> bytes:
    place = random.randrange(len(content) + 1)
    size = random.choice((1, 2, 4, 8))
    value = random.choice((b"\0", b"\xff", b"\x7f", b"\x80")) * size if random.random() < 0.5 else random.randbytes(size)
    return content[:place] + value + content[place + size :]


def _insert(content: bytes, random: Random, _: list[bytes]) -> bytes:
    place, token = random.randrange(len(content) + 1), random.choice(TOKENS)
    return content[:place] + token + content[place + random.choice((0, 0, len(token), 5)) :]


def _cut(content: bytes, random: Random, _: list[bytes]) -> bytes:
    low, high = sorted((random.randrange(len(content) + 1), random.randrange(len(content) + 1)))
    return content[:low] if random.random() < 0.3 else content[:low] + content[high:]


def _repeat(content: bytes, random: Random, _: list[bytes]) -> bytes:
    low, high = sorted((random.randrange(len(content) + 1), random.randrange(len(content) + 1)))
    return content[:high] + content[low:high] * random.choice((1, 2, 50)) + content[high:]


def _splice(content: bytes, random: Random, others: list[bytes]) -> bytes:
    other = random.choice(others) if others else content[::-1]
    return content[: random.randrange(len(content) + 1)] + other[random.randrange(len(other) + 1) :]


_BYTES: tuple[Callable[[bytes, Random, list[bytes]], bytes], ...] = (
    *(_flip, _flip, _overwrite, _overwrite, _insert, _insert, _insert),
    *(_cut, _repeat, _splice),
)
