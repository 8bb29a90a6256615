//! The report says what the data says: as text, as plots, and as a page that nothing in the data can break.

use mnas::report::data::*;
use mnas::report::{ReportData, html, svg, text};
use mnas::store::{FinalRow, Seconds, Step};
use rand::Rng;

fn host() -> DeviceSummary {
    DeviceSummary {
        id: "host".into(),
        model: "Example CPU <8> & Co".into(),
        runtime: "LiteRT 2.1.6, XNNPACK".into(),
        threads: 1,
    }
}

/// A search of 48 evaluations in six steps, made up.
fn data() -> ReportData {
    let mut random = mnas::seeded(5);
    let mut data = ReportData {
        measurements: 12,
        seconds: Seconds { training: 231.4, measuring: 48.2, controller: 2.9, total: 285.0 },
        overhead_percent: 0.9,
        budget: BudgetSummary { evaluations: 48, ..BudgetSummary::default() },
        ended: Some("evaluations".into()),
        device: host(),
        devices: vec![host()],
        accuracy_source: "proxy training, 3 epochs of 'images' at 32 pixels".into(),
        algorithm: "ppo".into(),
        seed: 1,
        version: "0.1.0".into(),
        ..ReportData::default()
    };
    for index in 0..48 {
        let latency_ms = random.gen_range(1.0..4.0_f64);
        let accuracy = 0.55 + 0.2 * (latency_ms / 4.0).sqrt() + random.gen_range(0.0..0.08) + 0.001 * f64::from(index);
        let reward = accuracy * (latency_ms / 2.0).powf(-0.07);
        let architecture =
            format!("input=64 stem=16 r1_k3_s11_e1_i16_o8 r{}_k5_s22_e3_i8_o24 classes=10", index % 4 + 1);
        let measured = index % 4 == 3;
        if measured {
            let predicted_ms = latency_ms * random.gen_range(0.93..1.09);
            data.predictor.pairs.push(PredictedMeasured { predicted_ms, measured_ms: latency_ms });
        }
        let width = if measured { 0.01 } else { 0.05 };
        data.candidates.push(Candidate {
            architecture,
            accuracy,
            expected_accuracy: accuracy - 0.004,
            latency_ms,
            low_ms: latency_ms * (1.0 - width),
            high_ms: latency_ms * (1.0 + width),
            latency_ratio: latency_ms / 2.0,
            measured,
            reward,
            target_chance: if latency_ms <= 2.0 { 0.992 } else { 0.0 },
            reward_low: reward * (1.0 - 0.07 * width),
            params: 150_000 + 1000 * index as usize,
            madds: 4_000_000 + 50_000 * index as usize,
            memory_mb: 0.2,
            devices: Vec::new(),
        });
        let before = data.best_reward_by_evaluation.last().copied().unwrap_or(0.0);
        data.best_reward_by_evaluation.push(reward.max(before));
    }
    for step in 1..=6 {
        data.steps.push(Step {
            step,
            sampled: 64,
            duplicates: 3 * (step as usize - 1),
            screened: 56 - 3 * (step as usize - 1),
            trained: 8,
            timed: 2,
            entropy: Some(0.99 - 0.05 * step as f64),
            ..Step::default()
        });
    }
    let mut by_latency = data.candidates.clone();
    by_latency.sort_by(|a, b| a.latency_ms.total_cmp(&b.latency_ms));
    for candidate in by_latency {
        if data.pareto.last().is_none_or(|last| candidate.accuracy > last.accuracy) {
            data.pareto.push(candidate);
        }
    }
    data.evaluations = data.candidates.len();
    data.predictor.mape = Some(4.3);
    let mut by_reward = data.candidates.clone();
    by_reward.sort_by(|a, b| b.reward.total_cmp(&a.reward));
    data.pick = Pick {
        best: by_reward.first().cloned(),
        target_met: Some(TargetMet::Yes),
        within_target: 20,
        runner_up: by_reward.get(1).cloned(),
        target: TargetSummary { latency_ms: 2.0, reward: "soft".into(), alpha: -0.07, beta: -0.07, combine: None },
    };
    let by_evaluation: Vec<f64> = (0..48).map(|index| 1.2 + 0.01 * f64::from(index)).collect();
    data.hypervolume =
        Hypervolume { value: 1.67, share: 0.4175, reference_accuracy: 0.0, reference_ms: 4.0, by_evaluation };
    data.phases = vec![
        phase("sampled", 384, "drawn by ppo in 6 steps", Some(2.9)),
        phase("beyond limits", 9, "9 too many parameters", None),
        phase("trained", 48, "their accuracy was obtained", Some(231.4)),
    ];
    data.final_rows = vec![
        final_row("best", 1.98, Some(0.731), Some(0.62), 5_400_000, 181_000),
        final_row("second", 2.21, Some(0.728), Some(0.69), 6_100_000, 203_000),
        final_row("mnasnet-a1@0.35/64", 3.05, None, Some(0.95), 29_000_000, 1_747_000),
        final_row("mobilenet-v2@0.35/64", 3.20, None, Some(1.0), 27_700_000, 1_677_000),
    ];
    data
}

