//! The controller learns, repeats itself exactly, and computes what its formulas say.
#![cfg(feature = "torch")]

use mnas::controller::{Baseline, Controller, ControllerError, Experience, PpoSettings, Sampled};
use mnas::space::Space;
use ndarray::Array1;

fn controller(sizes: &[usize], settings: PpoSettings, seed: u64) -> Controller {
    tch::set_num_threads(1);
    Controller::new(sizes, settings.check().unwrap(), &mut mnas::seeded(seed)).unwrap()
}

fn experience(sampled: Sampled, reward: f64) -> Experience {
    Experience { tokens: sampled.tokens, log_probabilities: sampled.log_probabilities, reward }
}

const SIZES: [usize; 6] = [2, 3, 4, 3, 2, 4];
const WANTED: [usize; 6] = [1, 0, 3, 2, 0, 1];

/// Share of tokens that agree with the wanted ones.
fn agreement(tokens: &[usize]) -> f64 {
    tokens.iter().zip(WANTED).filter(|(token, wanted)| **token == *wanted).count() as f64 / WANTED.len() as f64
}

fn learn(controller: &mut Controller, random: &mut mnas::Random, updates: usize) {
    for _ in 0..updates {
        let batch: Vec<Experience> = controller
            .sample(16, random)
            .into_iter()
            .map(|sampled| {
                let reward = 0.6 + 0.1 * agreement(&sampled.tokens);
                experience(sampled, reward)
            })
            .collect();
        controller.update(&batch).unwrap();
    }
}

#[test]
fn it_learns_a_wanted_sequence_from_rewards_alone_with_either_baseline() {
    for baseline in [Baseline::Value, Baseline::MovingAverage] {
        let settings =
            PpoSettings { hidden: 32, learning_rate: 5e-3, entropy_weight: 0.02, baseline, ..PpoSettings::default() };
        let (mut controller, mut random) = (controller(&SIZES, settings, 3), mnas::seeded(4));
        let mean = |controller: &Controller, random: &mut mnas::Random| {
            controller.sample(200, random).iter().map(|sampled| agreement(&sampled.tokens)).sum::<f64>() / 200.0
        };
        let before = mean(&controller, &mut random);
        learn(&mut controller, &mut random, 60);
        let after = mean(&controller, &mut random);
        assert!(before < 0.5 && after > 0.8, "{baseline:?}: {before} to {after}");
        assert_eq!(controller.most_likely(), WANTED, "{baseline:?}");
    }
}

#[test]
fn a_fresh_policy_is_nearly_uniform_and_a_taught_one_is_not() {
    let sizes = Space::preset("mnasnet").unwrap().token_sizes();
    let mut random = mnas::seeded(1);
    let fresh = controller(&sizes, PpoSettings::default(), 1).sample(8, &mut random);
    assert!(fresh.iter().all(|sampled| sampled.entropy > 0.98 && sampled.entropy <= 1.0 + 1e-6));
    let settings = PpoSettings { learning_rate: 5e-3, entropy_weight: 0.0, ..PpoSettings::default() };
    let mut taught = controller(&SIZES, settings, 1);
    learn(&mut taught, &mut random, 60);
    assert!(taught.sample(8, &mut random).iter().all(|sampled| sampled.entropy < 0.5));
}

#[test]
fn the_probabilities_of_all_sequences_sum_to_one() {
    let mut controller = controller(&[2, 3, 2], PpoSettings { hidden: 8, ..PpoSettings::default() }, 9);
    let mut random = mnas::seeded(2);
    for sharpened in [false, true] {
        let all: Vec<Vec<usize>> = (0..12).map(|i| vec![i % 2, i / 2 % 3, i / 6]).collect();
        let views: Vec<&[usize]> = all.iter().map(Vec::as_slice).collect();
        let logs = controller.log_probabilities(&views).unwrap();
        let sum: f64 = logs.iter().map(|logs| f64::from(logs.iter().sum::<f32>()).exp()).sum();
        assert!((sum - 1.0).abs() < 1e-5, "sharpened {sharpened}: {sum}");
        let batch = controller.sample(16, &mut random).into_iter().enumerate();
        controller.update(&batch.map(|(i, sampled)| experience(sampled, i as f64)).collect::<Vec<_>>()).unwrap();
    }
}

