//! The controller's two costs, on one thread and the `mnasnet` space: drawing 64 sequences and a PPO update of 16.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use mnas::controller::{Controller, Experience, PpoSettings};
use mnas::space::Space;

fn controller(criterion: &mut Criterion) {
    tch::set_num_threads(1);
    let sizes = Space::preset("mnasnet").expect("a preset").token_sizes();
    let mut random = mnas::seeded(1);
    let settings = PpoSettings::default().check().expect("defaults are valid");
    let mut controller = Controller::new(&sizes, settings, &mut random).expect("the space has tokens");
    criterion.bench_function("controller: sample 64 sequences", |bench| {
        bench.iter(|| black_box(controller.sample(64, &mut random)));
    });
    let experience = |(index, sampled): (usize, mnas::controller::Sampled)| Experience {
        tokens: sampled.tokens,
        log_probabilities: sampled.log_probabilities,
        reward: index as f64,
    };
    let batch: Vec<Experience> = controller.sample(16, &mut random).into_iter().enumerate().map(experience).collect();
    criterion.bench_function("controller: PPO update of 16 sequences", |bench| {
        bench.iter(|| black_box(controller.update(&batch)).expect("the batch fits"));
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(30);
    targets = controller
}
criterion_main!(benches);