fn phase(phase: &str, count: usize, why: &str, seconds: Option<f64>) -> Phase {
    Phase { phase: phase.to_owned(), count, why: why.to_owned(), seconds }
}

fn final_row(
    name: &str,
    latency_ms: f64,
    accuracy: Option<f64>,
    ratio: Option<f64>,
    madds: usize,
    params: usize,
) -> FinalRow {
    FinalRow {
        name: name.to_owned(),
        latency_ms,
        low_ms: latency_ms - 0.02,
        high_ms: latency_ms + 0.03,
        ratio_to_mobilenet_v2: ratio,
        accuracy,
        expected_accuracy: accuracy.map(|accuracy| accuracy - 0.004),
        madds,
        params,
        ..FinalRow::default()
    }
}

#[test]
fn the_text_is_a_headline_and_aligned_tables() {
    insta::assert_snapshot!(text::render(&data()), @r"
    best: accuracy 80.3 % (79.9 % expected), 1.67 ms predicted, 1.58 to 1.75 (target 2.00 ms: kept, chance 99.2 %), reward 0.8137
      input=64 stem=16 r1_k3_s11_e1_i16_o8 r3_k5_s22_e3_i8_o24 classes=10
      0.20 M parameters, 6.30 M multiply-adds, 0.20 MB of activations
    runner-up: accuracy 84.9 % (84.5 % expected), 3.86 ms predicted, reward 0.8110
    48 evaluations, 12 measurements in 4 min 45 s; ppo with the soft reward, seed 1, on Example CPU <8> & Co
    the search: its budget of 48 evaluations is spent
    hypervolume of the front: 41.8 % of the plane above accuracy 0 and below 4.00 ms
    predictor: 4.3 % mean error on 12 candidates timed later
    the loop's own overhead, controller included: 0.90 % of the wall time

    Final timing, in interleaved rounds
    network               latency      interval  of MobileNetV2  accuracy  expected  multiply-adds  parameters
    ────────────────────  ───────  ────────────  ──────────────  ────────  ────────  ─────────────  ──────────
    best                  1.98 ms  1.96 to 2.01            0.62    73.1 %    72.7 %         5.40 M      0.18 M
    second                2.21 ms  2.19 to 2.24            0.69    72.8 %    72.4 %         6.10 M      0.20 M
    mnasnet-a1@0.35/64    3.05 ms  3.03 to 3.08            0.95         –         –         29.0 M      1.75 M
    mobilenet-v2@0.35/64  3.20 ms  3.18 to 3.23            1.00         –         –         27.7 M      1.68 M

    Pareto front
    latency      interval     source  accuracy  expected  reward  multiply-adds  parameters
    ───────  ────────────  ─────────  ────────  ────────  ──────  ─────────────  ──────────
    1.01 ms  1.00 to 1.02   measured    70.9 %    70.5 %  0.7437         5.75 M      0.18 M
    1.12 ms  1.06 to 1.17  predicted    75.3 %    74.9 %  0.7838         6.05 M      0.19 M
    1.35 ms  1.28 to 1.41  predicted    76.8 %    76.4 %  0.7898         5.70 M      0.18 M
    1.58 ms  1.50 to 1.66  predicted    78.8 %    78.4 %  0.8008         6.25 M      0.20 M
    1.67 ms  1.58 to 1.75  predicted    80.3 %    79.9 %  0.8137         6.30 M      0.20 M
    2.44 ms  2.31 to 2.56  predicted    80.8 %    80.4 %  0.7971         5.40 M      0.18 M
    2.92 ms  2.77 to 3.06  predicted    83.1 %    82.7 %  0.8096         6.20 M      0.19 M
    3.84 ms  3.64 to 4.03  predicted    84.2 %    83.8 %  0.8041         5.25 M      0.17 M
    3.86 ms  3.66 to 4.05  predicted    84.9 %    84.5 %  0.8110         5.50 M      0.18 M

    What happened to the candidates
    phase          count        time  why
    ─────────────  ─────  ──────────  ───────────────────────────
    sampled          384       2.9 s  drawn by ppo in 6 steps
    beyond limits      9           –  9 too many parameters
    trained           48  3 min 51 s  their accuracy was obtained

    Candidates by step
    step  sampled  beyond limits  known  screened out  trained  failed  timed  off by  drift  entropy  best reward
    ────  ───────  ─────────────  ─────  ────────────  ───────  ──────  ─────  ──────  ─────  ───────  ───────────
    1          64              0      0            56        8       0      2       –      –     0.94            –
    2          64              0      3            53        8       0      2       –      –     0.89            –
    3          64              0      6            50        8       0      2       –      –     0.84            –
    4          64              0      9            47        8       0      2       –      –     0.79            –
    5          64              0     12            44        8       0      2       –      –     0.74            –
    6          64              0     15            41        8       0      2       –      –     0.69            –
    all       384              0     45           291       48       0     12       –      –     0.69            –

    Time
    spent on     wall time    share
    ──────────  ──────────  ───────
    training    3 min 51 s   81.2 %
    measuring         48 s   16.9 %
    controller       2.9 s    1.0 %
    the rest         2.5 s    0.9 %
    all         4 min 45 s  100.0 %
    ");
}

#[test]
fn a_device_that_became_another_one_is_told_of_before_anything_that_rests_on_its_latencies() {
    let mut changed = data();
    assert!(!text::render(&changed).contains("WARNING") && !html::render(&changed).unwrap().contains("\"warning\""));
    changed.steps[3].changed_devices = 1;
    changed.predictor.changes.push(DeviceChange {
        device: "<phone>".into(),
        model: "Pixel".into(),
        step: 4,
        evidence: "anchors".into(),
        outside: 71.4,
        finding: "the device is slower than its predictor says (+21.0 %)".into(),
    });
    let lines = text::render(&changed);
    let told = "<phone> (Pixel) is not the device any more that the search knew: the device is slower than its predictor says \
                (+21.0 %), as step 4 showed;";
    assert!(lines.contains(&format!("WARNING: {told}")), "{lines}");
    assert_eq!(lines.matches("–, changed").count(), 2, "in its step and in the sum: {lines}");
    let page = html::render(&changed).unwrap();
    elements(&page);
    let (warning, gauge) = (page.find("<p class=\"warning\">&lt;phone&gt;").unwrap(), page.find("<svg").unwrap());
    assert!(warning < gauge && page.contains("calibrate again"));
}

#[test]
fn a_target_that_is_missed_says_what_to_do_about_it() {
    let missed = |reward: &str, within_target| {
        let mut data = data();
        data.pick.target_met = Some(TargetMet::No);
        (data.pick.target.reward, data.pick.within_target) = (reward.into(), within_target);
        text::render(&data)
    };
    assert!(missed("soft", 7).contains("2.00 ms is kept by 7 of the run's networks; the soft reward is no limit"));
    assert!(missed("hard", 0).contains("no network of this run keeps to 2.00 ms"));
    assert!(!text::render(&data()).contains("is kept by"));
}

#[test]
fn several_picks_stand_under_their_headings() {
    let picks = text::picks(&[data().pick]);
    let lines: Vec<Vec<char>> = picks.lines().map(|line| line.chars().collect()).collect();
    let (heading, row): (String, _) = (lines[1].iter().collect(), &lines[3]);
    let best = data().pick.best.unwrap();
    for (name, value) in [("reward", format!("{:.4}", best.reward)), ("latency", format!("{:.2} ms", best.latency_ms))]
    {
        let until: String = row[..heading.find(name).unwrap() + name.len()].iter().collect();
        assert!(until.ends_with(&value), "{picks}");
    }
}

#[test]
fn a_run_without_evaluations_says_so_and_has_no_plots() {
    let empty = ReportData::default();
    assert!(text::render(&empty).starts_with("no candidate has been evaluated yet\n0 evaluations"));
    assert!(svg::all(&empty).unwrap().is_empty());
    assert!(html::render(&empty).unwrap().contains("No candidate has been evaluated yet."));
}

#[test]
fn a_run_of_one_evaluation_has_its_plots() {
    let mut one = data();
    one.candidates.truncate(1);
    one.best_reward_by_evaluation.truncate(1);
    one.pareto.truncate(1);
    let titles: Vec<&str> = svg::all(&one).unwrap().iter().map(|plot| plot.title).collect();
    assert!(titles.contains(&"Reward by evaluation") && titles.contains(&"Accuracy and latency"));
}

#[test]
fn long_searches_are_summed_up_without_losing_a_candidate() {
    let mut long = data();
    long.steps =
        (1..=250).map(|step| Step { step, sampled: 10, trained: step as usize % 3, ..Step::default() }).collect();
    let tables = mnas::report::tables::all(&long);
    let phases = tables.iter().find(|table| table.title == "Candidates by step").unwrap();
    let (total, rows) = phases.rows.split_last().unwrap();
    assert!(rows.len() <= 20);
    for column in [1, 5] {
        let sum: usize = rows.iter().map(|row| row[column].parse::<usize>().unwrap()).sum();
        assert_eq!(sum.to_string(), total[column]);
    }
    assert_eq!((total[1].as_str(), total[10].as_str()), ("2500", "–"));
}

/// Checks that tags close in order; returns the names of all elements.
fn elements(document: &str) -> Vec<String> {
    let (mut open, mut seen) = (Vec::new(), Vec::new());
    let mut rest = document;
    while let Some(start) = rest.find('<') {
        let end = start + rest[start..].find('>').expect("a tag that never ends");
        let tag = &rest[start + 1..end];
        rest = &rest[end + 1..];
        if tag.starts_with(['!', '?']) || tag.starts_with("meta") {
            continue;
        }
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name));
            continue;
        }
        let name = tag.split([' ', '/']).next().unwrap().to_owned();
        seen.push(name.clone());
        if !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?} never closed");
    seen
}

