//! Search files that cannot be used, and where their paths lead.

use crate::bench::{Bench, failure, refused, search_file};

#[test]
fn an_unusable_search_file_is_refused_before_anything_is_made() {
    refused(|text| text.replace("latency_ms = 1.0", "latency_ms = 0"), "latency_ms must be");
    refused(|text| text.replace("latency_ms = 1.0", "latency_ms = -3.0"), "latency_ms must be");
    refused(|text| text.replace("seed = 11", "sed = 11"), "unknown field `sed`");
    refused(|text| text.replace("id = \"simulated\"", "id = \"pixel\""), "no device 'pixel'");
    refused(|text| text.replace("kind = \"simulated\"", "kind = \"guess\""), "found \"guess\"");
    refused(|text| text.replace("trained_per_step = 6", "trained_per_step = 60"), "search.sampled_per_step");
    refused(|text| text.replace("evaluations = 12", "evaluations = 0"), "budget.evaluations");
    refused(|text| text.replace("file = \"space.toml\"", "file = \"nowhere.toml\""), "nowhere.toml");
    refused(|text| text.replace("file = \"space.toml\"", "preset = \"mnasnett\""), "known are mnasnet");
    refused(|text| text.replace("id = \"simulated\"", "id = \"simulated\"\npredictor = \"nowhere\""), "nowhere");
}

#[test]
fn a_profile_beside_the_search_file_is_found_from_everywhere() {
    for id in ["devices/mine.toml", "mine"] {
        let bench = Bench::new(&search_file("random", 6, 0).replace("id = \"simulated\"", &format!("id = \"{id}\"")));
        fs_err::create_dir(bench.path("devices")).unwrap();
        // What is said of it shows that it was read, and no device is needed.
        fs_err::write(bench.path("devices/mine.toml"), "id = \"mine\"\n[run]\nthreads = 0\n").unwrap();
        let message = failure(bench.start("run"), 1);
        assert!(message.contains("devices/mine.toml: run.threads must be"), "{message}");
    }
}