#[test]
fn sequences_are_drawn_as_often_as_their_probability_says() {
    let controller = controller(&[2, 3], PpoSettings { initial_range: 1.0, ..PpoSettings::default() }, 5);
    let drawn = controller.sample(20_000, &mut mnas::seeded(6));
    for tokens in (0..6).map(|i| [i % 2, i / 2]) {
        let probability = f64::from(controller.log_probabilities(&[&tokens]).unwrap()[0].iter().sum::<f32>()).exp();
        let share = drawn.iter().filter(|sampled| sampled.tokens == tokens).count() as f64 / 20_000.0;
        let deviation = (probability * (1.0 - probability) / 20_000.0).sqrt();
        assert!((share - probability).abs() < 4.5 * deviation, "{tokens:?}: {share} of {probability}");
    }
}

#[test]
fn the_step_by_step_and_the_fused_pass_agree() {
    let sizes = Space::preset("mnasnet").unwrap().token_sizes();
    let controller = controller(&sizes, PpoSettings::default(), 7);
    let drawn = controller.sample(5, &mut mnas::seeded(8));
    let views: Vec<&[usize]> = drawn.iter().map(|sampled| sampled.tokens.as_slice()).collect();
    for (fused, sampled) in controller.log_probabilities(&views).unwrap().iter().zip(&drawn) {
        for (a, b) in fused.iter().zip(&sampled.log_probabilities) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
    }
}

#[test]
fn the_clipped_loss_equals_a_plain_computation() {
    let settings = PpoSettings { baseline: Baseline::MovingAverage, epochs: 1, hidden: 16, ..PpoSettings::default() };
    let (mut controller, mut random) = (controller(&SIZES, settings, 11), mnas::seeded(12));
    // Old log probabilities moved by up to 0.5 put ratios on both sides of both limits.
    let batch: Vec<Experience> = controller
        .sample(16, &mut random)
        .into_iter()
        .enumerate()
        .map(|(i, mut sampled)| {
            for (t, log) in sampled.log_probabilities.iter_mut().enumerate() {
                *log = (*log + ((i * 7 + t * 5) % 11) as f32 / 10.0 - 0.5).min(0.0);
            }
            experience(sampled, (i * 5 % 16) as f64)
        })
        .collect();

    let rewards = Array1::from_iter(batch.iter().map(|experience| experience.reward));
    let advantages = (&rewards - rewards.mean().unwrap()) / rewards.std(0.0);
    let (mut objective, mut beyond, mut divergence) = (0.0, 0.0, 0.0);
    for (experience, advantage) in batch.iter().zip(advantages) {
        let new = &controller.log_probabilities(&[&experience.tokens]).unwrap()[0];
        for (new, old) in new.iter().zip(&experience.log_probabilities) {
            let ratio = f64::from(new - old).exp();
            objective += (ratio * advantage).min(ratio.clamp(0.8, 1.2) * advantage);
            beyond += f64::from(!(0.8..=1.2).contains(&ratio));
            divergence += ratio - 1.0 - ratio.ln();
        }
    }
    let tokens = (16 * SIZES.len()) as f64;
    let found = controller.update(&batch).unwrap();
    assert!((found.policy_loss + objective / tokens).abs() < 1e-5, "{found:?} {}", objective / tokens);
    assert!((found.clip_fraction - beyond / tokens).abs() < 1e-6 && beyond > 10.0 && beyond < tokens - 10.0);
    assert!((found.kl - divergence / tokens).abs() < 1e-5);
    assert_eq!(found.value_loss, 0.0);
}

#[test]
fn equal_seeds_draw_equal_sequences_and_others_do_not() {
    let draw = |seed| controller(&SIZES, PpoSettings::default(), seed).sample(10, &mut mnas::seeded(seed + 1));
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
}

#[test]
fn a_loaded_controller_continues_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("controller.safetensors");
    for baseline in [Baseline::MovingAverage, Baseline::Value] {
        let settings = PpoSettings { baseline, ..PpoSettings::default() };
        let (mut straight, mut random) = (controller(&SIZES, settings.clone(), 21), mnas::seeded(22));
        learn(&mut straight, &mut random, 4);
        straight.save(&path).unwrap();
        let mut loaded = Controller::load(&path, &SIZES, settings.check().unwrap()).unwrap();
        assert_eq!(loaded, straight);

        let mut random_again = random.clone();
        learn(&mut straight, &mut random, 4);
        learn(&mut loaded, &mut random_again, 4);
        assert_eq!(loaded.to_bytes().unwrap(), straight.to_bytes().unwrap());
        assert_eq!(loaded.sample(5, &mut random_again), straight.sample(5, &mut random));
    }
}