#[test]
fn plots_are_well_formed_and_hold_every_candidate() {
    let data = data();
    let plots = svg::all(&data).unwrap();
    assert_eq!(plots.len(), 5);
    for plot in &plots {
        assert!(plot.svg.starts_with("<svg") && !plot.svg.contains("NaN"), "{}", plot.title);
        elements(&plot.svg);
    }
    let circles = elements(&plots[1].svg).iter().filter(|name| *name == "circle").count();
    assert_eq!(circles, 48 + 1, "every candidate and the legend's sign");
}

#[test]
fn the_page_is_well_formed_whatever_names_say_and_asks_the_network_for_nothing() {
    let mut hostile = data();
    hostile.devices[0].model = "<script>alert('x')</script>".into();
    hostile.device.model = "<script>alert('x')</script> \"phone\" & more".into();
    hostile.final_rows[0].name = "</td><img src=x onerror=alert(1)>".into();
    hostile.accuracy_source = "</section>".into();
    for candidate in hostile.pick.best.iter_mut().chain(&mut hostile.pareto) {
        candidate.architecture = "<b>bold</b>".into();
    }
    let page = html::render(&hostile).unwrap();
    let names = elements(&page);
    assert!(!names.iter().any(|name| ["script", "img", "link", "iframe"].contains(&name.as_str())));
    assert!(page.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &quot;phone&quot; &amp; more"));
    assert!(!page.contains("<b>bold"));
    let beyond_namespace = page.replace("http://www.w3.org/2000/svg", "");
    assert!(!beyond_namespace.contains("http"), "nothing is fetched");
}

#[test]
fn the_json_has_the_promised_fields_and_reads_back() {
    let data = data();
    let json = serde_json::to_value(&data).unwrap();
    for field in ["architecture", "accuracy", "latency_ms", "measured", "reward"] {
        assert!(!json["best"][field].is_null() && !json["pareto"][0][field].is_null(), "{field}");
    }
    for field in ["training", "measuring", "controller", "total"] {
        assert!(json["seconds"][field].is_number(), "{field}");
    }
    assert_eq!(json["evaluations"], 48);
    assert_eq!(json["measurements"], 12);
    assert_eq!(json["best_reward_by_evaluation"].as_array().unwrap().len(), 48);
    assert_eq!(serde_json::from_value::<ReportData>(json).unwrap(), data);
}

#[test]
fn with_several_devices_each_has_its_line_and_the_plane_is_that_of_the_worst_ratio() {
    let mut several = data();
    several.devices =
        vec![several.device.clone(), DeviceSummary { model: "Phone <2>".into(), ..several.device.clone() }];
    several.pick.target.combine = Some("worst".into());
    several.pick.target_met = Some(TargetMet::Unsure);
    let part = |latency_ms: f64, target_ms, target_met| DeviceLatency {
        latency_ms,
        low_ms: 0.98 * latency_ms,
        high_ms: 1.02 * latency_ms,
        measured: true,
        target_ms,
        target_met,
        reward: 0.8,
    };
    for candidate in several.pick.best.iter_mut().chain(&mut several.candidates) {
        candidate.devices = vec![part(1.67, 2.0, TargetMet::Yes), part(7.95, 8.0, TargetMet::Unsure)];
        candidate.latency_ratio = 7.95 / 8.0;
    }
    let lines = text::render(&several);
    assert!(lines.contains("Example CPU <8> & Co: 1.67 ms measured, 1.64 to 1.70 (target 2.00 ms: kept)"), "{lines}");
    assert!(
        lines.contains("Phone <2>: 7.95 ms measured, 7.79 to 8.11 (target 8.00 ms: within the interval)"),
        "{lines}"
    );
    let page = html::render(&several).unwrap();
    elements(&page);
    assert!(page.contains("Phone &lt;2&gt;: 7.95 ms measured") && page.contains("latency over target, worst device"));
}
