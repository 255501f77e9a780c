#!/usr/bin/env bash
# Measures all that README.md and the root's README say of the bundled weights; tables.py prints it.
#   experiments/17_second_pass/run.sh ICDAR2015 SCENES_VAL SROIE OUT      with nothing beside; an hour on two cores
# The engines need RapidOCR 1.4 and Tesseract (docs/engines.md). ICDAR2015 and SROIE hold images/ and gts/ of images that no training has seen. What lies in OUT is not measured again.
set -eu
icdar=$1 scenes=$2 sroie=$3 out=$4
python=${PYTHON:-python}
mkdir -p "$out"

source "$(dirname "$0")/../17_second_pass/once.sh"

photos=(data=icdar2015 data.root="$icdar" data.name=ICDAR2015)
scales='scales=[0.2,0.25,0.3,0.4,0.5,0.6,0.7,0.8,1.0]'
once icdar2015 measure ckpt=bundled "${photos[@]}" "$scales"
for budget in 1.0 0.5 0.3 0.15; do once "budget_$budget" evaluate ckpt=bundled "${photos[@]}" budget="$budget"; done
once ms_100 evaluate ckpt=bundled "${photos[@]}" budget_ms=100
for engine in rapidocr_v4 tesseract; do once $engine measure engine=$engine "${photos[@]}" scales=[1.0]; done
for budget in 1.0 0.5; do once "none_$budget" evaluate ckpt=bundled "${photos[@]}" budget="$budget" vocabulary=none; done
once limit predict ckpt=bundled input="$icdar/images" budget=0.5 max_cost=0.6 draw=false
once scenes_val measure ckpt=bundled data=icdar2015 data.root="$scenes" data.name=scenes_val "$scales" jitter=1
once sroie measure ckpt=bundled data=sroie data.root="$sroie" data.name=sroie_val "$scales"
once rendered measure ckpt=bundled data=whole data.test.length=500 data.name=rendered_test "$scales"
