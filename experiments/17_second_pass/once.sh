# Sourced by run.sh of this study and by benchmarks/bundled.sh, where $out and $python are set.

once() {  # once NAME COMMAND...: leaves OUT/NAME, and what it printed in OUT/NAME.log; what is there is not measured again
    test -e "$out/$1/DONE" && return
    echo "$(date +%T) $1"
    "$python" -m "dld_spotter.$2" "${@:3}" paths.output_dir="$out/$1" > "$out/$1.log" 2>&1 || { tail -5 "$out/$1.log"; exit 1; }
    touch "$out/$1/DONE"
}
