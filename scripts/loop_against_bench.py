#!/usr/bin/env python3
"""Compares what searches on this machine believed of latencies with what `mnas bench` finds afterwards.

Calibrates the machine, then searches the demo's space with accuracies that cost nothing, so that only timing is seen: some
searches undisturbed, some beside processes on every core that work for 20 seconds and rest for 20. Every network that a
search timed is then timed again by `mnas bench`, undisturbed. Printed for each search: how far the stated latencies were off,
how many of the stated 95 % intervals held what bench found, and how far off the predictor was that had chosen them.

    scripts/loop_against_bench.py --mnas target/release/mnas --out FOLDER [--evaluations 160] [--searches quiet,compute,memory]
"""

import argparse
import json
import math
import multiprocessing
import os
import pathlib
import sqlite3
import subprocess
import sys
import time

SEARCH = """
seed = {seed}
[space]
preset = "demo"
[target]
latency_ms = {target}
reward = "hard"
[device]
id = "host"
predictor = "{calibration}"
[accuracy]
kind = "simulated"
[budget]
evaluations = {evaluations}
"""
PERIOD_SECONDS = 20


def compute(until):
    value = 1.0
    while time.time() < until:
        for _ in range(10000):
            value = value * 1.0000001 + 1e-9


def memory(until):
    block = bytearray(96 << 20)
    while time.time() < until:
        bytes(block)


def neighbour(work):
    """Works and rests in turns until it is ended."""
    while True:
        work(time.time() + PERIOD_SECONDS)
        time.sleep(PERIOD_SECONDS)


def mnas(arguments, *words):
    command = [arguments.mnas, *map(str, words)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout


def timed_again(arguments, lines):
    """Latency in ms of each line by bench, in one session."""
    found = json.loads(mnas(arguments, "bench", *lines, "--device", "host", "--rounds", arguments.rounds, "--json"))
    # Baselines come along; the networks asked for come first.
    return [result["median_ms"] for result in found["results"][: len(lines)]]


def compare(name, rows, seconds):
    """One line of the table: rows of (stated, low, high, truth, predicted)."""
    errors = [100 * math.log(stated / truth) for stated, _, _, truth, _ in rows]
    predicted = [100 * abs(math.log(row[4] / row[3])) for row in rows if row[4]]
    held = sum(low <= truth <= high for _, low, high, truth, _ in rows)
    mean = sum(errors) / len(errors)
    square = math.sqrt(sum(error**2 for error in errors) / len(errors))
    off = sum(predicted) / max(1, len(predicted))
    worst = max(errors, key=abs)
    print(
        f"| {name} | {len(rows)} | {mean:+.1f} % | {square:.1f} % | {worst:+.1f} % | {100 * held / len(rows):.0f} % "
        f"| {off:.1f} % | {seconds:.0f} s |",
        flush=True,
    )


def search(arguments, name, seed, target):
    folder = arguments.out / f"{name}-{seed}"
    file = arguments.out / f"{name}-{seed}.toml"
    calibration = (arguments.out / "calibration").absolute()
    file.write_text(
        SEARCH.format(seed=seed, target=target, calibration=calibration, evaluations=arguments.evaluations)
    )
    work = {"compute": compute, "memory": memory}.get(name)
    cores = range(os.cpu_count()) if work else []
    neighbours = [multiprocessing.Process(target=neighbour, args=(work,), daemon=True) for _ in cores]
    for process in neighbours:
        process.start()
    start = time.time()
    mnas(arguments, "search", file, "--run", folder)
    seconds = time.time() - start
    for process in neighbours:
        process.kill()
    report = json.loads(mnas(arguments, "report", folder, "--json"))
    ledger = sqlite3.connect(folder / "run.sqlite")
    query = "SELECT architecture, latency_ms, least_ms, most_ms, predicted_ms FROM measurements WHERE purpose = 'search'"
    loop = {row[0]: row[1:] for row in ledger.execute(query)}
    stated = {
        candidate["architecture"]: (candidate["latency_ms"], candidate["low_ms"], candidate["high_ms"])
        for candidate in report["candidates"]
        if candidate["measured"]
    }
    lines = sorted(set(loop) | set(stated))
    again = dict(zip(lines, timed_again(arguments, lines)))
    rows = [(*loop[line][:3], again[line], loop[line][3]) for line in loop]
    compare(f"{name} {seed}, timings of the loop", rows, seconds)
    rows = [(*stated[line], again[line], loop.get(line, (None,) * 4)[3]) for line in stated]
    compare(f"{name} {seed}, the report", rows, seconds)
    best = report["best"]
    truth = again.get(best["architecture"]) or timed_again(arguments, [best["architecture"]])[0]
    inside = best["low_ms"] <= truth <= best["high_ms"]
    print(
        f"  returned: {best['latency_ms']:.4f} ms ({best['low_ms']:.4f} to {best['high_ms']:.4f}), bench {truth:.4f} ms, "
        f"ratio {best['latency_ms'] / truth:.3f}, {'within' if inside else 'NOT within'}; target {target} ms; "
        f"repeated {sum(step.get('repeated', 0) for step in report['steps'])}, "
        f"widened {sum(step.get('widened', 0) for step in report['steps'])}",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnas", default="target/release/mnas")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="a folder, made if it is not there")
    parser.add_argument("--evaluations", type=int, default=160)
    parser.add_argument("--rounds", type=int, default=15, help="of bench")
    parser.add_argument("--searches", default="quiet,quiet,quiet,compute,memory,compute")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    calibration = arguments.out / "calibration"
    mnas(arguments, "calibrate", "--device", "host", "--space", "demo", "--networks", 60, "--validation", 20,
         "--repeats", 5, "--out", calibration)
    validation = json.loads((calibration / "validation.json").read_text())
    print(f"calibration: error {validation['mape']:.1f} %, noise floor {validation.get('noise') or 0:.1f} %", flush=True)
    rows = [line.split(",") for line in (calibration / "measurements.csv").read_text().splitlines()[1:]]
    latencies = sorted(float(row[1]) for row in rows)
    target = round(latencies[len(latencies) // 2], 3)
    print("| search | timings | bias | root mean square | worst | 95 % intervals hold | predictor's mean error | search took |")
    print("|---|---|---|---|---|---|---|---|")
    for seed, name in enumerate(arguments.searches.split(","), start=1):
        search(arguments, name, seed, target)


if __name__ == "__main__":
    main()
