#!/usr/bin/env bash
# A whole search on this machine, from nothing to a table: what `make demo` runs. Everything lands in demo/, which is
# made anew each time.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/.."

mnas=${CARGO_TARGET_DIR:-target}/release/mnas
start=$SECONDS
say() { printf '\n── %s (%d s so far)\n' "$*" $((SECONDS - start)) >&2; }

rm -rf demo
mkdir demo

say "Drawing a data set"
"$mnas" dataset draw --out demo/images

say "Calibrating this machine: 80 networks measured, a latency predictor fitted to 60 and checked on 20"
"$mnas" calibrate --device host --space demo --networks 60 --validation 20 --repeats 5 --out demo/calibration

# The target is the median latency of what was measured, so that the demo asks for something this machine can give.
target=$(cut -d, -f2 demo/calibration/measurements.csv | tail -n +2 | sort -g | awk '{ v[NR] = $1 } END { printf "%.2f", v[int((NR + 1) / 2)] }')
sed "s/@TARGET_MS@/$target/" scripts/demo.toml > demo/search.toml

say "Searching the best network for $target ms"
"$mnas" search demo/search.toml --run demo/run

say "Done: demo/run/best.tflite, and demo/run/report.html to look at"
