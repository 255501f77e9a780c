#!/usr/bin/env bash
# Measures all that the root's README, docs/results.md and the last study say of the bundled weights.
#   experiments/benchmarks/bundled.sh ICDAR2015 SCENES_VAL SROIE VALIDATION OUT BEFORE.ckpt      with nothing beside; 45 minutes on two cores
# ICDAR2015, SCENES_VAL and SROIE hold images/ and gts/ of images that no training has seen, VALIDATION those of the photos that
# validation.txt lists; BEFORE.ckpt are the weights that were bundled before. experiments/17_second_pass/tables.py prints it. What
# lies in OUT is not measured again. HALF=true also reads in bfloat16, for processors that compute in it.
set -eu
icdar=$1 scenes=$2 sroie=$3 validation=$4 out=$5 before=$6
python=${PYTHON:-python}
mkdir -p "$out"

source "$(dirname "$0")/../17_second_pass/once.sh"

photos=(data=icdar2015 data.root="$icdar" data.name=ICDAR2015)
half=()
if [ "${HALF:-false}" = true ]; then
    half=(bundled:scale=1.0,precision=bf16 bundled:budget=0.5,precision=bf16 bundled:budget=0.3,precision=bf16)
fi
if ! test -e "$out/readers.json"; then
    echo "$(date +%T) readers"
    "$python" experiments/benchmarks/readers.py "$icdar" --threads 2 --json "$out/readers.json" \
        bundled:scale=1.0 bundled:budget=0.5 bundled:budget=0.3 bundled:budget=0.15 \
        bundled:budget_ms=60 bundled:budget_ms=100 bundled:budget_ms=150 bundled:budget_ms=200 \
        "$before:scale=1.0" "$before:budget=0.5" "$before:budget=0.3" "$before:budget=0.15" \
        "$before:budget_ms=100" "$before:budget_ms=150" "$before:budget_ms=200" "${half[@]}" \
        rapidocr rapidocr:min_score=0.9 > "$out/readers.log" 2>&1
fi
for budget in 1.0 0.5 0.3 0.15; do once "budget_$budget" evaluate ckpt=bundled "${photos[@]}" budget="$budget"; done
for ckpt in bundled "$before"; do
    once "validation_$(basename "$ckpt" .ckpt)" evaluate ckpt="$ckpt" data=icdar2015 data.root="$validation" scale=1.0 explain=true
done
once scenes_val evaluate ckpt=bundled data=icdar2015 data.root="$scenes" scale=1.0
once sroie evaluate ckpt=bundled data=sroie data.root="$sroie" scale=1.0
for budget in 1.0 0.5; do once "none_$budget" evaluate ckpt=bundled "${photos[@]}" budget="$budget" vocabulary=none; done
once icdar2015 measure ckpt=bundled "${photos[@]}" 'scales=[0.25,0.3,0.4,0.5,0.7,1.0]'
