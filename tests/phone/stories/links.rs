//! A link to the phone that breaks during a load.

use std::time::Duration;

use crate::phones::{FIXED, assert_whole, kinds, model, open, problem, profile, small, with_phones};
use mnas::device::Device as _;
use mnas::device::IncidentKind;
use mnas::device::profile::Profile;

#[test]
fn a_load_cut_by_the_death_of_adbd_is_repeated_on_that_phone_alone() {
    with_phones(|lab| {
        let mut devices = [open(lab, 1, &slow()).unwrap(), open(lab, 2, &slow()).unwrap()];
        let models = [small(), model("mnasnet-a1/32")];
        std::thread::scope(|scope| {
            let threads: Vec<_> = devices
                .iter_mut()
                .zip(&models)
                .map(|(device, model)| scope.spawn(move || device.time(model).unwrap()))
                .collect();
            crate::lab::until("both run", || crate::lab::processes("--graph=").len() >= 2);
            lab.phone(1).kill_adbd();
            std::thread::sleep(Duration::from_millis(200));
            lab.phone(1).restart_adbd();
            for thread in threads {
                assert!(thread.join().unwrap().wall_ms.len() >= 3);
            }
        });
        let [first, second] = &mut devices;
        assert_eq!(kinds(first), [IncidentKind::Reconnected]);
        assert_eq!(kinds(second), []);
        // What the cut load left running was ended.
        assert!(crate::lab::processes("--graph=").is_empty());
        assert_eq!(lab.phone(1).read(FIXED).trim(), "true");
    });
}

/// Loads long enough to be hit.
fn slow() -> Profile {
    let mut profile = profile();
    profile.run.warmup_runs = 3000;
    profile
}

#[test]
fn the_death_of_the_adb_server_costs_nothing_but_time() {
    with_phones(|lab| {
        let mut device = open(lab, 1, &slow()).unwrap();
        std::thread::scope(|scope| {
            let timing = scope.spawn(|| device.time(&small()).unwrap());
            crate::lab::until("it runs", || !crate::lab::processes("--graph=").is_empty());
            lab.kill_server();
            assert_whole(&timing.join().unwrap());
        });
        assert_eq!(kinds(&mut device), [IncidentKind::Reconnected]);
    });
}

#[test]
fn a_phone_that_does_not_come_back_is_an_error_that_names_it() {
    with_phones(|lab| {
        let mut hasty = slow();
        hasty.limits.max_away_s = 1;
        let mut device = open(lab, 1, &hasty).unwrap();
        std::thread::scope(|scope| {
            let timing = scope.spawn(|| problem(device.time(&small())));
            crate::lab::until("it runs", || !crate::lab::processes("--graph=").is_empty());
            lab.phone(1).kill_adbd();
            let problem = timing.join().unwrap();
            assert!(problem.contains(&lab.phone(1).serial()), "{problem}");
        });
    });
}