#[test]
fn states_that_do_not_fit_are_refused() {
    let bytes = controller(&SIZES, PpoSettings::default(), 1).to_bytes().unwrap();
    let valid = || PpoSettings::default().check().unwrap();
    let refusal = |bytes: &[u8], sizes: &[usize], settings| {
        Controller::from_bytes(bytes, sizes, settings).unwrap_err().to_string()
    };
    assert!(refusal(&bytes, &[2, 3], valid()).contains("token sizes must be [2, 3], found [2, 3, 4, 3, 2, 4]"));
    assert!(refusal(&bytes[..bytes.len() / 2], &SIZES, valid()).contains("no saved controller"));
    assert!(refusal(b"", &SIZES, valid()).contains("no saved controller"));
    let wider = PpoSettings { hidden: 101, ..PpoSettings::default() }.check().unwrap();
    assert!(refusal(&bytes, &SIZES, wider).contains("'parameters' must be"));
}

#[test]
fn experiences_that_do_not_fit_are_refused_and_change_nothing() {
    let mut controller = controller(&SIZES, PpoSettings::default(), 1);
    let before = controller.clone();
    let good = experience(controller.sample(1, &mut mnas::seeded(1)).remove(0), 0.5);
    let changed = |change: fn(&mut Experience)| {
        let mut bad = good.clone();
        change(&mut bad);
        vec![good.clone(), bad]
    };
    for (batch, message) in [
        (changed(|e| e.tokens[2] = 4), "sequence 1: token 3 must be below 4, found 4"),
        (changed(|e| e.tokens.truncate(5)), "the space takes 6 tokens, found 5"),
        (changed(|e| e.log_probabilities.truncate(5)), "6 tokens have 5 log probabilities"),
        (changed(|e| e.reward = f64::NAN), "the reward must be finite, found NaN"),
        (changed(|e| e.log_probabilities[0] = 0.5), "at most 0, found 0.5"),
        (Vec::new(), "at least one experience"),
    ] {
        let error = controller.update(&batch).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
    assert_eq!(controller, before);
    assert!(matches!(
        Controller::new(&[], PpoSettings::default().check().unwrap(), &mut mnas::seeded(1)),
        Err(ControllerError::Sizes(_))
    ));
}

#[test]
fn settings_are_read_with_defaults_and_refused_with_their_range() {
    let read = |text: &str| toml::from_str::<PpoSettings>(text);
    assert_eq!(read("").unwrap(), PpoSettings::default());
    assert!(read("").unwrap().check().is_ok());
    assert_eq!(read("baseline = \"value\"").unwrap().baseline, Baseline::Value);
    assert!(read("learningrate = 1").is_err());
    for (text, message) in [
        ("hidden = 0", "controller setting hidden must be from 1 to 4096, but is 0"),
        ("learning_rate = nan", "learning_rate must be above 0 and at most 1, but is NaN"),
        ("clip = 1.0", "clip must be above 0 and below 1"),
        ("epochs = 0", "epochs must be from 1 to 100"),
        ("gradient_norm = inf", "gradient_norm must be above 0 and finite"),
        ("average_weight = 1.0", "average_weight must be from 0 to below 1"),
    ] {
        let error = read(text).unwrap().check().unwrap_err().to_string();
        assert!(error.contains(message), "{text}: {error}");
    }
}

#[test]
fn no_policy_decides_wholly_however_long_it_learns_one_answer() {
    let entropy_after = |logit_bound: f64| {
        let settings = PpoSettings { logit_bound, learning_rate: 5e-3, entropy_weight: 0.0, ..PpoSettings::default() };
        let (mut controller, mut random) = (controller(&SIZES, settings, 21), mnas::seeded(22));
        learn(&mut controller, &mut random, 150);
        let drawn = controller.sample(64, &mut random);
        // Of n choices the best has at most this probability, so the worst has at least the rest's share.
        for sampled in &drawn {
            for (log_probability, &size) in sampled.log_probabilities.iter().zip(&SIZES) {
                let least = 1.0 / (1.0 + (size as f64 - 1.0) * (2.0 * logit_bound).exp());
                assert!(f64::from(log_probability.exp()) > 0.99 * least, "{log_probability} of {size} choices");
            }
        }
        drawn.iter().map(|sampled| sampled.entropy).sum::<f64>() / 64.0
    };
    let (kept, lost) = (entropy_after(1.0), entropy_after(100.0));
    assert!(kept > 1.2 * lost, "{kept} with a narrow bound, {lost} without any");
}
