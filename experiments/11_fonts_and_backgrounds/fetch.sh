#!/bin/sh
# Fetches what the bundled weights saw rendered from Debian's archive, without installing it: fetch.sh FOLDER
# Leaves FOLDER/fonts, FOLDER/pictures and FOLDER/words.txt.
set -e
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1/packages" "$1/fonts" "$1/unpacked" "$1/pictures" && cd "$1"
unpack() { (cd packages && apt-get download $1); for package in packages/*.deb; do dpkg -x "$package" "$2"; done; rm packages/*; }
unpack "$(grep -v '^#' "$here/fonts.txt")" fonts
unpack "wamerican-large gnome-backgrounds krita-data lomiri-wallpapers-16.04 lomiri-wallpapers-20.04 mate-backgrounds
        plasma-workspace-wallpapers" unpacked
# Common words as often as all the others together.
common="$here/../../src/dld_spotter/data/synthetic/words.txt"
{ grep -v "'s$" unpacked/usr/share/dict/american-english-large; for _ in $(seq 20); do grep -v '^#' "$common"; done; } > words.txt
grep -v '^#' "$here/pictures.txt" | while read -r picture; do
    cp "unpacked/$picture" "pictures/$(echo "${picture#usr/share/}" | tr / _)"
done
rm -r packages unpacked
